"""Random access to foreign bytes, without saying where they are.

Readers take a `Blob`. The caller decides what stands behind it: memory, a pinned descriptor, a byte range fetched
over HTTP. The core itself opens nothing.
"""

from __future__ import annotations

from typing import Protocol


class Blob(Protocol):
    """Bytes of a known size that do not change while they are read."""

    @property
    def size(self) -> int: ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly the bytes of `[offset, offset + length)` that exist: fewer only past the end."""
        ...


class MemoryBlob:
    """A `Blob` over bytes that are already in memory."""

    __slots__ = ("data", "size")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


class Extent:
    """A range of another blob, seen as a blob: a stored member of an archive, a storage in a stream."""

    __slots__ = ("outer", "size", "start")

    def __init__(self, outer: Blob, start: int, size: int) -> None:
        self.outer, self.start, self.size = outer, start, size

    def read_at(self, offset: int, length: int) -> bytes:
        return self.outer.read_at(self.start + offset, max(0, min(length, self.size - offset)))
