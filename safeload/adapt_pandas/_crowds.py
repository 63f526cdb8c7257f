"""Labels that were chosen to have one hash: pandas would compare each with all before it, which takes minutes.

pandas' tables hash numbers by formulas of its own, without a seed (pandas/_libs/include/pandas/vendored/klib). What is
counted here is what these formulas give, in 32 bits, for the tables that an index may build: those of whole numbers,
of other numbers, and of Python's objects. Text hashes differently in each process, so nobody can choose it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy

from safeload.core.errors import MalformedInput

_MANY = 256
"""Different labels of one hash. Of ten million labels that nobody chose, five have one."""
_LEVELS = 4
_WORD = 0xFFFFFFFF
_LONG = 0xFFFFFFFFFFFFFFFF
_PRIMES = (11400714785074694791, 14029467366897019727, 2870177450012600261)
Array = numpy.ndarray[Any, Any]


def refuse_crowded(values: Array) -> None:
    """Raise `MalformedInput` if more than a few hundred different labels among these values have the same hash."""
    if values.size <= _MANY:
        return
    if values.dtype.kind == "O":
        hashes = numpy.fromiter(map(_object, values.flat), dtype=numpy.uint32, count=values.size)
    elif values.dtype.itemsize < 8:
        return  # numbers of 32 bits and fewer have hashes of their own
    elif values.dtype.kind in "iumM":
        hashes = _whole(values)
    elif values.dtype.kind in "fc":
        hashes = _floating(values)
    else:
        return
    found, counts = numpy.unique(hashes, return_counts=True)
    for crowd in found[counts > _MANY]:
        if _different(values[hashes == crowd]) > _MANY:
            raise MalformedInput(
                "an index has labels that were chosen to be slow", why=f"more than {_MANY} of them have the same hash"
            )


def _different(values: Array) -> int:
    """How many different labels there are: counted by how they are written, since they all have one hash."""
    if values.dtype.kind != "O":
        return len(numpy.unique(values))
    return len({repr(value) for value in values})


def _whole(values: Array) -> Array:
    """Whole numbers and times."""
    words = values.view(numpy.int64 if values.dtype.kind in "mM" else values.dtype).astype(numpy.uint64)
    return _word(words >> numpy.uint64(33) ^ words ^ words << numpy.uint64(11))


def _floating(values: Array) -> Array:
    """Other numbers: MurmurHash2 of their bits."""
    if values.dtype.kind == "c":
        return _mixed(_floating(values.real.copy()), _floating(values.imag.copy()))
    words = values.astype(numpy.float64).view(numpy.uint64)
    return _mixed(words & numpy.uint64(_WORD), words >> numpy.uint64(32))


def _mixed(low: Array, high: Array) -> Array:
    state = numpy.full(low.shape, 0xC70F6907 ^ 4, dtype=numpy.uint64)
    for part in (low.astype(numpy.uint64), high.astype(numpy.uint64)):
        part = _times(part)
        part = _times(part ^ part >> numpy.uint64(24))
        state = _times(state) ^ part
    state = _times(state ^ state >> numpy.uint64(13))
    return _word(state ^ state >> numpy.uint64(15))


def _times(words: Array) -> Array:
    return words * numpy.uint64(0x5BD1E995) & numpy.uint64(_WORD)


def _word(words: Array) -> Array:
    return (words & numpy.uint64(_WORD)).astype(numpy.uint32)


def _object(value: object, level: int = 0) -> int:
    """The hash of an object in 32 bits; tuples are hashed from those of their parts."""
    if type(value) is tuple and level < _LEVELS:
        return _fold(_tuple(_object(part, level + 1) for part in value))
    return _fold(hash(value) & _LONG)


def _fold(number: int) -> int:
    return (number >> 32 ^ number) & _WORD


def _tuple(parts: Iterable[int]) -> int:
    first, second, state = _PRIMES
    start, count = state, 0
    for part in parts:
        state = state + part * second & _LONG
        state = (state << 31 | state >> 33) & _LONG
        state = state * first & _LONG
        count += 1
    return state + (count ^ (start ^ 3527539)) & _LONG
