"""Small files of ours that appear whole or not at all: locks, records, signatures."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress

from safeload.sources.failures import os_failure


def write_whole(path: str, data: bytes, *, failed: str, over: bool = True) -> None:
    """Give the file at `path` these bytes in one step. A file that it replaces passes on its mode.

    Args:
        failed: what the error says was not done.
        over: whether a file that is there is replaced; else it stays, also one that appeared meanwhile.

    Raises:
        SourceError: it cannot be written; what was there is untouched, and nothing else remains.
    """
    draft = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{secrets.token_hex(6)}")
    try:
        with open(draft, "xb") as stream:
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
