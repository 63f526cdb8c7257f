"""`safeload cache` shows, checks and empties the store."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from safeload.cli.main import main
from safeload.sources.store import Store

KEY = "0" * 64


@pytest.fixture
def store() -> Store:
    """A store with one entry that nobody uses."""
    store = Store()
    with store.staging("converted", KEY) as stage:
        Path(stage.path, "model.safetensors").write_bytes(b"x" * 2_000)
        stage.publish(about={"reference": "org/\x1b[2Jmodel"}).close()
    return store


def test_an_empty_store_lists_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """No entry, no error."""
    assert main(["cache", "list"]) == 0
    assert capsys.readouterr().out == "0 entries, 0 B\n"


def test_an_entry_is_listed_with_its_size(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Kind, key and origin of an entry are shown; its origin cannot steer the terminal."""
    assert main(["cache", "list"]) == 0
    out = capsys.readouterr().out
    assert "converted" in out
    assert KEY[:16] in out
    assert "\x1b" not in out
    assert "1 entry, " in out


def test_entries_are_listed_as_json(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A program reads the same list."""
    assert main(["cache", "list", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["entries"]
    assert (entry["kind"], entry["key"], entry["in_use"]) == ("converted", KEY, False)


def test_verify_is_content_with_what_was_recorded(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """An untouched store verifies with code 0."""
    assert main(["cache", "verify"]) == 0


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_verify_names_what_was_changed(store: Store, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """One changed byte is found, by its file, with code 1."""
    path = Path(store.entry_path("converted", KEY), "files", "model.safetensors")
    path.chmod(0o600)
    path.write_bytes(b"y" + b"x" * 1_999)
    assert main(["cache", "verify", *arguments]) == 1
    assert "model.safetensors" in capsys.readouterr().out


def test_prune_without_a_measure_keeps_entries(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Only leftovers go, unless something is asked for."""
    assert main(["cache", "prune"]) == 0
    assert "0 entries" in capsys.readouterr().out
    assert main(["cache", "prune", "--older-than", "30d"]) == 0
    assert store.open("converted", KEY) is not None


@pytest.mark.parametrize("arguments", [["--all"], ["--max-size", "1kB"]])
def test_prune_removes_what_is_asked(store: Store, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """Everything, or what is too much."""
    assert main(["cache", "prune", *arguments]) == 0
    assert "1 entry" in capsys.readouterr().out
    assert store.open("converted", KEY) is None


def test_prune_all_forgets_remembered_scans(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """What a scan found is kept for the next one: it goes by age, and with everything."""
    kept = Path(store.folder("scans"), "0123abcd.json")
    kept.parent.mkdir(mode=0o700)
    kept.write_bytes(b"{}")
    assert main(["cache", "prune"]) == 0
    assert kept.exists()
    assert main(["cache", "prune", "--all"]) == 0
    assert not kept.exists()
    kept.write_bytes(b"{}")
    os.utime(kept, (1_000, 1_000))
    assert main(["cache", "prune", "--older-than", "1d"]) == 0
    assert not kept.exists()


def test_prune_keeps_what_is_in_use(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """An entry that a process has open stays, and is said to."""
    entry = store.open("converted", KEY)
    assert entry is not None
    with entry:
        assert main(["cache", "prune", "--all"]) == 0
        assert "kept 1 entry" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--older-than", "3x"], ["--older-than", "-1d"], ["--max-size", "lots"], ["--max-size", "5 gb"]]
)
def test_a_measure_that_is_not_understood_is_refused(
    store: Store, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """Nothing is removed for a measure that could mean something else."""
    assert main(["cache", "prune", *arguments]) == 2
    assert store.open("converted", KEY) is not None


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model, while no directory can be made in the user's home; as root would see it as well."""
    genuine = os.mkdir

    def mkdir(path: str, *args: Any, **named: Any) -> None:
        if os.fspath(path).startswith(str(tmp_path / "home")):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        genuine(path, *args, **named)

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "mkdir", mkdir)
    monkeypatch.setenv("SAFELOAD_HOME", str(tmp_path / "home" / "safeload"))
    return str(tmp_path / "model")


READING = ("cache list", "cache verify", "bom MODEL", "diff MODEL MODEL", "policy explain MODEL", "lock --check MODEL")


@pytest.mark.parametrize("command", READING)
def test_commands_that_only_read_need_no_store(
    command: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the home cannot be written they do what they do elsewhere."""
    code = main([model if word == "MODEL" else word for word in command.split()])
    assert (code, capsys.readouterr().err) == (int("--check" in command), "")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("command", ["cache prune", "lock MODEL", "admit MODEL"])
def test_commands_that_write_say_where_they_cannot(
    command: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What needs the store ends with what to set."""
    assert main([model if word == "MODEL" else word for word in command.split()]) == 2
    said = capsys.readouterr().err
    assert "the store could not be made" in said and "SAFELOAD_HOME" in said
