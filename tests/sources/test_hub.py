"""The hub, through the real client against a stand-in on the loopback interface."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from safeload.core.errors import LimitExceeded, SourceError, UsageError, VerificationFailed
from safeload.core.limits import Limits
from safeload.sources.base import Recorded, Snapshot
from safeload.sources.digest_memo import digest_all
from safeload.sources.resolve import resolve
from tests.hubserver import Answer, Hub
from tests.sources.helpers import git_sha1, sha256, spawn

FILES = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": b"weights" * 1000,
    "pytorch_model.bin": b"pickle" * 1000,
    "sub/tokenizer.json": b"{}",
    "README.md": b"# hello",
}
ID = "org/name"


def cache(tmp_path: Path) -> Path:
    return tmp_path / "huggingface" / "hub"


def read(snapshot: Snapshot, *paths: str) -> dict[str, bytes]:
    snapshot.fetch(paths)
    files = [snapshot.open(path) for path in paths]
    try:
        digest_all(files)
        return {file.path: file.read_at(0, file.size) for file in files}
    finally:
        for file in files:
            file.close()


# finding and fetching


def test_a_name_is_resolved_to_a_commit_and_listed(hub: Hub) -> None:
    """The snapshot knows its commit, and of every file its size and the digest that the hub records."""
    commit = hub.add(ID, FILES)
    snapshot = resolve(ID)
    assert (snapshot.kind, snapshot.root, snapshot.reference, snapshot.revision) == ("hub", ID, ID, commit)
    assert sorted(snapshot.listing) == sorted(FILES)
    weights, config = snapshot.listing["model.safetensors"], snapshot.listing["config.json"]
    assert weights.size == 7000
    assert weights.recorded == Recorded(algorithm="sha256", value=sha256(FILES["model.safetensors"]))
    assert config.recorded == Recorded(algorithm="git-sha1", value=git_sha1(FILES["config.json"]))
    assert snapshot.notes == ()


def test_only_what_is_asked_for_is_fetched(hub: Hub) -> None:
    """Resolving fetches no file, and fetching fetches no other."""
    hub.add(ID, FILES)
    snapshot = resolve(ID)
    assert hub.fetched == []
    assert read(snapshot, "config.json", "model.safetensors") == {
        path: FILES[path] for path in ("config.json", "model.safetensors")
    }
    assert hub.fetched == ["config.json", "model.safetensors"]


def test_every_request_for_a_file_names_the_commit(hub: Hub) -> None:
    """Only the one question that resolves the revision names the branch."""
    commit = hub.add(ID, FILES)
    read(resolve(ID), *FILES)
    named = [asked.path for asked in hub.asked if "main" in asked.path]
    assert named == [f"/api/models/{ID}/revision/main"]
    assert all(f"/{commit}" in asked.path for asked in hub.asked if asked.file)


def test_a_branch_that_moves_between_resolving_and_fetching_changes_nothing(hub: Hub) -> None:
    """What is fetched is the commit that was resolved, whatever the branch has become."""
    hub.add(ID, FILES)
    snapshot = resolve(ID)
    hub.add(ID, {**FILES, "config.json": b"evil"})
    assert read(snapshot, "config.json")["config.json"] == FILES["config.json"]
    assert read(resolve(ID), "config.json")["config.json"] == b"evil"


def test_a_ref_that_is_swapped_in_the_cache_changes_nothing(hub: Hub, tmp_path: Path) -> None:
    """The cache's record of a branch is not consulted when the hub can be asked, and not twice when it cannot."""
    commit = hub.add(ID, FILES)
    snapshot = resolve(ID)
    read(snapshot, "config.json")
    ref = cache(tmp_path) / "models--org--name" / "refs" / "main"
    assert ref.read_text() == commit
    offline = resolve(ID, local_files_only=True)
    ref.write_text("f" * 40)
    assert resolve(ID).revision == commit
    assert read(offline, "config.json")["config.json"] == FILES["config.json"]


@pytest.mark.parametrize("revision", ["v1.0", "refs/pr/7", "feature/x"])
def test_tags_and_branches_resolve(hub: Hub, revision: str) -> None:
    """Any name of a revision works, and is recorded for later use without a connection."""
    hub.add(ID, FILES)
    commit = hub.add(ID, {"config.json": b"tagged"}, revision=revision)
    snapshot = resolve(ID, revision=revision)
    assert snapshot.revision == commit
    assert read(snapshot, "config.json") == {"config.json": b"tagged"}
    assert read(resolve(ID, revision=revision, local_files_only=True), "config.json") == {"config.json": b"tagged"}


def test_a_listing_of_several_pages_is_whole(hub: Hub) -> None:
    """Every page of a long listing is read."""
    hub.page = 2
    hub.add(ID, FILES)
    assert sorted(resolve(ID).listing) == sorted(FILES)


def test_a_listing_beyond_the_limit_is_our_error(hub: Hub) -> None:
    """A repository with more files than the limit ends before it is all read, from the hub and from the cache."""
    hub.page = 1
    commit = hub.add(ID, FILES)
    with pytest.raises(LimitExceeded, match="members"):
        resolve(ID, limits=Limits(members=2))
    assert len([asked for asked in hub.asked if "/tree/" in asked.path]) <= 3
    resolve(ID)
    with pytest.raises(LimitExceeded, match="members"):
        resolve(ID, revision=commit, limits=Limits(members=2))


def test_a_name_without_an_organisation_works(hub: Hub) -> None:
    """Old models have no organisation."""
    hub.add("gpt2", FILES)
    assert read(resolve("gpt2"), "config.json") == {"config.json": FILES["config.json"]}


def test_a_renamed_model_is_said(hub: Hub) -> None:
    """When the hub answers under another name, the user hears of it."""
    commit = hub.add(ID, FILES)
    hub.overrides[f"/api/models/{ID}/revision/main"] = Answer(
        200, json.dumps({"id": "taken/over", "sha": commit}).encode()
    )
    assert "taken/over" in resolve(ID).notes[0]


def test_force_download_fetches_again(hub: Hub) -> None:
    """What is in the cache is fetched again when that is asked for, once per snapshot."""
    hub.add(ID, FILES)
    read(resolve(ID), "config.json")
    hub.forget()
    snapshot = resolve(ID, force_download=True)
    read(snapshot, "config.json")
    assert hub.fetched == ["config.json"]
    hub.forget()
    read(snapshot, "config.json")
    assert hub.fetched == []


def test_cache_dir_is_honoured(hub: Hub, tmp_path: Path) -> None:
    """Everything goes where the user said, and nothing to the default place."""
    hub.add(ID, FILES)
    read(resolve(ID, cache_dir=tmp_path / "mine"), "config.json")
    assert (tmp_path / "mine" / "models--org--name").is_dir()
    assert not cache(tmp_path).exists()


def test_the_token_is_sent_to_the_hub_and_not_to_its_storage(hub: Hub) -> None:
    """A private model opens with its token; the host that keeps large files never sees it."""
    hub.add(ID, FILES, token="hf_secret")
    with pytest.raises(SourceError) as caught:
        resolve(ID, token=False)
    assert "hf auth login" in caught.value.remedy
    hub.forget()
    read(resolve(ID, token="hf_secret"), "model.safetensors", "config.json")
    assert {asked.authorization for asked in hub.asked if not asked.storage} == {"hf_secret"}
    assert {asked.authorization for asked in hub.asked if asked.storage} == {""}


def test_the_token_is_in_no_message(hub: Hub) -> None:
    """A failure with a token names the model, and never the token."""
    hub.add(ID, FILES, token="hf_other")
    with pytest.raises(SourceError) as caught:
        resolve(ID, token="hf_secret")
    assert "hf_secret" not in f"{caught.value!r} {caught.value} {caught.value.__cause__}"


# what does not hold


@pytest.mark.parametrize("path", ["config.json", "model.safetensors"])
def test_bytes_that_are_not_those_recorded_are_refused(hub: Hub, path: str) -> None:
    """A download whose bytes differ from the hub's record, at the same size, is found when it is digested."""
    hub.add(ID, FILES)
    hub.corrupt(ID, path)
    with pytest.raises(VerificationFailed) as caught:
        read(resolve(ID), *FILES)
    assert list(caught.value.mismatches) == [path]


def test_every_corrupted_file_is_listed(hub: Hub) -> None:
    """All that differ are named at once."""
    hub.add(ID, FILES)
    for path in FILES:
        hub.corrupt(ID, path)
    with pytest.raises(VerificationFailed) as caught:
        read(resolve(ID), *FILES)
    assert sorted(caught.value.mismatches) == sorted(FILES)


def test_a_blob_corrupted_in_the_cache_is_refused(hub: Hub, tmp_path: Path) -> None:
    """A blob that changed on this disk after a good download is found, online and offline."""
    commit = hub.add(ID, FILES)
    read(resolve(ID), "model.safetensors")
    blob = (cache(tmp_path) / "models--org--name/snapshots" / commit / "model.safetensors").resolve()
    blob.write_bytes(b"WEIGHTS" * 1000)
    for offline in (False, True):
        with pytest.raises(VerificationFailed):
            read(resolve(ID, local_files_only=offline), "model.safetensors")


def test_a_blob_that_is_gone_is_fetched_again(hub: Hub, tmp_path: Path) -> None:
    """A link whose blob was deleted counts as not being there."""
    commit = hub.add(ID, FILES)
    read(resolve(ID), "model.safetensors")
    (cache(tmp_path) / "models--org--name/snapshots" / commit / "model.safetensors").resolve().unlink()
    assert read(resolve(ID), "model.safetensors")


def test_a_link_in_the_cache_that_leaves_it_is_refused(hub: Hub, tmp_path: Path) -> None:
    """A snapshot's link that was turned to a file outside the cache is not opened, although it exists."""
    commit = hub.add(ID, FILES)
    read(resolve(ID), "config.json")
    link = cache(tmp_path) / "models--org--name/snapshots" / commit / "config.json"
    link.unlink()
    link.symlink_to("/etc/passwd")
    with pytest.raises(SourceError, match="leads out"):
        read(resolve(ID), "config.json")


def test_an_answer_for_another_commit_is_not_used(hub: Hub) -> None:
    """A server that sends another commit's file for the one asked for gets nowhere."""
    commit = hub.add(ID, FILES)
    headers = {"X-Repo-Commit": "f" * 40, "ETag": f'"{git_sha1(b"evil")}"'}
    hub.overrides[f"/{ID}/resolve/{commit}/config.json"] = Answer(200, b"evil", headers)
    with pytest.raises(SourceError, match="another commit"):
        read(resolve(ID), "config.json")


@pytest.mark.parametrize("header", ["ETag", "X-Linked-Etag", "X-Repo-Commit"])
@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("name", ["../../../outside", "/outside", "..", "a/b", "\u0101", "", "a" * 300])
def test_no_name_in_an_answer_leads_out_of_the_cache(
    name: str, status: int, header: str, hub: Hub, tmp_path: Path
) -> None:
    """What a server calls its files becomes names of files here: nothing is written anywhere but for a plain name."""
    commit = hub.add(ID, FILES)
    absolute = name.replace("/outside", str(tmp_path / "outside")) if name.startswith("/") else name
    sent = {"X-Repo-Commit": commit, "ETag": f'"{git_sha1(b"evil")}"', "X-Error-Code": "EntryNotFound"}
    sent[header] = absolute if header == "X-Repo-Commit" else f'"{absolute}"'
    encoded = {key: text.encode().decode("latin-1") for key, text in sent.items()}
    hub.overrides[f"/{ID}/resolve/{commit}/config.json"] = Answer(status, b"evil", encoded)
    snapshot = resolve(ID)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SourceError):
        read(snapshot, "config.json")
    new = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path not in before and path.is_file()]
    assert all("huggingface" in path.parts and "outside" not in path.name for path in new), new


@pytest.mark.parametrize(
    "body",
    [
        b"<html>log in to the hotel</html>",
        b"[]",
        b"null",
        b"{}",
        b'{"id": "org/name", "sha": null}',
        b'{"id": "org/name", "sha": "../../x"}',
        b'{"id": 7, "sha": ["a"]}',
        b"[" * 100_000,
    ],
)
def test_an_answer_that_is_none_is_our_error(hub: Hub, body: bytes) -> None:
    """A login page, JSON of another shape, a commit that is none: `SourceError`."""
    hub.add(ID, FILES)
    hub.overrides[f"/api/models/{ID}/revision/main"] = Answer(200, body)
    with pytest.raises(SourceError):
        resolve(ID)


@pytest.mark.parametrize(
    "row",
    [
        {"type": "file", "path": "../../x", "size": 1, "oid": "0" * 40},
        {"type": "file", "path": "/etc/passwd", "size": 1, "oid": "0" * 40},
        {"type": "file", "path": "a//b", "size": 1, "oid": "0" * 40},
        {"type": "file", "path": "a\0b", "size": 1, "oid": "0" * 40},
        {"type": "file", "path": "a", "size": -1, "oid": "0" * 40},
        {"type": "file", "path": 7, "size": 1, "oid": "0" * 40},
        {"type": "file", "path": "a", "size": "1", "oid": "0" * 40},
        {"type": "file", "path": "\ud800", "size": 1, "oid": "0" * 40},
        {"type": "file", "path": "\udc80", "size": 1, "oid": "0" * 40},
        {"type": "file", "path": "a", "size": 1, "oid": "none"},
        {"type": "file", "path": "a", "size": 1, "oid": "0" * 40, "lfs": {"oid": "", "size": 1, "pointerSize": 1}},
        {"type": "file"},
        7,
    ],
)
def test_a_listing_with_a_name_that_leaves_is_our_error(hub: Hub, row: object) -> None:
    """A path that is not a plain relative one, or a row of another shape, ends the whole load; nothing is recorded."""
    commit = hub.add(ID, FILES)
    hub.overrides[f"/api/models/{ID}/tree/{commit}"] = Answer(200, json.dumps([row]).encode())
    with pytest.raises(SourceError):
        resolve(ID)
    hub.overrides.clear()
    assert sorted(resolve(ID).listing) == sorted(FILES)


def test_a_commit_that_the_hub_answers_with_another_is_refused(hub: Hub) -> None:
    """Asking for a commit and being told another one ends the load."""
    commit = hub.add(ID, FILES)
    hub.overrides[f"/api/models/{ID}/revision/{commit}"] = Answer(200, json.dumps({"id": ID, "sha": "f" * 40}).encode())
    with pytest.raises(SourceError, match="f" * 40):
        resolve(ID, revision=commit)


# what cannot be had


def test_a_gated_model_says_what_to_do(hub: Hub) -> None:
    """Files of a gated model cannot be fetched, and the message says where to ask."""
    hub.add(ID, FILES, gated=True)
    snapshot = resolve(ID)
    with pytest.raises(SourceError, match="no access") as caught:
        snapshot.fetch(["config.json", "model.safetensors"])
    assert "hf auth login" in caught.value.remedy and f"huggingface.co/{ID}" in caught.value.remedy
    assert "config.json" in caught.value.why and "model.safetensors" in caught.value.why


def test_an_unknown_model_says_what_to_do(hub: Hub) -> None:
    """A model that does not exist is a `SourceError` in four parts."""
    with pytest.raises(SourceError, match="no such model") as caught:
        resolve("nobody/nothing")
    assert caught.value.where and caught.value.remedy


@pytest.mark.parametrize("revision", ["nope", "f" * 40])
def test_an_unknown_revision_says_what_to_do(hub: Hub, revision: str) -> None:
    """A branch or commit that does not exist is a `SourceError` with the command that lists them."""
    hub.add(ID, FILES)
    with pytest.raises(SourceError, match="no revision") as caught:
        resolve(ID, revision=revision)
    assert "git ls-remote" in caught.value.remedy


def test_a_file_that_vanished_from_the_hub_is_our_error(hub: Hub) -> None:
    """A listed file that the hub no longer has is a `SourceError` naming it."""
    commit = hub.add(ID, FILES)
    snapshot = resolve(ID)
    del hub.repositories[ID].commits[commit]["config.json"]
    with pytest.raises(SourceError, match=r"config\.json"):
        snapshot.fetch(["config.json"])


def test_a_file_that_is_not_listed_is_not_asked_for(hub: Hub) -> None:
    """A name that a config invents is refused without a request."""
    hub.add(ID, FILES)
    snapshot = resolve(ID)
    hub.forget()
    for path in ("adapter_config.json", "../other/config.json", "https://evil.example/x"):
        with pytest.raises(SourceError, match="no such file"):
            snapshot.fetch([path])
    assert hub.asked == []


@pytest.mark.parametrize(("asked", "what"), [("/tree/", "listing"), ("/revision/", "answer")])
def test_a_hub_that_never_answers_is_our_error(
    asked: str, what: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client would wait for ever; the load ends, and so can the program."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.05)
    silent, answer = threading.Event(), Hub.answer

    def hanging(self: Hub, handler: Any) -> Answer:
        if asked in handler.path:
            silent.wait(20)
        return answer(self, handler)

    monkeypatch.setattr(Hub, "answer", hanging)
    hub.add("org/slow", FILES)
    try:
        with pytest.raises(SourceError, match=f"no {what} came"):
            resolve("org/slow")
    finally:
        silent.set()


@pytest.mark.parametrize(("status", "word"), [(500, "failed"), (503, "failed"), (429, "pause"), (403, "token")])
def test_a_hub_that_fails_is_our_error(hub: Hub, status: int, word: str) -> None:
    """Each status has words of its own."""
    hub.add(ID, FILES)
    hub.overrides[f"/api/models/{ID}/revision/main"] = Answer(status, b"")
    with pytest.raises(SourceError, match=word):
        resolve(ID)


def test_no_connection_is_our_error_although_the_cache_has_it(hub: Hub) -> None:
    """A branch that cannot be resolved ends the load: yesterday's commit is not silently taken for today's."""
    hub.add(ID, FILES)
    read(resolve(ID), "config.json")
    hub.close()
    with pytest.raises(SourceError, match="could not be reached") as caught:
        resolve(ID)
    assert "HF_HUB_OFFLINE=1" in caught.value.remedy
    assert read(resolve(ID, local_files_only=True), "config.json")


@pytest.mark.parametrize("revision", ["../x", "", "a b", "-x", "/etc", "a\0b", "a" * 300, "refs/../../x", "a:b"])
def test_a_revision_cannot_be_a_path(hub: Hub, revision: str) -> None:
    """What could lead out of the cache's directory of refs, or is no revision for git, is refused unasked."""
    hub.add(ID, FILES)
    for offline in (False, True):
        with pytest.raises(UsageError):
            resolve(ID, revision=revision, local_files_only=offline)
    assert hub.asked == []


def test_options_that_cannot_be_honoured_are_refused(hub: Hub) -> None:
    """Proxies for one call, which the client would ignore, and downloading while offline."""
    hub.add(ID, FILES)
    with pytest.raises(UsageError, match="proxies"):
        resolve(ID, proxies={"https": "http://proxy.example"})
    with pytest.raises(UsageError, match="force_download"):
        resolve(ID, local_files_only=True, force_download=True)


# without a connection

PROGRAM = """
import json, sys
connects = []
sys.addaudithook(lambda event, args: connects.append(args[1]) if event == "socket.connect" else None)
from safeload.sources.resolve import resolve
from safeload.sources.digest_memo import digest_all
snapshot = resolve("org/name", **json.loads(sys.argv[1]))
snapshot.fetch(snapshot.listing)
digests = digest_all([snapshot.open(path) for path in snapshot.listing])
print(json.dumps([snapshot.kind, snapshot.revision, sorted(digests), connects, "huggingface_hub" in sys.modules]))
"""


@pytest.mark.parametrize("how", ["local_files_only", "environment", "commit"])
def test_a_cached_model_loads_without_a_connection(hub: Hub, how: str) -> None:
    """Asked to work offline, or given a commit that is wholly here: no connection, and not even the client."""
    commit = hub.add(ID, FILES)
    read(resolve(ID), *FILES)
    hub.close()
    arguments = {
        "local_files_only": {"local_files_only": True},
        "environment": {},
        "commit": {"revision": commit},
    }[how]
    process = spawn(PROGRAM, json.dumps(arguments), env={"HF_HUB_OFFLINE": "1"} if how == "environment" else {})
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    kind = "hub" if how == "commit" else "cache"
    assert json.loads(output) == [kind, commit, sorted(FILES), [], False]


def test_offline_only_what_is_here_is_listed(hub: Hub) -> None:
    """A loader that works offline chooses among the files it can have; what is missing is said."""
    hub.add(ID, FILES)
    read(resolve(ID), "config.json", "pytorch_model.bin")
    hub.forget()
    snapshot = resolve(ID, local_files_only=True)
    assert snapshot.kind == "cache" and sorted(snapshot.listing) == ["config.json", "pytorch_model.bin"]
    assert snapshot.listing["pytorch_model.bin"].recorded is not None
    assert "3 of the 5 files" in snapshot.notes[0]
    with pytest.raises(SourceError):
        snapshot.fetch(["model.safetensors"])
    assert hub.asked == []


@pytest.mark.parametrize("revision", [None, "v2", "f" * 40])
def test_offline_what_is_not_cached_is_our_error(hub: Hub, revision: str | None) -> None:
    """A model or revision that is not in the cache is a `SourceError` with the command that gets it."""
    with pytest.raises(SourceError, match="not in the cache") as caught:
        resolve(ID, revision=revision, local_files_only=True)
    assert f"hf download {ID}" in caught.value.remedy
    assert hub.asked == []


@pytest.mark.parametrize("text", ["", "main", "../../../etc", "0" * 41, "\udcff"])
def test_a_cached_ref_that_names_no_commit_is_refused(hub: Hub, tmp_path: Path, text: str) -> None:
    """Junk in a ref does not become part of a path."""
    ref = cache(tmp_path) / "models--org--name" / "refs" / "main"
    ref.parent.mkdir(parents=True)
    ref.write_bytes(os.fsencode(text))
    with pytest.raises(SourceError, match="does not name a commit"):
        resolve(ID, local_files_only=True)


def test_a_cached_ref_that_is_a_pipe_or_a_link_out_is_refused(hub: Hub, tmp_path: Path) -> None:
    """Reading a ref never hangs and never leaves the cache."""
    ref = cache(tmp_path) / "models--org--name" / "refs" / "main"
    ref.parent.mkdir(parents=True)
    os.mkfifo(ref)
    with pytest.raises(SourceError, match="named pipe"):
        resolve(ID, local_files_only=True)
    ref.unlink()
    ref.symlink_to("/etc/hostname")
    with pytest.raises(SourceError, match="leads out"):
        resolve(ID, local_files_only=True)


def test_a_second_load_asks_one_question(hub: Hub) -> None:
    """With everything cached, a branch costs the one request that resolves it; a commit costs none."""
    commit = hub.add(ID, FILES)
    read(resolve(ID), *FILES)
    hub.forget()
    read(resolve(ID), *FILES)
    assert [asked.path for asked in hub.asked] == [f"/api/models/{ID}/revision/main"]
    hub.forget()
    read(resolve(ID, revision=commit), *FILES)
    assert hub.asked == []


def test_the_client_reads_what_we_recorded(hub: Hub, tmp_path: Path) -> None:
    """The listing and refs that we leave in the cache are those that huggingface_hub itself understands."""
    import huggingface_hub
    from huggingface_hub import snapshot_download

    if not hasattr(huggingface_hub, "get_cached_repo_tree"):
        pytest.skip("this version of the client records no listings")
    commit = hub.add(ID, FILES)
    read(resolve(ID), *FILES)
    tree = huggingface_hub.get_cached_repo_tree(ID, cache_dir=cache(tmp_path))
    assert {item.path: item.size for item in tree} == {path: len(data) for path, data in FILES.items()}
    folder = snapshot_download(ID, cache_dir=cache(tmp_path), local_files_only=True)
    assert folder.endswith(commit)


def test_we_read_what_the_client_recorded(hub: Hub, tmp_path: Path) -> None:
    """A snapshot that `hf download` made is used as it is, with its digests."""
    from huggingface_hub import snapshot_download

    hub.add(ID, FILES)
    folder = snapshot_download(ID, cache_dir=cache(tmp_path), endpoint=hub.endpoint)
    hub.forget()
    for snapshot in (resolve(ID, local_files_only=True), resolve(folder)):
        assert snapshot.kind == "cache"
        assert read(snapshot, *FILES) == FILES
        assert all(listed.recorded for listed in snapshot.listing.values())
    assert hub.asked == []


def test_a_full_disk_while_fetching_is_our_error(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC in the client becomes a `SourceError` that says so."""
    import errno

    import huggingface_hub

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    hub.add(ID, FILES)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", full)
    with pytest.raises(SourceError, match="No space left"):
        resolve(ID).fetch(["config.json"])


def test_without_the_client_the_message_says_what_to_install(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base installation that is asked for a hub id names the extra."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setitem(sys.modules, "huggingface_hub.constants", None)
    with pytest.raises(SourceError) as caught:
        resolve(ID)
    assert "safeload[hub]" in caught.value.remedy
