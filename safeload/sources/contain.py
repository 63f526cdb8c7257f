"""Opening a file beneath a directory, following only symbolic links that stay where they may.

Each component is opened relative to the descriptor of the one before it, and never through a link: links are read
and walked here. So a name that is swapped while we look at it leads to an error, never to another file.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Callable

from safeload.core.errors import SourceError
from safeload.core.names import Location, escape
from safeload.sources.failures import os_failure, quoted

_LINKS = 40
"""How many symbolic links one path may take, as in the Linux kernel."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | getattr(os, "O_NOCTTY", 0)

Allowed = Callable[[str], bool]
"""Whether the file at this path, relative to the anchor and free of links, may be opened."""


def beneath(folder: str, path: str) -> str:
    """`os.path.join` of two, in a third of its time where there is nothing to think about: all files come by here."""
    if folder and not folder.endswith("/") and not path.startswith("/"):
        return f"{folder}/{path}"
    return os.path.join(folder, path)


def kind_of(mode: int) -> str:
    """What `st_mode` describes, in words."""
    for test, word in (
        (stat.S_ISREG, "a regular file"),
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a character device"),
        (stat.S_ISBLK, "a block device"),
        (stat.S_ISLNK, "a symbolic link"),
    ):
        if test(mode):
            return word
    return "something unknown"


def refuse_kind(mode: int, path: str) -> SourceError:
    """The error for something that is not a regular file."""
    return SourceError(
        f"{escape(path)!r} was not opened",
        where=Location(path),
        why=f"it is {kind_of(mode)}, not a regular file",
        remedy=f"ls -ld {quoted(path)}",
    )


def open_beneath(anchor: str, path: str, *, allowed: Allowed) -> tuple[int, str]:
    """Open the regular file `path` beneath `anchor`; return its descriptor and its path relative to the anchor.

    `anchor` is an absolute path without symbolic links, `path` relative to it. The returned path has no link in
    it. Opening never blocks, whatever the name turns out to be.

    Raises `SourceError` if there is no such file, if it is not a regular file, if a link leads out of the anchor
    or to a place that `allowed` refuses, or if links form a loop.
    """
    shown = beneath(anchor, path)
    folders = []
    names: list[str] = []
    try:
        folders.append(os.open(anchor, _FOLDER))
        pending = deque(path.split("/"))
        links = 0
        while pending:
            name = pending.popleft()
            if name in ("", "."):
                continue
            if name == "..":
                if not names:
                    raise _leaves(shown)
                names.pop()
                os.close(folders.pop())
                continue
            found = os.stat(name, dir_fd=folders[-1], follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                links += 1
                if links > _LINKS:
                    raise _loops(shown)
                target = os.readlink(name, dir_fd=folders[-1])
                if os.path.isabs(target):
                    target = _beneath(anchor, target, shown)
                    while names:
                        names.pop()
                        os.close(folders.pop())
                pending.extendleft(reversed(target.split("/")))
            elif pending and any(part not in ("", ".") for part in pending):
                folders.append(os.open(name, _FOLDER, dir_fd=folders[-1]))
                names.append(name)
            else:
                if not stat.S_ISREG(found.st_mode):
                    raise refuse_kind(found.st_mode, shown)
                resolved = "/".join((*names, name))
                if not allowed(resolved):
                    raise _leaves(shown)
                return _open_file(name, folders[-1], shown), resolved
        raise refuse_kind(stat.S_IFDIR, shown)
    except ValueError as error:
        raise SourceError(
            f"{escape(shown)!r} was not opened",
            where=Location(shown),
            why="no file can have this name",
            remedy=f"ls -la {quoted(anchor)}",
        ) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _loops(shown) from error
        raise os_failure(error, f"{escape(shown)!r} was not opened", path=shown) from error
    finally:
        for folder in folders:
            os.close(folder)


def _open_file(name: str, folder: int, shown: str) -> int:
    descriptor = os.open(name, _FILE, dir_fd=folder)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise refuse_kind(mode, shown)
    return descriptor


def _beneath(anchor: str, target: str, shown: str) -> str:
    """An absolute link target as a path relative to the anchor, which may be reachable under other names."""
    folder = os.path.realpath(os.path.dirname(target))
    resolved = os.path.join(folder, os.path.basename(target))
    prefix = anchor.rstrip("/") + "/"
    if not resolved.startswith(prefix):
        raise _leaves(shown)
    return resolved.removeprefix(prefix)


def _leaves(shown: str) -> SourceError:
    return SourceError(
        f"{escape(shown)!r} was not opened",
        where=Location(shown),
        why="a symbolic link or '..' leads out of the model's directory",
        remedy=f"replace the link by the file it points to: cp --remove-destination "
        f'"$(readlink -f {quoted(shown)})" {quoted(shown)}',
    )


def _loops(shown: str) -> SourceError:
    return SourceError(
        f"{escape(shown)!r} was not opened",
        where=Location(shown),
        why="its symbolic links form a loop",
        remedy=f"ls -l {quoted(shown)}",
    )
