"""Small files of ours that appear whole or not at all: locks, records, signatures.

Each is written under a hidden name beside its own, and renamed. A process that is killed meanwhile leaves that draft
behind, and whoever writes the file next removes it: a draft of that name, of this user, that nobody holds a lock on.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
import time
from contextlib import suppress

from safeload.sources.failures import os_failure

_DIGITS = 12
_YOUNG = 60.0
"""Seconds in which a draft is left alone: a writer makes it, and takes its lock a moment later."""


def write_whole(path: str, data: bytes, *, failed: str, over: bool = True) -> None:
    """Give the file at `path` these bytes in one step. A file that it replaces passes on its mode.

    Args:
        failed: what the error says was not done.
        over: whether a file that is there is replaced; else it stays, also one that appeared meanwhile.

    Raises:
        SourceError: it cannot be written; what was there is untouched, and nothing else remains.
    """
    remove_drafts(path)
    draft = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{secrets.token_hex(_DIGITS // 2)}")
    try:
        with open(draft, "xb") as stream:
            with suppress(OSError):  # some file systems have no locks: there drafts stay
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if over and os.path.exists(path):
                os.fchmod(stream.fileno(), stat.S_IMODE(os.stat(path).st_mode))
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if over:
            os.replace(draft, path)
        else:
            os.link(draft, path)
    except OSError as error:
        raise os_failure(error, failed, path=path) from error
    finally:
        with suppress(OSError):  # it has its name, or was never made; what went wrong is said already
            os.unlink(draft)


def remove_drafts(path: str) -> None:
    """Remove what writers of the file at `path` left when they were killed. What cannot be removed stays."""
    folder = os.path.dirname(path) or "."
    form = re.compile(rf"\.{re.escape(os.path.basename(path))}\.[0-9a-f]{{{_DIGITS}}}")
    with suppress(OSError), os.scandir(folder) as entries:
        for name in [entry.name for entry in entries if form.fullmatch(entry.name)]:
            with suppress(OSError):
                _remove_left(os.path.join(folder, name))


def _remove_left(draft: str) -> None:
    descriptor = os.open(draft, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and time.time() - found.st_mtime > _YOUNG:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if its writer is alive
            os.unlink(draft)
    finally:
        os.close(descriptor)
