"""A watched folder tells of each file once, when it has come to rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from safeload.core.errors import SourceError
from safeload.engine.watch import UNFINISHED, Watcher


def test_what_was_there_is_not_new(tmp_path: Path) -> None:
    """Files that lie there at the first look are not told of."""
    (tmp_path / "old.bin").write_bytes(b"x")
    watcher = Watcher(str(tmp_path))
    assert watcher.before == 1
    assert watcher.look(0) == watcher.look(10) == []


def test_a_file_is_told_of_once_it_rests(tmp_path: Path) -> None:
    """A growing file waits; it is told of once, and again after it changed."""
    watcher = Watcher(str(tmp_path), settle=2)
    path = tmp_path / "sub" / "new.bin"
    path.parent.mkdir()
    path.write_bytes(b"x")
    assert watcher.look(0) == []
    path.write_bytes(b"xy")
    assert watcher.look(3) == []
    assert watcher.look(4) == []
    assert watcher.look(5) == [str(path)]
    assert watcher.look(99) == []
    path.write_bytes(b"xyz")
    assert watcher.look(100) == []
    assert watcher.look(102) == [str(path)]


def test_a_file_that_is_replaced_by_another_of_the_same_size_is_new(tmp_path: Path) -> None:
    """Setting the time back does not hide a change: the change time and the inode tell."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"good")
    watcher = Watcher(str(tmp_path), settle=0)
    before = path.stat()
    other = tmp_path / "b.part"
    other.write_bytes(b"evil")
    os.replace(other, path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    watcher.look(0)
    assert watcher.look(1) == [str(path)]


def test_an_unfinished_download_counts_under_its_real_name(tmp_path: Path) -> None:
    """Names of unfinished downloads are passed over until they are renamed."""
    watcher = Watcher(str(tmp_path), settle=0)
    for suffix in UNFINISHED:
        (tmp_path / f"a.bin{suffix}").write_bytes(b"x")
    assert watcher.look(0) == watcher.look(1) == []
    os.replace(tmp_path / "a.bin.part", tmp_path / "a.bin")
    watcher.look(2)
    assert watcher.look(3) == [str(tmp_path / "a.bin")]


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    """A link to a file or folder, and a pipe, are no files that arrived."""
    folder = tmp_path / "watched"
    folder.mkdir()
    watcher = Watcher(str(folder), settle=0)
    (tmp_path / "secret").write_bytes(b"x")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    assert watcher.look(0) == watcher.look(1) == []


def test_a_file_that_goes_away_is_forgotten(tmp_path: Path) -> None:
    """Deleting and writing it again makes it new again."""
    watcher = Watcher(str(tmp_path), settle=0)
    path = tmp_path / "a.bin"
    path.write_bytes(b"x")
    watcher.look(0)
    path.unlink()
    assert watcher.look(1) == []
    path.write_bytes(b"x")
    watcher.look(2)
    assert watcher.look(3) == [str(path)]


def test_what_is_no_folder_is_an_error(tmp_path: Path) -> None:
    """A misspelt name is said at once."""
    with pytest.raises(SourceError):
        Watcher(str(tmp_path / "nothing"))
