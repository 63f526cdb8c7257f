"""Bytes of a blob into memory that somebody else owns, a window at a time."""

from __future__ import annotations

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.formats.window import outermost
from safeload.sources.pinned import PinnedFile

_WINDOW = 1 << 22


def read_into(blob: Blob, memory: memoryview, start: int) -> None:
    """Fill `memory` from `start` on.

    Raises:
        MalformedInput: the blob ends before.
    """
    blob, start = outermost(blob, start)
    done = 0
    while done < len(memory):
        window = memory[done : done + _WINDOW]
        if isinstance(blob, PinnedFile):
            count = blob.read_into(window, start + done)
        else:
            data = blob.read_at(start + done, len(window))
            count = len(data)
            window[:count] = data
        if not count:
            raise MalformedInput("data ends early", why="the file became shorter, or a storage reaches past its end")
        done += count
