"""A signer that is known by public keys, each with the time in which it counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class DatedKey:
    """A public key (PEM, NIST P-256, P-384 or P-521), and the days on which it may verify; both are included."""

    public_pem: bytes
    not_before: date | None = None
    not_after: date | None = None


@dataclass(frozen=True, slots=True)
class KeySigner:
    """Whoever holds the private half of one of these keys."""

    name: str
    keys: tuple[DatedKey, ...]
    method: str = "key"
