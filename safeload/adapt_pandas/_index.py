"""Indexes: from arrays that were checked, through the constructors of their classes."""

from __future__ import annotations

from typing import Any

import numpy
import pandas

from safeload.adapt_pandas._arrays import ends, objects
from safeload.adapt_pandas._checks import CLOSED, bad, codes, label, numbers, short, whole
from safeload.adapt_pandas._crowds import refuse_crowded
from safeload.core.construct import Named
from safeload.core.names import GlobalName
from safeload.engine.live import Made, Maker

_LEVELS = 1 << 12


def index(kinds: dict[GlobalName, str]) -> Maker:
    """The maker of every index. `kinds`: what each class that may be asked for is called today."""

    def make(made: Made) -> object:
        match made.args:
            case (Named(name=name), dict() as parts) if not (made.kwargs or made.items or made.states):
                kind = kinds.get(name)
            case _:
                raise bad("an index", "it is made in another way")
        if kind is None:
            return made.record()
        found = _KINDS[kind](dict(parts))
        if type(found).__name__ != kind:
            raise bad("an index", f"its data makes no {kind}")
        return found

    return make


def _take(parts: dict[Any, Any], *names: str) -> list[Any]:
    """The named parts. Raises `MalformedInput` if there are others."""
    if set(parts) - {*names}:
        raise bad("an index", "it has other parts")
    return [parts.get(name) for name in names]


def _values(data: object) -> Any:
    """The data of an index: one of pandas' arrays, or a plain one."""
    if isinstance(data, pandas.api.extensions.ExtensionArray):
        if data.ndim != 1:
            raise bad("an index", "its data is a table")
        for inner in (getattr(data, "_data", None), getattr(data, "_ndarray", None)):
            if type(inner) is numpy.ndarray:
                refuse_crowded(inner)
        return data
    return objects(numbers(data, "biufcmMO", 1))


def _plain(parts: dict[Any, Any]) -> Any:
    data, name = _take(parts, "data", "name")
    values = _values(data)
    return pandas.Index(values, dtype=values.dtype, name=label(name), tupleize_cols=False)


def _range(parts: dict[Any, Any]) -> Any:
    start, stop, step, name = _take(parts, "start", "stop", "step", "name")
    most = 1 << 62
    if not all(whole(one, -most, most) for one in (start, stop, step)) or not step:
        raise bad("a RangeIndex", "its bounds are no numbers")
    return pandas.RangeIndex(int(start), int(stop), int(step), name=label(name))


def _multi(parts: dict[Any, Any]) -> Any:
    levels, places, names, order = _take(parts, "levels", "codes", "names", "sortorder")
    if not isinstance(levels, list | tuple) or not isinstance(places, list | tuple):
        raise bad("a MultiIndex", "its levels are no list")
    if len(levels) != len(places) or not 0 < len(levels) <= _LEVELS:
        raise bad("a MultiIndex", "it has not as many codes as levels")
    if not all(isinstance(one, pandas.Index) and not isinstance(one, pandas.MultiIndex) for one in levels):
        raise bad("a MultiIndex", "a level is no index")
    checked = [codes(one, len(short(level))) for one, level in zip(places, levels, strict=True)]
    if names is not None and (not isinstance(names, list | tuple) or len(names) != len(levels)):
        raise bad("a MultiIndex", "it has not as many names as levels")
    if order is not None and not whole(order, 0, len(levels)):
        raise bad("a MultiIndex", "its order is none")
    labelled: Any = None if names is None else [label(one) for one in names]
    return pandas.MultiIndex(levels=list(levels), codes=checked, sortorder=order, names=labelled, verify_integrity=True)


def _moments(parts: dict[Any, Any]) -> Any:
    return _timed(pandas.DatetimeIndex, parts)


def _durations(parts: dict[Any, Any]) -> Any:
    return _timed(pandas.TimedeltaIndex, parts)


def _timed(kind: Any, parts: dict[Any, Any]) -> Any:
    data, name, frequency = _take(parts, "data", "name", "freq")
    if frequency is not None and not isinstance(frequency, pandas.offsets.BaseOffset):
        raise bad("an index", "its frequency is none")
    values = _values(data)
    if values.dtype.kind not in "mM":
        raise bad("an index", "its data counts no time")
    return kind(values, name=label(name), **({} if frequency is None else {"freq": frequency}))


def _periods(parts: dict[Any, Any]) -> Any:
    data, name = _take(parts, "data", "name")
    return pandas.PeriodIndex(_of(data, "PeriodArray"), name=label(name))


def _categories(parts: dict[Any, Any]) -> Any:
    data, name = _take(parts, "data", "name")
    return pandas.CategoricalIndex(_of(data, "Categorical"), name=label(name))


def _of(data: Any, kind: str) -> Any:
    if type(data).__name__ != kind or not isinstance(data, pandas.api.extensions.ExtensionArray) or data.ndim != 1:
        raise bad("an index", f"its data is no {kind}")
    return data


def _intervals(parts: dict[Any, Any]) -> Any:
    data, left, right, closed, name = _take(parts, "data", "left", "right", "closed", "name")
    if data is not None:
        return pandas.IntervalIndex(_of(data, "IntervalArray"), name=label(name))
    if closed not in CLOSED:
        raise bad("an IntervalIndex", "its ends are neither open nor closed")
    return pandas.IntervalIndex.from_arrays(ends(left), ends(right), closed=closed, name=label(name))


_KINDS = {
    "Index": _plain,
    "RangeIndex": _range,
    "MultiIndex": _multi,
    "DatetimeIndex": _moments,
    "TimedeltaIndex": _durations,
    "PeriodIndex": _periods,
    "CategoricalIndex": _categories,
    "IntervalIndex": _intervals,
}


def places(placement: object, count: int) -> numpy.ndarray[Any, Any]:
    """Which columns a block holds. Raises `MalformedInput` for those that are not there."""
    if isinstance(placement, slice):
        start, stop, step = placement.start, placement.stop, placement.step
        fits = all(one is None or whole(one) for one in (stop, step)) and step != 0
        if not fits or not whole(start, 0, count):
            raise bad("a block", "it is placed outside of its table")
        return numpy.arange(count)[placement]
    found = numbers(placement, "iu", 1)
    if found.size and (int(found.min()) < 0 or int(found.max()) >= count):
        raise bad("a block", "it is placed outside of its table")
    return found.astype(numpy.int64)
