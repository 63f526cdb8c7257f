"""Sparse arrays: the values that are there, and where. pandas' compiled code follows places, so each is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy
import pandas

from safeload.adapt_pandas._checks import bad, cache_only, numbers, one_state, only_args, whole
from safeload.engine.live import Made

_WIDEST = (1 << 31) - 1
"""The length of the longest sparse array."""


def sparse_type(made: Made) -> object:
    match one_state(made):
        case {"_dtype": numpy.dtype() as kind, "_fill_value": fill, **rest} if kind.kind in "biufcmMO":
            cache_only(made, rest)
            if (
                fill is None
                or isinstance(fill, bool | int | float | complex | str | numpy.generic)
                or (fill is pandas.NaT or fill is pandas.NA)
            ):
                return pandas.SparseDtype(kind, fill)
    raise bad("a SparseDtype", "its state is another one")


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where in a sparse array something is. Inert: it belongs to an array, or to nothing."""

    length: int
    starts: numpy.ndarray[Any, Any]
    lengths: numpy.ndarray[Any, Any] | None


def sparse_places(made: Made) -> object:
    """Single places, or runs of them: in order, within the length, none of them twice."""
    match only_args(made):
        case (length, starts) if made.name.name == "IntIndex":
            runs = None
        case (length, starts, runs) if made.name.name == "BlockIndex":
            runs = numbers(runs, "iu", 1).astype(numpy.int64)
        case _:
            raise bad(made.name.name, "its arguments are others")
    starts = numbers(starts, "iu", 1).astype(numpy.int64)
    sizes = numpy.ones_like(starts) if runs is None else runs
    if not whole(length, 0, _WIDEST) or sizes.shape != starts.shape or (sizes < 1).any():
        raise bad(made.name.name, "its places are not counted")
    ends = starts + sizes
    if len(starts) and (int(starts[0]) < 0 or int(ends.max()) > length or (starts[1:] < ends[:-1]).any()):
        raise bad(made.name.name, "its places are not in order, or outside of it")
    return Places(int(length), starts.astype(numpy.int32), None if runs is None else runs.astype(numpy.int32))


def sparse(made: Made) -> object:
    """The values that are there, where they are, and what stands everywhere else."""
    from pandas._libs import sparse as homes

    match one_state(made):
        case {
            "_sparse_index": Places() as places,
            "_sparse_values": values,
            "_dtype": pandas.SparseDtype() as kind,
            **rest,
        }:
            cache_only(made, rest)
        case _:
            raise bad("a SparseArray", "its state is another one")
    found = numbers(values, "biufcmMO", 1)
    count = len(places.starts) if places.lengths is None else int(places.lengths.sum())
    if len(found) != count or found.dtype != kind.subtype:
        raise bad("a SparseArray", "its values are not as many as their places, or of another type")
    form = "integer" if places.lengths is None else "block"
    if hasattr(pandas.arrays.SparseArray, "from_indices"):  # pandas 3.1
        runs = numpy.ones_like(places.starts) if places.lengths is None else places.lengths
        before = numpy.cumsum(runs) - runs
        each = numpy.repeat(places.starts - before, runs) + numpy.arange(count)
        return pandas.arrays.SparseArray.from_indices(
            found, each, places.length, fill_value=kind.fill_value, kind=form, dtype=kind.subtype
        )
    index: Any = (
        homes.IntIndex(places.length, places.starts)
        if places.lengths is None
        else homes.BlockIndex(places.length, places.starts, places.lengths)
    )
    return pandas.arrays.SparseArray(found, sparse_index=index, dtype=kind)
