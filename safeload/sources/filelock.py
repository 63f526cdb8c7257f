"""Locks between processes that vanish with the process that holds them, however it ends."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable

from safeload.sources.failures import os_failure


class FileLock:
    """A `flock` on a file of ours. It belongs to this object, so threads of one process exclude each other too.

    A forked child shares it until both close it, which is what a directory in use by both needs.
    """

    __slots__ = ("_descriptor", "path")

    def __init__(self, descriptor: int, path: str) -> None:
        self._descriptor = descriptor
        self.path = path

    def release(self) -> None:
        """Give the lock up. Twice is harmless."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def release_and_remove(self) -> None:
        """Remove the lock's file, then give the lock up. For holders of an exclusive lock only."""
        try:
            os.unlink(self.path)
        except FileNotFoundError:  # somebody tidied up; the lock holds all the same
            pass
        finally:
            self.release()

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def exclusive(path: str, *, on_wait: Callable[[], None] | None = None) -> FileLock:
    """Wait until nobody holds a lock on `path`, then hold it alone. `on_wait` is called if that takes time.

    Raises `SourceError` if the file system refuses.
    """
    lock = _take(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if lock is None:
        if on_wait is not None:
            on_wait()
        lock = _take(path, fcntl.LOCK_EX)
    assert lock is not None
    return lock


def shared(path: str) -> FileLock:
    """Hold a lock on `path` together with others who share it; wait for one who holds it alone."""
    lock = _take(path, fcntl.LOCK_SH)
    assert lock is not None
    return lock


def try_exclusive(path: str) -> FileLock | None:
    """Hold a lock on `path` alone, or return `None` if anybody holds one."""
    return _take(path, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_held(path: str) -> bool:
    """Whether anybody holds a lock on `path`. Writes nothing, so that it can be asked where nothing can be written.

    Raises `SourceError` if the file system refuses.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise os_failure(error, "the store could not be read", path=path) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        raise os_failure(error, "the store could not be read", path=path) from error
    finally:
        os.close(descriptor)
    return False


def _take(path: str, operation: int) -> FileLock | None:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise os_failure(error, "the store could not be locked", path=path) from error
        try:
            fcntl.flock(descriptor, operation)
            if _still_there(descriptor, path):
                return FileLock(descriptor, path)
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return None
            raise os_failure(error, "the store could not be locked", path=path) from error
        except BaseException:
            os.close(descriptor)
            raise
        # Its holder removed the file before giving it up: lock the one that has taken its place.
        os.close(descriptor)


def _still_there(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
