"""Random access to foreign bytes, without saying where they are.

Readers take a `Blob`. The caller decides what stands behind it: memory, a pinned descriptor, a byte range fetched
over HTTP. The core itself opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class Blob(Protocol):
    """Bytes of a known size that do not change while they are read."""

    @property
    def size(self) -> int: ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly the bytes of `[offset, offset + length)` that exist: fewer only past the end."""
        ...


@dataclass(frozen=True, slots=True)
class MemoryBlob:
    """A `Blob` over bytes that are already in memory."""

    data: bytes = field(repr=False)

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


@dataclass(frozen=True, slots=True)
class Extent:
    """A range of another blob, seen as a blob: a stored member of an archive, a storage in a stream."""

    outer: Blob
    start: int
    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        return self.outer.read_at(self.start + offset, max(0, min(length, self.size - offset)))
