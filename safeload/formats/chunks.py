"""Tensors in pieces: whether chunks fill a tensor exactly, without a gap and without a shared element."""

from __future__ import annotations

import math
from collections.abc import Sequence

from safeload.formats.base import Chunk, ShardedTensor
from safeload.formats.tensors import bad

_COMPARED = 50_000_000
"""Comparisons of chunks that one tensor is worth; regular layouts need a few for each chunk."""


def sharded(
    name: str, dtype: str, shape: tuple[int, ...], chunks: Sequence[Chunk], *, grid: tuple[int, ...] | None = None
) -> ShardedTensor:
    """A tensor of chunks that fill it.

    Raises:
        MalformedInput: a chunk has another type or shape than it should, lies outside, or shares elements with
            another one; or elements are missing.
    """
    frame = shape if grid is None else grid
    if math.prod(frame) != math.prod(shape):
        raise bad("its chunks are counted in a shape of another size")
    for chunk in chunks:
        if len(chunk.offsets) != len(frame) or len(chunk.sizes) != len(frame):
            raise bad("a chunk of it has another number of dimensions")
        if any(at + size > length for at, size, length in zip(chunk.offsets, chunk.sizes, frame, strict=True)):
            raise bad("a chunk of it lies outside of it")
        if chunk.view.dtype != dtype:
            raise bad(f"a chunk of it is stored as {chunk.view.dtype}, and it is {dtype}")
        if chunk.view.shape != chunk.sizes:
            raise bad("a chunk of it has another shape than is said")
    full = [chunk for chunk in chunks if math.prod(chunk.sizes)]
    held, wanted = sum(math.prod(chunk.sizes) for chunk in full), math.prod(frame)
    if held != wanted:
        raise bad(f"its chunks hold {held:,} elements, and it has {wanted:,}")
    if _overlap(full, len(frame)):
        raise bad("two chunks of it share elements")
    return ShardedTensor(name=name, dtype=dtype, shape=shape, grid=frame, chunks=tuple(chunks))


def _overlap(chunks: list[Chunk], dimensions: int) -> bool:
    """Whether two boxes share an element: a sweep along the dimension in which they differ most."""
    if not dimensions:
        return len(chunks) > 1
    along = max(range(dimensions), key=lambda axis: len({chunk.offsets[axis] for chunk in chunks}))
    open_: list[Chunk] = []
    compared = 0
    for chunk in sorted(chunks, key=lambda chunk: chunk.offsets[along]):
        open_ = [other for other in open_ if other.offsets[along] + other.sizes[along] > chunk.offsets[along]]
        compared += len(open_)
        if compared > _COMPARED:
            raise bad("its chunks are laid out so that nobody can check them")
        if any(_share(chunk, other) for other in open_):
            return True
        open_.append(chunk)
    return False


def _share(one: Chunk, other: Chunk) -> bool:
    return all(
        a < b + other_size and b < a + size
        for a, size, b, other_size in zip(one.offsets, one.sizes, other.offsets, other.sizes, strict=True)
    )
