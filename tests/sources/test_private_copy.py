"""Private copies: what was judged is what is used, whatever happens to the original later."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from safeload.core.errors import SourceError, VerificationFailed
from safeload.sources import private_copy as copies
from safeload.sources.pinned import WINDOW, pin_file
from safeload.sources.store import Store
from tests.sources.helpers import age, sha256

DATA = os.urandom(WINDOW + 12345)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(DATA)
    age(path)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def cloning(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A file system that can clone, stood in for by a copy at the place of the system call."""
    calls: list[int] = []

    def ioctl(target: int, request: int, source: int) -> int:
        assert request == 0x40049409
        calls.append(source)
        os.pwrite(target, os.pread(source, 1 << 30, 0), 0)
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    return calls


def test_a_copy_outlives_its_source(path: Path, store: Store) -> None:
    """Overwriting and truncating the original changes nothing in the copy."""
    with pin_file(path) as file, copies.private_copy(store, file, sha256(DATA)) as entry:
        path.write_bytes(b"evil")
        assert Path(copies.private_file(entry)).read_bytes() == DATA
        assert os.stat(copies.private_file(entry)).st_mode & 0o777 == 0o400


def test_a_copy_is_made_once(path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second private load of the same content finds the first one's copy."""
    with pin_file(path) as file:
        copies.private_copy(store, file, sha256(DATA)).close()
        monkeypatch.setattr(copies, "copy_to", lambda *_, **__: pytest.fail("copied again"))
        copies.private_copy(store, file, sha256(DATA)).close()


def test_a_source_that_is_not_what_was_judged_is_refused(path: Path, store: Store) -> None:
    """If the bytes copied differ from the digest that was judged, nothing is kept."""
    with pin_file(path) as file, pytest.raises(VerificationFailed, match="changed before"):
        copies.private_copy(store, file, "0" * 64)
    assert os.listdir(store.folder("private")) == os.listdir(store.folder("staging")) == []


def test_a_source_that_changes_while_it_is_copied_is_refused(
    path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write during the copy is noticed, and nothing is kept."""
    real = os.pwrite

    def and_write(target: int, data: bytes, offset: int) -> int:
        with open(path, "r+b") as stream:
            stream.write(b"evil")
        return real(target, data, offset)

    monkeypatch.setattr(os, "pwrite", and_write)
    with pin_file(path) as file, pytest.raises(VerificationFailed):
        copies.private_copy(store, file, sha256(DATA))
    assert os.listdir(store.folder("private")) == []


def test_a_clone_is_hashed_itself(path: Path, store: Store, cloning: list[int]) -> None:
    """Where the file system clones, the digest is of the clone."""
    with pin_file(path) as file, copies.private_copy(store, file, sha256(DATA)) as entry:
        assert cloning and Path(copies.private_file(entry)).read_bytes() == DATA


def test_a_clone_of_a_known_file_is_not_hashed(path: Path, tmp_path: Path, store: Store, cloning: list[int]) -> None:
    """A clone of a file whose digest is remembered, and that is unchanged after cloning, has that digest."""
    with pin_file(path) as file:
        assert file.sha256(store.memo) == sha256(DATA)
        with open(tmp_path / "clone", "w+b") as target:
            copies._digest_of, kept = None, copies._digest_of  # type: ignore[assignment]
            try:
                assert copies.copy_to(file, target.fileno(), memo=store.memo) == sha256(DATA)
            finally:
                copies._digest_of = kept


def test_a_clone_of_other_bytes_is_refused(path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clone that does not have the bytes that were judged is not kept."""

    def ioctl(target: int, request: int, source: int) -> int:
        return os.pwrite(target, b"evil" * (len(DATA) // 4) + b"x", 0) and 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    with pin_file(path) as file, pytest.raises(VerificationFailed):
        copies.private_copy(store, file, sha256(DATA))


def test_a_full_disk_is_our_error(path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC half way is a `SourceError`, and nothing is kept."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pin_file(path) as file, pytest.raises(SourceError, match="No space left"):
        copies.private_copy(store, file, sha256(DATA))
    assert os.listdir(store.folder("private")) == os.listdir(store.folder("staging")) == []


def test_whether_a_directory_can_clone_is_found_by_trying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cloning: list[int]
) -> None:
    """The answer follows the file system, and the trial leaves nothing behind."""
    before = sorted(os.listdir(tmp_path))
    assert copies.can_reflink(str(tmp_path))

    def refuse(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "")

    monkeypatch.setattr(fcntl, "ioctl", refuse)
    assert not copies.can_reflink(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == before
    with pytest.raises(SourceError):
        copies.can_reflink(str(tmp_path / "absent"))


def test_sealed_memory_cannot_be_changed_by_anybody(path: Path) -> None:
    """Writing, truncating and reopening for writing all fail; the bytes are those of the original."""
    with pin_file(path) as file, copies.sealed_copy(file, sha256(DATA)) as copy:
        path.write_bytes(b"evil")
        assert copy.read_at(0, len(DATA)) == DATA
        assert Path(copy.proc_path()).read_bytes() == DATA
        with pytest.raises(PermissionError):
            os.write(copy.fileno(), b"evil")
        with pytest.raises(PermissionError):
            os.truncate(copy.fileno(), 0)
        with pytest.raises(PermissionError):
            fcntl.fcntl(copy.fileno(), fcntl.F_ADD_SEALS, 0)


def test_sealed_memory_of_other_bytes_is_refused(path: Path) -> None:
    """What was judged must be what was copied, and the memory is given back."""
    before = len(os.listdir("/proc/self/fd"))
    with pin_file(path) as file, pytest.raises(VerificationFailed):
        copies.sealed_copy(file, "0" * 64)
    assert len(os.listdir("/proc/self/fd")) == before


def test_memory_that_is_short_is_our_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOMEM and a system without sealed memory are `SourceError`."""

    def short(*_: object) -> int:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    with pin_file(path) as file:
        monkeypatch.setattr(os, "sendfile", short)
        with pytest.raises(SourceError):
            copies.sealed_copy(file, sha256(DATA))
        monkeypatch.delattr(os, "memfd_create")
        with pytest.raises(SourceError, match="no sealed memory"):
            copies.sealed_copy(file, sha256(DATA))


def test_an_empty_file_copies(tmp_path: Path, store: Store) -> None:
    """Nothing is copied as nothing, by either way."""
    (tmp_path / "empty").write_bytes(b"")
    with pin_file(tmp_path / "empty") as file:
        with copies.private_copy(store, file, sha256(b"")) as entry:
            assert Path(copies.private_file(entry)).read_bytes() == b""
        with copies.sealed_copy(file, sha256(b"")) as copy:
            assert copy.size == 0
