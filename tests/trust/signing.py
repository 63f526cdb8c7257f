"""What the tests of signatures are made of: keys, authorities, statements of any form, and bundles of them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from safeload.core.envelope import Envelope
from safeload.core.keys import HASHES
from safeload.trust.bundle import write_bundle
from safeload.trust.manifest import MODEL_SIGNING, Piece, model_statement
from safeload.trust.signatures import SignatureReport, verify_signatures
from safeload.trust.signers import Signer
from safeload.trust.signers.certificate import CertificateSigner
from safeload.trust.signers.key import DatedKey, KeySigner

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
FILES = {"config.json": b"{}", "model.safetensors": b"weights", "sub/vocab.txt": b"words"}
Private = ec.EllipticCurvePrivateKey


@cache
def key(name: str = "ours", curve: str = "secp256r1") -> Private:
    """A key of this name, the same one all through a test run."""
    curves = {"secp256r1": ec.SECP256R1(), "secp384r1": ec.SECP384R1(), "secp521r1": ec.SECP521R1()}
    return ec.generate_private_key(curves[curve])


def public_pem(private: Private) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(serialization.Encoding.PEM, form)


def signer(private: Private | None = None, name: str = "acme", **days: Any) -> KeySigner:
    return KeySigner(name, (DatedKey(public_pem(private or key()), **days),))


class Memory:
    """A `DigestSource` over files in memory, which remembers what it was asked for."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files
        self.asked: list[Piece] = []

    def digests(self, pieces: Collection[Piece]) -> dict[Piece, str | None]:
        self.asked.extend(pieces)
        return {piece: self._digest(piece) for piece in pieces}

    def _digest(self, piece: Piece) -> str | None:
        data = self.files[piece.path]
        if piece.end is not None and piece.end > len(data):
            return None
        return hashlib.new(piece.algorithm, data[piece.start : piece.end]).hexdigest()

    def size(self, path: str) -> int:
        return len(self.files[path])


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def statement(files: Mapping[str, bytes] = FILES, **options: Any) -> bytes:
    """The statement that safeload writes about files in memory."""
    return model_statement("model", {path: sha(data) for path, data in files.items()}, **options)


def oms(resources: list[dict[str, Any]], *, root: str | None = None, **form: Any) -> bytes:
    """A statement of Model Signing with any resources, well formed or not; the root is right unless it is given."""
    digests = [item.get("digest", "") for item in resources]
    if root is None:
        try:
            root = hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in digests)).hexdigest()
        except (ValueError, TypeError):
            root = "0" * 64
    serialization_form = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, **form}
    return json.dumps(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "model", "digest": {"sha256": root}}],
            "predicateType": MODEL_SIGNING,
            "predicate": {"serialization": serialization_form, "resources": resources},
        }
    ).encode()


def resource(name: str, data: bytes, algorithm: str = "sha256") -> dict[str, Any]:
    return {"name": name, "algorithm": algorithm, "digest": hashlib.new(algorithm, data).hexdigest()}


def signed(payload: bytes, private: Private | None = None, chain: Collection[bytes] = ()) -> bytes:
    """A bundle of this statement by this key."""
    private = private or key()
    envelope = Envelope(payload, b"")
    signature = private.sign(envelope.signed_bytes(), ec.ECDSA(HASHES[private.curve.name]))
    return write_bundle(Envelope(payload, signature), key_hint="hint", certificates=list(chain))


def changed(bundle: bytes, *path: str | int, to: Any) -> bytes:
    """The bundle with one value replaced, or taken out if `to` is `...`."""
    document = json.loads(bundle)
    at = document
    for step in path[:-1]:
        at = at[step]
    if to is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return json.dumps(document).encode()


def check(
    bundle: bytes,
    files: Mapping[str, bytes] = FILES,
    signers: Collection[Signer] | None = None,
    *,
    now: datetime = NOW,
    subset: Collection[str] | None = None,
) -> SignatureReport:
    """Verify one bundle, `model.sig`, over files in memory."""
    who = [signer()] if signers is None else list(signers)
    return verify_signatures({"model.sig": bundle}, who, Memory(files), [*files, "model.sig"], now, subset)


def why(report: SignatureReport) -> str:
    """Why nothing verified; there must be exactly one failure."""
    assert report.verified == () and len(report.failures) == 1
    return report.failures[0].why


class Authority:
    """A certificate authority, and the leaves it issues."""

    def __init__(
        self, name: str = "ACME Root", *, above: Authority | None = None, ca: bool = True, **usage: Any
    ) -> None:
        self.key = ec.generate_private_key(ec.SECP384R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.above = above
        issuer, issuing = (above.name, above.key) if above else (self.name, self.key)
        builder = _builder(self.name, issuer, self.key, "2020-01-01", usage.pop("until", "2040-01-01"))
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
        builder = builder.add_extension(_usage(key_cert_sign=usage.pop("may_issue", True)), critical=True)
        if eku := usage.pop("eku", None):
            builder = builder.add_extension(x509.ExtendedKeyUsage(eku), critical=False)
        self.certificate = builder.sign(issuing, hashes.SHA384())

    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def leaf(
        self,
        private: Private | None = None,
        *,
        subject: Mapping[str, str] | None = None,
        since: str = "2026-01-01",
        until: str = "2027-01-01",
        eku: Collection[x509.ObjectIdentifier] | None = (ExtendedKeyUsageOID.CODE_SIGNING,),
        usage: Mapping[str, bool] | None = None,
        san: Collection[x509.GeneralName] = (),
    ) -> bytes:
        """A leaf for this key in DER."""
        names = {"O": NameOID.ORGANIZATION_NAME, "CN": NameOID.COMMON_NAME}
        parts = subject or {"O": "ACME", "CN": "Release 1"}
        name = x509.Name([x509.NameAttribute(names[attribute], text) for attribute, text in parts.items()])
        builder = _builder(name, self.name, private or key(), since, until)
        if usage is None or usage:
            builder = builder.add_extension(_usage(**(usage or {"digital_signature": True})), critical=True)
        if eku is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(eku)), critical=False)
        if san:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(san)), critical=False)
        return builder.sign(self.key, hashes.SHA384()).public_bytes(serialization.Encoding.DER)


def _builder(subject: x509.Name, issuer: x509.Name, private: Any, since: str, until: str) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromisoformat(since))
        .not_valid_after(datetime.fromisoformat(until))
    )


def _usage(**on: bool) -> x509.KeyUsage:
    names = [
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ]
    return x509.KeyUsage(**{name: on.get(name, False) for name in names})


@cache
def authority() -> Authority:
    return Authority()


def by_certificate(*roots: Authority, **options: Any) -> CertificateSigner:
    """A signer by certificate of `authority()`, for anything that ACME releases, unless said otherwise."""
    options.setdefault("subject", {"O": "ACME"})
    return CertificateSigner("acme", tuple(root.pem() for root in roots or (authority(),)), **options)


def later(days: int) -> datetime:
    return NOW + timedelta(days=days)


def envelope_of(bundle: bytes) -> dict[str, Any]:
    """The statement within a bundle, read by Python's own JSON."""
    found: dict[str, Any] = json.loads(base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"]))
    return found
