"""Types and arrays of pandas' own: from their values, through public constructors."""

from __future__ import annotations

import datetime
import re
from typing import Any

import numpy
import pandas

from safeload.adapt_pandas._checks import UNITS, bad, codes, label, labels, numbers, one_state, only_args, short, whole
from safeload.core.construct import Named
from safeload.core.names import GlobalName
from safeload.engine.live import Made, Maker

_PERIOD = re.compile(r"period\[([A-Za-z0-9-]{1,20})\]\Z", re.ASCII)
INTERVALS = frozenset(GlobalName(home, "IntervalArray") for home in ("pandas.arrays", "pandas.core.arrays.interval"))
_CLOSED = ("left", "right", "both", "neither")
_BESIDE = {"_cache", "_freq", "_readonly"}
"""What pandas keeps beside a state, and forgets."""
_MASKED = {"IntegerArray": "iu", "FloatingArray": "f", "BooleanArray": "b"}


# ── types ───────────────────────────────────────────────────────────────────────────────────────────────────────


def categorical_type(made: Made) -> object:
    match one_state(made):
        case {"categories": pandas.Index() | None as categories, "ordered": bool() | None as ordered, **rest}:
            _cache_only(made, rest)
            if categories is not None and isinstance(categories, pandas.MultiIndex):
                raise bad("a CategoricalDtype", "its categories are of several levels")
            return pandas.CategoricalDtype(short(categories), ordered)
    raise bad("a CategoricalDtype", "its state is another one")


def zoned_type(made: Made) -> object:
    match one_state(made):
        case {"unit": str() as unit, "tz": datetime.tzinfo() as zone, **rest} if unit in UNITS:
            _cache_only(made, rest)
            return pandas.DatetimeTZDtype(unit, zone)
    raise bad("a DatetimeTZDtype", "its unit or its zone is none")


def string_type(made: Made) -> object:
    if made.states:
        args: tuple[Any, ...] = ()
        match one_state(made):
            case {"storage": str() as storage, **rest}:
                _cache_only(made, rest)
                args = (storage,)
            case _:
                raise bad("a StringDtype", "its state is another one")
    else:
        args = only_args(made)
    match args:
        case () | ("python",):
            return pandas.StringDtype("python")
        case ("python", missing) if missing is pandas.NA or (type(missing) is float and missing != missing):
            return pandas.StringDtype("python", na_value=missing)
    raise bad("a StringDtype", "it is kept elsewhere than in Python's memory, or its missing value is none")


def period_type(made: Made) -> object:
    match only_args(made):
        case (str() as text,) if found := _PERIOD.match(text):
            return pandas.PeriodDtype(found[1])
        case (pandas.offsets.BaseOffset() as frequency,):
            return pandas.PeriodDtype(frequency)
    raise bad("a PeriodDtype", "its frequency is none")


def interval_type(made: Made) -> object:
    match one_state(made):
        case {"subtype": numpy.dtype() | pandas.DatetimeTZDtype() as kind, "closed": str() as closed, **rest}:
            _cache_only(made, rest)
            if closed in _CLOSED:
                return pandas.IntervalDtype(kind, closed)
    raise bad("an IntervalDtype", "its state is another one")


def masked_type(made: Made) -> object:
    """The type of arrays with a mask, which has a name and nothing else."""
    state = one_state(made)
    if state is not None:
        _cache_only(made, state)
    return getattr(pandas, made.name.name)()


def _cache_only(made: Made, state: object) -> None:
    """What pandas remembers beside a state is forgotten; anything else is not what it writes."""
    if not isinstance(state, dict) or set(state) - _BESIDE:
        raise bad(str(made.name), "its state is another one")


# ── arrays ──────────────────────────────────────────────────────────────────────────────────────────────────────


def backed(kinds: dict[Any, str]) -> Maker:
    """The maker of arrays that stand on one of numpy's. `kinds`: the name of each class that may be asked for."""

    def make(made: Made) -> object:
        match made.args:
            case (Named(name=name), int(), None) if len(made.states) == 1:
                state = made.states[0]
            case (Named(name=name), int(), tuple() as state) if not made.states:
                pass
            case _:
                raise bad("an array of pandas", "it is made in another way")
        kind = kinds.get(name)
        if kind is None or made.kwargs or made.items:
            return made.record()
        match state:
            case (numpy.ndarray() as values, kept, *rest) | (kept, numpy.ndarray() as values, *rest) if len(rest) <= 1:
                if all(isinstance(one, dict) and not set(one) - _BESIDE for one in rest):
                    return _BACKED[kind](values, kept)
        raise bad(f"a {kind}", "its state is another one")

    return make


def _categorical(values: Any, kept: Any) -> object:
    if not isinstance(kept, pandas.CategoricalDtype) or kept.categories is None:
        raise bad("a Categorical", "its categories are none")
    return pandas.Categorical.from_codes(codes(values, len(kept.categories)), dtype=kept)


def _moments(values: Any, kept: Any) -> object:
    found = _time("M", values, kept.base if isinstance(kept, pandas.DatetimeTZDtype) else kept)
    if not isinstance(kept, pandas.DatetimeTZDtype):
        return found
    zoned = pandas.DatetimeIndex(found.ravel()).tz_localize("UTC").tz_convert(kept.tz).array
    return zoned.reshape(values.shape)


def _durations(values: Any, kept: Any) -> object:
    return _time("m", values, kept)


def _time(kind: str, values: Any, kept: Any) -> Any:
    """An array of moments or durations, of one dimension or, in a block, of two."""
    found = numbers(values, kind)
    if not isinstance(kept, numpy.dtype) or found.dtype != kept or not 1 <= found.ndim <= 2:
        raise bad("an array of times", "its type is another one")
    flat: Any = pandas.array(found.reshape(-1), dtype=found.dtype, copy=False)
    return flat.reshape(found.shape)


def _periods(values: Any, kept: Any) -> object:
    found = numbers(values, "i")
    if not isinstance(kept, pandas.PeriodDtype) or found.dtype != numpy.int64 or not 1 <= found.ndim <= 2:
        raise bad("a PeriodArray", "its type is another one")
    flat: Any = pandas.PeriodIndex.from_ordinals(found.reshape(-1), freq=kept.freq).array
    return flat.reshape(found.shape)


def _texts(values: Any, kept: Any) -> object:
    found = numbers(values, "O")
    if not isinstance(kept, pandas.StringDtype) or not 1 <= found.ndim <= 2:
        raise bad("a StringArray", "its type is another one")
    flat = found.reshape(-1)
    for one in flat:
        if type(one) is not str and one is not pandas.NA and one is not None and not _no_number(one):
            raise bad("a StringArray", f"it holds a {type(one).__name__}")
    made: Any = pandas.array(flat, dtype=kept, copy=False)
    return made.reshape(found.shape)


def _no_number(value: object) -> bool:
    return type(value) is float and value != value


def _plain(values: Any, kept: Any) -> object:
    return pandas.arrays.NumpyExtensionArray(numbers(values, "biufcO", 1))


_BACKED = {
    "Categorical": _categorical,
    "DatetimeArray": _moments,
    "TimedeltaArray": _durations,
    "PeriodArray": _periods,
    "StringArray": _texts,
    "NumpyExtensionArray": _plain,
}


def masked(made: Made) -> object:
    """Values and a mask."""
    match one_state(made):
        case {"_data": values, "_mask": mask, **rest} if not set(rest) - {"_dtype", *_BESIDE}:
            pass
        case _:
            raise bad(str(made.name), "its state is another one")
    kind = made.name.name
    found, hidden = numbers(values, _MASKED[kind], 1), numbers(mask, "b", 1)
    if found.shape != hidden.shape:
        raise bad(f"a {kind}", "its mask is of another length")
    return getattr(pandas.arrays, kind)(found, hidden)


def intervals(made: Made) -> object:
    """Two sides, as an instance with a state or by the helper of a compiled base class."""
    match made.args:
        case ():
            state = one_state(made)
        case (Named(name=name), int(), None) if name in INTERVALS and len(made.states) == 1 and not made.items:
            state = made.states[0]
        case (Named(name=name), int(), tuple() as state) if name in INTERVALS and not made.states:
            pass
        case _:
            return made.record()
    match state[-1] if isinstance(state, tuple) and state else state:
        case {"_left": left, "_right": right, "_dtype": pandas.IntervalDtype() as kind, **rest}:
            _cache_only(made, rest)
            return pandas.arrays.IntervalArray.from_arrays(ends(left), ends(right), closed=kind.closed)
    raise bad("an IntervalArray", "its state is another one")


def ends(value: Any) -> Any:
    """One side of intervals."""
    if isinstance(value, pandas.Index) and not isinstance(value, pandas.MultiIndex):
        return short(value)
    if isinstance(value, pandas.api.extensions.ExtensionArray):
        return value
    return numbers(value, "iufmM", 1)


# ── single values ───────────────────────────────────────────────────────────────────────────────────────────────

_RESOLUTIONS = dict(enumerate(UNITS, 7))


def timestamp(made: Made) -> object:
    match only_args(made):
        case (value, None | pandas.offsets.BaseOffset(), None | datetime.tzinfo() as zone, *unit) if len(unit) <= 1:
            pass
        case _:
            raise bad("a Timestamp", "its arguments are others")
    found = pandas.Timestamp(numpy.datetime64(_count(value), _unit(unit)))
    return found if zone is None else found.tz_localize("UTC").tz_convert(zone)


def timedelta(made: Made) -> object:
    match only_args(made):
        case (value, *unit) if len(unit) <= 1:
            return pandas.Timedelta(numpy.timedelta64(_count(value), _unit(unit)))
    raise bad("a Timedelta", "its arguments are others")


def _count(value: object) -> int:
    if not whole(value, 1 - (1 << 63)):
        raise bad("a moment", "it is no number")
    return int(value)  # type: ignore[call-overload, no-any-return]


def _unit(unit: list[Any]) -> Any:
    (number,) = unit or (10,)
    if type(number) is not int or number not in _RESOLUTIONS:
        raise bad("a moment", "it counts in a unit that pandas does not have")
    return _RESOLUTIONS[number]


def no_time(made: Made) -> object:
    if only_args(made) not in ((), (None,)):
        raise bad("NaT", "its arguments are others")
    return pandas.NaT


def period(made: Made) -> object:
    match only_args(made):
        case (None, pandas.offsets.BaseOffset() as frequency, ordinal) if whole(ordinal):
            return pandas.Period(ordinal=int(ordinal), freq=frequency)
    raise bad("a Period", "its arguments are others")


def interval(made: Made) -> object:
    match only_args(made):
        case (left, right, str() as closed) if closed in _CLOSED:
            label(left), label(right)
            return pandas.Interval(left, right, closed)
    raise bad("an Interval", "its arguments are others")


def offset(made: Made) -> object:
    """A frequency: how many, and small numbers that say of which kind."""
    args = only_args(made)
    plain = all(isinstance(one, bool) or one is None or whole(one, 0, 366) for one in args[1:])
    if made.name.name == "BusinessDay" and len(args) == 3 and args[2] == datetime.timedelta(0):
        args, plain = args[:2], isinstance(args[1], bool)
    if not args or not whole(args[0], -(1 << 31), 1 << 31) or not args[0] or not plain:
        raise bad(f"a frequency ({made.name.name})", "its arguments are others")
    return getattr(pandas.offsets, made.name.name)(*args)


def objects(values: Any) -> Any:
    """Objects that become labels."""
    if values.dtype == object:
        labels(values)
    return values
