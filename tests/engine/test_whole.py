"""Files that appear whole or not at all, and what is left of writers that were killed."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from safeload.core.errors import SourceError
from safeload.engine.whole import write_whole

DRAFT = ".safeload.lock.0123456789ab"


def leave(folder: Path, name: str = DRAFT, *, old: bool = True) -> Path:
    """What a writer leaves that is killed before it renames."""
    path = folder / name
    path.write_bytes(b"half of")
    if old:
        os.utime(path, (0, 0))
    return path


def write(folder: Path) -> None:
    write_whole(str(folder / "safeload.lock"), b"all", failed="the lock was not written")


def test_the_next_write_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    """Nothing but the file itself is there afterwards."""
    leave(tmp_path)
    leave(tmp_path, ".safeload.lock.ffffffffffff")
    write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["safeload.lock"]
    assert (tmp_path / "safeload.lock").read_bytes() == b"all"


def test_a_path_without_a_folder_is_tidied_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lies in the working directory."""
    monkeypatch.chdir(tmp_path)
    leave(tmp_path)
    write_whole("safeload.lock", b"all", failed="the lock was not written")
    assert os.listdir(tmp_path) == ["safeload.lock"]


def test_a_draft_of_a_living_writer_stays(tmp_path: Path) -> None:
    """Whoever writes holds a lock on it."""
    draft = leave(tmp_path)
    with open(draft, "rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        write(tmp_path)
    assert draft.exists()


def test_a_young_draft_stays(tmp_path: Path) -> None:
    """Its writer may be about to take the lock."""
    draft = leave(tmp_path, old=False)
    write(tmp_path)
    assert draft.exists()


@pytest.mark.parametrize(
    "name",
    [
        ".safeload.lock",
        ".safeload.lock.0123456789a",
        ".safeload.lock.0123456789abc",
        ".safeload.lock.0123456789AB",
        ".safeload.lock.0123456789ab\n",
        ".safeloadxlock.0123456789ab",
        "safeload.lock.0123456789ab",
        ".other.0123456789ab",
    ],
)
def test_a_file_of_another_name_stays(name: str, tmp_path: Path) -> None:
    """Only drafts of the very file that is written are ours to remove."""
    other = leave(tmp_path, name)
    write(tmp_path)
    assert other.exists()


def test_what_is_no_file_stays(tmp_path: Path) -> None:
    """A link is not followed, a pipe is not waited for, and neither is removed."""
    target = leave(tmp_path, "target")
    (tmp_path / DRAFT).symlink_to(target)
    os.mkfifo(tmp_path / ".safeload.lock.ffffffffffff")
    (tmp_path / ".safeload.lock.eeeeeeeeeeee").mkdir()
    write(tmp_path)
    assert len(list(tmp_path.iterdir())) == 5 and target.read_bytes() == b"half of"


def test_a_draft_of_somebody_else_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever it belongs to."""
    draft = leave(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(draft).st_uid + 1)
    write(tmp_path)
    assert draft.exists()


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """And what was there is untouched."""
    (tmp_path / "safeload.lock").mkdir()
    with pytest.raises(SourceError):
        write(tmp_path)
    assert os.listdir(tmp_path) == ["safeload.lock"]
