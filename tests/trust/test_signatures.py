"""Signatures: only a good one over exactly these files counts, and everything that differs is said at once."""

from __future__ import annotations

import dataclasses
import json
from datetime import date, datetime, timedelta

import pytest

from safeload.core.errors import UsageError
from safeload.trust.signatures import Mismatch, verify_signatures
from tests.trust.signing import (
    FILES,
    NOW,
    Memory,
    changed,
    check,
    key,
    oms,
    resource,
    sha,
    signed,
    signer,
    statement,
    why,
)


@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1", "secp521r1"])
def test_a_signature_by_a_trusted_key_covers_the_files(curve: str) -> None:
    """Each curve signs; the identity is that of the key that verified, and every file is covered."""
    private = key("signer", curve)
    bundle = signed(statement(), private)
    (found,) = check(bundle, signers=[signer(private)]).verified
    assert (found.signer, found.method, found.covers) == ("acme", "key", frozenset(FILES))
    assert found.identity.startswith("key:") and found.identity[4:] in found.fingerprints
    assert found.bundle == "model.sig" and found.bundle_sha256 == sha(bundle) and found.root.startswith("sha256:")


def test_without_a_trusted_signer_nothing_verifies() -> None:
    """Nobody is trusted because a bundle names them."""
    assert why(check(signed(statement()), signers=[])) == "nobody is trusted to sign"


def test_another_key_does_not_verify() -> None:
    """The bundle's own hint about its key decides nothing."""
    assert "not of its key" in why(check(signed(statement(), key("other"))))


def test_every_signer_is_tried_and_each_reason_kept() -> None:
    """A bundle verifies for whoever signed it, and the report says why for nobody else."""
    bundle = signed(statement())
    others = [signer(key("other"), "first"), signer(name="second"), signer(name="again")]
    assert [one.signer for one in check(bundle, signers=others).verified] == ["second", "again"]
    failure = check(bundle, signers=others[:1]).failures[0]
    assert set(failure.signers) == {"first"} and failure.remedy


def test_all_differences_are_listed_at_once() -> None:
    """Changed, missing and extra files stand in one report, and whose signature it was."""
    files = {**FILES, "config.json": b"changed", "evil.py": b"print()"}
    del files["sub/vocab.txt"]
    (failure,) = check(signed(statement()), files).failures
    assert failure.signed_by == "acme"
    assert [(one.path, one.kind) for one in failure.mismatches] == [
        ("config.json", "changed"),
        ("sub/vocab.txt", "missing"),
        ("evil.py", "extra"),
    ]
    assert str(Mismatch("a\x1b", "extra", "why")) == "a\\x1b: extra: why"


def test_a_subset_is_judged_by_itself() -> None:
    """Of a partial download only what is used is digested; nothing else needs to be there."""
    files = {"config.json": FILES["config.json"], "other": b"unsigned"}
    source = Memory(files)
    bundle = signed(statement())
    report = verify_signatures({"m.sig": bundle}, [signer()], source, files, NOW, subset=["config.json"])
    assert [one.covers for one in report.verified] == [{"config.json"}]
    assert [piece.path for piece in source.asked] == ["config.json"]
    assert [one.kind for one in check(bundle, files, subset=["config.json", "other"]).mismatches] == ["extra"]
    assert [one.kind for one in check(bundle, files, subset=["sub/vocab.txt"]).mismatches] == ["missing"]


def test_what_the_signer_left_out_is_not_covered() -> None:
    """Files below an ignored path may be there, and no signature covers them."""
    files = {**FILES, "notes/a.md": b"", ".gitattributes": b"", ".git/config": b"", "notes.md": b""}
    bundle = signed(statement(ignored=["notes"]))
    assert [one.path for one in check(bundle, files).mismatches] == ["notes.md"]
    del files["notes.md"]
    for subset in (None, files):
        (found,) = check(bundle, files, subset=subset).verified
        assert found.covers == frozenset(FILES)


@pytest.mark.parametrize(
    ("days", "today", "counts"),
    [
        ({"not_after": date(2026, 6, 1)}, NOW, True),
        ({"not_after": date(2026, 5, 31)}, NOW, False),
        ({"not_before": date(2026, 6, 1)}, NOW, True),
        ({"not_before": date(2026, 6, 2)}, NOW, False),
        ({"not_before": date(2026, 1, 1), "not_after": date(2026, 12, 31)}, NOW, True),
        ({"not_after": date(2026, 12, 31)}, NOW + timedelta(days=365 * 50), False),
        ({"not_before": date(2026, 1, 1)}, NOW - timedelta(days=365 * 50), False),
    ],
)
def test_a_key_counts_on_its_days(days: dict[str, date], today: datetime, counts: bool) -> None:
    """Both days are included, in UTC; a clock that is far off refuses, and the reason names the day."""
    report = check(signed(statement()), signers=[signer(**days)], now=today)
    assert bool(report.verified) is counts
    if not counts:
        assert "counts" in why(report) and f"{today:%Y-%m-%d}" in why(report)


def test_keys_overlap_while_they_are_rotated() -> None:
    """A signer with an old and a new key verifies what either signed, as long as it counts."""
    old, new = signer(key("old"), not_after=date(2026, 12, 31)), signer(key("new"))
    both = dataclasses.replace(old, keys=(*old.keys, *new.keys))
    for private in (key("old"), key("new")):
        assert check(signed(statement(), private), signers=[both]).verified
    assert not check(signed(statement(), key("old")), signers=[both], now=NOW + timedelta(days=365)).verified


def test_a_time_without_a_zone_is_refused() -> None:
    """What day it is must not depend on where the machine stands."""
    with pytest.raises(UsageError, match="time"):
        check(signed(statement()), now=NOW.replace(tzinfo=None))


def test_a_signer_needs_a_key() -> None:
    """A signer that nobody could be is a mistake, not a denial later on."""
    with pytest.raises(UsageError):
        dataclasses.replace(signer(), keys=())


ALGORITHMS = ["sha256", "blake2b"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_digest_that_releases_wrote_verifies(algorithm: str) -> None:
    """Files by sha256 or blake2b; blake3 is tested with the real files, in tests/engine."""
    payload = oms([resource(path, data, algorithm) for path, data in FILES.items()], hash_type=algorithm)
    assert check(signed(payload)).verified
    assert check(signed(payload), {**FILES, "config.json": b"[]"}).mismatches[0].kind == "changed"


def shards(files: dict[str, bytes], size: int = 3, algorithm: str = "sha256") -> bytes:
    """A statement over pieces of `size` bytes, as release 1.1 wrote it: the algorithm named oddly, the size a float."""
    pieces = [
        resource(f"{path}:{start}:{min(start + size, len(data))}", data[start : start + size], algorithm)
        for path, data in files.items()
        for start in range(0, len(data), size)
    ]
    for piece in pieces:
        piece["algorithm"] = f"{algorithm}-sharded-{size}"
    return oms(pieces, method="shards", hash_type=algorithm, shard_size=float(size))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_pieces_of_files_verify(algorithm: str) -> None:
    """All pieces make the file: a byte more, less or other is a change."""
    bundle = signed(shards(FILES, algorithm=algorithm))
    (found,) = check(bundle).verified
    assert found.covers == frozenset(FILES)
    for data in (FILES["model.safetensors"] + b"!", FILES["model.safetensors"][:-1], b"weightS", b""):
        report = check(bundle, {**FILES, "model.safetensors": data})
        assert [(one.path, one.kind) for one in report.mismatches] == [("model.safetensors", "changed")]


def test_an_empty_file_has_no_pieces() -> None:
    """The format cannot speak about it: it is no difference, and not covered. One with bytes is extra."""
    bundle = signed(shards(FILES))
    (found,) = check(bundle, {**FILES, "__init__.py": b""}).verified
    assert "__init__.py" not in found.covers
    assert check(bundle, {**FILES, "__init__.py": b"!"}).mismatches[0].kind == "extra"


def test_a_model_of_one_file_keeps_its_name() -> None:
    """Early releases named the only file `.`: it verifies under the name in the subject and no other."""
    payload = json.loads(oms([resource(".", b"data")]))
    payload["subject"][0]["name"] = "weights.bin"
    bundle = signed(json.dumps(payload).encode())
    (found,) = check(bundle, {"weights.bin": b"data"}).verified
    assert found.covers == {"weights.bin"}
    assert "one file" in why(check(bundle, {"other.bin": b"data"}))
    assert "one file" in why(check(bundle, {"weights.bin": b"data", "more": b""}))
    assert check(bundle, {"weights.bin": b"Data"}).mismatches


def test_provenance_is_signed_like_any_statement() -> None:
    """A signed SLSA statement covers its subjects; other files are no contradiction, and not covered."""
    payload = json.dumps(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "predicateType": "https://slsa.dev/provenance/v1",
            "subject": [{"name": "model.safetensors", "digest": {"sha256": sha(b"weights")}}],
            "predicate": {
                "buildDefinition": {
                    "resolvedDependencies": [
                        {"name": "pytorch_model.bin", "digest": {"sha256": "b" * 64}},
                        {"name": "config.json", "uri": "pkg:huggingface/a/b@c", "digest": {"sha256": "c" * 64}},
                    ]
                },
                "runDetails": {"builder": {"id": "pkg:pypi/safeload"}},
            },
        }
    ).encode()
    report = check(signed(payload))
    assert [one.covers for one in report.verified] == [{"model.safetensors"}]
    manifest = report.manifests["model.sig"]
    assert [one.name for one in manifest.inputs] == ["pytorch_model.bin", "config.json"]
    assert manifest.inputs[1].uri and manifest.builder == "pkg:pypi/safeload" and not manifest.complete


def test_what_is_no_bundle_is_a_failure_with_its_place() -> None:
    """Each field that is wrong is named; nothing raises."""
    good = signed(statement())
    places = {
        b"": "empty",
        b"{": "cannot be read",
        b"\xff": "cannot be read",
        b"[]": "must be an object",
        b'{"a": NaN}': "NaN",
        b'{"a": 1, "a": 2}': "repeated",
        b"[" * 100_000: "limit",
        changed(good, "mediaType", to="application/json"): "mediaType",
        changed(good, "mediaType", to=...): "missing",
        changed(good, "verificationMaterial", to={}): "holds none",
        changed(good, "verificationMaterial", "certificate", to={"rawBytes": ""}): "must hold one",
        changed(
            good, "verificationMaterial", to={"certificate": {"rawBytes": ""}, "tlogEntries": []}
        ): "entry in the log",
        changed(good, "verificationMaterial", to={"x509CertificateChain": {"certificates": []}}): "1 to 10",
        changed(good, "dsseEnvelope", "payloadType", to="text/plain"): "payloadType",
        changed(good, "dsseEnvelope", "payload", to="*"): "base64",
        changed(good, "dsseEnvelope", "payload", to="é"): "base64",
        changed(good, "dsseEnvelope", "payload", to=3): "must be text",
        changed(good, "dsseEnvelope", "signatures", to=[]): "one signature",
        changed(good, "dsseEnvelope", "signatures", to={}): "must be a list",
    }
    for bundle, words in places.items():
        assert words in why(check(bundle)), bundle[:80]
