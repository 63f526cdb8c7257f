"""Private keys: made, read and written. Used only to sign; what verifies needs nothing from here."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from safeload.core.errors import MalformedInput, UsageError
from safeload.core.keys import HASHES, PublicKey, accepted_key
from safeload.core.names import Location


@dataclass(frozen=True, slots=True, eq=False)
class PrivateKey:
    """A key on P-256, P-384 or P-521. It is never shown: neither `repr` nor an error holds it."""

    _key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def public(self) -> PublicKey:
        return PublicKey(self._key.public_key())

    def sign(self, data: bytes) -> bytes:
        """ECDSA in DER, with the hash of the curve."""
        return self._key.sign(data, ec.ECDSA(HASHES[self._key.curve.name]))

    def pem(self, passphrase: bytes | None) -> bytes:
        """PKCS #8 in PEM, encrypted unless there is no passphrase."""
        form = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        return self._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, form)


def new_private_key() -> PrivateKey:
    """A fresh key on P-256."""
    return PrivateKey(ec.generate_private_key(ec.SECP256R1()))


def is_encrypted(pem: bytes) -> bool:
    """Whether reading the key will need a passphrase."""
    return b"ENCRYPTED" in pem


def read_private_key(pem: bytes, passphrase: bytes | None, where: Location | str) -> PrivateKey:
    """Read a private key in PEM: PKCS #8 or SEC 1, encrypted or not.

    Raises `UsageError` if the passphrase is missing or wrong, `MalformedInput` if there is no such key, or one of
    another kind.
    """
    if is_encrypted(pem) and not passphrase:
        raise UsageError(
            "the private key was not read",
            where=where,
            why="it is encrypted, and there is no passphrase",
            remedy="--passphrase-file FILE, or a terminal to ask on",
        )
    try:
        key = serialization.load_pem_private_key(pem, passphrase if is_encrypted(pem) else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if is_encrypted(pem) and b"-----END" in pem:
            why = "the passphrase is wrong, or the file is damaged"
            raise UsageError("the private key was not read", where=where, why=why) from None
        why = (
            "it holds a public key"
            if b"PUBLIC KEY" in pem
            else f"it holds no private key in PEM ({type(error).__name__})"
        )
        raise MalformedInput("the private key cannot be read", where=where, why=why) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        accepted_key(key, where)  # raises, naming the kind
        raise AssertionError("no other kind is accepted")
    accepted_key(key.public_key(), where)
    return PrivateKey(key)
