"""A pinned file: the bytes judged are the bytes used, or somebody says so."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from safeload.core.errors import SourceError, UsageError, VerificationFailed
from safeload.sources.pinned import WINDOW, Lease, PinnedFile, pin_file
from tests.sources.helpers import git_sha1, open_in, sha256


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(bytes(range(256)) * 8)
    return path


def test_it_reads_as_a_blob(path: Path) -> None:
    """Ranges come back exactly, and shorter only past the end; odd ranges are empty rather than an error."""
    data = path.read_bytes()
    with pin_file(path) as file:
        assert file.size == 2048
        assert file.read_at(0, 10) == data[:10]
        assert file.read_at(2040, 100) == data[2040:]
        assert file.read_at(5000, 1) == file.read_at(0, 0) == file.read_at(3, -1) == b""
        assert file.read_at(-2, 4) == data[:2]
        assert file.read_at(0, 1 << 62) == data


def test_a_huge_length_costs_nothing(path: Path) -> None:
    """A length of 2 GiB in a small file reads what there is, without room for the rest."""
    with pin_file(path) as file:
        assert len(file.read_at(100, 2 << 30)) == 1948


def test_it_reads_the_old_bytes_after_a_rename(path: Path) -> None:
    """A file replaced under its name is still the one that was opened."""
    before = path.read_bytes()
    with pin_file(path) as file:
        (path.parent / "new").write_bytes(b"evil")
        os.replace(path.parent / "new", path)
        assert file.read_at(0, 4096) == before


def test_its_digests_are_those_of_hashlib_and_git(tmp_path: Path) -> None:
    """sha256 and git's object id are right for nothing, a little, and more than one window."""
    for size in (0, 1, WINDOW, WINDOW * 2 + 1):
        data = os.urandom(size)
        (tmp_path / "f").write_bytes(data)
        with pin_file(tmp_path / "f") as file:
            assert file.sha256() == sha256(data)
            assert file.git_sha1() == git_sha1(data)


def test_an_unknown_digest_is_refused(path: Path) -> None:
    """A record with an algorithm we do not have is never compared with something else."""
    with pin_file(path) as file, pytest.raises(UsageError):
        file.digests(("md5",))


@pytest.mark.parametrize("change", ["write", "append", "truncate", "times", "mode"])
def test_any_change_is_noticed(path: Path, change: str) -> None:
    """The fence sees a write in place even if its author puts the old times back."""
    with pin_file(path) as file:
        file.verify_unchanged()
        before = os.stat(path)
        if change in ("write", "times"):
            with open(path, "r+b") as stream:
                stream.write(b"evil")
        if change == "append":
            with open(path, "ab") as stream:
                stream.write(b"evil")
        if change == "truncate":
            os.truncate(path, 10)
        if change == "mode":
            os.chmod(path, 0o777)
        if change == "times":
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        with pytest.raises(VerificationFailed) as caught:
            file.verify_unchanged()
        assert list(caught.value.mismatches) == [str(path)]


def test_hashing_a_file_that_changes_meanwhile_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A digest is never returned for bytes that were written while it was computed."""
    with pin_file(path) as file:
        read_into = PinnedFile.read_into

        def and_write(self: PinnedFile, buffer: memoryview, offset: int) -> int:
            with open(path, "r+b") as stream:
                stream.write(b"evil")
            return read_into(self, buffer, offset)

        monkeypatch.setattr(PinnedFile, "read_into", and_write)
        with pytest.raises(VerificationFailed):
            file.sha256()


def test_truncation_during_a_read_is_our_error(path: Path) -> None:
    """A file that got shorter raises instead of giving fewer bytes, in either way of reading."""
    with pin_file(path) as file:
        os.truncate(path, 100)
        with pytest.raises(VerificationFailed, match="ends at byte 100"):
            file.read_at(0, 2048)
        with pytest.raises(VerificationFailed, match="ends at byte 100"):
            file.sha256()
        assert len(file.read_at(0, 100)) == 100


def test_growth_is_never_read(path: Path) -> None:
    """Bytes appended after opening are outside the file for us."""
    with pin_file(path) as file:
        with open(path, "ab") as stream:
            stream.write(b"evil")
        assert len(file.read_at(2000, 1000)) == 48


@pytest.mark.parametrize("call", ["pread", "preadv"])
def test_a_failing_disk_is_our_error(path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO becomes a `SourceError` that names the file."""

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pin_file(path) as file:
        monkeypatch.setattr(os, call, fail)
        with pytest.raises(SourceError, match="Input/output error"):
            file.read_at(0, 10) if call == "pread" else file.sha256()


def test_partial_reads_are_completed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that returns less than asked is asked again."""
    data = path.read_bytes()
    pread, preadv = os.pread, os.preadv
    with pin_file(path) as file:
        monkeypatch.setattr(os, "pread", lambda fd, n, at: pread(fd, min(n, 7), at))
        monkeypatch.setattr(os, "preadv", lambda fd, buffers, at: preadv(fd, [buffers[0][:7]], at))
        assert file.read_at(0, 2048) == data
        assert file.sha256() == sha256(data)


def test_a_closed_file_is_our_error(path: Path) -> None:
    """Reading after closing raises, and never touches a descriptor that now belongs to another file."""
    file = pin_file(path)
    file.close()
    file.close()
    other = os.open("/dev/null", os.O_RDONLY)
    with pytest.raises(SourceError, match="closed"):
        file.read_at(0, 1)
    with pytest.raises(SourceError, match="closed"):
        file.proc_path()
    os.close(other)


def test_its_descriptor_is_not_inherited(path: Path) -> None:
    """A program that this process starts does not get the descriptor."""
    with pin_file(path) as file:
        assert fcntl.fcntl(file.fileno(), fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_its_proc_path_opens_the_same_file_after_a_swap(path: Path) -> None:
    """The path under /proc leads to what was opened, whatever the name leads to now."""
    before = path.read_bytes()
    with pin_file(path) as file:
        path.unlink()
        path.write_bytes(b"evil")
        assert Path(file.proc_path()).read_bytes() == before


def test_a_lease_is_held_and_ends(path: Path) -> None:
    """With no writer the lease is granted; while it lasts, opening for writing does not go through."""
    with pin_file(path) as file:
        with file.lease() as answer:
            assert answer is Lease.HELD
            with pytest.raises(BlockingIOError):
                os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


def test_a_lease_tells_of_a_writer(path: Path) -> None:
    """Somebody who has the file open for writing is reported."""
    with open(path, "r+b"), pin_file(path) as file, file.lease() as answer:
        assert answer is Lease.WRITER


def test_a_lease_that_cannot_be_had_is_said(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Where the kernel refuses leases the answer is that, not an error and not a promise."""

    def refuse(_: int, operation: int, __: int) -> int:
        if operation == fcntl.F_SETLEASE:
            raise PermissionError(errno.EACCES, "Permission denied")
        return 0

    with pin_file(path) as file:
        monkeypatch.setattr(fcntl, "fcntl", refuse)
        with file.lease() as answer:
            assert answer is Lease.UNAVAILABLE


def test_exclusive_sees_who_else_may_write(tmp_path: Path) -> None:
    """Others may write it if its mode, or a directory on the way, says so; a sticky directory of root does not."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "f").write_bytes(b"x")

    def exclusive() -> bool:
        with open_in(tmp_path, "a/b/f") as file:
            return file.exclusive

    assert exclusive()
    os.chmod(folder / "f", 0o646)
    assert not exclusive()
    os.chmod(folder / "f", 0o600)
    os.chmod(tmp_path / "a", 0o777)
    assert not exclusive()
    os.chmod(tmp_path / "a", 0o1777)
    assert exclusive()
