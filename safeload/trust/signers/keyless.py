"""A signer that is known by the account it had when it signed (Sigstore: Fulcio's certificate, Rekor's log).

Verified by `sigstore`, offline, against a trusted root that is given and whose sha256 is pinned. Nothing is read from
Sigstore's own cache: whoever can write that could otherwise choose whom we trust.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from safeload.core.errors import MalformedInput, UsageError
from safeload.core.names import Location, escape
from safeload.trust.bundle import Bundle
from safeload.trust.fields import Field, read_json
from safeload.trust.signers import Identity, matches, refused, wrong_method
from safeload.trust.signers.certificate import unreadable

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_GITHUB = "https://github.com/"


@dataclass(frozen=True, slots=True)
class KeylessSigner:
    """Whoever could log in at `issuer` as `identity`, or whose workflow there matches `workflow`.

    Needs `safeload[sigstore]`. Raises `UsageError` for a root that is not the pinned one, or if not exactly one of
    `identity` and `workflow` is given.
    """

    name: str
    issuer: str
    trusted_root_json: bytes
    trusted_root_sha256: str
    identity: str = ""
    """The exact name in the certificate; or"""
    workflow: str = ""
    """a pattern for a GitHub workflow, `org/repo/.github/workflows/release.yml@refs/tags/v*`; `*` is any text."""
    max_root_age: timedelta | None = None
    """How long ago the newest key in the trusted root may have begun to count; any time if absent."""
    method: str = "keyless"

    def __post_init__(self) -> None:
        if bool(self.identity) == bool(self.workflow) or not self.issuer:
            raise UsageError(
                "a keyless signer was not named",
                why="it is one identity, or the pattern of one workflow, at one issuer",
                remedy="--identity NAME --issuer URL",
            )
        found = hashlib.sha256(self.trusted_root_json).hexdigest()
        if found != self.trusted_root_sha256:
            raise UsageError(
                "a trusted root of Sigstore was not used",
                why=f"its sha256 is {found}, and {escape(self.trusted_root_sha256)} is pinned",
                remedy="compare the file with its origin, then pin what it is",
            )

    def verify(self, bundle: Bundle, *, now: datetime) -> Identity:
        """See `Signer.verify`."""
        if bundle.method != "keyless":
            raise wrong_method(bundle, self)
        self._fresh(now)
        models, verifier, errors = _sigstore()
        broken: tuple[type[Exception], ...] = (*unreadable(), AttributeError, IndexError, AssertionError)
        policy = _Expected(self.issuer, self.identity, self.workflow, errors.VerificationError)
        try:
            root = models.TrustedRoot(_trusted_root(self.trusted_root_json))
            theirs = models.Bundle.from_json(bundle.data)
            kind, payload = verifier(trusted_root=root).verify_dsse(theirs, policy)
            leaf = theirs.signing_certificate.public_bytes(_der())
        except errors.Error as error:
            raise refused(bundle, self, escape(str(error))) from None
        except broken as error:
            why = f"Sigstore cannot read it: {escape(str(error)) or type(error).__name__}"
            raise MalformedInput("a keyless signature cannot be read", where=bundle.where, why=why) from None
        if (kind, payload, (leaf,)) != (bundle.envelope.payload_type, bundle.envelope.payload, bundle.certificates):
            raise refused(bundle, self, "Sigstore read something else in it than we did")
        return Identity(
            text=f"sigstore:{escape(self.issuer)} {escape(policy.seen)}",
            method="keyless",
            fingerprints=frozenset({hashlib.sha256(leaf).hexdigest()}),
            details={"issuer": escape(self.issuer), "identity": escape(policy.seen)},
        )

    def _fresh(self, now: datetime) -> None:
        if self.max_root_age is None:
            return
        newest = newest_key(self.trusted_root_json)
        if now - newest > self.max_root_age:
            raise UsageError(
                "a trusted root of Sigstore is too old",
                why=f"its newest key is of {newest:%Y-%m-%d}, and max_root_age is {self.max_root_age.days} days",
                remedy="fetch the trusted root again, and pin it",
            )


class _Expected:
    """What the certificate must say; a policy as `sigstore` takes them. `seen` is who it was."""

    def __init__(self, issuer: str, identity: str, workflow: str, error: type[Exception]) -> None:
        self.issuer, self.identity, self.workflow, self.error = issuer, identity, workflow, error
        self.seen = ""

    def verify(self, cert: Certificate) -> None:
        from cryptography import x509
        from sigstore.verify.policy import AnyOf, OIDCIssuer, OIDCIssuerV2

        AnyOf([OIDCIssuer(self.issuer), OIDCIssuerV2(self.issuer)]).verify(cert)
        try:
            names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            raise self.error("the certificate names nobody") from None
        found = [*names.get_values_for_type(x509.RFC822Name)]
        links = names.get_values_for_type(x509.UniformResourceIdentifier)
        if self.workflow:
            self.seen = next((link for link in links if matches(_GITHUB + self.workflow, link)), "")
        else:
            self.seen = next((name for name in (*found, *links) if name == self.identity), "")
        if not self.seen:
            raise self.error(f"it was signed by {', '.join((*found, *links))!r}, not by who is meant")


def newest_key(trusted_root: bytes) -> datetime:
    """When the newest log or authority in a trusted root began to count. Raises `MalformedInput`."""
    top = Field(read_json(trusted_root, Location("trusted_root.json")), Location("trusted_root.json"))
    found = []
    for item in top.get("tlogs").items():
        found.append(item.get("publicKey").get("validFor").get("start"))
    for kind in ("certificateAuthorities", "timestampAuthorities"):
        found.extend(item.get("validFor").get("start") for item in (top.get(kind).items() if top.has(kind) else ()))
    if not found:
        raise top.wrong("it names no log and no authority")
    times = []
    for item in found:
        try:
            times.append(datetime.fromisoformat(item.text()).astimezone(UTC))
        except ValueError:
            raise item.wrong("it is no time") from None
    return max(times)


def _sigstore() -> tuple[Any, Any, Any]:
    try:
        from sigstore import errors, models
        from sigstore.verify import Verifier
    except ImportError:
        raise UsageError(
            "a keyless signature was not verified",
            why="that needs the library sigstore, which is not installed",
            remedy="pip install 'safeload[sigstore]'",
        ) from None
    return models, Verifier, errors


def _der() -> Any:
    from cryptography.hazmat.primitives.serialization import Encoding

    return Encoding.DER


def _trusted_root(data: bytes) -> Any:
    from sigstore_models.trustroot.v1 import TrustedRoot

    return TrustedRoot.from_json(data)
