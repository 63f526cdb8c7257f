"""Signatures for tests: bundles made here by hand, so that they do not depend on how safeload signs."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PAYLOAD = "application/vnd.in-toto+json"


def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def fingerprint(private: ec.EllipticCurvePrivateKey) -> str:
    return hashlib.sha256(public(private)).hexdigest()


def is_signature(path: str) -> bool:
    return path.endswith((".sig", ".sigstore.json"))


def sign(
    folder: Path, private: ec.EllipticCurvePrivateKey, name: str = "model.sig", only: tuple[str, ...] = ()
) -> Path:
    """Sign every file of a directory (or `only` some), as Model Signing 1.0 does it by a key."""
    paths = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    paths = [path for path in paths if not is_signature(path) and (not only or path in only)]
    return sign_files({path: (folder / path).read_bytes() for path in paths}, private, folder / name)


def sign_files(files: dict[str, bytes], private: ec.EllipticCurvePrivateKey, target: Path) -> Path:
    target.write_bytes(bundle(files, private))
    return target


def bundle(files: dict[str, bytes], private: ec.EllipticCurvePrivateKey) -> bytes:
    digests = {path: hashlib.sha256(data) for path, data in sorted(files.items())}
    root = hashlib.sha256(b"".join(one.digest() for one in digests.values())).hexdigest()
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model", "digest": {"sha256": root}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": []},
            "resources": [
                {"name": path, "algorithm": "sha256", "digest": one.hexdigest()} for path, one in digests.items()
            ],
        },
    }
    payload = json.dumps(statement).encode()
    pae = b"DSSEv1 %d %b %d %b" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)
    signature = private.sign(pae, ec.ECDSA(hashes.SHA256()))
    return json.dumps(
        {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": fingerprint(private)}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": PAYLOAD,
                "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
            },
        }
    ).encode()
