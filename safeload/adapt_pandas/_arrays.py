"""Types and arrays of pandas' own: from their values, through public constructors."""

from __future__ import annotations

import datetime
import re
from typing import Any

import numpy
import pandas

from safeload.adapt_pandas._arrow import kept_as, text_type
from safeload.adapt_pandas._checks import (
    BESIDE,
    CLOSED,
    UNITS,
    bad,
    cache_only,
    codes,
    labels,
    numbers,
    one_state,
    only_args,
    short,
)
from safeload.adapt_pandas._crowds import refuse_crowded
from safeload.core.construct import Named
from safeload.core.names import GlobalName
from safeload.engine.live import Made, Maker

_PERIOD = re.compile(r"period\[([A-Za-z0-9-]{1,20})\]\Z", re.ASCII)
INTERVALS = frozenset(GlobalName(home, "IntervalArray") for home in ("pandas.arrays", "pandas.core.arrays.interval"))
_MASKED = {"IntegerArray": "iu", "FloatingArray": "f", "BooleanArray": "b"}


# ── types ───────────────────────────────────────────────────────────────────────────────────────────────────────


def categorical_type(made: Made) -> object:
    match one_state(made):
        case {"categories": pandas.Index() | None as categories, "ordered": bool() | None as ordered, **rest}:
            cache_only(made, rest)
            if categories is not None and isinstance(categories, pandas.MultiIndex):
                raise bad("a CategoricalDtype", "its categories are of several levels")
            return pandas.CategoricalDtype(short(categories), ordered)
    raise bad("a CategoricalDtype", "its state is another one")


def zoned_type(made: Made) -> object:
    match one_state(made):
        case {"unit": str() as unit, "tz": datetime.tzinfo() as zone, **rest} if unit in UNITS:
            cache_only(made, rest)
            return pandas.DatetimeTZDtype(unit, zone)
    raise bad("a DatetimeTZDtype", "its unit or its zone is none")


def string_type(made: Made) -> object:
    if made.states:
        args: tuple[Any, ...] = ()
        match one_state(made):
            case {"storage": str() as storage, **rest}:
                cache_only(made, rest)
                args = (storage,)
            case _:
                raise bad("a StringDtype", "its state is another one")
    else:
        args = only_args(made)
    match args:
        case () | ("python",):
            return kept_as("python", pandas.NA)
        case ("python", missing) if missing is pandas.NA or _no_number(missing):
            return kept_as("python", missing)
        case ("pyarrow",):
            return text_type(pandas.NA)
        case ("pyarrow", missing) if missing is pandas.NA or _no_number(missing):
            return text_type(missing)
    raise bad("a StringDtype", "nobody knows where it is kept, or its missing value is none")


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
            cache_only(made, rest)
            if closed in CLOSED:
                return pandas.IntervalDtype(kind, closed)
    raise bad("an IntervalDtype", "its state is another one")


def masked_type(made: Made) -> object:
    """The type of arrays with a mask, which has a name and nothing else."""
    state = one_state(made)
    if state is not None:
        cache_only(made, state)
    return getattr(pandas, made.name.name)()


def plain_array_type(made: Made) -> object:
    """The type that pandas gives to plain arrays where it wants one of its own."""
    match one_state(made):
        case {"_dtype": numpy.dtype() as kind, **rest}:
            cache_only(made, rest)
            return pandas.arrays.NumpyExtensionArray(numpy.empty(0, dtype=kind)).dtype
    raise bad(made.name.name, "its state is another one")


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
                if all(isinstance(one, dict) and not set(one) - BESIDE for one in rest):
                    return _regular(kind, _BACKED[kind](values, kept), *rest)
        raise bad(f"a {kind}", "its state is another one")

    return make


def _regular(kind: str, found: Any, beside: dict[str, Any] | None = None) -> object:
    """An array of times with its frequency, which pandas looks at; since pandas 3 only indexes have one."""
    frequency = (beside or {}).get("_freq")
    timed = kind in ("DatetimeArray", "TimedeltaArray") and found.ndim == 1 and hasattr(found, "freq")
    if timed and isinstance(frequency, pandas.offsets.BaseOffset):
        found.freq = frequency
    return found


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
        case {"_data": values, "_mask": mask, **rest} if not set(rest) - {"_dtype", *BESIDE}:
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
            cache_only(made, rest)
            return pandas.arrays.IntervalArray.from_arrays(ends(left), ends(right), closed=kind.closed)
    raise bad("an IntervalArray", "its state is another one")


def ends(value: Any) -> Any:
    """One side of intervals."""
    if isinstance(value, pandas.Index) and not isinstance(value, pandas.MultiIndex):
        return short(value)
    if isinstance(value, pandas.api.extensions.ExtensionArray):
        return value
    return numbers(value, "iufmM", 1)


def objects(values: Any) -> Any:
    """An array whose items become labels: each hashes in little time, and not too many alike."""
    if values.dtype == object:
        labels(values)
    refuse_crowded(values)
    return values
