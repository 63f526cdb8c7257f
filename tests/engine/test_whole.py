"""Small files of ours: whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from safeload.core.errors import SourceError
from safeload.engine.whole import write_whole


def test_a_file_that_is_replaced_passes_on_its_mode(tmp_path: Path) -> None:
    """Who made a lock readable for a group, or for nobody else, finds it so."""
    path = tmp_path / "safeload.lock"
    path.write_bytes(b"old")
    path.chmod(0o640)
    write_whole(str(path), b"new", failed="it was not written")
    assert path.read_bytes() == b"new" and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["safeload.lock"]


def test_what_appeared_meanwhile_stays(tmp_path: Path) -> None:
    """With `over=False` somebody else's file is never replaced, and nothing of ours remains."""
    path = tmp_path / "out.skops"
    path.write_bytes(b"theirs")
    with pytest.raises(SourceError, match="it was not written"):
        write_whole(str(path), b"ours", failed="it was not written", over=False)
    assert path.read_bytes() == b"theirs" and os.listdir(tmp_path) == ["out.skops"]
    path.unlink()
    write_whole(str(path), b"ours", failed="it was not written", over=False)
    assert path.read_bytes() == b"ours" and os.listdir(tmp_path) == ["out.skops"]


def test_a_directory_in_the_way_is_an_error_of_ours(tmp_path: Path) -> None:
    """What cannot be replaced is said with its place, and no draft is left."""
    (tmp_path / "taken").mkdir()
    with pytest.raises(SourceError, match="taken"):
        write_whole(str(tmp_path / "taken"), b"x", failed="it was not written")
    assert os.listdir(tmp_path) == ["taken"]


def test_a_folder_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    """Nothing is made on the way."""
    with pytest.raises(SourceError, match="ls -la"):
        write_whole(str(tmp_path / "no/where"), b"x", failed="it was not written")
    assert not (tmp_path / "no").exists()


def test_a_link_that_leads_nowhere_is_replaced_itself(tmp_path: Path) -> None:
    """Nothing is written where it points."""
    link = tmp_path / "safeload.lock"
    link.symlink_to(tmp_path / "elsewhere")
    write_whole(str(link), b"new", failed="it was not written")
    assert not link.is_symlink() and link.read_bytes() == b"new" and not (tmp_path / "elsewhere").exists()
