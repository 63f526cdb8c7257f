"""Signing and verifying real directories: by key and certificate, in part, in pieces, and what was converted."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from pathlib import Path

import blake3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import safeload
from safeload.core.errors import MalformedInput, SourceError, UsageError, VerificationFailed
from safeload.core.keys import PublicKey
from safeload.engine.hashing import PinnedDigests, Progress
from safeload.engine.request import Access
from safeload.engine.sign import attach, prepare, sign
from safeload.engine.verify import CONVERSION, ORIGINAL, examine
from safeload.sources.digest_memo import DigestMemo
from safeload.sources.local import local_snapshot
from safeload.sources.pinned import PinnedFile
from safeload.trust.manifest import Piece
from safeload.trust.private_key import PrivateKey
from tests.hubserver import Hub, hub
from tests.trust.signing import FILES, authority, by_certificate, key, oms, sha, signed, signer

__all__ = ["hub"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small model, not yet signed."""
    folder = tmp_path / "model"
    for path, data in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


@pytest.fixture
def ours() -> PrivateKey:
    return PrivateKey(key())


def test_a_signed_directory_verifies(model: Path, ours: PrivateKey) -> None:
    """The bundle lies in the directory, covers every file but itself, and nothing but the bundle was written."""
    made = safeload.sign(model, key=ours)
    assert made.path == model / "model.sig" and made.files == tuple(sorted(FILES)) and made.identity.startswith("key:")
    assert sorted(os.listdir(model)) == ["config.json", "model.safetensors", "model.sig", "sub"]
    found = safeload.verify(model, signers=[signer()])
    assert found.ok and found.uncovered == () and found.files == tuple(sorted(FILES))


def test_what_differs_is_raised(model: Path, ours: PrivateKey) -> None:
    """The public function returns only what holds; the error lists every file."""
    sign(model, key=ours)
    (model / "config.json").write_bytes(b"[]")
    (model / "evil.py").write_bytes(b"")
    with pytest.raises(VerificationFailed) as failed:
        safeload.verify(model, signers=[signer()])
    assert set(failed.value.mismatches) == {"config.json", "evil.py"} and failed.value.remedy


def test_no_signature_is_no_signature(model: Path) -> None:
    """A model without a bundle does not verify, and a call without signers is a mistake."""
    with pytest.raises(VerificationFailed, match="anybody"):
        safeload.verify(model, signers=[signer()])
    with pytest.raises(UsageError, match="nothing was verified"):
        safeload.verify(model, signers=[])


def test_equal_models_are_signed_alike(model: Path, ours: PrivateKey) -> None:
    """The statement of equal files has equal bytes; only the signature differs."""
    output = model / "model.sig"
    assert prepare(model, output=output).payload == prepare(model, output=output).payload


def test_a_certificate_signs(model: Path, ours: PrivateKey) -> None:
    """The chain is in the bundle; one that is not of the key is refused before anything is digested."""
    leaf = x509.load_der_x509_certificate(authority().leaf(since="2020-01-01", until="2040-01-01"))
    chain = leaf.public_bytes(Encoding.PEM) + authority().pem()
    made = sign(model, key=ours, certificates=chain)
    assert made.identity.startswith("cert:") and examine(model, signers=[by_certificate()]).ok
    with pytest.raises(UsageError, match="nothing was signed"):
        sign(model, key=ours, certificates=authority().pem(), overwrite=True)


def test_a_second_signer_adds_a_bundle(model: Path, ours: PrivateKey) -> None:
    """Two people sign the same files in two bundles, in either order; neither covers the other's."""
    sign(model, key=ours)
    other = PrivateKey(key("other"))
    made = sign(model, key=other, output=model / "second.oms.sig")
    assert made.files == tuple(sorted(FILES))
    found = examine(model, signers=[signer(), signer(key("other"), "second")])
    assert found.ok and {one.signer for one in found.signatures} == {"acme", "second"}
    (model / "config.json").write_bytes(b"!")
    assert len(examine(model, signers=[signer(), signer(key("other"), "second")]).report.failures) == 2


def test_a_bundle_of_a_stranger_does_no_harm(model: Path, ours: PrivateKey) -> None:
    """Beside a good signature, one that nobody trusts is reported and decides nothing; alone it verifies nothing."""
    sign(model, key=ours)
    sign(model, key=PrivateKey(key("other")), output=model / "a.oms.sig")
    (model / "junk.sigstore.json").write_bytes(b"junk")
    found = examine(model, signers=[signer()])
    assert found.ok and len(found.report.failures) == 2
    (model / "model.sig").unlink()
    assert not examine(model, signers=[signer()]).ok


def test_an_existing_signature_is_not_overwritten(model: Path, ours: PrivateKey) -> None:
    """It takes a word to replace one."""
    first = sign(model, key=ours).path.read_bytes()
    with pytest.raises(UsageError, match="nothing was signed"):
        sign(model, key=ours)
    assert (model / "model.sig").read_bytes() == first
    sign(model, key=ours, overwrite=True)
    assert examine(model, signers=[signer()]).ok


def test_ignored_files_are_said_and_not_covered(model: Path, ours: PrivateKey) -> None:
    """What the signer leaves out may change, and nobody answers for it."""
    made = sign(model, key=ours, ignore=["sub"])
    assert "sub/vocab.txt" not in made.files
    (model / "sub/vocab.txt").write_bytes(b"other")
    found = examine(model, signers=[signer()])
    assert found.ok and found.uncovered == ("sub/vocab.txt",)
    with pytest.raises(UsageError, match="left out"):
        sign(model, key=ours, ignore=["../x"], overwrite=True)


def test_a_signature_from_elsewhere_is_attached(model: Path, ours: PrivateKey) -> None:
    """What an HSM signed becomes a bundle, if it is of the key over these very bytes."""
    output = model / "model.sig"
    envelope = prepare(model, output=output)
    pae = envelope.signed_bytes()
    public = PublicKey(key().public_key())
    for wrong in (ours.sign(pae + b"!"), b"", PrivateKey(key("other")).sign(pae)):
        with pytest.raises(UsageError, match="not attached"):
            attach(pae, wrong, public=public, output=output)
    for junk in (b"", b"DSSEv1 1 a 1 b", pae[:-1], pae + b"!"):
        with pytest.raises(MalformedInput, match="not attached"):
            attach(junk, ours.sign(junk), public=public, output=output)
    assert not output.exists()
    attach(pae, ours.sign(pae), public=public, output=output)
    assert examine(model, signers=[signer()]).ok


def test_what_cannot_be_signed_is_refused(tmp_path: Path, ours: PrivateKey) -> None:
    """A file, an empty directory, a name that some systems read otherwise, a place that cannot be written."""
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(UsageError, match="was not signed"):
        sign(tmp_path / "model.bin", key=ours)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(MalformedInput, match="nothing to sign"):
        sign(empty, key=ours)
    (empty / "a:b").write_bytes(b"")
    with pytest.raises(MalformedInput, match="file name"):
        sign(empty, key=ours)
    (empty / "a:b").rename(empty / "ab")
    with pytest.raises(SourceError, match="not written"):
        sign(empty, key=ours, output=tmp_path / "no" / "such" / "model.sig")
    assert sorted(os.listdir(empty)) == ["ab"]


def test_a_single_file_has_its_signature_beside_it(tmp_path: Path) -> None:
    """`model.gguf` is verified by `model.gguf.sig`, as an early release signed a model of one file."""
    path = tmp_path / "model.gguf"
    path.write_bytes(b"data")
    payload = json.loads(oms([{"name": ".", "algorithm": "sha256", "digest": sha(b"data")}]))
    payload["subject"][0]["name"] = "model.gguf"
    Path(f"{path}.sig").write_bytes(signed(json.dumps(payload).encode()))
    assert examine(path, signers=[signer()]).ok
    path.write_bytes(b"Data")
    assert not examine(path, signers=[signer()]).ok


@pytest.mark.parametrize("algorithm", ["sha256", "blake2b", "blake3"])
def test_every_algorithm_and_pieces_over_real_files(model: Path, algorithm: str) -> None:
    """Whole files and pieces by each algorithm that a bundle may name."""

    def digest(data: bytes) -> str:
        return blake3.blake3(data).hexdigest() if algorithm == "blake3" else hashlib.new(algorithm, data).hexdigest()

    whole = [{"name": path, "algorithm": algorithm, "digest": digest(data)} for path, data in FILES.items()]
    pieces = [
        {"name": f"{path}:{at}:{min(at + 4, len(data))}", "algorithm": algorithm, "digest": digest(data[at : at + 4])}
        for path, data in FILES.items()
        for at in range(0, len(data), 4)
    ]
    for payload in (oms(whole, hash_type=algorithm), oms(pieces, hash_type=algorithm, method="shards")):
        (model / "model.sig").write_bytes(signed(payload))
        assert examine(model, signers=[signer()]).ok
        path = model / "model.safetensors"
        path.write_bytes(FILES["model.safetensors"][:-1] + b"!")
        assert [one.path for one in examine(model, signers=[signer()]).report.mismatches] == ["model.safetensors"]
        path.write_bytes(FILES["model.safetensors"])


def test_without_the_library_blake3_is_an_error(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is neither skipped nor taken for a mismatch."""
    monkeypatch.setitem(sys.modules, "blake3", None)
    listed = [{"name": "config.json", "algorithm": "blake3", "digest": "0" * 64}]
    (model / "model.sig").write_bytes(signed(oms(listed, hash_type="blake3")))
    with pytest.raises(UsageError, match="blake3") as missing:
        examine(model, signers=[signer()])
    assert "safeload[fast]" in missing.value.remedy


def test_a_detached_store_signs_models_of_others(tmp_path: Path) -> None:
    """A bundle for an id at a commit is found by both; a local directory has neither."""
    commit = "a" * 40
    snapshot = tmp_path / "hub/models--acme--demo/snapshots" / commit
    blob = tmp_path / "hub/models--acme--demo/blobs" / ("1" * 40)
    for folder in (snapshot, blob.parent):
        folder.mkdir(parents=True)
    blob.write_bytes(b"{}")
    (snapshot / "config.json").symlink_to(blob)
    store = tmp_path / "signatures"
    store.mkdir()
    bundle = signed(oms([{"name": "config.json", "algorithm": "sha256", "digest": sha(b"{}")}]))
    (store / f"acme--demo@{commit}.sig").write_bytes(bundle)
    (store / f"acme--demo@{commit}.second.sig").write_bytes(bundle)
    (store / f"acme--demo@{'b' * 40}.sig").write_bytes(bundle)
    found = examine(snapshot, signers=[signer()], store=str(store))
    assert found.revision == commit and len(found.signatures) == 2
    with pytest.raises(SourceError, match="store"):
        examine(snapshot, signers=[signer()], store=str(tmp_path / "nowhere"))


def test_a_revoked_signature_does_not_count(model: Path, ours: PrivateKey) -> None:
    """By its key, by the signer's name, or by a file that must not be used any more; the reason is shown."""
    sign(model, key=ours)
    for mark in (f"key:{ours.public.fingerprint()}", "signer:acme", f"file-sha256:{sha(FILES['config.json'])}"):
        found = examine(model, signers=[signer()], revoked={mark: "laptop stolen"})
        assert not found.ok and "laptop stolen" in found.report.failures[0].why
    assert examine(model, signers=[signer()], revoked={"key:" + "0" * 64: ""}).ok


def _converted(model: Path, original: dict[str, str]) -> None:
    """What `convert` leaves: outputs and a statement of what they were made from."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": "https://slsa.dev/provenance/v1",
        "subject": [{"name": "model.safetensors", "digest": {"sha256": sha(FILES["model.safetensors"])}}],
        "predicate": {
            "buildDefinition": {
                "resolvedDependencies": [
                    {"name": name, "uri": f"pkg:huggingface/acme/demo@c0ffee#{name}", "digest": {"sha256": digest}}
                    for name, digest in original.items()
                ]
            },
            "runDetails": {"builder": {"id": "pkg:pypi/safeload@1"}},
        },
    }
    (model / CONVERSION).write_text(json.dumps(statement))


def test_the_chain_from_the_original_to_here_is_shown(model: Path, ours: PrivateKey) -> None:
    """Who signed the original is shown if their signature holds for every input, and for nothing less."""
    original = {"pytorch_model.bin": b"pickled"}
    digests = {name: sha(data) for name, data in original.items()}
    _converted(model, digests)
    listed = [{"name": name, "algorithm": "sha256", "digest": digest} for name, digest in digests.items()]
    (model / ORIGINAL).write_bytes(signed(oms(listed), key("author")))
    sign(model, key=ours)
    trusted = [signer(), signer(key("author"), "author")]
    (origin,) = examine(model, signers=trusted).origins
    assert (origin.stated_by, origin.signed_by) == (("acme",), ("author",))
    assert origin.sources == ("pkg:huggingface/acme/demo@c0ffee",) and origin.inputs == digests
    assert examine(model, signers=[signer()]).origins[0].signed_by == ()
    _converted(model, {**digests, "config.json": "0" * 64})
    sign(model, key=ours, overwrite=True)
    assert examine(model, signers=trusted).origins[0].signed_by == ()


def test_a_statement_is_signed_by_itself(model: Path, ours: PrivateKey) -> None:
    """The signature of a conversion's statement covers its outputs; it is shown as what it is."""
    _converted(model, {"pytorch_model.bin": "0" * 64})
    made = sign(model / CONVERSION, key=ours)
    assert made.path.name == "conversion.sigstore.json" and made.files == ("model.safetensors",)
    found = examine(model, signers=[signer()])
    assert found.ok and found.origins[0].stated_by == ("acme",) and "config.json" in found.uncovered
    (model / "model.safetensors").write_bytes(b"!")
    assert not examine(model, signers=[signer()]).ok


def test_a_statement_that_nobody_signed_says_nothing(model: Path, ours: PrivateKey) -> None:
    """A statement beside a model is not believed unless a signature covers it and says the same of its files."""
    sign(model, key=ours, ignore=[CONVERSION])
    _converted(model, {"pytorch_model.bin": "0" * 64})
    assert examine(model, signers=[signer()]).origins == ()
    (model / "model.safetensors").write_bytes(b"other than the statement says")
    sign(model, key=ours, overwrite=True)
    assert examine(model, signers=[signer()]).origins == ()
    (model / CONVERSION).write_text("no statement")
    sign(model, key=ours, overwrite=True)
    assert examine(model, signers=[signer()]).origins == ()


# ── digests ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_digests_are_made_in_parallel_and_told(tmp_path: Path) -> None:
    """Every file is digested once, whatever is asked about it; progress ends at the sum of the sizes."""
    for number in range(6):
        (tmp_path / f"f{number}").write_bytes(bytes((number,)) * (1 << 20))
    snapshot = local_snapshot(tmp_path)
    seen: list[Progress] = []
    threads: set[int] = set()

    def progress(step: Progress) -> None:
        seen.append(step)
        threads.add(threading.get_ident())

    source = PinnedDigests(snapshot.open, close=True, progress=progress, known={"f0": "known"})
    pieces = [Piece(f"f{n}") for n in range(6)] + [
        Piece("f1", "blake2b"),
        Piece("f1", "sha256", 0, 5),
        Piece("f1", "sha256", 0, 1 << 21),
    ]
    found = source.digests(pieces)
    assert found[Piece("f0")] == "known" and found[Piece("f2")] == sha(b"\2" * (1 << 20))
    assert found[Piece("f1", "sha256", 0, 5)] == sha(b"\1" * 5) and found[Piece("f1", "sha256", 0, 1 << 21)] is None
    assert max(step.done for step in seen) == seen[0].total == 5 << 20 and len(seen) == 5
    assert threading.get_ident() not in threads or len(os.sched_getaffinity(0)) == 1


def test_a_file_that_changes_while_it_is_read_is_told(tmp_path: Path) -> None:
    """All of them at once; and one that cannot be read is an error."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x" * 10)
    snapshot = local_snapshot(tmp_path)
    held = {name: snapshot.open(name) for name in ("a", "b")}
    for name in held:
        (tmp_path / name).write_bytes(b"y" * 11)
    with pytest.raises(VerificationFailed) as failed:
        PinnedDigests(held.__getitem__).sha256(["a", "b"])
    assert set(failed.value.mismatches) == {"a", "b"}
    for file in held.values():
        file.close()
    (tmp_path / "a").unlink()
    with pytest.raises(SourceError):
        PinnedDigests(snapshot.open, close=True).sha256(["a", "b"])


def test_an_unchanged_file_is_not_read_again(model: Path, ours: PrivateKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verifying twice reads the bytes once, where nobody else can write them."""
    monkeypatch.setattr(DigestMemo, "settled", lambda self, file: True)
    sign(model, key=ours)
    examine(model, signers=[signer()])
    read: list[str] = []
    hashing = PinnedFile._hash

    def spied(self: PinnedFile, names: list[str]) -> dict[str, str]:
        read.append(self.path)
        return hashing(self, names)

    monkeypatch.setattr(PinnedFile, "_hash", spied)
    assert examine(model, signers=[signer()]).ok
    assert read == []


def test_signatures_are_no_extra_files(model: Path, ours: PrivateKey, tmp_path: Path) -> None:
    """A model that was signed from elsewhere may carry its author's signatures, whoever trusts them."""
    made = sign(model, key=ours, output=tmp_path / "ours.sig")
    sign(model, key=PrivateKey(key("other")))
    found = examine(model, signers=[signer()], bundles=[str(made.path)])
    assert found.ok and found.files == tuple(sorted(FILES)) and found.uncovered == ()


def test_progress_is_a_share() -> None:
    """What a terminal shows; nothing to do is done."""
    assert (str(Progress(1, 3)), str(Progress(0, 0))) == ("33%", "100%")


def test_a_model_on_the_hub_verifies(hub: Hub, ours: PrivateKey, model: Path) -> None:
    """By its id, at the commit it resolves to; a change there fails, and its cache verifies without a connection."""
    sign(model, key=ours)
    files = {str(path.relative_to(model)): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    commit = hub.add("org/tiny", {**files, ".gitattributes": b"*.safetensors filter=lfs"})
    found = examine("org/tiny", signers=[signer()])
    assert found.ok and found.revision == commit and found.uncovered == (".gitattributes",)
    hub.forget()
    assert examine("org/tiny", signers=[signer()], access=Access(local_files_only=True)).ok and not hub.asked
    hub.add("org/other", {**files, "config.json": b"[]"})
    assert [one.path for one in examine("org/other", signers=[signer()]).report.mismatches] == ["config.json"]
