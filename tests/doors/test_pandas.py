"""pandas' objects through `safeload.pickle`: what pandas wrote comes back; what it would not write is refused."""

from __future__ import annotations

import base64
import builtins
import copyreg
import datetime
import inspect
import io
import json
import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy
import pytest
from hypothesis import given, settings

from safeload import Options
from safeload import pickle as safe_pickle
from safeload.core.construct import Record
from safeload.core.errors import MalformedInput, PolicyDenied, SafeloadError, UsageError
from safeload.core.names import GlobalName
from safeload.engine.scan import scan_stream

pandas = pytest.importorskip("pandas")

from pandas._libs.arrays import NDArrayBacked  # noqa: E402
from pandas._libs.internals import _unpickle_block  # noqa: E402
from pandas.core.indexes.base import _new_Index  # noqa: E402
from pandas.core.internals.managers import BlockManager, SingleBlockManager  # noqa: E402

from safeload.adapt_pandas._table import table  # noqa: E402

TESTING = pandas.testing
UNTOLD: dict[str, Any] = (
    {"check_freq": False} if "check_freq" in inspect.signature(TESTING.assert_index_equal).parameters else {}
)
"""pandas 3 compares frequencies of indexes if it is not told otherwise; before, it did not."""
NEWER_TEXT = "na_value" in inspect.signature(pandas.StringDtype).parameters
_BACKED = NDArrayBacked.__reduce__(pandas.array([0], dtype="datetime64[ns]"))[0]


def _frames() -> dict[str, Any]:
    mixed = pandas.DataFrame(
        {
            "a": [1, 2],
            "b": [1.5, 2.0],
            "s": ["x", None],
            "c": pandas.Categorical(["u", None], categories=["v", "u"], ordered=True),
            "d": pandas.to_datetime(["2020-01-01", None]),
            "z": pandas.to_datetime(["2020", "2021"], utc=True),
            "t": pandas.to_timedelta([1, 2], unit="h"),
            "i": pandas.array([1, None], dtype="Int64"),
            "f": pandas.array([1.5, None], dtype="Float32"),
            "q": pandas.array([True, None]),
            "p": pandas.period_range("2020", periods=2, freq="M"),
            "k": pandas.interval_range(0, 2),
            "a2": [3, 4],
            "w": pandas.array(["a", None], dtype="string"),
        }
    )
    mixed["o"] = pandas.Series([{"deep": [1]}, None], dtype=object)
    dressed = pandas.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False)
    dressed.attrs = {"unit": "m"}
    return {
        "mixed": mixed,
        "one block": pandas.DataFrame(numpy.arange(12.0).reshape(4, 3), columns=list("abc")),
        "reordered": mixed[["b", "a", "s", "a2", "c"]],
        "twice": pandas.DataFrame([[1, 2.5, 3]], columns=["a", "a", "b"]),
        "empty": pandas.DataFrame(),
        "no rows": mixed.iloc[:0],
        "no columns": pandas.DataFrame(index=[1, 2]),
        "levels": mixed.set_index(["a", "s"]).drop(columns="o"),
        "columns": pandas.DataFrame(
            [[1, 2]], columns=pandas.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["m", "n"])
        ),
        "dressed": dressed,
        "categories": pandas.DataFrame({"a": [1, 2]}, index=pandas.CategoricalIndex(["p", "q"], name="n")),
        "object labels": pandas.DataFrame(
            [[1, 2]], columns=pandas.Index(["a", ("b", 1)], dtype=object, tupleize_cols=False)
        ),
    }


def _others() -> dict[str, Any]:
    return {
        "series": pandas.Series([1, 2], index=["p", "q"], name=("n", 1)),
        "objects": pandas.Series(["a", None, 3], dtype=object),
        "complex": pandas.Series([1j, 2.0]),
        "nested": pandas.Series([pandas.Series([1]), pandas.Timestamp("2020")], dtype=object),
        "range": pandas.RangeIndex(1, 9, 2, name="r"),
        "days": pandas.date_range("2020", periods=3),
        "weeks": pandas.date_range("2020", periods=3, freq="W-TUE"),
        "quarters": pandas.period_range("2020", periods=3, freq="Q-NOV"),
        "hours": pandas.timedelta_range("1h", periods=3),
        "intervals": pandas.interval_range(0, 3, closed="left", name="i"),
        "moments": pandas.IntervalIndex.from_breaks(pandas.date_range("2020", periods=3)),
        "levels": pandas.MultiIndex.from_product([[1, 2], ["a", "b"]], names=["x", None]),
        "flags": pandas.Index([True, False]),
    }


def _equal(found: Any, wanted: Any) -> None:
    assert type(found) is type(wanted)
    if isinstance(wanted, pandas.DataFrame):
        TESTING.assert_frame_equal(found, wanted, check_freq=True)
        assert found.flags.allows_duplicate_labels is wanted.flags.allows_duplicate_labels
    elif isinstance(wanted, pandas.Series):
        TESTING.assert_series_equal(found, wanted, check_freq=True)
    else:
        TESTING.assert_index_equal(found, wanted, exact=True, **({"check_freq": True} if UNTOLD else {}))
        assert getattr(found, "freq", None) == getattr(wanted, "freq", None)
    assert getattr(found, "attrs", {}) == getattr(wanted, "attrs", {})


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", sorted(_frames()))
def test_frames_come_back(name: str, protocol: int) -> None:
    """A frame is the same after each protocol."""
    frame = _frames()[name]
    _equal(safe_pickle.loads(pickle.dumps(frame, protocol)), frame)


@pytest.mark.parametrize("protocol", (0, 2, pickle.HIGHEST_PROTOCOL))
@pytest.mark.parametrize("name", sorted(_others()))
def test_series_and_indexes_come_back(name: str, protocol: int) -> None:
    """So is a series, and each kind of index with its frequency."""
    value = _others()[name]
    _equal(safe_pickle.loads(pickle.dumps(value, protocol)), value)


@pytest.mark.parametrize(
    "value",
    (
        pandas.Timestamp("2020-02-03 04:05:06.000007"),
        pandas.Timestamp("2020", tz="UTC"),
        pandas.Timestamp("2020", tz=datetime.timezone(datetime.timedelta(hours=2))).as_unit("s"),
        pandas.Timedelta("1h"),
        pandas.Period("2020", "M"),
        pandas.Interval(0, 1.5, "both"),
        pandas.CategoricalDtype(["a", "b"], ordered=True),
        pandas.DatetimeTZDtype("ms", "UTC"),
        # Before 2.3 there is one value that is missing, and no word for it.
        pandas.StringDtype("python", **{"na_value": numpy.nan} if NEWER_TEXT else {}),
        pandas.PeriodDtype("D"),
        pandas.IntervalDtype("int64", "left"),
        pandas.UInt8Dtype(),
    ),
    ids=repr,
)
def test_single_values_and_types_come_back(value: object) -> None:
    """Moments keep their zone and unit."""
    found = safe_pickle.loads(pickle.dumps(value))
    assert type(found) is type(value) and found == value
    assert getattr(found, "unit", None) == getattr(value, "unit", None)


def test_missing_values_are_pandas_own() -> None:
    """`NA` and `NaT` are the one object that they are in pandas."""
    found = safe_pickle.loads(pickle.dumps([pandas.NA, pandas.NaT]))
    assert found[0] is pandas.NA and found[1] is pandas.NaT


def test_buffers_beside_the_stream_are_used() -> None:
    """Protocol 5 with its buffers elsewhere gives the same frame."""
    frame = _frames()["mixed"]
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(frame, 5, buffer_callback=buffers.append)
    assert buffers
    _equal(safe_pickle.loads(data, buffers=buffers), frame)


def _old() -> list[tuple[str, str, bytes]]:
    with open(Path(__file__).with_name("pandas_pickles.json"), encoding="utf-8") as file:
        written = json.load(file)
    return [
        (version, name, zlib.decompress(base64.b64decode(text)))
        for version, texts in written.items()
        for name, text in texts.items()
    ]


@pytest.mark.parametrize(("version", "name", "data"), _old(), ids=lambda one: one if isinstance(one, str) else "")
def test_older_pandas_is_read(version: str, name: str, data: bytes) -> None:
    """What pandas 1.5 and 2.3 wrote is what pandas itself reads from it, and is called safe."""
    found = safe_pickle.loads(data)
    if name == "strings" and version == "2.3.3" and not NEWER_TEXT:
        return  # this pandas cannot read it
    if name == "utc":  # pandas needs pytz for what it wrote itself before version 2
        wanted: Any = pandas.Series(pandas.to_datetime(["2020", "2021"], utc=True).as_unit("ns"))
    else:
        wanted = pandas.read_pickle(io.BytesIO(data))
    if name == "scalars":
        assert repr(found) == repr(wanted)
    elif name == "days":  # its frequency is not kept
        TESTING.assert_index_equal(found, wanted, exact=True, **UNTOLD)
    else:
        _equal(found, wanted)
    assert str(scan_of(data)) == "safe"


def scan_of(data: bytes) -> Any:
    return scan_stream(io.BytesIO(data)).files[0].status


@pytest.mark.parametrize("name", sorted(_frames()))
def test_frames_are_called_safe(name: str) -> None:
    """A scan finds nothing in a frame of listed types."""
    assert str(scan_of(pickle.dumps(_frames()[name]))) == "safe"


# ── laws ────────────────────────────────────────────────────────────────────────────────────────────────────────

_KINDS = ("int8", "float64", "bool", "object", "str", "string", "Int16", "category", "datetime64[s]", "timedelta64[us]")
_CELLS = st.lists(st.integers(0, 9), min_size=4, max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    columns=st.lists(st.tuples(st.sampled_from(_KINDS), _CELLS), max_size=8),
    protocol=st.integers(0, pickle.HIGHEST_PROTOCOL),
    data=st.data(),
)
def test_any_frame_is_itself_again(columns: list[tuple[str, list[int]]], protocol: int, data: st.DataObject) -> None:
    """Whatever the types, in whatever order: reading what pandas wrote gives the frame."""
    made = {}
    for number, (kind, cells) in enumerate(columns):
        values: list[Any] = [str(cell) for cell in cells] if kind in ("str", "string", "object") else list(cells)
        made[number] = pandas.Series(values).astype(kind)
    frame = pandas.DataFrame(made)
    frame = frame[data.draw(st.permutations(list(made)))]
    _equal(safe_pickle.loads(pickle.dumps(frame, protocol)), frame)


# ── what pandas does not write ──────────────────────────────────────────────────────────────────────────────────


class _Called:
    """Is pickled as a call."""

    def __init__(self, callee: Any, args: tuple[Any, ...], state: Any = None) -> None:
        self.reduced = (callee, args) if state is None else (callee, args, state)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.reduced


def _new(kind: type, state: Any) -> Any:
    """Is pickled as an instance of a class with a state."""

    class Stand:
        __class__ = kind

        def __reduce_ex__(self, protocol: Any) -> Any:
            return copyreg.__newobj__, (kind,), state  # type: ignore[attr-defined]

    return Stand()


def _index(kind: str, **parts: Any) -> _Called:
    return _Called(_new_Index, (getattr(pandas, kind), parts))


def _backed(kind: Any, *state: Any) -> _Called:
    return _Called(_BACKED, (kind, 1, None), state)


def _block(values: Any, placement: Any) -> _Called:
    return _Called(_unpickle_block, (values, placement, 2))


def _frame(blocks: list[Any], columns: Any = ("a", "b"), rows: int = 2, **more: Any) -> Any:
    axes = [pandas.Index(columns) if isinstance(columns, tuple) else columns, pandas.RangeIndex(rows)]
    return _new(pandas.DataFrame, {"_mgr": _Called(BlockManager, (tuple(blocks), axes)), "_metadata": [], **more})


def _series(values: Any, index: Any, placement: Any = slice(0, 2, 1), **more: Any) -> Any:
    layout = {"axes": [index], "blocks": [{"values": values, "mgr_locs": placement}]}
    manager = _new(SingleBlockManager, ([index], [values], [index], {"0.14.1": layout}))
    return _new(pandas.Series, {"_mgr": manager, "_typ": "series", "_metadata": ["_name"], "_name": None, **more})


_TWO = numpy.arange(4).reshape(2, 2)
_ONE = numpy.arange(2).reshape(1, 2)
_OTHER = numpy.arange(2.0).reshape(1, 2)
_ROWS = pandas.RangeIndex(2)
_TYPE = pandas.CategoricalDtype(["u", "v"])
_LEVELS = [pandas.Index([1, 2]), pandas.Index(["a", "b"])]
_FAR = pandas.RangeIndex(1 << 60)


def _codes(*codes: int, kind: str = "int8") -> numpy.ndarray[Any, Any]:
    return numpy.array(codes, dtype=kind)


HOSTILE = {
    # blocks
    "a place beyond": lambda: _frame([_block(_TWO, numpy.array([0, 2]))]),
    "a place before": lambda: _frame([_block(_TWO, numpy.array([0, -1]))]),
    "a far slice": lambda: _frame([_block(_TWO, slice(1 << 40, (1 << 40) + 2, 1))]),
    "a slice of nothing": lambda: _frame([_block(_TWO, slice(0, 2, 0))]),
    "a slice of text": lambda: _frame([_block(_TWO, slice("a", "b"))]),
    "a place twice": lambda: _frame([_block(_TWO, numpy.array([1, 1]))]),
    "overlapping blocks": lambda: _frame([_block(_ONE, slice(0, 1, 1)), _block(_OTHER, slice(0, 1, 1))]),
    "a column without a block": lambda: _frame([_block(_ONE, slice(0, 1, 1))]),
    "more blocks than columns": lambda: _frame([_block(_TWO, slice(0, 2, 1)), _block(_OTHER, slice(0, 1, 1))]),
    "places of floats": lambda: _frame([_block(_TWO, numpy.array([0.0, 1.0]))]),
    "one block twice": lambda: _frame([_block(_ONE, slice(0, 1, 1)), _block(_ONE, slice(1, 2, 1))]),
    "a short block": lambda: _frame([_block(_TWO[:, :1].copy(), slice(0, 2, 1))]),
    "a flat block": lambda: _frame([_block(_TWO.ravel(), slice(0, 2, 1))]),
    "a block of three dimensions": lambda: _frame([_block(_TWO.reshape(1, 2, 2), slice(0, 1, 1))], ("a",)),
    "a block of nothing": lambda: _frame([_block(None, slice(0, 2, 1))]),
    "a block of a list": lambda: _frame([_block([[1, 2], [3, 4]], slice(0, 2, 1))]),
    "a block of bytes": lambda: _frame([_block(numpy.array([[b"a", b"b"]]), slice(0, 1, 1))], ("a",)),
    "a block of records": lambda: _frame([_block(numpy.zeros((1, 2), dtype=[("a", "i4")]), slice(0, 1, 1))], ("a",)),
    "a block of days": lambda: _frame([_block(numpy.zeros((1, 2), dtype="M8[D]"), slice(0, 1, 1))], ("a",)),
    "no columns at all, and endless": lambda: _frame([], _FAR),
    "empty values, and endless": lambda: _frame(
        [_block(numpy.empty((1 << 40, 0)), slice(0, 1 << 40, 1))], pandas.RangeIndex(1 << 40), 0
    ),
    "many columns of nothing": lambda: _frame(
        [_block(numpy.empty((1 << 20, 0)), slice(0, 1 << 20, 1))], pandas.RangeIndex(1 << 20), 0
    ),
    "an axis that is a list": lambda: _frame([_block(_TWO, slice(0, 2, 1))], ["a", "b"]),
    "blocks that are none": lambda: _frame([_TWO]),
    # what else a state may set
    "evil metadata": lambda: _frame([_block(_TWO, slice(0, 2, 1))], _metadata=["__class__"]),
    "metadata that hides a method": lambda: _frame([_block(_TWO, slice(0, 2, 1))], _metadata=["to_csv"], to_csv=1),
    "an attribute": lambda: _frame([_block(_TWO, slice(0, 2, 1))], to_csv=1),
    "attributes that are none": lambda: _frame([_block(_TWO, slice(0, 2, 1))], attrs=[1]),
    "flags of another kind": lambda: _frame([_block(_TWO, slice(0, 2, 1))], _flags={"_obj": 1}),
    "flags that do not fit": lambda: _frame(
        [_block(_TWO, slice(0, 2, 1))], ("a", "a"), _flags={"allows_duplicate_labels": False}
    ),
    "a series as a frame": lambda: _frame([_block(_TWO, slice(0, 2, 1))], _typ="series"),
    "no manager": lambda: _new(pandas.DataFrame, {"_mgr": 1}),
    "a state that is a list": lambda: _new(pandas.DataFrame, [1]),
    # series
    "a short index": lambda: _series(numpy.arange(3), _ROWS),
    "an endless index": lambda: _series(numpy.arange(2), _FAR),
    "a series placed elsewhere": lambda: _series(numpy.arange(2), _ROWS, slice(1, 3, 1)),
    "a series of a table": lambda: _series(_TWO, _ROWS),
    "a name that does not hash": lambda: _series(numpy.arange(2), _ROWS, _name=[1]),
    # arrays
    "a code beyond": lambda: _backed(pandas.Categorical, _TYPE, _codes(0, 2)),
    "a code before": lambda: _backed(pandas.Categorical, _TYPE, _codes(0, -2)),
    "a code that wraps": lambda: _backed(pandas.Categorical, _TYPE, _codes(256, kind="int64")),
    "codes of floats": lambda: _backed(pandas.Categorical, _TYPE, _codes(0, kind="float64")),
    "codes of no sign": lambda: _backed(pandas.Categorical, _TYPE, _codes(0, kind="uint8")),
    "codes without categories": lambda: _backed(pandas.Categorical, pandas.CategoricalDtype(), _codes(0)),
    "codes of another type": lambda: _backed(pandas.Categorical, numpy.dtype("int8"), _codes(0)),
    "moments of numbers": lambda: _backed(pandas.arrays.DatetimeArray, numpy.dtype("M8[ns]"), _codes(0)),
    "moments of durations": lambda: _backed(
        pandas.arrays.DatetimeArray, numpy.dtype("m8[ns]"), _codes(0, kind="m8[ns]")
    ),
    "moments of another unit": lambda: _backed(
        pandas.arrays.DatetimeArray, numpy.dtype("M8[s]"), _codes(0, kind="M8[ns]")
    ),
    "moments of many seconds": lambda: _backed(
        pandas.arrays.DatetimeArray, numpy.dtype("M8[7s]"), _codes(0, kind="M8[7s]")
    ),
    "moments of the other order": lambda: _backed(
        pandas.arrays.DatetimeArray, numpy.dtype(">M8[s]"), _codes(0, kind=">M8[s]")
    ),
    "texts of numbers": lambda: _backed(
        pandas.arrays.StringArray, pandas.StringDtype("python"), numpy.array([1, "a"], dtype=object)
    ),
    "texts of bytes": lambda: _backed(
        pandas.arrays.StringArray, pandas.StringDtype("python"), numpy.array([b"a"], dtype=object)
    ),
    "texts without a type": lambda: _backed(pandas.arrays.StringArray, None, numpy.array(["a"], dtype=object)),
    "an attribute of an array": lambda: _backed(pandas.Categorical, _TYPE, _codes(0), {"__class__": 1}),
    "periods of small numbers": lambda: _backed(pandas.arrays.PeriodArray, pandas.PeriodDtype("D"), _codes(0)),
    "a short mask": lambda: _new(
        pandas.arrays.IntegerArray, {"_data": numpy.arange(3), "_mask": numpy.zeros(2, dtype=bool)}
    ),
    "a mask of numbers": lambda: _new(pandas.arrays.IntegerArray, {"_data": numpy.arange(2), "_mask": numpy.zeros(2)}),
    "masked floats as numbers": lambda: _new(
        pandas.arrays.IntegerArray, {"_data": numpy.zeros(2), "_mask": numpy.zeros(2, dtype=bool)}
    ),
    "masked tables": lambda: _new(
        pandas.arrays.IntegerArray, {"_data": _TWO, "_mask": numpy.zeros((2, 2), dtype=bool)}
    ),
    "the wrong array": lambda: _backed(pandas.Index, _TYPE, _codes(0)),
    # types
    "categories twice": lambda: _new(pandas.CategoricalDtype, {"categories": pandas.Index([1, 1]), "ordered": False}),
    "categories without end": lambda: _new(pandas.CategoricalDtype, {"categories": _FAR, "ordered": False}),
    "categories that are a list": lambda: _new(pandas.CategoricalDtype, {"categories": ["a"], "ordered": False}),
    "a zone that is text": lambda: _new(pandas.DatetimeTZDtype, {"unit": "ns", "tz": "../../etc/passwd"}),
    "a frequency that is text": lambda: _Called(pandas.PeriodDtype, ("period[../x]",)),
    "texts of nobody": lambda: _Called(pandas.StringDtype, ("elsewhere",)),
    # indexes
    "a level's code beyond": lambda: _index(
        "MultiIndex", levels=_LEVELS, codes=[_codes(0, 1), _codes(0, 2)], names=None
    ),
    "a level's code before": lambda: _index(
        "MultiIndex", levels=_LEVELS, codes=[_codes(0, 1), _codes(0, -2)], names=None
    ),
    "a level's code that wraps": lambda: _index(
        "MultiIndex", levels=_LEVELS, codes=[_codes(0), _codes(256, kind="int16")], names=None
    ),
    "codes of two lengths": lambda: _index("MultiIndex", levels=_LEVELS, codes=[_codes(0, 1), _codes(0)], names=None),
    "codes without a level": lambda: _index("MultiIndex", levels=_LEVELS[:1], codes=[_codes(0), _codes(0)], names=None),
    "codes of a list": lambda: _index("MultiIndex", levels=_LEVELS, codes=[[0], [0]], names=None),
    "levels of lists": lambda: _index("MultiIndex", levels=[[1], [2]], codes=[_codes(0), _codes(0)], names=None),
    "a level without end": lambda: _index("MultiIndex", levels=[_FAR], codes=[_codes(0)], names=None),
    "too few names": lambda: _index("MultiIndex", levels=_LEVELS, codes=[_codes(0), _codes(0)], names=["a"]),
    "an order that is none": lambda: _index(
        "MultiIndex", levels=_LEVELS, codes=[_codes(1, 0), _codes(0, 0)], names=None, sortorder=2
    ),
    "a range of no steps": lambda: _index("RangeIndex", start=0, stop=1, step=0, name=None),
    "a range too far": lambda: _index("RangeIndex", start=0, stop=1 << 70, step=1, name=None),
    "a range of text": lambda: _index("RangeIndex", start="0", stop=1, step=1, name=None),
    "an index of a table": lambda: _index("Index", data=_TWO, name=None),
    "an index with a type": lambda: _index("Index", data=numpy.arange(2), name=None, dtype="category"),
    "an index that is another": lambda: _index("Index", data=numpy.zeros(2, dtype="M8[ns]"), name=None),
    "an index of lists": lambda: _index("Index", data=numpy.array([[], None], dtype=object), name=None),
    "categories of numbers": lambda: _index("CategoricalIndex", data=numpy.arange(2), name=None),
    "intervals without end": lambda: _index("IntervalIndex", left=_FAR, right=_FAR, closed="left", name=None),
    "intervals backwards": lambda: _index(
        "IntervalIndex", left=pandas.Index([2]), right=pandas.Index([1]), closed="left", name=None
    ),
    "an index of a class that is none": lambda: _Called(_new_Index, (pandas.DataFrame, {"data": numpy.arange(2)})),
    "a frequency of nothing": lambda: _Called(pandas.offsets.Day, (0, False)),
    "a frequency that is a name": lambda: _Called(pandas.offsets.Day, ("1", False)),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
@pytest.mark.parametrize("protocol", (0, 4))
def test_what_pandas_does_not_write_is_refused(name: str, protocol: int) -> None:
    """Places, codes, lengths, types and attributes that pandas would take on trust are errors of ours."""
    data = pickle.dumps(HOSTILE[name](), protocol)
    with pytest.raises(MalformedInput):
        safe_pickle.loads(data)


def test_the_same_by_hand_is_taken_where_it_fits() -> None:
    """The forms above are those of pandas: with parts that fit they make a frame and a series."""
    frame = safe_pickle.loads(pickle.dumps(_frame([_block(_TWO, slice(0, 2, 1))], attrs={"a": 1})))
    TESTING.assert_frame_equal(frame, pandas.DataFrame({"a": [0, 1], "b": [2, 3]}))
    series = safe_pickle.loads(pickle.dumps(_series(numpy.arange(2), _ROWS)))
    TESTING.assert_series_equal(series, pandas.Series([0, 1]))
    TESTING.assert_extension_array_equal(
        safe_pickle.loads(pickle.dumps(_backed(pandas.Categorical, _TYPE, _codes(1, -1)))),
        pandas.Categorical(["v", None], categories=["u", "v"]),
    )


class _Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("where", ("cell", "label", "attribute", "category", "name"))
def test_a_call_in_a_frame_is_dangerous(where: str, marker: Path) -> None:
    """A call anywhere within is refused; read as data it is inert in a cell, and no label."""
    evil: Any = _Evil(marker)
    cells = numpy.array([[evil, 1]], dtype=object)
    labels = numpy.array([evil], dtype=object)
    value = {
        "cell": lambda: _frame([_block(cells, slice(0, 1, 1))], ("a",)),
        "attribute": lambda: _frame([], (), attrs={"a": evil}),
        "label": lambda: _index("Index", data=labels, name=None),
        "category": lambda: _new(
            pandas.CategoricalDtype, {"categories": _index("Index", data=labels, name=None), "ordered": None}
        ),
        "name": lambda: _index("Index", data=numpy.arange(1), name=evil),
    }[where]()
    data = pickle.dumps(value)
    with pytest.raises(PolicyDenied):
        safe_pickle.loads(data)
    options = Options(unsafe_convert_dangerous=True)
    if where in ("cell", "attribute"):
        found = safe_pickle.loads(data, unknown="record", safeload=options)
        inert = found.iloc[0, 0] if where == "cell" else found.attrs["a"]
        assert isinstance(inert, Record) and inert.name == GlobalName("posix", "system")
    else:
        with pytest.raises(MalformedInput):
            safe_pickle.loads(data, unknown="record", safeload=options)


def test_a_frame_may_be_in_its_own_cell() -> None:
    """A list in a cell is filled last, so that it may hold the frame."""
    cells = numpy.empty((1, 1), dtype=object)
    stand = _frame([_block(cells, slice(0, 1, 1))], ("a",), 1)
    cells[0, 0] = [stand]
    found = safe_pickle.loads(pickle.dumps(stand))
    assert found.iloc[0, 0][0] is found


def test_attributes_that_hold_their_frame_are_refused() -> None:
    """They are part of what the frame is made from."""
    attributes: dict[str, Any] = {}
    stand = _frame([_block(_TWO, slice(0, 2, 1))], attrs=attributes)
    attributes["self"] = stand
    with pytest.raises(MalformedInput):
        safe_pickle.loads(pickle.dumps(stand))


def test_subclasses_are_nobodys() -> None:
    """A class that stands on a frame is named in a refusal."""
    stream = b"\x80\x02cgeopandas.geodataframe\nGeoDataFrame\n)\x81}X\x04\x00\x00\x00_typX\x01\x00\x00\x00as b."
    stream = stream.replace(b" b.", b"b.")
    with pytest.raises(PolicyDenied, match=r"geopandas\.geodataframe.GeoDataFrame"):
        safe_pickle.loads(stream)


@pytest.mark.parametrize("name", sorted(table().makers), ids=str)
def test_makers_take_no_bait(name: GlobalName, marker: Path) -> None:
    """Called with hostile arguments and states: a value or an error of ours, and nothing runs."""
    from tests.allowlists.test_entries import _arguments, _global

    options = Options(unsafe_convert_dangerous=True)
    arguments = _arguments(marker)
    few = arguments[::4]
    shapes = [
        b"(t",
        *(b"(" + one + b"t" for one in arguments),
        *(b"(" + one * n + b"t" for one in few for n in (2, 3, 4)),
    ]
    streams = [_global(name) + shape + b"R" for shape in shapes]
    streams += [_global(name) + b")\x81" + one + b"b" for one in arguments]
    for stream in streams:
        for unknown in ("record", "refuse"):
            try:
                safe_pickle.loads(b"\x80\x02" + stream + b".", unknown=unknown, safeload=options)  # type: ignore[arg-type]
            except SafeloadError:
                continue


def test_without_pandas_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pandas is missing, the refusal says what to install; records need nothing."""
    data = pickle.dumps(pandas.Series([1]))
    monkeypatch.setattr("safeload.adapt_pandas.installed", lambda: False)
    with pytest.raises(UsageError, match=r"pip install 'safeload\[pandas\]'"):
        safe_pickle.loads(data)
    found = safe_pickle.loads(data, unknown="record")
    assert isinstance(found, Record) and found.name == GlobalName(pandas.Series.__module__, "Series")


def test_plain_data_does_not_import_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle that names nothing of pandas does not bring it in."""
    real = builtins.__import__

    def watch(name: str, *args: Any) -> Any:
        assert name.partition(".")[0] != "pandas"
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", watch)
    assert safe_pickle.loads(pickle.dumps({"a": [1]})) == {"a": [1]}
