"""Locking models: what enters, what it costs to find out, and what leaves a lock as it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from safeload.core.errors import ConfigError, SafeloadError, SourceError, UsageError, VerificationFailed
from safeload.engine.lock import Locked, lock
from safeload.engine.options import Options
from safeload.sources.resolve import resolve
from safeload.trust.lockfile import Lock, parse_lock
from tests.hubserver import Hub, hub  # noqa: F401  (a fixture)

FILES = {"config.json": b"{}", "model.safetensors": b"weights", "vocab.txt": b"a\nb\n"}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, with a directory beneath it to work in."""
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    (folder / "src").mkdir()
    monkeypatch.chdir(folder / "src")
    monkeypatch.delenv("SAFELOAD_LOCK", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return folder


def written(folder: Path) -> Lock:
    return parse_lock((folder / "safeload.lock").read_bytes())


def one(*references: object, **more: object) -> Locked:
    _, (done,) = lock(*references, **more)  # type: ignore[arg-type]
    return done


def directory(path: Path, files: dict[str, bytes] = FILES) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


def test_a_model_on_the_hub_is_locked_without_its_weights(project: Path, hub: Hub) -> None:  # noqa: F811
    """Small files are fetched and hashed; of the large one the hub's word is taken, and its bytes stay there."""
    commit = hub.add("org/name", FILES)
    done = one("org/name")
    assert hub.fetched == ["config.json", "vocab.txt"] and done.outcome == "added"
    (model,) = written(project).models
    assert (model.id, model.requested, model.revision, model.hub) == ("org/name", "main", commit, hub.endpoint)
    weights = model.files[1]
    assert weights.path == "model.safetensors" and weights.lfs and weights.size == 7
    assert parse_lock((project / "safeload.lock").read_bytes()).models == (model,)


def test_locking_again_changes_no_byte(project: Path, hub: Hub) -> None:  # noqa: F811
    """The same model gives the same file, though its branch has moved on meanwhile."""
    hub.add("org/name", FILES)
    one("org/name")
    before = (project / "safeload.lock").read_bytes()
    hub.add("org/name", FILES | {"config.json": b"{1}"})
    assert one("org/name").outcome == "unchanged"
    assert (project / "safeload.lock").read_bytes() == before


def test_upgrade_follows_the_branch_and_remembers(project: Path, hub: Hub) -> None:  # noqa: F811
    """With `upgrade` the entry becomes what the branch names now, and what it was is written down."""
    first = hub.add("org/name", FILES)
    one("org/name")
    tree = written(project).models[0].tree
    second = hub.add("org/name", FILES | {"config.json": b'{"a": 1}'})
    done = one("org/name", upgrade=True)
    (model,) = written(project).models
    assert done.outcome == "changed" and model.revision == second and model.superseded == (first, tree)


def test_going_back_needs_a_word_of_its_own(project: Path, hub: Hub) -> None:  # noqa: F811
    """A branch that names an earlier revision again is a downgrade, and `upgrade` alone does not accept it."""
    first = hub.add("org/name", FILES)
    one("org/name")
    hub.add("org/name", FILES | {"config.json": b'{"a": 1}'})
    one("org/name", upgrade=True)
    before = (project / "safeload.lock").read_bytes()
    hub.repositories["org/name"].refs["main"] = first
    with pytest.raises(VerificationFailed, match="left behind"):
        one("org/name", upgrade=True)
    assert (project / "safeload.lock").read_bytes() == before
    assert one("org/name", upgrade=True, downgrade=True).outcome == "changed"
    (model,) = written(project).models
    assert model.revision == first and first not in model.superseded


def test_a_check_says_that_a_tag_has_moved(project: Path, hub: Hub) -> None:  # noqa: F811
    """`check` asks what the name means now, tells what differs, and writes nothing."""
    hub.add("org/name", FILES, revision="v1")
    one("org/name", revision="v1")
    assert one("org/name", revision="v1", check=True).outcome == "unchanged"
    before = (project / "safeload.lock").read_bytes()
    hub.add("org/name", FILES | {"new.txt": b""}, revision="v1")
    done = one(check=True)
    assert done.outcome == "differs" and {item.kind for item in done.differences} == {"moved", "extra"}
    assert (project / "safeload.lock").read_bytes() == before


def _fetch(reference: str) -> None:
    snapshot = resolve(reference)
    snapshot.fetch(snapshot.listing)


def test_from_the_cache_without_a_connection(project: Path, hub: Hub) -> None:  # noqa: F811
    """What the cache holds is hashed and locked; nobody is asked."""
    hub.add("org/name", FILES)
    _fetch("org/name")
    hub.close()
    done = one("org/name", from_cache=True)
    assert [file.path for file in done.model.files] == sorted(FILES) and done.model.files[1].lfs


def test_a_damaged_cache_is_not_locked(project: Path, hub: Hub, tmp_path: Path) -> None:  # noqa: F811
    """A file that is not what the hub recorded is told, and no lock is written."""
    hub.add("org/name", FILES)
    _fetch("org/name")
    blob = next(p for p in (tmp_path / "huggingface").rglob("snapshots/*/vocab.txt")).resolve()
    blob.chmod(0o644)
    blob.write_bytes(b"x\ny\n")
    with pytest.raises(VerificationFailed, match="recorded"):
        one("org/name", from_cache=True)
    assert not (project / "safeload.lock").exists()


def test_a_hub_that_contradicts_itself_is_not_believed(project: Path, hub: Hub) -> None:  # noqa: F811
    """A sha256 to which git's object does not belong is refused."""
    hub.add("org/name", FILES)
    rows = hub._rows(hub.repositories["org/name"], hub.repositories["org/name"].refs["main"])
    rows[1]["lfs"]["oid"] = "a" * 64
    from tests.hubserver import _json

    commit = hub.repositories["org/name"].refs["main"]
    hub.overrides[f"/api/models/org/name/tree/{commit}"] = _json(rows)
    with pytest.raises(VerificationFailed, match="pointer"):
        one("org/name")


def test_a_directory_is_named_relative_to_the_lock(project: Path) -> None:
    """A model within the project is found again where the project is checked out elsewhere."""
    directory(project / "models/mine")
    done = one(project / "models/mine")
    assert done.model.id == "models/mine" and not done.model.revision and not done.model.hub
    assert one(project / "models/mine", check=True).outcome == "unchanged"


@pytest.mark.parametrize("name", ["model.sig", "x.oms.sig", "y.sigstore.json"])
def test_signatures_are_no_part_of_what_is_locked(project: Path, name: str) -> None:
    """A new signature does not change the model."""
    folder = directory(project / "m", FILES | {name: b"{}"})
    assert [file.path for file in one(folder).model.files] == sorted(FILES)


CHANGES = {
    "changed": lambda m: (m / "vocab.txt").write_bytes(b"b\na\n"),
    "extra": lambda m: (m / "modeling_evil.py").write_bytes(b"boo"),
    "missing": lambda m: (m / "vocab.txt").unlink(),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_directory_that_changed_needs_upgrade(project: Path, kind: str) -> None:
    """Without it the lock stays as it is, byte for byte, and what differs is told."""
    folder = directory(project / "m")
    one(folder)
    before = (project / "safeload.lock").read_bytes()
    CHANGES[kind](folder)
    with pytest.raises(VerificationFailed, match=kind) as caught:
        one(folder)
    assert "--upgrade" in caught.value.remedy
    assert (project / "safeload.lock").read_bytes() == before
    assert {item.kind for item in one(folder, check=True).differences} == {kind}
    assert one(folder, upgrade=True).outcome == "changed"


def test_the_lock_lies_at_the_root_of_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Argument, environment, nearest file upward, root of the project: in this order."""
    folder = directory(project / "m")
    assert lock(folder)[0] == str(project / "safeload.lock")
    (project / "src/safeload.lock").write_bytes((project / "safeload.lock").read_bytes())
    assert lock(folder)[0] == str(project / "src/safeload.lock")
    monkeypatch.setenv("SAFELOAD_LOCK", str(project / "env.lock"))
    assert lock(folder)[0] == str(project / "env.lock")
    assert lock(folder, options=Options(lock=project / "arg.lock"))[0] == str(project / "arg.lock")


def test_a_check_without_a_lock_is_an_error(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that was removed, or is looked for in the wrong place, does not pass for one that is kept."""
    from safeload.cli.main import main

    with pytest.raises(UsageError, match="there is no lock"):
        lock(check=True)
    assert main(["lock", "--check"]) == 2
    monkeypatch.setenv("SAFELOAD_LOCK", str(project / "gone.lock"))
    with pytest.raises(ConfigError):
        lock(check=True)


def test_every_lock_that_counts_is_checked(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable adds a lock, and keeps none from being looked at; only one that names a model is asked about it."""
    folder, other = directory(project / "m"), directory(project / "other")
    lock(folder)
    lock(other, options=Options(lock=project / "env.lock"))
    monkeypatch.setenv("SAFELOAD_LOCK", str(project / "env.lock"))
    assert [item.outcome for item in lock(check=True)[1]] == ["unchanged", "unchanged"]
    assert one(folder, check=True).outcome == one(other, check=True).outcome == "unchanged"
    (folder / "vocab.txt").write_bytes(b"other")
    assert sorted(item.outcome for item in lock(check=True)[1]) == ["differs", "unchanged"]
    assert one(folder, check=True).outcome == "differs"
    assert {item.kind for item in one(directory(project / "third"), check=True).differences} == {"missing"}


def test_a_lock_that_cannot_be_read_is_not_overwritten(project: Path) -> None:
    """A merge conflict, a newer version or junk: an error, and the file as it was."""
    folder = directory(project / "m")
    one(folder)
    good = (project / "safeload.lock").read_bytes()
    for bad in (b"<<<<<<< HEAD\n" + good, good.replace(b"version = 1", b"version = 9"), b"junk", b""):
        (project / "safeload.lock").write_bytes(bad)
        with pytest.raises(ConfigError):
            one(folder)
        assert (project / "safeload.lock").read_bytes() == bad
    assert not list(project.glob("*.tmp"))


def test_a_full_disk_leaves_the_old_lock(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written whole is not written at all."""
    folder = directory(project / "m")
    one(folder)
    before = (project / "safeload.lock").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    (folder / "more.txt").write_bytes(b"x")
    with pytest.raises(SourceError, match="No space left"):
        one(folder, upgrade=True)
    assert (project / "safeload.lock").read_bytes() == before and not list(project.glob("*.tmp"))


@pytest.mark.parametrize("wrong", [{"downgrade": True}, {"check": True, "upgrade": True}], ids=str)
def test_words_that_contradict_each_other(project: Path, wrong: dict[str, bool]) -> None:
    """A downgrade goes with an upgrade; a check changes nothing."""
    with pytest.raises(UsageError):
        lock(directory(project / "m"), **wrong)  # type: ignore[arg-type]


def test_a_single_file_is_no_model_to_lock(project: Path) -> None:
    """A lock is about whole models: the error names the directory."""
    with pytest.raises(UsageError, match="safeload lock"):
        one(directory(project / "m") / "vocab.txt")


def test_an_empty_directory_is_not_locked(project: Path) -> None:
    """No files, no entry."""
    (project / "empty").mkdir()
    with pytest.raises(SafeloadError, match="no files"):
        one(project / "empty")


def test_the_command_prints_what_happened(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Text for people, JSON for programs; a check that finds a difference ends with code 1."""
    from safeload.cli.main import main

    folder = directory(project / "m")
    assert main(["lock", str(folder)]) == 0 and "added: m 3 files, h1:" in capsys.readouterr().out
    assert main(["lock", "--check", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["schema"] == "safeload.lock/1" and data["models"][0]["outcome"] == "unchanged"
    (folder / "vocab.txt").write_bytes(b"")
    assert main(["lock", "--check"]) == 1 and "changed: vocab.txt" in capsys.readouterr().out


def test_a_conversion_says_where_it_came_from(project: Path, hub: Hub) -> None:  # noqa: F811
    """The provenance beside a converted model is kept in its entry; what is no provenance says nothing."""
    from safeload.engine.convert.job import convert
    from tests.engine.models import model

    model(project / "src/pickled", pickle=True)
    commit = hub.add("acme/pickled", project / "src/pickled")
    convert("acme/pickled", into=project / "safe")
    done = one(project / "safe")
    assert f"pkg:huggingface/acme/pickled@{commit}#pytorch_model.bin" in done.model.converted_from
    assert written(project).models == (done.model,)
    (project / "safe/conversion.intoto.json").write_bytes(b'{"predicate": []}')
    assert one(project / "safe", upgrade=True).model.converted_from == ()
