"""The bytes of a tensor view in row-major order, whatever its strides, without numpy.

The result is made in blocks. For each, the file is read in runs: along the dimensions that lie close together in the
file, whatever their place in the shape. From those runs, which stand in memory, strided slices make the block. A
transposed matrix is thus read in a few thousand runs and put together in a few thousand slices, not element by
element; and a small view over a large storage reads no more than it needs.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Final, Literal

from safeload.core.errors import MalformedInput
from safeload.formats.base import TensorView

_FORMATS: Final[dict[int, Literal["B", "H", "I", "Q"]]] = {1: "B", 2: "H", 4: "I", 8: "Q"}
_BLOCK = 1 << 23
"""Bytes of the result that are made at a time, at most."""
_BUFFER = 2 * _BLOCK
"""Bytes of the source that are in memory at a time, at most."""
_LISTED = 1 << 14
_CALL = 4096
"""How many bytes more could have been read in the time that one more read takes, roughly."""

Dimension = tuple[int, int]
"""Size and stride, both in elements."""


def is_contiguous(view: TensorView) -> bool:
    """Whether the view's bytes lie in row-major order without gaps. Dimensions of size one have no stride to obey."""
    expected = 1
    for size, stride in zip(reversed(view.shape), reversed(view.strides), strict=True):
        if size == 1:
            continue
        if stride != expected:
            return False
        expected *= size
    return True


def gathered(view: TensorView, itemsize: int) -> Iterator[bytes | bytearray]:
    """Yield the elements of a strided view in row-major order, in blocks of whole elements.

    Memory stays below some 40 MB whatever the shape, the strides and the storage.

    Raises:
        MalformedInput: the storage ends within the view, which its reader should have noticed.
    """
    if 0 in view.shape:
        return
    dimensions, width = list(zip(view.shape, view.strides, strict=True)), itemsize
    if width == 16:
        dimensions, width = [*((size, 2 * stride) for size, stride in dimensions), (2, 1)], 8
    start = view.storage_offset * (itemsize // width)
    dimensions = _merged(dimensions)
    if dimensions and dimensions[0][1] == 0 and len(dimensions) > 1 and _bytes(dimensions[1:], width) <= _BLOCK:
        # The same block again and again, as `expand` makes it.
        (times, _), *dimensions = dimensions
        block = b"".join(_blocks(view, dimensions, start, width))
        yield from _repeated(block, times)
    else:
        yield from _blocks(view, dimensions, start, width)


def _merged(dimensions: list[Dimension]) -> list[Dimension]:
    """The same walk with as few dimensions as possible: those that continue each other are one."""
    merged: list[Dimension] = []
    for size, stride in dimensions:
        if size == 1:
            continue
        if merged and merged[-1][1] == size * stride:
            merged[-1] = (merged[-1][0] * size, stride)
        else:
            merged.append((size, stride))
    return merged


def _bytes(dimensions: list[Dimension], width: int) -> int:
    return prod(size for size, _ in dimensions) * width


def _repeated(block: bytes, times: int) -> Iterator[bytes]:
    most = max(1, _BLOCK // len(block))
    whole = block * min(most, times)
    for _ in range(times // most):
        yield whole
    if times % most:
        yield block * (times % most)


def _blocks(view: TensorView, dimensions: list[Dimension], start: int, width: int) -> Iterator[bytearray]:
    plan = _best_plan(dimensions, width)
    walked, size, stride = (
        (dimensions[: plan.depth], *dimensions[plan.depth]) if plan.depth < len(dimensions) else (dimensions, 1, 0)
    )
    for origin in _offsets(walked):
        for first in range(0, size, plan.step):
            inner = [(min(plan.step, size - first), stride), *dimensions[plan.depth + 1 :]]
            yield _block(view, inner, start + origin + first * stride, width, plan.near)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How to cut the result into blocks, and how to read the source of each."""

    depth: int
    """The dimension that is cut; those before it are walked, those after it are whole in each block."""
    step: int
    """Its size in each block but the last."""
    near: int
    """How many dimensions, in the order of their strides, one read covers with all that lies between."""


def _best_plan(dimensions: list[Dimension], width: int) -> _Plan:
    """The plan that takes the least time for each element, of those that fit into memory."""
    best, least = _Plan(len(dimensions), 1, 0), float("inf")
    most = _BLOCK // width
    while most:
        depth, inner = len(dimensions), 1
        while depth > 0 and inner * dimensions[depth - 1][0] <= most:
            depth -= 1
            inner *= dimensions[depth][0]
        # What fits whole is cut at its outermost dimension; else the one that did not fit is.
        depth, inner = (0, inner // dimensions[0][0]) if not depth and dimensions else (depth - 1, inner)
        if depth < 0:
            return best
        step = min(dimensions[depth][0], most // inner)
        block = [(step, dimensions[depth][1]), *dimensions[depth + 1 :]]
        for near in range(len(block) + 1):
            reads, span = _runs(block, near)
            cost = reads * (_CALL + span * width) / (step * inner)
            if reads * span * width <= _BUFFER and cost < least:
                best, least = _Plan(depth, step, near), cost
        most //= 2
    return best


def _by_stride(block: list[Dimension]) -> list[int]:
    return sorted(range(len(block)), key=lambda index: block[index][1])


def _runs(block: list[Dimension], near: int) -> tuple[int, int]:
    """How many reads a block needs, and how many elements each of them covers."""
    order = _by_stride(block)
    span = 1 + sum((block[index][0] - 1) * block[index][1] for index in order[:near])
    return prod(block[index][0] for index in order[near:] if block[index][1]), span


def _offsets(dimensions: list[Dimension]) -> Iterator[int]:
    """The offset of each index of these dimensions, in row-major order, without listing more than a few of them."""
    listed, outer = [0], list(dimensions)
    while outer and len(listed) * outer[-1][0] <= _LISTED:
        size, stride = outer.pop()
        listed = [index * stride + offset for index in range(size) for offset in listed]
    for number in range(prod(size for size, _ in outer)):
        base = 0
        for size, stride in reversed(outer):
            number, index = divmod(number, size)
            base += index * stride
        yield from (base + offset for offset in listed) if base else listed


def _block(view: TensorView, block: list[Dimension], start: int, width: int, near: int) -> bytearray:
    """The elements of a block in row-major order."""
    order = _by_stride(block)
    far = [index for index in order[near:] if block[index][1]]
    _, span = _runs(block, near)
    # Far dimensions are read outermost first, so that the file is read forwards; each read takes `span` elements.
    pieces: list[bytes] = []
    for offset in _offsets([block[index] for index in reversed(far)]):
        data = view.storage.blob.read_at(view.storage.offset + (start + offset) * width, span * width)
        if len(data) != span * width:
            raise MalformedInput("a tensor's bytes end early", where=view.location, why="the file became shorter")
        pieces.append(data)
    strides = [stride for _, stride in block]
    place = span
    for index in far:
        strides[index] = place
        place *= block[index][0]
    source = memoryview(pieces[0] if len(pieces) == 1 else b"".join(pieces)).cast(_FORMATS[width])
    return _ordered(source, [(size, stride) for (size, _), stride in zip(block, strides, strict=True)], width)


def _ordered(source: memoryview, block: list[Dimension], width: int) -> bytearray:
    """Elements in memory, put into row-major order: one strided slice for each line along the longest dimension."""
    steps = [prod(size for size, _ in block[index + 1 :]) for index in range(len(block))]
    longest = max(range(len(block)), key=lambda index: block[index][0])
    (count, stride), step = block[longest], steps[longest]
    made = bytearray(_bytes(block, width))
    lines = memoryview(made).cast(_FORMATS[width])
    others = [index for index in range(len(block)) if index != longest]
    starts = zip(
        _offsets([block[index] for index in others]),
        _offsets([(block[index][0], steps[index]) for index in others]),
        strict=True,
    )
    for start, target in starts:
        if stride:
            line = source[start : start + (count - 1) * stride + 1 : stride]
        else:
            line = memoryview(bytes(source[start : start + 1]) * count).cast(_FORMATS[width])
        lines[target : target + (count - 1) * step + 1 : step] = line
    return made


def swapped(data: bytes | bytearray, width: int) -> bytes | bytearray:
    """The same elements of `width` bytes in the other byte order."""
    if width == 1:
        return data
    numbers = array(_FORMATS[width], bytes(data))
    numbers.byteswap()
    return numbers.tobytes()
