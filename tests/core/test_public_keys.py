"""Public keys: three curves, each with its hash; everything else is refused in words."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from safeload.core.errors import MalformedInput
from safeload.core.keys import HASHES, accepted_key, read_public_key

CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
PRIVATE = {name: ec.generate_private_key(curve) for name, curve in CURVES.items()}


def pem_of(key: object) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("name", CURVES)
def test_a_signature_with_the_hash_of_the_curve_verifies(name: str) -> None:
    """What the private key signed verifies, and nothing else does: other bytes, another key, no signature at all."""
    private = PRIVATE[name]
    key = read_public_key(pem_of(private.public_key()), "key.pub")
    signature = private.sign(b"data", ec.ECDSA(HASHES[private.curve.name]))
    assert key.verifies(signature, b"data")
    assert not key.verifies(signature, b"datA") and not key.verifies(signature[:-1], b"data")
    assert not key.verifies(b"", b"data") and not key.verifies(b"\0" * 64, b"data")
    other = read_public_key(pem_of(ec.generate_private_key(CURVES[name]).public_key()), "other.pub")
    assert not other.verifies(signature, b"data")


def test_a_signature_with_another_hash_does_not_verify() -> None:
    """P-384 goes with SHA-384: a weaker hash is not accepted because somebody used it."""
    private = PRIVATE["P-384"]
    key = read_public_key(pem_of(private.public_key()), "key.pub")
    assert not key.verifies(private.sign(b"data", ec.ECDSA(hashes.SHA256())), b"data")


def test_a_fingerprint_is_that_of_the_normal_form() -> None:
    """The same key has one fingerprint, whatever stands around it in the file."""
    pem = pem_of(PRIVATE["P-256"].public_key())
    key = read_public_key(b"a comment\n" + pem.replace(b"\n", b"\r\n"), "key.pub")
    assert key.pem() == pem and key.fingerprint() == hashlib.sha256(pem).hexdigest()


OTHERS = {
    "RSA": rsa.generate_private_key(65537, 2048).public_key(),
    "Ed25519": ed25519.Ed25519PrivateKey.generate().public_key(),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()).public_key(),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_key_of_another_kind_is_refused(kind: str) -> None:
    """RSA, Ed25519 and other curves are an error that names the kind."""
    with pytest.raises(MalformedInput, match="not of a kind") as refused:
        read_public_key(pem_of(OTHERS[kind]), "key.pub")
    assert kind in refused.value.why
    with pytest.raises(MalformedInput):
        accepted_key(OTHERS[kind], "certificate")


PRIVATE_PEM = PRIVATE["P-256"].private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        (b"", "no public key"),
        (b"\xff\0", "no public key"),
        (pem_of(PRIVATE["P-256"].public_key())[:-40], "no public key"),
        (PRIVATE_PEM, "private key"),
    ],
)
def test_what_is_no_public_key_is_refused(pem: bytes, why: str) -> None:
    """An empty, broken or private file is an error that says which."""
    with pytest.raises(MalformedInput, match="public key cannot be read") as refused:
        read_public_key(pem, "key.pub")
    assert why in refused.value.why and str(refused.value.where) == "key.pub"
