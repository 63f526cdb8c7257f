"""The names of pandas that are known, in every spelling that pandas 1.5 to 3 writes, and what each is made by."""

from __future__ import annotations

from functools import cache
from typing import Any

import pandas

from safeload.adapt_pandas import _arrays, _arrow, _frame, _moments, _sparse
from safeload.adapt_pandas._checks import guarded
from safeload.adapt_pandas._index import index
from safeload.core.names import GlobalName
from safeload.engine.live import Maker, Table

_DTYPES = "pandas.core.dtypes.dtypes"
_OFFSETS = "pandas._libs.tslibs.offsets"
_TSLIBS = "pandas._libs.tslibs"
_WIDTHS = ("8", "16", "32", "64")
OFFSETS = (
    "BusinessDay", "BusinessMonthBegin", "BusinessMonthEnd", "BQuarterBegin", "BQuarterEnd", "BYearBegin", "BYearEnd",
    "Day", "Hour", "Micro", "Milli", "Minute", "MonthBegin", "MonthEnd", "Nano", "QuarterBegin", "QuarterEnd", "Second",
    "Week", "YearBegin", "YearEnd", "SemiMonthBegin", "SemiMonthEnd", "WeekOfMonth", "LastWeekOfMonth", "Easter",
    "FY5253", "FY5253Quarter", "HalfYearBegin", "HalfYearEnd", "BHalfYearBegin", "BHalfYearEnd",
)  # fmt: skip
TEXTS = ("ArrowStringArray", "ArrowStringArrayNumpySemantics")
WORKED = (
    "BusinessHour", "CustomBusinessDay", "CustomBusinessHour", "CustomBusinessMonthBegin", "CustomBusinessMonthEnd",
)  # fmt: skip
_INDEXES = {
    "Index": "base",
    "RangeIndex": "range",
    "MultiIndex": "multi",
    "DatetimeIndex": "datetimes",
    "TimedeltaIndex": "timedeltas",
    "PeriodIndex": "period",
    "CategoricalIndex": "category",
    "IntervalIndex": "interval",
}
_ARRAYS = {
    "Categorical": ("pandas", "categorical"),
    "DatetimeArray": ("pandas.arrays", "datetimes"),
    "TimedeltaArray": ("pandas.arrays", "timedeltas"),
    "PeriodArray": ("pandas.arrays", "period"),
    "StringArray": ("pandas.arrays", "string_"),
    "NumpyExtensionArray": ("pandas.arrays", "numpy_"),
}
_MASKED = {"IntegerArray": "integer", "FloatingArray": "floating", "BooleanArray": "boolean"}
_MASKED_TYPES = {
    **{f"{sign}Int{width}Dtype": "integer" for sign in ("", "U") for width in _WIDTHS},
    **{f"Float{width}Dtype": "floating" for width in ("32", "64")},
    "BooleanDtype": "boolean",
}
INDEX_KINDS = {
    **{GlobalName("pandas", name): name for name in _INDEXES},
    **{GlobalName(f"pandas.core.indexes.{home}", name): name for name, home in _INDEXES.items()},
    **{GlobalName("pandas.core.indexes.numeric", f"{kind}64Index"): "Index" for kind in ("Int", "UInt", "Float")},
}
ARRAY_KINDS = {
    GlobalName(module, name): name
    for name, (new, home) in _ARRAYS.items()
    for module in (new, f"pandas.core.arrays.{home}")
}
_MAKERS: dict[tuple[str, ...], dict[str, Maker]] = {
    ("pandas", "pandas.core.frame"): {"DataFrame": _frame.frame},
    ("pandas", "pandas.core.series"): {"Series": _frame.series},
    ("pandas.core.internals.managers",): {"BlockManager": _frame.blocks, "SingleBlockManager": _frame.blocks},
    ("pandas._libs.internals",): {"_unpickle_block": _frame.block},
    ("pandas.core.internals.blocks",): {"new_block": _frame.block},
    ("pandas.core.indexes.base",): {"_new_Index": index(INDEX_KINDS)},
    ("pandas.core.indexes.datetimes",): {"_new_DatetimeIndex": index(INDEX_KINDS)},
    ("pandas.core.indexes.timedeltas",): {"_new_TimedeltaIndex": index(INDEX_KINDS)},
    ("pandas.core.indexes.interval",): {"_new_IntervalIndex": index(INDEX_KINDS)},
    ("pandas._libs.arrays",): {"__pyx_unpickle_NDArrayBacked": _arrays.backed(ARRAY_KINDS)},
    ("pandas", _DTYPES): {
        "CategoricalDtype": _arrays.categorical_type,
        "DatetimeTZDtype": _arrays.zoned_type,
        "PeriodDtype": _arrays.period_type,
        "IntervalDtype": _arrays.interval_type,
    },
    ("pandas", "pandas.core.arrays.string_"): {"StringDtype": _arrays.string_type},
    ("pandas.arrays", "pandas.core.arrays.interval"): {"IntervalArray": _arrays.intervals},
    ("pandas", f"{_TSLIBS}.timestamps"): {"Timestamp": _moments.timestamp},
    (f"{_TSLIBS}.timestamps",): {"_unpickle_timestamp": _moments.timestamp},
    ("pandas", f"{_TSLIBS}.timedeltas"): {"Timedelta": _moments.timedelta},
    (f"{_TSLIBS}.timedeltas",): {"_timedelta_unpickle": _moments.timedelta},
    (f"{_TSLIBS}.nattype",): {"_nat_unpickle": _moments.no_time, "__nat_unpickle": _moments.no_time},
    ("pandas", f"{_TSLIBS}.period"): {"Period": _moments.period},
    ("pandas", "pandas._libs.interval"): {"Interval": _moments.interval},
    ("pandas._libs.interval",): {"__pyx_unpickle_IntervalMixin": _arrays.intervals},
    (_OFFSETS,): dict.fromkeys(OFFSETS, _moments.offset) | dict.fromkeys(WORKED, _moments.worked),
    ("pandas", _OFFSETS): {"DateOffset": _moments.calendar_offset},
    ("pandas", _DTYPES, "pandas.core.arrays.sparse.dtype"): {"SparseDtype": _sparse.sparse_type},
    ("pandas.arrays", "pandas.core.arrays.sparse.array"): {"SparseArray": _sparse.sparse},
    ("pandas._libs.sparse",): {"BlockIndex": _sparse.sparse_places, "IntIndex": _sparse.sparse_places},
    ("pandas.arrays", "pandas.core.arrays.string_arrow"): dict.fromkeys(TEXTS, _arrow.text_array),
    ("pyarrow.lib",): {
        "_restore_array": _arrow.array,
        "chunked_array": _arrow.chunks,
        "py_buffer": _arrow.buffer,
        "type_for_alias": _arrow.kind,
    },
    (_DTYPES,): {"NumpyEADtype": _arrays.plain_array_type},
}


@cache
def table() -> Table:
    """Makers, and the missing value that is named and never called."""
    makers = {
        GlobalName(module, name): guarded(maker)
        for modules, named in _MAKERS.items()
        for module in modules
        for name, maker in named.items()
    }
    for made, homes, new in (
        (_arrays.masked, _MASKED, "pandas.arrays"),
        (_arrays.masked_type, _MASKED_TYPES, "pandas"),
    ):
        for name, home in homes.items():
            makers[GlobalName(new, name)] = makers[GlobalName(f"pandas.core.arrays.{home}", name)] = guarded(made)
    missing: dict[GlobalName, Any] = {GlobalName(home, "NA"): pandas.NA for home in ("pandas", "pandas._libs.missing")}
    return Table(makers=makers, constants=missing, named=frozenset({*INDEX_KINDS, *ARRAY_KINDS}))
