"""What the operating system refused, said as one of our errors."""

from __future__ import annotations

import errno
import os

from safeload.core.errors import SourceError
from safeload.core.names import Location, escape

_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM})
_HANDLES = frozenset({errno.EMFILE, errno.ENFILE})


def quoted(path: str) -> str:
    """`path` as one word of a command line that is safe to print and, for ordinary names, to paste."""
    import shlex

    return shlex.quote(escape(path))


def os_failure(error: OSError, what: str, *, path: str) -> SourceError:
    """A `SourceError` for `error`, naming the place, the reason in words, and the command that comes next."""
    code = error.errno
    why = error.strerror or type(error).__name__
    folder = quoted(os.path.dirname(path) or ".")
    if code in _SPACE:
        remedy = f"df -h {folder}; to free what safeload keeps: safeload cache prune"
    elif code == errno.EROFS:
        remedy = "point SAFELOAD_HOME (or HF_HOME) at a directory you can write"
    elif code in _DENIED:
        remedy = f"ls -ld {folder} {quoted(path)}"
    elif code in _HANDLES:
        remedy = "ulimit -n 65536"
    elif code == errno.ENOENT:
        remedy = f"ls -la {folder}"
    else:
        remedy = "safeload doctor"
    return SourceError(what, where=Location(path), why=why, remedy=remedy)
