"""A signer that is known by the account it had when it signed (Sigstore: Fulcio's certificate, Rekor's log)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class KeylessSigner:
    """Whoever could log in at `issuer` as `identity`, or whose workflow there matches `workflow`.

    Verified offline against `trusted_root_json`, whose sha256 is pinned. Needs `safeload[sigstore]`.
    """

    name: str
    issuer: str
    trusted_root_json: bytes
    trusted_root_sha256: str
    identity: str = ""
    """The exact name in the certificate; or
    """
    workflow: str = ""
    """a pattern for a GitHub workflow, `org/repo/.github/workflows/release.yml@refs/tags/v*`; `*` is any text."""
    max_root_age: timedelta | None = None
    """How old the newest key in the trusted root may be; any age if absent."""
    method: str = "sigstore"
