"""The bytes of a tensor view in row-major order, whatever its strides, without numpy."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator
from typing import Final, Literal

from safeload.formats.base import TensorView

_FORMATS: Final[dict[int, Literal["B", "H", "I", "Q"]]] = {1: "B", 2: "H", 4: "I", 8: "Q"}
_BLOCK = 1 << 22
"""Bytes of source or destination that are in memory at once, roughly."""


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


def gathered(view: TensorView, itemsize: int) -> Iterator[bytes]:
    """Yield the elements of a strided view in row-major order, in blocks.

    A block reads the span of source bytes that one index of the outermost dimensions touches, and takes strided
    slices of it. Elements of 16 bytes are gathered as pairs of 8.
    """
    if 0 in view.shape:
        return
    shape, strides, width = list(view.shape), list(view.strides), itemsize
    if width == 16:
        shape, strides, width = [*shape, 2], [*(2 * stride for stride in strides), 1], 8
    offset = view.storage_offset * (itemsize // width)
    # The innermost dimensions whose span fits into a block are gathered in memory; the others are walked.
    inner = len(shape)
    while inner > 0 and _span(shape[inner - 1 :], strides[inner - 1 :]) * width <= _BLOCK:
        inner -= 1
    span = _span(shape[inner:], strides[inner:])
    for index in itertools.product(*(range(size) for size in shape[:inner])):
        start = offset + sum(i * stride for i, stride in zip(index, strides, strict=False))
        data = view.storage.blob.read_at(view.storage.offset + start * width, span * width)
        source = memoryview(data).cast(_FORMATS[width])
        yield b"".join(_rows(source, shape[inner:], strides[inner:]))


def _span(shape: list[int], strides: list[int]) -> int:
    """How many elements lie between the first and the last that a view touches, both included."""
    return 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))


def _rows(source: memoryview, shape: list[int], strides: list[int]) -> Iterator[bytes]:
    if not shape:
        yield source[:1].tobytes()
        return
    size, stride = shape[-1], strides[-1]
    for index in itertools.product(*(range(n) for n in shape[:-1])):
        start = sum(i * step for i, step in zip(index, strides, strict=False))
        if stride == 0:
            yield source[start : start + 1].tobytes() * size
        else:
            yield source[start : start + (size - 1) * stride + 1 : stride].tobytes()


def swapped(data: bytes, width: int) -> bytes:
    """The same elements of `width` bytes in the other byte order."""
    if width == 1:
        return data
    numbers = array({2: "H", 4: "I", 8: "Q"}[width], data)
    numbers.byteswap()
    return numbers.tobytes()
