"""A signer that is known by a certificate authority and by what its certificate says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ExtendedUsage = Literal["code-signing", "code-signing-or-absent"]
Expiry = Literal["enforce", "unsafe-at-signing", "unsafe-ignore"]


@dataclass(frozen=True, slots=True)
class CertificateSigner:
    """Whoever has a certificate from one of these authorities, whose subject and names match all of the patterns.

    The authorities are only those given here, never the system's. At least one pattern is needed: an authority
    vouches for many.
    """

    name: str
    roots_pem: tuple[bytes, ...]
    subject: Mapping[str, str] = field(default_factory=dict)
    """A pattern for each attribute that must be there: `{"O": "ACME", "CN": "Release *"}`. `*` is any text."""
    san: tuple[str, ...] = ()
    """Patterns, one of which an alternative name (DNS, e-mail or URI) must match."""
    eku: ExtendedUsage = "code-signing"
    expiry: Expiry = "enforce"
    method: str = "certificate"
