"""Signatures over a model: which hold, whose they are, which files they cover, and everything that differs.

Only this module makes a `VerifiedSignature`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from safeload.core.errors import UsageError
from safeload.core.evidence import VerifiedSignature
from safeload.trust.manifest import Piece
from safeload.trust.signers import Signer


class DigestSource(Protocol):
    """Where the digests of a model's files come from."""

    def digests(self, pieces: Collection[Piece]) -> Mapping[Piece, str | None]:
        """The hexadecimal digest of each piece, computed together and in parallel; `None` where the file has no
        such bytes.

        Raises `SourceError` if a file cannot be read, `UsageError` if an algorithm's library is not installed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One file that is not as it was signed."""

    path: str
    kind: Literal["changed", "missing", "extra"]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureFailure:
    """Why a bundle is no valid signature of this model."""

    bundle: str
    why: str
    """In one clause, escaped."""
    signers: Mapping[str, str]
    """For each signer that was tried, why it is not the one; by name."""
    mismatches: tuple[Mismatch, ...] = ()
    """Every file that differs. If there are any, the signature itself was good: the files are not those signed."""
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureReport:
    """What became of each bundle: it verified, for one or more signers, or it failed."""

    verified: tuple[VerifiedSignature, ...] = ()
    failures: tuple[SignatureFailure, ...] = ()

    @property
    def mismatches(self) -> tuple[Mismatch, ...]:
        """Every file that differs from what any good signature says, each once."""
        return tuple(dict.fromkeys(mismatch for failure in self.failures for mismatch in failure.mismatches))


def verify_signatures(
    bundles: Mapping[str, bytes],
    signers: Sequence[Signer],
    digests: DigestSource,
    listing: Collection[str],
    now: datetime,
    subset: Collection[str] | None = None,
) -> SignatureReport:
    """Verify every bundle for every signer, then the files.

    Never raises for what a bundle holds: that becomes a failure in the report.

    Args:
        bundles: the bytes of each bundle by its path. These files are no part of the model.
        signers: who is trusted.
        digests: where digests of files come from.
        listing: every file of the model.
        now: the time that counts for validity; with a time zone.
        subset: the files that will be used, where the rest need not be there. Files outside it are neither digested
            nor looked at; one inside it that is not signed is an extra file. Without it, the whole model must be as
            signed: no file missing, none extra.
    """
    raise UsageError("signatures cannot be verified yet")
