"""Writing one output file, reading it back on the way, and hashing what was read back.

1. Bytes go from the source into a window, in the order of the output, and from there to the file.
2. A second thread reads that range of the file back, compares it with the window, and hashes what it read: that is
   the digest of the output. So every byte is compared, and hashed once.
3. Digests of single tensors, where they are asked for, are made from the windows: one more pass.
4. What is written is sent to the disk all along. What is there leaves the disk's cache, so that an output larger than
   memory pushes nothing else out, and forcing the rest to disk in the end is short.

Windows are used again and again: fresh memory costs more than what is done with it.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from safeload.core.blob import Blob
from safeload.core.names import Location
from safeload.engine.convert.conversion import ConvertedFile
from safeload.engine.tensorfile import Slot, pour, read_window, reserve, size_of
from safeload.formats.window import outermost

_WINDOW = 1 << 20
_RING = 4
"""Windows between the two threads."""
_FLUSHED = 1 << 26
"""Bytes after which the disk is made to take what is written."""

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One tensor file that is to be written."""

    name: str
    header: bytes
    slots: list[Slot]

    @property
    def size(self) -> int:
        return size_of(self.header, self.slots)

    def at(self, start: int, length: int) -> Iterator[tuple[str, slice]]:
        """What a range of the file holds: names of tensors, or `header`, each with its part of that range."""
        data = len(self.header)
        places = [("header", 0, data), *((slot.name, data + slot.start, slot.nbytes) for slot in self.slots)]
        for name, begin, nbytes in places:
            first, last = max(0, begin - start), min(length, begin + nbytes - start)
            if first < last:
                yield name, slice(first, last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One tensor file that was written and read back."""

    file: ConvertedFile
    digests: Mapping[str, str]
    """sha256 of each tensor, if they were asked for."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What came of one file."""

    sha256: str
    digests: dict[str, str]
    wrong: list[str]
    """Where what was read back differs from what was written: names of tensors, or `header`."""


def carry(descriptor: int, planned: Planned, *, each: bool = False, progress: Progress | None = None) -> Carried:
    """Write a file that is empty and open for reading and writing, force it to disk, and compare it.

    Args:
        descriptor: the file.
        planned: what goes into it.
        each: whether to hash every tensor by itself, too.
        progress: told of every number of bytes that was written, and again when they were read back.

    Raises:
        MalformedInput: the source became shorter.
        SourceError: the file system refused.
        OSError: it failed when reading back.
    """
    reserve(descriptor, planned.size)
    with ThreadPoolExecutor(1) as checking, ThreadPoolExecutor(1) as flushing:
        belt = _Belt(descriptor, planned, checking, flushing, progress)
        digests: dict[str, str] = {}

        def done(slot: Slot) -> None:
            if belt.tensor is not None:
                digests[slot.name] = belt.tensor.hexdigest()
                belt.tensor = hashlib.sha256()

        belt.write(planned.header)
        belt.tensor = hashlib.sha256() if each else None
        pour(belt, b"", planned.slots, done)
        belt.finish()
    os.fsync(descriptor)
    return Carried(belt.whole.hexdigest(), digests, belt.wrong)


class _Belt:
    """Takes bytes into windows; each full one is written, read back by the `checking` thread, and used again."""

    def __init__(
        self,
        descriptor: int,
        planned: Planned,
        checking: ThreadPoolExecutor,
        flushing: ThreadPoolExecutor,
        progress: Progress | None,
    ) -> None:
        self.descriptor, self.planned, self.progress = descriptor, planned, progress
        self.checking, self.flushing = checking, flushing
        self.tensor: hashlib._Hash | None = None
        self.whole = hashlib.sha256()
        self.wrong: list[str] = []
        self.at, self.fill = 0, 0
        self.window = bytearray(min(_WINDOW, planned.size))
        self.back = bytearray(len(self.window))
        self.under_way: deque[tuple[Future[None], bytearray]] = deque()
        self.flushed = 0
        self.flush: Future[None] | None = None

    # ── the writing thread ──────────────────────────────────────────────────────────────────────────────────────

    def write(self, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            count = min(len(rest), len(self.window) - self.fill)
            with memoryview(self.window) as window:
                window[self.fill : self.fill + count] = rest[:count]
            self._added(count)
            rest = rest[count:]

    def copy(self, blob: Blob, start: int, length: int, where: Location) -> None:
        blob, start = outermost(blob, start)
        while length:
            end = min(self.fill + length, len(self.window))
            with memoryview(self.window) as window:
                count = read_window(blob, window[self.fill : end], start, where)
            self._added(count)
            start, length = start + count, length - count

    def _added(self, count: int) -> None:
        if self.tensor is not None:
            with memoryview(self.window) as window:
                self.tensor.update(window[self.fill : self.fill + count])
        self.fill += count
        if self.progress is not None:
            self.progress(count)
        if self.fill == len(self.window):
            self._send()

    def _send(self) -> None:
        """Write the window, hand it to the other thread, and take the next one."""
        done, length = 0, self.fill
        with memoryview(self.window) as window:
            while done < length:
                done += os.pwrite(self.descriptor, window[done:length], self.at + done)
        self.under_way.append((self.checking.submit(self._check, self.window, self.at, length), self.window))
        self.at, self.fill = self.at + length, 0
        if len(self.under_way) < _RING:
            self.window = bytearray(len(self.window))
        else:
            checked, self.window = self.under_way.popleft()
            checked.result()

    def finish(self) -> None:
        """Write what is left, and wait for the other thread."""
        if self.fill:
            self._send()
        for checked, _ in self.under_way:
            checked.result()
        if self.flush is not None:
            self.flush.result()

    # ── the checking thread ─────────────────────────────────────────────────────────────────────────────────────

    def _check(self, window: bytearray, at: int, length: int) -> None:
        done = 0
        with memoryview(self.back) as back:
            while done < length and (count := os.preadv(self.descriptor, [back[done:length]], at + done)):
                done += count
            self.whole.update(back[:done])
        # Comparing two whole windows copies neither.
        same = window == self.back if length == len(window) else window[:length] == self.back[:length]
        if done < length or not same:
            differ = [name for name, part in self.planned.at(at, length) if window[part] != self.back[part]]
            self.wrong += [name for name in differ or ["it ends early"] if name not in self.wrong]
        if self.progress is not None:
            self.progress(length)
        if at + length - self.flushed >= _FLUSHED:
            if self.flush is not None:
                self.flush.result()
            self.flush = self.flushing.submit(self._to_disk, self.flushed, at + length)
            self.flushed = at + length

    def _to_disk(self, start: int, end: int) -> None:
        os.fdatasync(self.descriptor)
        os.posix_fadvise(self.descriptor, start, end - start, os.POSIX_FADV_DONTNEED)


def digest_of(path: str, progress: Progress | None = None) -> str:
    """The sha256 of a file that was written before. Raises `OSError` if it cannot be read."""
    hasher, window = hashlib.sha256(), memoryview(bytearray(_WINDOW))
    with open(path, "rb", buffering=0) as stream:
        while count := stream.readinto(window):
            hasher.update(window[:count])
            if progress is not None:
                progress(2 * count)
    return hasher.hexdigest()
