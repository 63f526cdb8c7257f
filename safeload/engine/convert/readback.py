"""Reading an output back: its digest, and whether every tensor in it is what was written."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from safeload.engine.convert.conversion import ConvertedFile
from safeload.engine.gather import is_contiguous
from safeload.engine.tensorfile import Slot, size_of

_WINDOW = 1 << 19
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One tensor file that was written and read back."""

    file: ConvertedFile
    digests: Mapping[str, str]
    """sha256 of each tensor."""


class ReadBack:
    """Reads a file that is being written, right behind its writer, or one that was written before.

    A tensor that is one range of the source is compared with the source byte by byte; any other by its digest. Of a
    file that was written before, every tensor is compared by its digest.

    Args:
        path: the file.
        planned: what should be in it.
        progress: told of every number of bytes that was written or read back.
        done: how many bytes are written already; all of them if absent.
    """

    def __init__(
        self, path: str, planned: Planned, *, progress: Progress | None = None, done: int | None = None
    ) -> None:
        self.path, self.planned, self.progress = path, planned, progress
        self.follows = done is not None
        self.done = planned.size if done is None else done
        self.ended = done is None
        self.changed = threading.Condition()
        self.digests: dict[str, str] = {}
        """sha256 of each tensor that was not compared with the source."""
        self.wrong: dict[str, str] = {}
        """What differs, by the name of the tensor."""
        self.whole = ""
        """sha256 of the file."""

    def advance(self, count: int) -> None:
        """The writer has written so many bytes more."""
        if self.progress is not None:
            self.progress(count)
        with self.changed:
            self.done += count
            self.changed.notify()

    def finish(self) -> None:
        """The writer writes no more."""
        with self.changed:
            self.ended = True
            self.changed.notify()

    def run(self) -> None:
        """Read it all. Raises `OSError` if it cannot be read."""
        self.hasher = hashlib.sha256()
        with open(self.path, "rb", buffering=0) as stream:
            self.descriptor = stream.fileno()
            header = self.planned.header
            self._range(0, len(header), "header", lambda at, data: header[at : at + len(data)] == data)
            for slot in self.planned.slots:
                self._slot(slot, len(header) + slot.start)
        self.whole = self.hasher.hexdigest()

    def _slot(self, slot: Slot, begin: int) -> None:
        view = slot.view
        if self.follows and is_contiguous(view) and not (view.storage.big_endian and slot.itemsize > 1):
            start = view.storage.offset + view.storage_offset * slot.itemsize
            blob = view.storage.blob
            self._range(begin, slot.nbytes, slot.name, lambda at, data: blob.read_at(start + at, len(data)) == data)
            return
        own = hashlib.sha256()

        def take(_: int, data: bytes) -> bool:
            own.update(data)
            return True

        self._range(begin, slot.nbytes, slot.name, take)
        self.digests[slot.name] = own.hexdigest()

    def _range(self, begin: int, length: int, name: str, accept: Callable[[int, bytes], bool]) -> None:
        """Hash a range of the file as it is written, and show every window of it to `accept`."""
        at = 0
        while at < length:
            there = self._available(begin + at) - begin
            data = os.pread(self.descriptor, min(_WINDOW, min(length, there) - at), begin + at) if there > at else b""
            if not data:
                self.wrong[name] = "it ends early"
                return
            self.hasher.update(data)
            if not accept(at, data):
                self.wrong[name] = "its bytes differ"
            at += len(data)
            if self.progress is not None:
                self.progress(len(data))

    def _available(self, offset: int) -> int:
        """How far the file is written: beyond `offset`, or all that will ever be."""
        with self.changed:
            self.changed.wait_for(lambda: self.ended or self.done >= min(offset + _WINDOW, self.planned.size))
            return self.done
