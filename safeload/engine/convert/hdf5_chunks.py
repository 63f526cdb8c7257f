"""A dataset of an HDF5 file that lies in chunks, as a blob of its elements in row-major order. Standard library only.

A chunk is read whole, unpacked, and kept for a while: neighbouring rows are in the same ones.
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from math import prod
from typing import NamedTuple

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.names import Location

LARGEST = 1 << 26
"""Bytes that one chunk may have. HDF5 itself suggests a thousandth of that."""
_KEPT = 1 << 25
DEFLATE, SHUFFLE = 1, 2
"""The filters that are undone here, by HDF5's numbers."""


class Stored(NamedTuple):
    """Where one chunk lies in the file."""

    offset: int
    nbytes: int
    skipped: int
    """A bit for each filter that was left out when it was written."""


class Chunked:
    """A `Blob` over all elements of a dataset.

    Args:
        file: the file.
        shape: of the dataset; not empty.
        chunk: the shape of every chunk, also of those that reach over the edge.
        width: bytes of an element.
        table: every chunk, by its place in the grid of chunks. None is missing.
        filters: in the order in which they were applied.
        location: of the dataset.

    `read_at` raises `MalformedInput` where a chunk cannot be unpacked.
    """

    def __init__(
        self,
        file: Blob,
        shape: tuple[int, ...],
        chunk: tuple[int, ...],
        width: int,
        table: Mapping[tuple[int, ...], Stored],
        filters: tuple[int, ...],
        location: Location,
    ) -> None:
        self._file, self._shape, self._chunk, self._width = file, shape, chunk, width
        self._table, self._filters, self._location = table, filters, location
        self._whole = prod(chunk) * width
        self._kept: OrderedDict[tuple[int, ...], bytes] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        return prod(self._shape) * self._width

    def read_at(self, offset: int, length: int) -> bytes:
        start, stop = max(offset, 0), min(offset + length, self.size)
        if stop <= start:
            return b""
        width = self._width
        at, end = start // width, -(-stop // width)
        first = at * width
        pieces: list[bytes] = []
        with self._lock:
            while at < end:
                piece = self._run(at, end - at)
                pieces.append(piece)
                at += len(piece) // width
        return b"".join(pieces)[start - first : stop - first]

    def _run(self, at: int, most: int) -> bytes:
        """The elements from `at` on that lie side by side in one chunk."""
        index = []
        for size in reversed(self._shape):
            at, inside = divmod(at, size)
            index.append(inside)
        index.reverse()
        place = tuple(i // c for i, c in zip(index, self._chunk, strict=True))
        inside = 0
        for i, c in zip(index, self._chunk, strict=True):
            inside = inside * c + i % c
        last = index[-1]
        count = min(most, self._chunk[-1] - last % self._chunk[-1], self._shape[-1] - last)
        return self._content(place)[inside * self._width : (inside + count) * self._width]

    def _content(self, place: tuple[int, ...]) -> bytes:
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place]
        content = self._unpacked(self._table[place])
        self._kept[place] = content
        while len(self._kept) > 1 and len(self._kept) * self._whole > _KEPT:
            self._kept.popitem(last=False)
        return content

    def _unpacked(self, stored: Stored) -> bytes:
        data = self._file.read_at(stored.offset, stored.nbytes)
        for number, kind in reversed(list(enumerate(self._filters))):
            if stored.skipped >> number & 1:
                continue
            data = self._inflated(data, stored) if kind == DEFLATE else _unshuffled(data, self._width)
        if len(data) != self._whole:
            raise self._damaged(stored, f"it has {len(data):,} bytes, and {self._whole:,} are wanted")
        return data

    def _inflated(self, data: bytes, stored: Stored) -> bytes:
        engine = zlib.decompressobj()
        try:
            return engine.decompress(data, self._whole + 1)
        except zlib.error as error:
            raise self._damaged(stored, str(error)) from None

    def _damaged(self, stored: Stored, why: str) -> MalformedInput:
        return MalformedInput(
            "a chunk of a dataset cannot be unpacked",
            where=self._location.at(stored.offset),
            why=why,
            remedy="fetch the file again",
        )


def _unshuffled(data: bytes, width: int) -> bytes:
    """Undo HDF5's shuffle filter: first bytes of all elements, second bytes of all elements, and so on."""
    count = len(data) // width
    made = bytearray(data)
    for byte in range(width):
        made[byte : count * width : width] = data[byte * count : (byte + 1) * count]
    return bytes(made)
