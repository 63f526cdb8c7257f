"""Remembered scans: what is unchanged is not read again, and what could have changed always is."""

from __future__ import annotations

import json
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from safeload.core.finding import Report, Status
from safeload.core.limits import Limits
from safeload.engine import scan as engine
from safeload.engine.options import Options
from safeload.engine.scan import scan
from safeload.engine.scanning import results

POISONED = b"cos\nsystem\n(S'true'\ntR."


@pytest.fixture(autouse=True)
def everything_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scans of a few files are remembered too."""
    monkeypatch.setattr(results, "WORTH", 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "models"
    made.mkdir(mode=0o700)
    for number in range(5):
        (made / f"good-{number}.pkl").write_bytes(pickle.dumps(number))
    (made / "bad.pkl").write_bytes(POISONED)
    time.sleep(0.05)  # until a further write is sure to show
    return made


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were really read."""
    seen: list[str] = []
    honest = engine.look

    def look(file: object, path: str, *rest: object, **more: object) -> object:
        seen.append(path)
        return honest(file, path, *rest, **more)

    monkeypatch.setattr(engine, "look", look)
    return seen


def again(folder: Path, looked: list[str], **rest: object) -> tuple[Report, list[str]]:
    looked.clear()
    return scan(folder, cache=True, **rest), sorted(looked)


def kept(home: str | None = None) -> list[Path]:
    return sorted(Path(home or os.environ["SAFELOAD_HOME"]).glob("v1/scans/*.json"))


def test_an_unchanged_file_is_not_read_again(folder: Path, looked: list[str]) -> None:
    """The second report is equal to the first, and nothing was read for it."""
    first, read = again(folder, looked)
    assert len(read) == 6 and first.coverage[Status.DANGEROUS] == 1
    assert again(folder, looked) == (first, [])
    assert scan(folder) == first


def test_nothing_is_remembered_unless_asked(folder: Path) -> None:
    """By default a scan from Python writes nothing."""
    scan(folder)
    assert kept() == []


def test_only_what_changed_is_read_again(folder: Path, looked: list[str]) -> None:
    """A changed, a replaced and a new file are read; a removed one is gone; the others are remembered still."""
    again(folder, looked)
    os.unlink(folder / "good-0.pkl")
    (folder / "good-1.pkl").write_bytes(POISONED)
    (folder / "other").write_bytes(POISONED)
    os.replace(folder / "other", folder / "good-2.pkl")
    (folder / "new.pkl").write_bytes(pickle.dumps(1))
    report, read = again(folder, looked)
    assert read == ["good-1.pkl", "good-2.pkl", "new.pkl"]
    assert report == scan(folder) and report.coverage[Status.DANGEROUS] == 3


def test_times_that_are_set_back_do_not_help(folder: Path, looked: list[str]) -> None:
    """Other bytes of the same length with the old modification time are read: the change time cannot be set back."""
    path = folder / "good-1.pkl"
    path.write_bytes(bytes(len(POISONED)))
    time.sleep(0.05)
    again(folder, looked)
    before = path.stat()
    path.write_bytes(POISONED)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    report, read = again(folder, looked)
    assert read == ["good-1.pkl"] and report.file("good-1.pkl").status is Status.DANGEROUS


def test_a_file_that_others_can_write_is_read_every_time(folder: Path, looked: list[str]) -> None:
    """Neither a file that others may write, nor one in a folder in which they may rename, is remembered."""
    (folder / "good-0.pkl").chmod(0o666)
    time.sleep(0.05)
    again(folder, looked)
    assert again(folder, looked)[1] == ["good-0.pkl"]
    folder.chmod(0o777)
    assert len(again(folder, looked)[1]) == 6


def test_a_file_that_has_just_changed_is_read_every_time(
    folder: Path, looked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file so young that a further write might not show in its times is not remembered."""
    monkeypatch.setattr("safeload.sources.digest_memo._TICK_NS", 10**18)
    monkeypatch.setattr("safeload.sources.digest_memo._COARSE_TICK_NS", 10**18)
    again(folder, looked)
    assert len(again(folder, looked)[1]) == 6


@pytest.mark.parametrize("change", ["limits", "digests", "program", "place"])
def test_other_options_and_another_program_are_another_scan(
    folder: Path, looked: list[str], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Limits, digests, safeload's own files and the way a target is named all count."""
    again(folder, looked)
    if change == "limits":
        assert len(again(folder, looked, options=Options(limits=Limits(opcodes=7)))[1]) == 6
    elif change == "digests":
        report, read = again(folder, looked, digests=Status.DANGEROUS)
        assert len(read) == 6 and report.file("bad.pkl").sha256
    elif change == "program":
        monkeypatch.setattr(results, "_program", lambda: ["another"])
        assert len(again(folder, looked)[1]) == 6
    else:
        monkeypatch.chdir(folder)
        assert len(again(Path("."), looked)[1]) == 6


def test_safeloads_own_files_decide_what_the_program_is(tmp_path: Path) -> None:
    """A rule, an allowlist or a module in a folder of rules that changes makes another program."""
    folder = tmp_path / "rules"
    (folder / "inner").mkdir(parents=True)
    states = []
    for path, text in (("a.py", "1"), ("b.toml", "1"), ("inner/c.py", "1"), ("a.py", "22"), ("inner/c.py", "22")):
        (folder / path).write_text(text)
        states.append(results._state(str(folder)))
    assert len(set(states)) == 5
    assert results._program() == results._program()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"[" * 100_000,
        lambda data: data[:-20],
        lambda data: json.dumps([1]).encode(),
        lambda data: json.dumps({**json.loads(data), "files": [1]}).encode(),
        lambda data: data.replace(b'"size": ', b'"size": 1'),
        lambda data: data.replace(b'"status": 3', b'"status": "3"'),
        lambda data: data.replace(b'"path": "good', b'"path": "evil'),
        lambda data: data.replace(b'"rule"', b'"role"'),
        lambda data: b" " * (results.LARGEST + 1),
    ],
)
def test_what_is_damaged_counts_as_nothing(folder: Path, looked: list[str], damage: Callable[[bytes], bytes]) -> None:
    """A memory that cannot be read, or is not exactly reports, is not used, and written anew."""
    first, _ = again(folder, looked)
    (path,) = kept()
    path.write_bytes(damage(path.read_bytes()))
    second, read = again(folder, looked)
    assert second == first and read
    assert again(folder, looked) == (first, [])


def test_a_memory_that_others_can_write_is_not_used(folder: Path, looked: list[str]) -> None:
    """Where somebody else could have written it, what is remembered does not count, and nothing is added."""
    again(folder, looked)
    kept()[0].parent.chmod(0o777)
    assert len(again(folder, looked)[1]) == 6


def test_a_link_in_its_place_is_not_followed(folder: Path, looked: list[str], tmp_path: Path) -> None:
    """The memory is a file of its own."""
    again(folder, looked)
    (path,) = kept()
    os.rename(path, tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    assert len(again(folder, looked)[1]) == 6


def test_workers_are_remembered_too(folder: Path, looked: list[str]) -> None:
    """What several processes found is kept like anything else."""
    first, _ = again(folder, looked, workers=3)
    assert again(folder, looked, workers=3) == (first, [])


def test_only_the_latest_targets_are_kept(
    folder: Path, looked: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The number of targets is bounded, and so is the size of each."""
    monkeypatch.setattr(results, "TARGETS", 2)
    for name in ("good-0.pkl", "good-1.pkl", "good-2.pkl", "good-3.pkl"):
        again(folder / name, looked)
        time.sleep(0.02)
    assert len(kept()) == 2
    assert again(folder / "good-3.pkl", looked)[1] == []
    monkeypatch.setattr(results, "LARGEST", 10)
    again(folder / "bad.pkl", looked)
    assert len(kept()) == 2


def test_a_quick_scan_is_not_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What took no time is not worth a file."""
    monkeypatch.setattr(results, "WORTH", 1000.0)
    scan(folder, cache=True)
    assert kept() == []


def test_a_full_disk_stops_nothing_and_keeps_no_halves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written to its end does not stay to take up the rest of the disk."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert scan(folder, cache=True) == scan(folder)
    assert list(Path(os.environ["SAFELOAD_HOME"]).glob("v1/scans/*")) == []


def test_a_store_that_cannot_be_written_stops_nothing(folder: Path, tmp_path: Path) -> None:
    """Where there is no place to remember, the scan is as ever."""
    (tmp_path / "file").write_text("")
    report = scan(folder, cache=True, options=Options(store=tmp_path / "file" / "store"))
    assert report == scan(folder)
