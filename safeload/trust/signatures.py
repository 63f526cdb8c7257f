"""Signatures over a model: which hold, whose they are, which files they cover, and everything that differs.

Only this module makes a `VerifiedSignature`. For each bundle:

1. It is read. What cannot be read is a failure, never ignored.
2. Each signer that is trusted looks whether it is its own. Only after that is the statement read: by then somebody
   who is trusted wrote it.
3. The files are compared with the statement, and every difference is kept.
4. A signature counts if nothing differs. It covers the files that it names and that are there: no others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from safeload.core.errors import MalformedInput, UsageError, VerificationFailed
from safeload.core.evidence import VerifiedSignature
from safeload.core.names import escape
from safeload.trust.bundle import Bundle, read_bundle
from safeload.trust.manifest import NEVER_SIGNED, WHOLE, Manifest, Piece, read_manifest
from safeload.trust.signature_store import is_bundle
from safeload.trust.signers import Identity, Signer


class DigestSource(Protocol):
    """Where the digests of a model's files come from."""

    def digests(self, pieces: Collection[Piece]) -> Mapping[Piece, str | None]:
        """The hexadecimal digest of each piece, computed together and in parallel; `None` where the file has no
        such bytes.

        Raises `SourceError` if a file cannot be read, `VerificationFailed` if one changes meanwhile, `UsageError` if
        an algorithm's library is not installed.
        """
        ...

    def size(self, path: str) -> int:
        """The size of a listed file. Raises `SourceError` if it cannot be had."""
        ...


Kind = Literal["changed", "missing", "extra"]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One file that is not as it was signed."""

    path: str
    kind: Kind
    reason: str

    def __str__(self) -> str:
        return f"{escape(self.path)}: {self.kind}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureFailure:
    """Why a bundle is no valid signature of this model."""

    bundle: str
    why: str
    """In one clause, escaped."""
    signers: Mapping[str, str] = field(default_factory=dict)
    """For each signer that was tried, why it is not the one; by name."""
    signed_by: str = ""
    """Whose signature it is, if the signature is good and the files are not those signed."""
    mismatches: tuple[Mismatch, ...] = ()
    """Every file that differs. If there are any, the signature itself was good: the files are not those signed."""
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureReport:
    """What became of each bundle: it verified, for one or more signers, or it failed."""

    verified: tuple[VerifiedSignature, ...] = ()
    failures: tuple[SignatureFailure, ...] = ()
    manifests: Mapping[str, Manifest] = field(default_factory=dict)
    """What the bundles of good signatures say, by path; also of those whose files differ."""

    @property
    def mismatches(self) -> tuple[Mismatch, ...]:
        """Every file that differs from what any good signature says, each once."""
        return tuple(dict.fromkeys(mismatch for failure in self.failures for mismatch in failure.mismatches))


@dataclass(frozen=True, slots=True)
class _Signed:
    bundle: Bundle
    manifest: Manifest
    by: tuple[tuple[str, Identity], ...]


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
        bundles: the bytes of each bundle by its path. These files are no part of the model, and neither are others
            that are called as signatures are.
        signers: who is trusted. None is an empty report full of failures, never a success.
        digests: where digests of files come from.
        listing: every file of the model.
        now: the time that counts for validity; with a time zone.
        subset: the files that will be used, where the rest need not be there. Files outside it are neither digested
            nor looked at; one inside it that is not signed is an extra file. Without it, the whole model must be as
            signed: no file missing, none extra. What the signer left out (and said so) is never extra and never
            covered: who uses files must look at `covers`.

    Raises:
        SourceError: a file cannot be read.
        VerificationFailed: a file changes while it is read.
        UsageError: a signer or a digest needs a library that is not installed.
    """
    if now.tzinfo is None:
        raise UsageError("signatures were not verified", why="the time that counts has no time zone")
    listing = frozenset(listing)
    subset = None if subset is None else frozenset(subset)
    files = frozenset(path for path in listing if not is_bundle(path)) - bundles.keys()
    good: list[_Signed] = []
    failures: list[SignatureFailure] = []
    for path, data in bundles.items():
        signed = _signed(path, data, signers, now, files)
        if isinstance(signed, SignatureFailure):
            failures.append(signed)
        else:
            good.append(signed)
    wanted = {
        piece
        for signed in good
        for piece in signed.manifest.digests
        if piece.path in listing and (subset is None or piece.path in subset)
    }
    found = digests.digests(wanted)
    verified: list[VerifiedSignature] = []
    for signed in good:
        mismatches = tuple(_differences(signed.manifest, found, digests, listing, files, subset))
        if mismatches:
            failures.append(_not_these_files(signed, mismatches))
        else:
            covers = signed.manifest.paths & listing
            verified.extend(_verified(signed, covers if subset is None else covers & subset))
    return SignatureReport(
        verified=tuple(verified),
        failures=tuple(failures),
        manifests={signed.bundle.path: signed.manifest for signed in good},
    )


def _signed(
    path: str, data: bytes, signers: Sequence[Signer], now: datetime, files: frozenset[str]
) -> _Signed | SignatureFailure:
    """Steps 1 and 2."""
    try:
        bundle = read_bundle(data, path)
        by, reasons = _whose(bundle, signers, now)
        if not by:
            return SignatureFailure(
                bundle=path,
                why="; ".join(f"{name}: {why}" if name else why for name, why in reasons.items())
                or "nobody is trusted to sign",
                signers=reasons,
                remedy="name who may sign it: --key FILE, or [signers.NAME] in safeload.toml",
            )
        manifest = _whole_file(read_manifest(bundle.envelope.payload, bundle.where), files, bundle)
    except MalformedInput as error:
        why = f"{error.what} ({error.where}): {error.why}" if error.where else f"{error.what}: {error.why}"
        return SignatureFailure(bundle=path, why=why, remedy=error.remedy or "fetch the signature again")
    return _Signed(bundle, manifest, by)


def _whose(
    bundle: Bundle, signers: Sequence[Signer], now: datetime
) -> tuple[tuple[tuple[str, Identity], ...], dict[str, str]]:
    by: list[tuple[str, Identity]] = []
    reasons: dict[str, str] = {}
    for signer in signers:
        try:
            by.append((signer.name, signer.verify(bundle, now=now)))
        except VerificationFailed as error:
            reasons[signer.name] = error.why
    return tuple(by), reasons


def _whole_file(manifest: Manifest, files: frozenset[str], bundle: Bundle) -> Manifest:
    """Early releases called the only file of a model `.`; its name stood in the subject, which is signed as well."""
    if manifest.paths != {WHOLE}:
        return manifest
    if files != {manifest.name}:
        raise MalformedInput(
            "a signature of a single file is not of this model",
            where=bundle.where,
            why=f"it is of one file named {escape(manifest.name)!r}",
        )
    digests = {piece._replace(path=manifest.name): digest for piece, digest in manifest.digests.items()}
    return Manifest(predicate_type=manifest.predicate_type, name=manifest.name, root=manifest.root, digests=digests)


def _differences(
    manifest: Manifest,
    found: Mapping[Piece, str | None],
    source: DigestSource,
    listing: frozenset[str],
    files: frozenset[str],
    subset: frozenset[str] | None,
) -> Iterator[Mismatch]:
    """Step 3: each file that differs, once."""
    changed: set[str] = set()
    for piece, digest in manifest.digests.items():
        if piece in found and found[piece] != digest:
            changed.add(piece.path)
    for path, size in manifest.sizes.items():
        if path in listing and (subset is None or path in subset) and source.size(path) != size:
            changed.add(path)
    for path in sorted(changed):
        yield Mismatch(path, "changed", "its bytes are not those signed")
    for path in sorted(manifest.paths - listing):
        if subset is None or path in subset:
            yield Mismatch(path, "missing", "it was signed and is not there")
    if not manifest.complete:
        return
    for path in sorted((files if subset is None else files & subset) - manifest.paths):
        if not (_left_out(path, manifest) or (manifest.sizes and source.size(path) == 0)):
            yield Mismatch(path, "extra", "it is there and was not signed")


def _left_out(path: str, manifest: Manifest) -> bool:
    """Whether the signer said that it does not speak about this file."""
    return any(path == ignored or path.startswith(f"{ignored}/") for ignored in (*NEVER_SIGNED, *manifest.ignored))


def _not_these_files(signed: _Signed, mismatches: tuple[Mismatch, ...]) -> SignatureFailure:
    names = sorted({name or identity.text for name, identity in signed.by})
    return SignatureFailure(
        bundle=signed.bundle.path,
        why=f"{len(mismatches)} files are not as {', '.join(names)} signed them",
        signed_by=", ".join(names),
        mismatches=mismatches,
        remedy="fetch the model again; if it stays so, ask who signed it",
    )


def _verified(signed: _Signed, covers: frozenset[str]) -> Iterator[VerifiedSignature]:
    for name, identity in signed.by:
        yield VerifiedSignature(
            signer=name,
            identity=identity.text,
            covers=covers,
            method=identity.method,
            fingerprints=identity.fingerprints,
            bundle=signed.bundle.path,
            bundle_sha256=hashlib.sha256(signed.bundle.data).hexdigest(),
            root=signed.manifest.root,
            statement=signed.manifest.predicate_type,
        )
