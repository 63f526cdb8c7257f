"""A tensor that lies in pieces, seen as one: a blob that puts its bytes together window by window."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from safeload.core.blob import Blob, MemoryBlob
from safeload.core.names import Location
from safeload.engine.gather import gathered, is_contiguous, swapped
from safeload.formats.base import Chunk, ShardedTensor, Storage, TensorView
from safeload.formats.dtypes import width_of
from safeload.formats.tensors import contiguous

_HALF = {"complex32": 2, "bcomplex32": 2, "complex64": 4, "complex128": 8}

Run = tuple[int, int, int]
"""Where a run of elements begins in the tensor, where in its chunk, and how long it is."""


@dataclass(slots=True)
class Mosaic:
    """A `Blob` of a sharded tensor's elements in row-major order. Its chunks fill it, as its reader has checked."""

    tensor: ShardedTensor
    width: int
    sources: dict[int, tuple[Blob, int]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return math.prod(self.tensor.shape) * self.width

    def read_at(self, offset: int, length: int) -> bytes:
        start, stop = max(offset, 0), min(offset + length, self.size)
        if stop <= start:
            return b""
        made = bytearray(stop - start)
        low, high = start // self.width, -(-stop // self.width)
        for number, chunk in enumerate(self.tensor.chunks):
            for place, inside, count in _runs(chunk, self.tensor.grid, low, high):
                first, last = max(start, place * self.width), min(stop, (place + count) * self.width)
                blob, base = self._source(number, chunk)
                data = blob.read_at(base + inside * self.width + first - place * self.width, last - first)
                made[first - start : first - start + len(data)] = data
        return bytes(made)

    def _source(self, number: int, chunk: Chunk) -> tuple[Blob, int]:
        """Where the elements of a chunk follow each other; a chunk in another order is put together once."""
        if number not in self.sources:
            view = chunk.view
            big = view.storage.big_endian and self.width > 1
            if is_contiguous(view) and not big:
                self.sources[number] = view.storage.blob, view.storage.offset + view.storage_offset * self.width
            else:
                data = b"".join(gathered(view, self.width))
                turned = swapped(data, _HALF.get(view.dtype, self.width)) if big else data
                self.sources[number] = MemoryBlob(bytes(turned)), 0
        return self.sources[number]


def _runs(chunk: Chunk, grid: tuple[int, ...], low: int, high: int) -> Iterator[Run]:
    """The runs of a chunk's elements that lie in `[low, high)` of the tensor, cut to it."""
    if not math.prod(chunk.sizes):
        return
    outer, inner = contiguous(grid), contiguous(chunk.sizes)
    depth = len(grid)
    while depth and chunk.sizes[depth - 1] == grid[depth - 1]:
        depth -= 1
    # The dimension that is cut innermost; all that lies within it is one run.
    depth = max(depth - 1, 0)
    length = math.prod(chunk.sizes[depth:])
    waiting = [(0, sum(at * step for at, step in zip(chunk.offsets, outer, strict=True)), 0)]
    while waiting:
        dimension, place, inside = waiting.pop()
        if dimension == depth:
            first, last = max(low, place), min(high, place + length)
            if first < last:
                yield first, inside + first - place, last - first
            continue
        step = outer[dimension]
        # What lies below one index of this dimension is within one step of it.
        begin, end = max(0, (low - place) // step - 1), min(chunk.sizes[dimension], (high - place) // step + 1)
        waiting += [(dimension + 1, place + at * step, inside + at * inner[dimension]) for at in range(begin, end)]


def joined(tensor: ShardedTensor, location: Location) -> TensorView:
    """A sharded tensor as a view like any other."""
    width = width_of(tensor.dtype)
    blob = Mosaic(tensor, width)
    return TensorView(
        location=Location(location.file, location.member, None, tensor.name),
        dtype=tensor.dtype,
        shape=tensor.shape,
        strides=contiguous(tensor.shape),
        storage_offset=0,
        storage=Storage(blob=blob, offset=0, nbytes=blob.size),
        storage_key=tensor.name,
    )
