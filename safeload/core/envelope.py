"""DSSE: the envelope that a statement is signed in."""

from __future__ import annotations

from dataclasses import dataclass

PAYLOAD_TYPE = "application/vnd.in-toto+json"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload and the signature that somebody says is theirs."""

    payload: bytes
    signature: bytes
    payload_type: str = PAYLOAD_TYPE

    def signed_bytes(self) -> bytes:
        """What is signed: the pre-authentication encoding (PAE) of DSSE v1, which binds the type and the length."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)
