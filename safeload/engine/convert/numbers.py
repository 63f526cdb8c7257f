"""The elements of a tensor as numbers, without numpy: enough to say by how much two tensors differ."""

from __future__ import annotations

import math
import operator
import struct
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cache

from safeload.core.errors import MalformedInput
from safeload.engine.gather import gathered, is_contiguous, swapped
from safeload.formats.base import TensorView
from safeload.formats.dtypes import WIDTHS

_WINDOW = 1 << 20
_HALVES = {
    "complex32": ("float16", 2), "bcomplex32": ("bfloat16", 2),
    "complex64": ("float32", 4), "complex128": ("float64", 8),
}  # fmt: skip
_ARRAYS = {
    "bool": "B", "uint8": "B", "int8": "b", "uint16": "H", "int16": "h", "uint32": "I", "int32": "i", "uint64": "Q",
    "int64": "q", "float32": "f", "float64": "d", "qint8": "b", "quint8": "B", "qint32": "i",
}  # fmt: skip
_SMALL = {
    "float8_e4m3fn": (4, 3, 7),
    "float8_e4m3fnuz": (4, 3, 8),
    "float8_e5m2": (5, 2, 15),
    "float8_e5m2fnuz": (5, 2, 16),
}
"""Bits of the exponent, bits of the fraction, bias."""


def width(view: TensorView) -> int:
    """Bytes of one element; 0 if they are no whole bytes."""
    return WIDTHS.get(view.dtype, 0)


def blocks(view: TensorView, count: int) -> Iterator[bytes]:
    """The elements in row-major order and little endian, `count` of them at a time.

    Raises:
        MalformedInput: the source became shorter.
    """
    size = count * width(view)
    waiting = bytearray()
    for piece in _pieces(view):
        waiting += piece
        while len(waiting) >= size:
            yield bytes(waiting[:size])
            del waiting[:size]
    if waiting:
        yield bytes(waiting)


def _pieces(view: TensorView) -> Iterator[bytes | bytearray]:
    itemsize = width(view)
    half = _HALVES[view.dtype][1] if view.dtype in _HALVES else itemsize
    big = view.storage.big_endian and itemsize > 1
    for piece in _contiguous(view, itemsize) if is_contiguous(view) else gathered(view, itemsize):
        yield swapped(piece, half) if big else piece


def _contiguous(view: TensorView, itemsize: int) -> Iterator[bytes]:
    start = view.storage.offset + view.storage_offset * itemsize
    left = math.prod(view.shape) * itemsize
    step = _WINDOW - _WINDOW % (itemsize or 1)
    while left:
        data = view.storage.blob.read_at(start, min(step, left))
        if not data:
            raise MalformedInput("a tensor's bytes end early", where=view.location, why="the file became shorter")
        yield data
        start, left = start + len(data), left - len(data)


def numbers(data: bytes, dtype: str) -> Sequence[float] | None:
    """Elements as numbers, a complex one as two; `None` for types that are not numbers."""
    if dtype in _HALVES:
        dtype = _HALVES[dtype][0]
    if dtype in _ARRAYS:
        return _array(_ARRAYS[dtype], data)
    if dtype == "float16":
        return struct.unpack(f"<{len(data) // 2}e", data)
    if dtype == "bfloat16":
        wide = bytearray(2 * len(data))
        wide[2::4], wide[3::4] = data[0::2], data[1::2]
        return _array("f", wide)
    if dtype in _SMALL or dtype == "float8_e8m0fnu":
        return operator.itemgetter(*data, 0)(_table(dtype))[:-1] if data else ()
    return None


def _array(code: str, data: bytes | bytearray) -> Sequence[float]:
    made: array[float] = array(code)
    made.frombytes(data)
    if sys.byteorder == "big":
        made.byteswap()
    return made


@cache
def _table(dtype: str) -> tuple[float, ...]:
    """The value of each byte."""
    if dtype == "float8_e8m0fnu":
        return (*(math.ldexp(1.0, code - 127) for code in range(255)), math.nan)
    return tuple(_small(code, dtype) for code in range(256))


def _small(code: int, dtype: str) -> float:
    exponent_bits, fraction_bits, bias = _SMALL[dtype]
    sign = -1.0 if code & 0x80 else 1.0
    exponent, fraction = (code & 0x7F) >> fraction_bits, code & ((1 << fraction_bits) - 1)
    if dtype.endswith("fnuz"):
        if code == 0x80:
            return math.nan
    elif dtype == "float8_e4m3fn":
        if code & 0x7F == 0x7F:
            return math.nan
    elif exponent == (1 << exponent_bits) - 1:
        return math.nan if fraction else sign * math.inf
    if exponent == 0:
        return sign * math.ldexp(fraction, 1 - bias - fraction_bits)
    return sign * math.ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits)


Distance = tuple[int, float]
"""How many numbers differ, and the largest absolute difference. Two that are no numbers do not differ."""


def distance(one: Sequence[float], other: Sequence[float]) -> Distance:
    """How far two sequences of the same length are apart."""
    apart = [(x, y) for x, y in zip(one, other, strict=True) if x != y and (x == x or y == y)]
    if not apart:
        return 0, 0.0
    away: Callable[[float, float], float] = lambda x, y: abs(x - y) if x == x and y == y else math.inf  # noqa: E731
    return len(apart), float(max(away(x, y) for x, y in apart))
