"""Whom a signature may come from: one file for each kind of signer, each a frozen value without input or output."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from safeload.core.errors import VerificationFailed
from safeload.trust.bundle import Bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who really made a signature, as it was verified."""

    text: str
    """`key:<sha256 of the public key's PEM>`, `cert:<sha256 of the leaf's DER> <subject>`, or
    `sigstore:<issuer> <identity>`. Foreign parts are escaped."""
    method: str
    """`key`, `certificate` or `keyless`."""
    fingerprints: frozenset[str] = frozenset()
    """Hexadecimal sha256 of the key's PEM, or of each certificate of the chain (DER)."""
    details: Mapping[str, str] = field(default_factory=dict)
    """For people: subject, issuer, validity. Escaped."""


class Signer(Protocol):
    """One signer that somebody trusts. Implementations are frozen values and never touch files or the network."""

    @property
    def name(self) -> str:
        """Its name in the policy; empty for one that was given by hand."""
        ...

    @property
    def method(self) -> str:
        """Which method of signing it uses: `key`, `certificate` or `keyless`."""
        ...

    def verify(self, bundle: Bundle, *, now: datetime) -> Identity:
        """Return who signed the bundle's statement, if it was this signer.

        Raises `VerificationFailed`, saying why not; `MalformedInput` for a certificate that cannot be read;
        `UsageError` if a library that this needs is not installed.
        """
        ...


def refused(bundle: Bundle, signer: Signer, why: str) -> VerificationFailed:
    """The error that a bundle is not signed by this signer. Foreign text in `why` is escaped."""
    who = signer.name or "the signer that was given"
    return VerificationFailed(
        f"it is not signed by {who}",
        mismatches={bundle.path: why},
        where=bundle.where,
        why=why,
        remedy="safeload verify MODEL says who signed it; trust them in safeload.toml, if you mean to",
    )


def wrong_method(bundle: Bundle, signer: Signer) -> VerificationFailed:
    """The error that a bundle is signed in another way than this signer signs."""
    return refused(
        bundle, signer, f"it is signed by the method {bundle.method!r}, and this signer uses {signer.method!r}"
    )


def matches(pattern: str, text: str) -> bool:
    """Whether a text is what a pattern says: `*` is any text, everything else is itself, and case counts."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None
