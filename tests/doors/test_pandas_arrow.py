"""Text that pandas kept in pyarrow's memory, and sparse arrays: from fixtures of real versions, and attacked.

`pyarrow_pickles.json` was written by pandas 2.3.3 and 3.1.1 with pyarrow 26.0.1, under Python 3.11. pyarrow need not be
installed to read it, and is not here.
"""

from __future__ import annotations

import base64
import inspect
import io
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import numpy
import pytest

from safeload import pickle as safe_pickle
from safeload.core.construct import Record
from safeload.core.errors import MalformedInput, PolicyDenied
from safeload.engine.scan import scan_stream

pandas = pytest.importorskip("pandas")

NEWER_TEXT = "na_value" in inspect.signature(pandas.StringDtype).parameters
LONG = "long text " * 3
TEXT = ["a", None, "é", "", LONG]


def _written() -> list[tuple[str, str, bytes]]:
    with open(Path(__file__).with_name("pyarrow_pickles.json"), encoding="utf-8") as file:
        written = json.load(file)
    return [
        (version, name, zlib.decompress(base64.b64decode(text)))
        for version, texts in written.items()
        for name, text in texts.items()
    ]


def _wanted(name: str) -> Any:
    """What was written, made here."""
    text = pandas.Series(TEXT, dtype="string")
    return {
        "text": text,
        "text 0": text,
        "part": text[1:4],
        "twice": pandas.concat([text, text], ignore_index=True),
        "frame": pandas.DataFrame({"t": text, "n": range(5)}),
        "empty": text[:0],
        "index": pandas.Index(["b", "a"], dtype="string"),
        "category": pandas.Series(["u", "v"], dtype="string").astype("category"),
        "default": pandas.Series(["a", None, "é"]),
        "numpy": pandas.Series(["a", None, "é"]),
        "columns": pandas.DataFrame([[1, 2]], columns=["x", "y"]),
        "sparse": pandas.Series(pandas.arrays.SparseArray([0, 0, 1, 2, 0])),
        "blocks": pandas.Series(pandas.arrays.SparseArray([float("nan"), 1.5], kind="block")),
    }[name]


@pytest.mark.parametrize(("version", "name", "data"), _written(), ids=lambda one: one if isinstance(one, str) else "")
def test_what_real_versions_wrote_is_read(version: str, name: str, data: bytes) -> None:
    """The same values, and nothing to find in the file; text is kept by Python where pyarrow is missing."""
    try:
        found, wanted = safe_pickle.loads(data), _wanted(name)
    except MalformedInput as error:
        assert not NEWER_TEXT and "a newer pandas wrote it" in str(error)
        return
    assert type(found) is type(wanted)
    if isinstance(wanted, pandas.DataFrame):
        pandas.testing.assert_frame_equal(found, wanted, check_column_type=False)
    elif isinstance(wanted, pandas.Series):
        pandas.testing.assert_series_equal(found, wanted)
    else:
        pandas.testing.assert_index_equal(found, wanted)
    assert str(scan_stream(io.BytesIO(data)).files[0].status) == "safe"


class _Call:
    """Pickles as a call of what is named, which need not be installed."""

    def __init__(self, module: str, name: str, *args: Any, state: Any = None) -> None:
        self.module, self.name, self.args, self.state = module, name, args, state


def _dumped(value: Any) -> bytes:
    """Protocol 2, with each `_Call` spelled by its name."""

    def spell(one: Any) -> bytes:
        if isinstance(one, _Call):
            parts = f"c{one.module}\n{one.name}\n(".encode() + b"".join(map(spell, one.args)) + b"tR"
            return parts + (b"" if one.state is None else spell(one.state) + b"b")
        if type(one) is tuple:
            return b"(" + b"".join(map(spell, one)) + b"t"
        if type(one) is list:
            return b"](" + b"".join(map(spell, one)) + b"e"
        if type(one) is dict:
            return b"}(" + b"".join(spell(key) + spell(item) for key, item in one.items()) + b"u"
        return pickle.dumps(one, 3)[2:-1]

    return b"\x80\x04" + spell(value) + b"."


def _text(
    kind: str = "string",
    length: Any = 2,
    offset: Any = 0,
    marks: bytes | None = None,
    places: Any = (0, 1, 2),
    data: bytes | None = b"ab",
    width: str = "<i4",
) -> _Call:
    def buffer(held: bytes | None) -> Any:
        return None if held is None else _Call("pyarrow.lib", "py_buffer", held)

    held = numpy.array(places, dtype=width).tobytes()
    parts = (
        _Call("pyarrow.lib", "type_for_alias", kind),
        length,
        0,
        offset,
        [buffer(marks), buffer(held), buffer(data)],
    )
    array = _Call("pyarrow.lib", "_restore_array", (*parts, [], None))
    kept = _Call("pandas", "StringDtype", "pyarrow", *([float("nan")] if NEWER_TEXT else []))
    return _Call("pandas.arrays", "ArrowStringArray", state={"_pa_array": array, "_dtype": kept, "_cache": {}})


def test_by_hand_the_same_is_taken_where_it_fits() -> None:
    """The builder of these tests makes what pandas would write."""
    assert list(safe_pickle.loads(_dumped(_text()))) == ["a", "b"]
    assert list(safe_pickle.loads(_dumped(_text("large_string", width="<i8", offset=1, length=1)))) == ["b"]
    marked = safe_pickle.loads(_dumped(_text(marks=b"\x02")))
    assert marked[1] == "b" and marked.isna().tolist() == [True, False]


_BAD: dict[str, dict[str, Any]] = {
    "too long": {"length": 3},
    "far longer": {"length": 1 << 39},
    "negative length": {"length": -1},
    "an offset outside": {"offset": 2},
    "no number": {"length": "2"},
    "places outside": {"places": (0, 1, 3)},
    "places before": {"places": (-1, 1, 2)},
    "places that go back": {"places": (0, 2, 1)},
    "few marks": {"marks": b""},
    "no text": {"data": b"\xff\xfe"},
    "no bytes": {"data": None},
    "narrow places": {"kind": "large_string"},
}


@pytest.mark.parametrize("name", sorted(_BAD))
def test_places_that_do_not_fit_are_refused(name: str) -> None:
    """What pyarrow would follow without looking is looked at."""
    with pytest.raises(MalformedInput):
        safe_pickle.loads(_dumped(_text(**_BAD[name])))


def test_other_types_of_pyarrow_stay_records() -> None:
    """Numbers of pyarrow are not read: the file is safe, and the array inert."""
    kind = _Call("pyarrow.lib", "timestamp", "ns", None)
    data = _dumped(_Call("pyarrow.lib", "_restore_array", (kind, 0, 0, 0, [None, None], [], None)))
    found = safe_pickle.loads(_dumped(["pandas", _Call("pyarrow.lib", "timestamp", "ns", None)]), unknown="record")
    assert isinstance(found[1], Record)
    assert str(scan_stream(io.BytesIO(data)).files[0].status) == "safe"


def test_another_function_of_pyarrow_is_not_excused() -> None:
    """Only what pickles of data name is listed: pyarrow can open files."""
    data = _dumped(_Call("pyarrow", "memory_map", "/etc/hostname"))
    assert str(scan_stream(io.BytesIO(data)).files[0].status) == "dangerous"
    with pytest.raises(PolicyDenied):
        safe_pickle.loads(data)


# ── sparse arrays ───────────────────────────────────────────────────────────────────────────────────────────────


def _sparse(places: _Call, values: Any, kind: str = "f8", fill: Any = 0.0) -> _Call:
    dtype = _Call("pandas", "SparseDtype", state={"_dtype": numpy.dtype(kind), "_fill_value": fill})
    state = {"_sparse_index": places, "_sparse_values": values, "_dtype": dtype}
    return _Call("pandas.arrays", "SparseArray", state=state)


def _at(length: Any, *places: int) -> _Call:
    return _Call("pandas._libs.sparse", "IntIndex", length, numpy.array(places, dtype="i4"))


def _runs(length: Any, starts: list[int], lengths: list[int]) -> _Call:
    return _Call("pandas._libs.sparse", "BlockIndex", length, numpy.array(starts, "i4"), numpy.array(lengths, "i4"))


def test_sparse_arrays_by_hand_are_taken_where_they_fit() -> None:
    """Single places, and runs of them."""
    assert list(safe_pickle.loads(_dumped(_sparse(_at(4, 1, 3), numpy.array([1.0, 2.0]))))) == [0, 1, 0, 2]
    assert list(safe_pickle.loads(_dumped(_sparse(_runs(4, [1], [2]), numpy.array([1.0, 2.0]))))) == [0, 1, 2, 0]


@pytest.mark.parametrize(
    "value",
    [
        _sparse(_at(4, 1, 4), numpy.ones(2)),
        _sparse(_at(4, -1, 3), numpy.ones(2)),
        _sparse(_at(4, 3, 1), numpy.ones(2)),
        _sparse(_at(4, 1, 1), numpy.ones(2)),
        _sparse(_at(-4), numpy.ones(0)),
        _sparse(_at(1 << 40), numpy.ones(0)),
        _sparse(_at("4", 1), numpy.ones(1)),
        _sparse(_at(4, 1), numpy.ones(2)),
        _sparse(_at(4, 1), numpy.ones(1, dtype="f4")),
        _sparse(_at(4, 1), numpy.ones((1, 1))),
        _sparse(_at(4, 1), numpy.ones(1), fill=[]),
        _sparse(_runs(4, [1], [4]), numpy.ones(4)),
        _sparse(_runs(4, [0, 1], [2, 1]), numpy.ones(3)),
        _sparse(_runs(4, [0], [-1]), numpy.ones(0)),
        _sparse(_runs(4, [0, 2], [1]), numpy.ones(1)),
        _sparse(_runs(4, [0], [0x7FFFFFFF]), numpy.ones(1)),
    ],
    ids=lambda one: None,
)
def test_sparse_arrays_that_do_not_fit_are_refused(value: _Call) -> None:
    """Places out of order, outside, twice, or not as many as values: pandas' code would follow them."""
    with pytest.raises(MalformedInput):
        safe_pickle.loads(_dumped(value))
