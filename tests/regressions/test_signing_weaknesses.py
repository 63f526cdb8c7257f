"""What the reference tool for model signing got wrong in its last release (1.1.1) or its format leaves open: not here.

Above each test stands the report it comes from.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from safeload.core.errors import MalformedInput, UsageError
from safeload.core.names import Location
from safeload.engine.verify import examine
from safeload.trust.manifest import read_manifest
from safeload.trust.signers.certificate import CertificateSigner
from tests.trust.signing import (
    FILES,
    NOW,
    Authority,
    authority,
    by_certificate,
    changed,
    check,
    key,
    oms,
    resource,
    signed,
    signer,
    statement,
    why,
)


# https://github.com/sigstore/model-transparency/issues/648
def test_a_certificate_for_web_servers_does_not_sign_models() -> None:
    """A leaf for TLS is refused, even if its authority is trusted and it lacks nothing else."""
    leaf = authority().leaf(eku=(ExtendedKeyUsageOID.SERVER_AUTH,))
    bundle = signed(statement(), chain=[leaf])
    for eku in ("code-signing", "code-signing-or-absent"):
        assert "not code signing" in why(check(bundle, signers=[by_certificate(eku=eku)]))


# https://github.com/sigstore/model-transparency/issues/663
def test_an_expired_certificate_does_not_count() -> None:
    """Validity is asked for now, not for the day on which the certificate itself says that it was issued."""
    bundle = signed(statement(), chain=[authority().leaf(since="2020-01-01", until="2021-01-01")])
    assert "expired on 2021-01-01" in why(check(bundle, signers=[by_certificate()]))


# https://github.com/sigstore/model-transparency/issues/359
def test_a_certificate_of_somebody_else_does_not_count() -> None:
    """Who the certificate is for is asked, and a signer by certificate cannot be named without it."""
    bundle = signed(statement(), chain=[authority().leaf(subject={"O": "Mallory", "CN": "Release 1"})])
    assert "Mallory" in why(check(bundle, signers=[by_certificate()]))
    with pytest.raises(UsageError, match="whatever it signs"):
        CertificateSigner("acme", (authority().pem(),))


# model_signing/_signing/sign_certificate.py in release 1.1.1: without a chain, it trusts certifi's roots.
def test_there_are_no_roots_but_those_given() -> None:
    """Without roots there is no signer, and roots that the bundle brings are not trusted."""
    with pytest.raises(UsageError, match="no certificate authority"):
        CertificateSigner("acme", (), {"O": "ACME"})
    mallory = Authority("Mallory Root")
    bundle = signed(statement(), chain=[mallory.leaf(), mallory.der()])
    assert "chain" in why(check(bundle, signers=[by_certificate()]))


# https://github.com/sigstore/model-transparency/issues/661
@pytest.mark.parametrize("subset", [None, ["config.json"]])
def test_an_empty_manifest_is_no_signature(subset: list[str] | None) -> None:
    """A statement about no file would be true of every model."""
    assert "names no file" in why(check(signed(oms([])), subset=subset))
    with pytest.raises(MalformedInput, match="nothing to sign"):
        statement({})


PATHS = ["../outside.txt", "a/../../b", "/etc/passwd", "a//b", "./a", "a\\b", "C:a", "a\0b", "", "sub/..", "con"]


# https://github.com/sigstore/model-transparency/issues/647
@pytest.mark.parametrize("path", PATHS)
def test_a_path_out_of_the_model_is_no_path(path: str) -> None:
    """A manifest that names one is refused whole, and no digest is asked for."""
    assert "file name" in why(check(signed(oms([resource("config.json", b"{}"), resource(path, b"")]))))
    with pytest.raises(MalformedInput):
        statement({path: b""})


# The format has a list, and its specification does not say what two entries of one name mean.
def test_a_name_that_comes_twice_is_refused() -> None:
    """The same file twice, with equal or different digests, whole or in pieces, or as a directory of another."""
    twice = [
        oms([resource("a", b"1"), resource("a", b"1")]),
        oms([resource("a", b"1"), resource("a", b"2")]),
        oms([resource("a:0:1", b"1"), resource("a:0:1", b"1")], method="shards"),
        oms([resource("a:0:1", b"1"), resource("a:0:2", b"12")], method="shards"),
        oms([resource("a:0:1", b"1"), resource("a:2:3", b"1")], method="shards"),
        oms([resource("a:1:2", b"1")], method="shards"),
        oms([resource("a:0:0", b"")], method="shards"),
        oms([resource("a", b"1"), resource("a/b", b"1")]),
        oms([resource(".", b"1"), resource("b", b"1")]),
    ]
    for payload in twice:
        with pytest.raises(MalformedInput):
            read_manifest(payload, Location("model.sig"))
    repeated = changed(signed(statement()), "dsseEnvelope", "payloadType", to="x").replace(
        b'"payloadType"', b'"payload": "", "payloadType"'
    )
    assert "repeated" in why(check(repeated))


# `--ignore_unsigned_files`, which its documents suggest for anything that was downloaded.
def test_an_unlisted_file_is_never_covered() -> None:
    """Code beside a signed model is an extra file; where extra files are ignored, nothing that may be used has it."""
    files = {**FILES, "modeling_evil.py": b"print()"}
    assert [(one.path, one.kind) for one in check(signed(statement()), files).mismatches] == [
        ("modeling_evil.py", "extra")
    ]
    ignoring = signed(statement(ignored=["modeling_evil.py"]))
    (found,) = check(ignoring, files).verified
    assert "modeling_evil.py" not in found.covers


def test_a_path_has_an_end() -> None:
    """A name of a million directories is refused before anything is made of it."""
    assert "limit" in why(check(signed(oms([resource("a/" * 500_000 + "a", b"")]))))


def _cached(tmp_path: Path, payload_files: dict[str, bytes]) -> Path:
    """A snapshot as the hub's client lays it out: every file a link to a blob."""
    repository = tmp_path / "hub" / "models--acme--demo"
    snapshot = repository / "snapshots" / ("a" * 40)
    for number, (path, data) in enumerate(payload_files.items()):
        blob = repository / "blobs" / f"{number:040x}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(data)
        (snapshot / path).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / path).symlink_to(blob)
    return snapshot


# https://github.com/sigstore/model-transparency/issues/549
def test_a_snapshot_of_links_verifies(tmp_path: Path) -> None:
    """The layout of the hub's cache is storage: what counts is what the names lead to."""
    files = {**FILES, "model.sig": signed(statement())}
    assert examine(_cached(tmp_path, files), signers=[signer()], now=NOW).ok


# https://github.com/sigstore/model-transparency/issues/434
def test_a_snapshot_with_less_than_everything_verifies_in_part(tmp_path: Path) -> None:
    """A download of what was needed verifies as such, covers what is there, and is not taken for all of it."""
    files = {"config.json": FILES["config.json"], "model.sig": signed(statement())}
    snapshot = _cached(tmp_path, files)
    found = examine(snapshot, signers=[signer()], now=NOW, partial=True)
    assert found.ok and found.signatures[0].covers == {"config.json"}
    assert not examine(snapshot, signers=[signer()], now=NOW).ok


# The specification (§5.3) offers the root digest as the identity of a model; it is over digests, without names.
def test_the_same_bytes_under_other_names_are_another_model() -> None:
    """The names are compared, not only what the root digest covers."""
    renamed = {
        "config.json": FILES["config.json"],
        "modeling_evil.py": FILES["model.safetensors"],
        "sub/vocab.txt": b"words",
    }
    kinds = {(one.path, one.kind) for one in check(signed(statement()), renamed).mismatches}
    assert kinds == {("model.safetensors", "missing"), ("modeling_evil.py", "extra")}


def test_the_root_digest_must_be_that_of_the_list() -> None:
    """A statement whose subject says something else than its list is refused: somebody may go by either."""
    assert "not the digest of what is listed" in why(check(signed(oms([resource("a", b"")], root="0" * 64))))


# Release 1.1.1 crashes on these: https://github.com/sigstore/model-transparency/issues/573
def test_pieces_do_not_hide_what_follows_them() -> None:
    """Bytes after the last piece are a change, though every piece is as it was signed."""
    payload = oms([resource("a:0:3", b"abc")], method="shards")
    assert check(signed(payload), {"a": b"abc"}).verified
    assert check(signed(payload), {"a": b"abcdef"}).mismatches[0].kind == "changed"


def test_a_statement_for_another_purpose_is_no_signature_of_a_model() -> None:
    """A key that signs other things as well does not sign models by that."""
    for kind in ("https://example.com/wrong", "https://model_signing/Digests/v0.1"):
        payload = json.loads(statement())
        payload["predicateType"] = kind
        assert "neither a signature of a model" in why(check(signed(json.dumps(payload).encode())))
    payload = json.loads(statement())
    payload["_type"] = "https://in-toto.io/Statement/v0.1"
    assert "in-toto statement" in why(check(signed(json.dumps(payload).encode())))


def test_a_weak_digest_is_refused() -> None:
    """A manifest by an algorithm that can be forged is worth nothing, whoever signed it."""
    payload = oms([{"name": "a", "algorithm": "md5", "digest": "0" * 32}], hash_type="md5")
    assert "no algorithm that we accept" in why(check(signed(payload)))
    mixed = oms([{"name": "a", "algorithm": "sha1", "digest": "0" * 40}], hash_type="sha256")
    assert "announces" in why(check(signed(mixed)))


def test_an_authority_above_must_be_one() -> None:
    """A leaf cannot issue further leaves, and neither can an authority that may not issue or has expired."""
    for above in (
        Authority("Leaf", above=authority(), ca=False),
        Authority("No issuer", above=authority(), may_issue=False),
        Authority("For the web", above=authority(), eku=[ExtendedKeyUsageOID.SERVER_AUTH]),
        Authority("Expired", above=authority(), until="2021-01-01"),
    ):
        bundle = signed(statement(), chain=[above.leaf(), above.der()])
        assert "chain" in why(check(bundle, signers=[by_certificate()])), above.name
    good = Authority("Intermediate", above=authority(), eku=[ExtendedKeyUsageOID.CODE_SIGNING])
    bundle = signed(statement(), chain=[good.leaf(), good.der(), authority().der()])
    (found,) = check(bundle, signers=[by_certificate()]).verified
    assert len(found.fingerprints) == 3


def test_the_certificate_must_be_of_the_key_that_signed() -> None:
    """Somebody else's certificate in a bundle does not make the signature theirs."""
    bundle = signed(statement(), key("other"), chain=[authority().leaf()])
    assert "certificate's key" in why(check(bundle, signers=[by_certificate()]))
