"""Sigstore bundles: what was signed, by what, and the proofs that travel with it."""

from __future__ import annotations

from dataclasses import dataclass

from safeload.core.envelope import Envelope
from safeload.trust.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read and not yet verified."""

    path: str
    data: bytes
    envelope: Envelope
    manifest: Manifest
    key_hint: str = ""
    certificates: tuple[bytes, ...] = ()
    method: str = ""
