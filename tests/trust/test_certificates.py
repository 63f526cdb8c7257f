"""Signers by certificate: the authority, the purpose, the time and the name must all be right."""

from __future__ import annotations

from datetime import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from safeload.core.errors import MalformedInput, UsageError
from safeload.trust.signers import matches
from safeload.trust.signers.certificate import CertificateSigner, chain_from_pem
from tests.trust.signing import (
    authority,
    by_certificate,
    changed,
    check,
    key,
    later,
    signed,
    signer,
    statement,
    why,
)


def bundle(**leaf: object) -> bytes:
    return signed(statement(), chain=[authority().leaf(**leaf)])


def test_a_leaf_of_a_trusted_authority_signs() -> None:
    """The identity names the leaf by its digest and its subject."""
    (found,) = check(bundle(), signers=[by_certificate()]).verified
    assert found.method == "certificate" and found.identity.endswith(" CN=Release 1,O=ACME")
    assert found.identity.split()[0].removeprefix("cert:") in found.fingerprints


@pytest.mark.parametrize(
    ("leaf", "options", "accepted"),
    [
        ({"eku": None}, {}, False),
        ({"eku": None}, {"eku": "code-signing-or-absent"}, True),
        ({"eku": (x509.oid.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)}, {"eku": "code-signing-or-absent"}, False),
        ({"usage": {}}, {}, False),
        ({"usage": {"key_agreement": True}}, {}, False),
        ({"usage": {"digital_signature": True, "key_cert_sign": True}}, {}, False),
        ({"until": "2026-05-31"}, {}, False),
        ({"until": "2026-05-31"}, {"expiry": "unsafe-at-signing"}, True),
        ({"until": "2026-05-31"}, {"expiry": "unsafe-ignore"}, True),
        ({"since": "2026-06-02"}, {}, False),
        ({"since": "2026-06-02"}, {"expiry": "unsafe-ignore"}, False),
        ({}, {"subject": {"O": "ACME", "CN": "Release *"}}, True),
        ({}, {"subject": {"CN": "Release"}}, False),
        ({}, {"subject": {"O": "acme"}}, False),
        ({}, {"subject": {"OU": "*"}}, False),
        ({"san": [x509.RFC822Name("bot@acme.example")]}, {"san": ("*@acme.example",)}, True),
        ({"san": [x509.RFC822Name("bot@acme.example.evil")]}, {"san": ("*@acme.example",)}, False),
        ({"san": [x509.DNSName("acme.example")]}, {"subject": {}, "san": ("acme.example",)}, True),
        ({}, {"san": ("*",)}, False),
    ],
)
def test_purpose_time_and_name(leaf: dict[str, object], options: dict[str, object], accepted: bool) -> None:
    """Each rule by itself decides."""
    report = check(bundle(**leaf), signers=[by_certificate(**options)])
    assert bool(report.verified) is accepted, report.failures


def test_two_names_in_a_subject_are_none() -> None:
    """A subject with an attribute twice does not match a pattern that only one of them matches."""
    name = x509.Name(
        [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, text) for text in ("Mallory", "ACME")]
        + [x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")]
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(authority().name)
        .public_key(key().public_key())
        .serial_number(7)
        .not_valid_before(datetime(2026, 1, 1))
        .not_valid_after(datetime(2027, 1, 1))
        .sign(authority().key, hashes.SHA384())
    )
    leaf = made.public_bytes(serialization.Encoding.DER)
    assert not check(signed(statement(), chain=[leaf]), signers=[by_certificate()]).verified


def test_a_clock_that_is_far_off_refuses() -> None:
    """Before and after its validity a certificate does not count, and the reason says the day."""
    assert "not valid before" in why(check(bundle(), signers=[by_certificate()], now=later(-3650)))
    assert "expired" in why(check(bundle(), signers=[by_certificate()], now=later(3650)))


def test_methods_do_not_stand_in_for_each_other() -> None:
    """A key does not vouch for a certificate's bundle, nor an authority for a key's."""
    assert "method 'certificate'" in why(check(bundle(), signers=[signer()]))
    assert "method 'key'" in why(check(signed(statement()), signers=[by_certificate()]))


@pytest.mark.parametrize("junk", ["", "AAAA", "MIIB"])
def test_a_certificate_that_is_none_is_a_failure(junk: str) -> None:
    """Junk instead of a leaf is said with its number."""
    path = ("verificationMaterial", "x509CertificateChain", "certificates", 0, "rawBytes")
    assert "cannot be read" in why(check(changed(bundle(), *path, to=junk), signers=[by_certificate()]))


def test_a_certificate_of_an_unknown_version_is_a_failure() -> None:
    """`cryptography` has an error of its own for that, which is none of its others. Found by mutating bundles."""
    leaf = authority().leaf()
    assert leaf.count(b"\xa0\x03\x02\x01\x02") == 1
    wrong = leaf.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x13")
    assert "version" in why(check(signed(statement(), chain=[wrong]), signers=[by_certificate()]))


def test_a_leaf_whose_key_is_of_no_known_kind_is_a_failure() -> None:
    """The key's algorithm is replaced by one that nobody has heard of."""
    leaf = authority().leaf()
    ec_public_key = bytes.fromhex("06072a8648ce3d0201")
    wrong = leaf.replace(ec_public_key, bytes.fromhex("06072a8648ce3d0279"))
    assert "cannot be read" in why(check(signed(statement(), chain=[wrong]), signers=[by_certificate()]))


def test_a_signer_is_checked_when_it_is_named() -> None:
    """Roots that are none, and attributes that nobody knows, are errors before anything is verified."""
    with pytest.raises(MalformedInput, match="root"):
        CertificateSigner("a", (b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----",), {"O": "A"})
    with pytest.raises(UsageError, match="attribute"):
        by_certificate(subject={"organization": "ACME"})


def test_a_leaf_with_another_kind_of_key_cannot_sign() -> None:
    """An RSA leaf is refused by name: Model Signing has none."""
    private = rsa.generate_private_key(65537, 2048)
    made = signed(statement(), chain=[authority().leaf(private)])
    assert "RSA" in why(check(made, signers=[by_certificate()]))


def test_a_pattern_is_anchored() -> None:
    """`*` is any text; nothing else is special, and the whole text must match."""
    assert matches("a*c", "abc") and matches("*", "") and matches("a.c", "a.c")
    assert not matches("a.c", "abc") and not matches("a*", "ba") and not matches("*a", "ab") and not matches("A", "a")
    assert not matches("a", "a\n") and matches("a*", "a\nb")


def test_a_chain_file_begins_with_the_leaf() -> None:
    """A file without certificates is refused."""
    with pytest.raises(MalformedInput):
        chain_from_pem(b"nothing")
