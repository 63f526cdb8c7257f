"""Public keys of the NIST curves, and what they sign. The one module of core that uses a library: `cryptography`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from safeload.core.errors import MalformedInput
from safeload.core.names import Location

HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
"""The hash that goes with each curve."""


@dataclass(frozen=True, slots=True, eq=False)
class PublicKey:
    """A key on P-256, P-384 or P-521: there are no others, so a weak one cannot be held."""

    key: ec.EllipticCurvePublicKey

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether `signature` (ECDSA, in DER) over `data` is of this key, with the hash of its curve."""
        try:
            self.key.verify(signature, data, ec.ECDSA(HASHES[self.key.curve.name]))
        except InvalidSignature:
            return False
        return True

    def pem(self) -> bytes:
        """The key as PEM (SubjectPublicKeyInfo), however it was written when it was read."""
        return self.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def fingerprint(self) -> str:
        """Hexadecimal sha256 of the PEM, as Model Signing bundles name a key."""
        return hashlib.sha256(self.pem()).hexdigest()


def accepted_key(key: object, location: Location | str) -> PublicKey:
    """A key that `cryptography` read, if it is of a kind that we verify with. Raises `MalformedInput` if not."""
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in HASHES:
        return PublicKey(key)
    kind = f"the curve {key.curve.name}" if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__
    raise MalformedInput(
        "the key is not of a kind that signs models",
        where=location,
        why=f"it is for {kind.strip('_')}; Model Signing has P-256, P-384 and P-521",
        remedy="safeload keys new NAME",
    )


def read_public_key(pem: bytes, location: Location | str) -> PublicKey:
    """The public key in a PEM file.

    Raises `MalformedInput` if there is none, or one of another kind: RSA, Ed25519, another curve.
    """
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        why = "it is a private key" if b"PRIVATE KEY" in pem else "it holds no public key in PEM"
        remedy = "openssl pkey -in KEY.pem -pubout -out KEY.pub; then name KEY.pub"
        raise MalformedInput("a public key cannot be read", where=location, why=why, remedy=remedy) from None
    return accepted_key(key, location)
