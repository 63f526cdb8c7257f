"""A file that is somewhere else, read by byte ranges: a `Blob` that fetches only what a reader asks for.

1. Its size and its version are taken from the first answer; every later answer must be about the same ones, so a
   file that changes midway is an error and never a mixture.
2. Blocks are kept, as many as fit into a bounded memory. Reads that follow each other are fetched in larger and larger
   pieces, others as they are asked for: headers spread over a file of weights cost a block each.
3. What is fetched is counted, and the number of requests is bounded: a file that would take more is undecided.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Protocol

from safeload.core.errors import SourceError
from safeload.core.names import Location, escape

BLOCK = 1 << 12
KEPT = 1 << 11
"""Blocks of one file in memory: 8 MiB."""
LARGEST = 1 << 20
"""Bytes that are fetched ahead, at most; and of one piece when a whole file is read."""
REQUESTS = 20_000
"""Requests that one file is worth."""


class Traffic:
    """What was fetched, of how much. Shared by all files of a snapshot, and by their threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.fetched = 0
        self.requests = 0

    def add(self, count: int) -> None:
        with self._lock:
            self.fetched += count
            self.requests += 1


class Origin(Protocol):
    """Where the bytes of one file come from."""

    @property
    def size(self) -> int: ...
    @property
    def head(self) -> bytes:
        """Bytes of its beginning that are here already."""
        ...

    def fetch(self, start: int, stop: int) -> bytes:
        """Exactly the bytes of `[start, stop)`, of the version of the file that was opened.

        Raises `SourceError` if they cannot be had, or the file is another one by now.
        """
        ...

    def close(self) -> None: ...


class RangedFile:
    """A `Blob` over an origin. Close it, or use it as a context manager. Not for several threads at once."""

    def __init__(self, origin: Origin, *, path: str, traffic: Traffic) -> None:
        self._origin, self._traffic = origin, traffic
        self.path = path
        self.size = origin.size
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        for at in range(0, len(origin.head), BLOCK):
            block = origin.head[at : at + BLOCK]
            if len(block) == BLOCK or at + len(block) == self.size:
                self._blocks[at // BLOCK] = block
        self._next, self._ahead, self._requests = -1, 1, 0

    def __enter__(self) -> RangedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection and of what was kept."""
        self._blocks.clear()
        self._origin.close()

    def read_at(self, offset: int, length: int) -> bytes:
        """The bytes of `[offset, offset + length)` that exist, as `Blob` promises. Raises as `Origin.fetch` does."""
        start, stop = max(offset, 0), min(offset + length, self.size)
        if stop <= start:
            return b""
        first, last = start // BLOCK, (stop - 1) // BLOCK
        if last - first >= KEPT // 2:
            return self._fetch(start, stop)
        pieces = []
        at = first
        while at <= last:
            if (kept := self._blocks.get(at)) is not None:
                self._blocks.move_to_end(at)
                pieces.append(kept)
                at += 1
                continue
            missing = at + 1
            while missing <= last and missing not in self._blocks:
                missing += 1
            pieces.append(self._fill(at, missing))
            at = missing
        data = b"".join(pieces)
        return data[start - first * BLOCK : stop - first * BLOCK]

    def _fill(self, first: int, stop: int) -> bytes:
        """Fetch blocks that are asked for, and some that will be if a reader goes on as it does. Returns the former."""
        self._ahead = min(2 * self._ahead, LARGEST // BLOCK) if first == self._next else 1
        reach = min(max(stop, first + self._ahead), -(-self.size // BLOCK))
        data = self._fetch(first * BLOCK, min(reach * BLOCK, self.size))
        self._next = reach
        for index in range(first, reach):
            at = (index - first) * BLOCK
            self._blocks[index] = data[at : at + BLOCK]
        while len(self._blocks) > KEPT:
            self._blocks.popitem(last=False)
        return data[: (stop - first) * BLOCK]

    def _fetch(self, start: int, stop: int) -> bytes:
        self._requests += 1
        if self._requests > REQUESTS:
            raise SourceError(
                f"{escape(self.path)!r} was not read to its end",
                where=Location(self.path),
                why=f"it would take more than {REQUESTS:,} requests",
                remedy="download it, and scan the copy",
            )
        data = self._origin.fetch(start, stop)
        self._traffic.add(len(data))
        return data

    def sha256(self) -> str:
        """The digest of the whole file, all of which is fetched. Raises as `Origin.fetch` does."""
        import hashlib

        hasher = hashlib.sha256()
        for start in range(0, self.size, 8 * LARGEST):
            hasher.update(self._fetch(start, min(start + 8 * LARGEST, self.size)))
        return hasher.hexdigest()
