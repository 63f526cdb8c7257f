"""Sigstore bundles: an envelope, and what tells whose it might be. Nothing here is trusted until a signer verified it.

The statement inside is read after that, never before: see `manifest`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from safeload.core.envelope import PAYLOAD_TYPE, Envelope
from safeload.core.errors import MalformedInput
from safeload.core.names import Location, escape
from safeload.trust.fields import Field, read_json

Method = Literal["key", "certificate", "keyless"]
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_MEDIA_TYPES = (MEDIA_TYPE, "application/vnd.dev.sigstore.bundle+json;version=0.3")
_MATERIAL: dict[str, Method] = {
    "publicKey": "key",
    "x509CertificateChain": "certificate",
    "certificate": "keyless",
}
LONGEST_CHAIN = 10
"""Certificates in one bundle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle that was read and not verified."""

    path: str
    data: bytes
    """The whole document, for those who read it themselves."""
    envelope: Envelope
    method: Method
    certificates: tuple[bytes, ...] = ()
    """DER, the leaf first: for the methods `certificate` and `keyless`."""
    key_hint: str = ""
    """Which key the bundle says it is signed with. For people: every trusted key is tried."""

    @property
    def where(self) -> Location:
        return Location(self.path)


def read_bundle(data: bytes, path: str) -> Bundle:
    """Read a bundle. Raises `MalformedInput` with the place for what is none, `LimitExceeded` for a very long one."""
    where = Location(path)
    if not data.strip():
        raise MalformedInput("a signature cannot be read", where=where, why="the file is empty")
    top = Field(read_json(data, where), where)
    if (kind := top.get("mediaType").text()) not in _MEDIA_TYPES:
        raise top.get("mediaType").wrong(f"{escape(kind)!r} is no Sigstore bundle of version 0.3")
    material = top.get("verificationMaterial")
    named = [name for name in _MATERIAL if material.has(name)]
    if len(named) != 1:
        raise material.wrong(f"it must hold one of {', '.join(_MATERIAL)}, and holds {', '.join(named) or 'none'}")
    method = _MATERIAL[named[0]]
    if method == "keyless" and not material.get("tlogEntries").items():
        raise material.get("tlogEntries").wrong("a keyless signature is worth nothing without an entry in the log")
    return Bundle(
        path=path,
        data=data,
        envelope=_envelope(top.get("dsseEnvelope")),
        method=method,
        certificates=_certificates(material.get(named[0]), method),
        key_hint=_hint(material.get(named[0])) if method == "key" else "",
    )


def _envelope(item: Field) -> Envelope:
    if (kind := item.get("payloadType").text()) != PAYLOAD_TYPE:
        raise item.get("payloadType").wrong(f"{escape(kind)!r} is no statement of in-toto")
    signatures = item.get("signatures").items()
    if len(signatures) != 1:
        raise item.get("signatures").wrong("it must hold one signature; others are bundles of their own")
    return Envelope(item.get("payload").base64(), signatures[0].get("sig").base64(), kind)


def _certificates(item: Field, method: Method) -> tuple[bytes, ...]:
    if method == "key":
        return ()
    found = [item] if method == "keyless" else item.get("certificates").items()
    if not 0 < len(found) <= LONGEST_CHAIN:
        raise item.wrong(f"it must hold 1 to {LONGEST_CHAIN} certificates")
    return tuple(certificate.get("rawBytes").base64() for certificate in found)


def _hint(item: Field) -> str:
    """Releases up to 1.0.1 wrote the key itself here, which says no more about whose it is than a hint does."""
    return escape(item.get("hint").text(), 80) if item.has("hint") else ""


def write_bundle(envelope: Envelope, *, key_hint: str = "", certificates: Sequence[bytes] = ()) -> bytes:
    """The bundle of a signature by a key, or by the first of these certificates (DER)."""
    material: dict[str, Any] = {"publicKey": {"hint": key_hint}}
    if certificates:
        chain = [{"rawBytes": base64.b64encode(certificate).decode()} for certificate in certificates]
        material = {"x509CertificateChain": {"certificates": chain}}
    document = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {**material, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(envelope.payload).decode(),
            "payloadType": envelope.payload_type,
            "signatures": [{"sig": base64.b64encode(envelope.signature).decode(), "keyid": ""}],
        },
    }
    return json.dumps(document).encode() + b"\n"
