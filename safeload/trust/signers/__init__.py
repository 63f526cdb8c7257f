"""Whom a signature may come from: one file for each kind of signer, each a frozen value without input or output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from safeload.trust.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Identity:
    """Who really made a signature, as it was verified."""

    text: str
    """`key:<sha256 of the public key's PEM>`, `cert:<sha256 of the leaf's DER> <subject>`, or
    `sigstore:<issuer> <identity>`. Foreign parts are escaped."""
    method: str
    """`key`, `certificate` or `sigstore`."""
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
        """Which method of signing it uses: `key`, `certificate` or `sigstore`."""
        ...

    def verify(self, bundle: Bundle, *, now: datetime) -> Identity:
        """Return who signed the bundle's statement, if it was this signer.

        Raises `VerificationFailed`, saying why not; `UsageError` if a library that this needs is not installed.
        """
        ...
