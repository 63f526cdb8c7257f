"""A signer that is known by a certificate authority and by what its certificate says.

Rules, of which the reference tool's last release (1.1.1) keeps none but the first:

1. The chain of signatures leads from the leaf to one of the roots that are given, whatever roots the bundle brings.
2. The roots given are the only ones: never the system's, never those for the web.
3. The leaf is for signatures (key usage) of code (extended key usage), and not for issuing certificates.
4. It is valid now, and so is all above it.
5. It belongs to whom the policy means: subject or alternative name match its patterns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from safeload.core.errors import MalformedInput, UsageError
from safeload.core.names import escape
from safeload.trust.bundle import Bundle
from safeload.trust.signers import Identity, matches, refused, wrong_method

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.x509.verification import ExtensionPolicy, Policy

ExtendedUsage = Literal["code-signing", "code-signing-or-absent"]
Expiry = Literal["enforce", "unsafe-at-signing", "unsafe-ignore"]
ATTRIBUTES = {
    "CN": "2.5.4.3",
    "SERIALNUMBER": "2.5.4.5",
    "C": "2.5.4.6",
    "L": "2.5.4.7",
    "ST": "2.5.4.8",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "emailAddress": "1.2.840.113549.1.9.1",
}
"""The attributes of a subject that a pattern can be for."""


@dataclass(frozen=True, slots=True)
class CertificateSigner:
    """Whoever has a certificate from one of these authorities, whose subject and names match all of the patterns.

    The authorities are only those given here, never the system's. At least one pattern is needed: an authority
    vouches for many. Raises `UsageError` without one, `MalformedInput` for roots that are none.
    """

    name: str
    roots_pem: tuple[bytes, ...]
    subject: Mapping[str, str] = field(default_factory=dict)
    """A pattern for each attribute that must be there, once: `{"O": "ACME", "CN": "Release *"}`. `*` is any text."""
    san: tuple[str, ...] = ()
    """Patterns, one of which an alternative name (DNS, e-mail or URI) must match."""
    eku: ExtendedUsage = "code-signing"
    """Whether a leaf without any extended key usage will do; one for something else never does."""
    expiry: Expiry = "enforce"
    """`unsafe-at-signing` takes a leaf that has expired, if all above it was valid when it was issued: nobody knows
    whether it signed before. `unsafe-ignore` does not ask about those either."""
    method: str = "certificate"

    def __post_init__(self) -> None:
        if not self.subject and not self.san:
            raise UsageError(
                "a certificate authority was trusted for whatever it signs",
                why="an authority vouches for many, so subject or san must say whom you mean",
                remedy="--subject 'O=ACME' --subject 'CN=Release *'",
            )
        if unknown := sorted(self.subject.keys() - ATTRIBUTES.keys()):
            raise UsageError(
                f"a subject has no attribute {escape(unknown[0])!r} that can be asked for",
                why=f"it is one of {', '.join(ATTRIBUTES)}",
            )
        self._roots()

    def _roots(self) -> list[x509.Certificate]:
        from cryptography import x509

        found: list[x509.Certificate] = []
        for pem in self.roots_pem:
            try:
                found.extend(x509.load_pem_x509_certificates(pem))
            except unreadable() as error:
                raise MalformedInput(
                    "a root certificate cannot be read", where=self.name, why=escape(str(error))
                ) from None
        if not found:
            raise UsageError("no certificate authority was named", remedy="--roots FILE, with certificates in PEM")
        return found

    def verify(self, bundle: Bundle, *, now: datetime) -> Identity:
        """See `Signer.verify`."""
        from safeload.core.keys import accepted_key

        if bundle.method != "certificate":
            raise wrong_method(bundle, self)
        chain = read_certificates(bundle)
        leaf, roots = chain[0], self._roots()
        verified = self._chain(bundle, chain, roots, self._moment(bundle, chain, roots, now))
        self._belongs(bundle, leaf)
        if not accepted_key(leaf.public_key(), bundle.where).verifies(
            bundle.envelope.signature, bundle.envelope.signed_bytes()
        ):
            raise refused(bundle, self, "the signature is not of the certificate's key")
        prints = [_fingerprint(certificate) for certificate in verified]
        subject = escape(leaf.subject.rfc4514_string())
        return Identity(
            text=f"cert:{prints[0]} {subject}",
            method="certificate",
            fingerprints=frozenset(prints),
            details={
                "subject": subject,
                "issuer": escape(leaf.issuer.rfc4514_string()),
                "valid": f"{leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d}",
            },
        )

    def _moment(
        self, bundle: Bundle, chain: list[x509.Certificate], roots: list[x509.Certificate], now: datetime
    ) -> datetime:
        """The time as of which the chain must be valid."""
        leaf = chain[0]
        if now < leaf.not_valid_before_utc:
            raise refused(bundle, self, f"the certificate is not valid before {leaf.not_valid_before_utc:%Y-%m-%d}")
        if self.expiry == "unsafe-at-signing":
            return leaf.not_valid_before_utc
        if self.expiry == "unsafe-ignore":
            return max(certificate.not_valid_before_utc for certificate in (*chain, *roots))
        if now > leaf.not_valid_after_utc:
            why = f"the certificate expired on {leaf.not_valid_after_utc:%Y-%m-%d}, and nothing proves when it signed"
            raise refused(bundle, self, why)
        return now

    def _chain(
        self, bundle: Bundle, chain: list[x509.Certificate], roots: list[x509.Certificate], moment: datetime
    ) -> list[x509.Certificate]:
        from cryptography.x509 import verification

        above = [certificate for certificate in chain[1:] if certificate.subject != certificate.issuer]
        policy = verification.PolicyBuilder().store(verification.Store(roots)).time(moment).max_chain_depth(len(above))
        policy = policy.extension_policies(ca_policy=_authority(), ee_policy=self._leaf())
        try:
            return list(policy.build_client_verifier().verify(chain[0], above).chain)
        except verification.VerificationError as error:
            raise refused(bundle, self, f"its chain of certificates does not hold: {escape(str(error))}") from None
        except unreadable() as error:
            raise MalformedInput("a certificate cannot be read", where=bundle.where, why=escape(str(error))) from None

    def _leaf(self) -> ExtensionPolicy:
        from cryptography import x509
        from cryptography.x509.verification import Criticality, ExtensionPolicy

        def for_signatures(policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage) -> None:
            if not usage.digital_signature or usage.key_cert_sign:
                raise ValueError("its key usage is not to sign, and nothing but to sign")

        def for_code(policy: Policy, certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
            if usage is None and self.eku == "code-signing":
                raise ValueError("it has no extended key usage, and must be for code signing")
            if usage is not None and x509.oid.ExtendedKeyUsageOID.CODE_SIGNING not in usage:
                raise ValueError("its extended key usage is not code signing")

        agnostic = Criticality.AGNOSTIC
        return (
            ExtensionPolicy.permit_all()
            .require_present(x509.KeyUsage, agnostic, for_signatures)
            .may_be_present(x509.ExtendedKeyUsage, agnostic, for_code)
        )

    def _belongs(self, bundle: Bundle, leaf: x509.Certificate) -> None:
        """Rule 5: what the patterns say is what the certificate says."""
        from cryptography import x509

        shown = escape(leaf.subject.rfc4514_string())
        for attribute, pattern in self.subject.items():
            found = leaf.subject.get_attributes_for_oid(x509.ObjectIdentifier(ATTRIBUTES[attribute]))
            if len(found) != 1 or not isinstance(found[0].value, str) or not matches(pattern, found[0].value):
                raise refused(bundle, self, f"the certificate is for {shown!r}, which is not {attribute}={pattern}")
        if not self.san:
            return
        try:
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            raise refused(bundle, self, f"the certificate of {shown!r} has no alternative name") from None
        texts = [
            text
            for kind in (x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier)
            for text in names.get_values_for_type(kind)
        ]
        if not any(matches(pattern, text) for pattern in self.san for text in texts):
            raise refused(bundle, self, f"its alternative names are {escape(', '.join(texts))!r}, none that is meant")


def _authority() -> ExtensionPolicy:
    """What each certificate above the leaf must be: an authority that may issue, for code if it says for what."""
    from cryptography import x509
    from cryptography.x509.verification import Criticality, ExtensionPolicy

    def may_issue(policy: Policy, certificate: x509.Certificate, constraints: x509.BasicConstraints) -> None:
        if not constraints.ca:
            raise ValueError("a certificate above the leaf is not that of an authority")

    def for_certificates(policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage) -> None:
        if not usage.key_cert_sign:
            raise ValueError("a certificate above the leaf may not issue certificates")

    def for_code(policy: Policy, certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
        allowed = {x509.oid.ExtendedKeyUsageOID.CODE_SIGNING, x509.oid.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
        if usage is not None and not allowed & set(usage):
            raise ValueError("an authority above the leaf is not for code signing")

    agnostic = Criticality.AGNOSTIC
    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.CRITICAL, may_issue)
        .require_present(x509.KeyUsage, agnostic, for_certificates)
        .may_be_present(x509.ExtendedKeyUsage, agnostic, for_code)
    )


def unreadable() -> tuple[type[Exception], ...]:
    """What `cryptography` raises for certificates that it cannot read; a warning, where warnings are errors."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    return (
        ValueError,
        TypeError,
        KeyError,  # for a name of an unknown kind, up to cryptography 45
        UserWarning,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    )


def read_certificates(bundle: Bundle) -> list[x509.Certificate]:
    """The certificates that a bundle brings. Raises `MalformedInput` for one that is none."""
    from cryptography import x509

    found = []
    for index, data in enumerate(bundle.certificates):
        try:
            certificate = x509.load_der_x509_certificate(data)
            # All of this is read when it is first asked for: now, so that nothing is found broken later.
            _ = certificate.extensions, certificate.subject, certificate.issuer, certificate.public_key()
        except unreadable() as error:
            raise MalformedInput(
                f"certificate {index} of a signature cannot be read", where=bundle.where, why=escape(str(error))
            ) from None
        found.append(certificate)
    return found


def _fingerprint(certificate: x509.Certificate) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def chain_from_pem(pem: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """The certificates of a PEM file in DER, and the public key of the first in PEM. Raises `MalformedInput`."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from safeload.core.keys import accepted_key

    try:
        chain = x509.load_pem_x509_certificates(pem)
        key = chain[0].public_key()
    except unreadable() as error:
        raise MalformedInput("the certificates cannot be read", why=escape(str(error))) from None
    return tuple(certificate.public_bytes(Encoding.DER) for certificate in chain), accepted_key(key, "the leaf").pem()
