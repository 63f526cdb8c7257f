"""A file opened once. Everything later reads this descriptor, never the name it was found under.

1. It is a regular file, and it was reached without leaving the directory it belongs to (`contain.open_beneath`).
2. Its identity (device, inode, size, modification and change times) is taken at opening. The change time cannot
   be set back, so `verify_unchanged` notices a write even by somebody who restores the other times. It does not
   notice a write through a shared mapping that was already dirty: `lease` tells whether such a writer can exist.
3. Bytes are read by offset from the descriptor, and never past the size taken at opening.
"""

from __future__ import annotations

import enum
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from safeload.core.errors import SourceError, VerificationFailed
from safeload.core.names import Location, escape
from safeload.sources.base import Recorded
from safeload.sources.contain import Allowed, beneath, open_beneath
from safeload.sources.failures import os_failure, quoted
from safeload.sources.hashers import GIT_SHA1 as GIT_SHA1
from safeload.sources.hashers import SHA256 as SHA256
from safeload.sources.hashers import new_hasher
from safeload.sources.ownership import folder_writable_by_others, writable_by_others

if TYPE_CHECKING:
    from safeload.sources.digest_memo import DigestMemo

WINDOW = 1 << 20
"""Bytes read at a time while hashing and copying. hashlib and preadv release the interpreter lock meanwhile."""


class Identity(NamedTuple):
    """What a file is to the file system, at one moment."""

    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Identity:
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class Lease(enum.Enum):
    """What asking the kernel for a read lease said."""

    HELD = "held"
    """Nobody has the file open for writing, or mapped writable; whoever tries waits until the lease ends."""
    WRITER = "writer"
    """Somebody has it open for writing now."""
    UNAVAILABLE = "unavailable"
    """The file is not ours, or this file system has no leases."""


class PinnedFile:
    """A `Blob` over one open regular file. Close it, or use it as a context manager.

    Args:
        descriptor: an open descriptor of a regular file; the new object owns it.
        path: the file's name within its snapshot, used in messages.
        real_path: an absolute path without links that led to it, or "" if it has no name.
        recorded: the digest that its origin recorded for it, if any.
    """

    __slots__ = ("_descriptor", "_exclusive", "_identity", "path", "real_path", "recorded")

    def __init__(self, descriptor: int, *, path: str, real_path: str = "", recorded: Recorded | None = None) -> None:
        self._descriptor = descriptor
        self._exclusive: bool | None = None
        self._identity = Identity.of(os.fstat(descriptor))
        self.path = path
        self.real_path = real_path
        self.recorded = recorded

    def __repr__(self) -> str:
        state = "closed" if self._descriptor < 0 else f"descriptor {self._descriptor}"
        return f"<PinnedFile {escape(self.path)!r}, {self.size} bytes, {state}>"

    def __enter__(self) -> PinnedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptor. Closing twice is harmless; reading afterwards raises `SourceError`."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def fileno(self) -> int:
        if self._descriptor < 0:
            raise SourceError(
                f"{escape(self.path)!r} was not read", where=Location(self.path), why="it was closed before"
            )
        return self._descriptor

    @property
    def identity(self) -> Identity:
        """The identity taken when the file was opened."""
        return self._identity

    @property
    def size(self) -> int:
        return self._identity.size

    @property
    def exclusive(self) -> bool:
        """Whether nobody but this user and root can change the file, or what its name leads to. Asked once."""
        if self._exclusive is None:
            self._exclusive = (
                bool(self.real_path)
                and not writable_by_others(os.fstat(self.fileno()))
                and not folder_writable_by_others(os.path.dirname(self.real_path))
            )
        return self._exclusive

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the bytes of `[offset, offset + length)` that exist, as `Blob` promises.

        Raises `VerificationFailed` if the file has become shorter, `SourceError` if the disk fails.
        """
        start, stop = max(offset, 0), min(offset + length, self._identity.size)
        if stop <= start:
            return b""
        try:
            data = os.pread(self.fileno(), stop - start, start)
            while len(data) < stop - start:
                more = os.pread(self.fileno(), stop - start - len(data), start + len(data))
                if not more:
                    raise self._changed(f"it ends at byte {start + len(data)}, and had {self.size} when opened")
                data += more
        except OSError as error:
            raise os_failure(error, f"{escape(self.path)!r} could not be read", path=self.path) from error
        return data

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset` on; return how much was read, less than asked only at the end of the file.

        Raises as `read_at` does.
        """
        wanted = min(len(buffer), self._identity.size - offset)
        done = 0
        try:
            while done < wanted:
                count = os.preadv(self.fileno(), [buffer[done:wanted]], offset + done)
                if not count:
                    raise self._changed(f"it ends at byte {offset + done}, and had {self.size} when opened")
                done += count
        except OSError as error:
            raise os_failure(error, f"{escape(self.path)!r} could not be read", path=self.path) from error
        return done

    def verify_unchanged(self) -> None:
        """Raise `VerificationFailed` if the file is not as it was when opened."""
        now = Identity.of(os.fstat(self.fileno()))
        if now != self._identity:
            fields = [
                name for name, was, now_ in zip(Identity._fields, self._identity, now, strict=True) if was != now_
            ]
            raise self._changed("it changed while it was in use: " + ", ".join(fields))

    def _changed(self, reason: str) -> VerificationFailed:
        return VerificationFailed(
            f"{escape(self.path)!r} is no longer what was read",
            mismatches={escape(self.path): reason},
            where=Location(self.path),
            remedy=f"find who writes it (fuser -v {quoted(self.real_path or self.path)}), then load again",
        )

    def sha256(self, memo: DigestMemo | None = None) -> str:
        """The hexadecimal sha256 of the file; remembered by `memo`, if one is given and may remember it.

        Raises `VerificationFailed` if the file changes meanwhile, `SourceError` if it cannot be read.
        """
        return self.digests((SHA256,), memo)[SHA256]

    def git_sha1(self, memo: DigestMemo | None = None) -> str:
        """The object id that git gives the file's bytes. Raises as `sha256` does."""
        return self.digests((GIT_SHA1,), memo)[GIT_SHA1]

    def digests(self, algorithms: tuple[str, ...], memo: DigestMemo | None = None) -> dict[str, str]:
        """Several digests in one pass over the bytes, by the names of `hashers`. Raises as `sha256` does."""
        known = memo.lookup(self) if memo is not None else {}
        wanted = [name for name in algorithms if name not in known]
        if wanted:
            settled = memo is not None and memo.settled(self)
            fresh = self._hash(wanted)
            if memo is not None and settled:
                memo.record(self, {**known, **fresh})
            known = {**known, **fresh}
        return {name: known[name] for name in algorithms}

    def _hash(self, algorithms: list[str]) -> dict[str, str]:
        hashers = [new_hasher(name, self.size) for name in algorithms]
        buffer = memoryview(bytearray(min(WINDOW, max(self.size, 1))))
        offset = 0
        while count := self.read_into(buffer, offset):
            for hasher in hashers:
                hasher.update(buffer[:count])
            offset += count
        self.verify_unchanged()
        return {name: hasher.hexdigest() for name, hasher in zip(algorithms, hashers, strict=True)}

    def proc_path(self) -> str:
        """A path that opens this very file, for this process and others of the same user, while it is open here."""
        return f"/proc/{os.getpid()}/fd/{self.fileno()}"

    @contextmanager
    def lease(self) -> Iterator[Lease]:
        """Hold a read lease on the file, if the kernel grants one, and say what it answered.

        Whoever opens the file for writing meanwhile waits until the lease is given up, at most for
        `/proc/sys/fs/lease-break-time`; then the fence notices the write. We are told by `SIGURG`, which does
        nothing unless the program handles it. Not promised: anything against root or network file systems.
        """
        answer = self._ask_lease()
        try:
            yield answer
        finally:
            if answer is Lease.HELD and self._descriptor >= 0:
                fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)

    def _ask_lease(self) -> Lease:
        if not hasattr(fcntl, "F_SETLEASE"):
            return Lease.UNAVAILABLE
        import signal

        descriptor = self.fileno()
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return Lease.WRITER
        except OSError:
            # Not the owner, or a file system without leases: the caller decides what that is worth.
            return Lease.UNAVAILABLE
        return Lease.HELD


def pin(anchor: str, path: str, *, name: str, allowed: Allowed, recorded: Recorded | None = None) -> PinnedFile:
    """Open `path` beneath `anchor` once, as `open_beneath` does, and call it `name` in messages.

    Raises `SourceError` as `open_beneath` does.
    """
    descriptor, resolved = open_beneath(anchor, path, allowed=allowed)
    return PinnedFile(descriptor, path=name, real_path=beneath(anchor, resolved), recorded=recorded)


def pin_file(path: str | os.PathLike[str], *, name: str = "") -> PinnedFile:
    """Pin one file that safeload or the user named by its whole path; links in the path are followed first.

    Raises `SourceError` as `open_beneath` does.
    """
    real = os.path.realpath(path)
    folder, base = os.path.split(real)
    return pin(folder, base, name=name or os.fspath(path), allowed=lambda _: True)
