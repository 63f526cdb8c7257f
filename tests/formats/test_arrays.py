"""numpy's files: every kind of array as tensors, and headers that lie."""

from __future__ import annotations

import io

import numpy
import pytest

from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.names import Location
from safeload.formats.base import Opaque, TensorTable
from tests.corpus.build import Zipped, make_zip
from tests.formats.helpers import kinds, of, reading, value_of


def _saved(array: numpy.ndarray) -> bytes:
    out = io.BytesIO()
    numpy.save(out, array)
    return out.getvalue()


def _table(raw: bytes, name: str = "x.npy") -> TensorTable:
    result = reading(raw, name)
    assert result.fault is None and not kinds(result)
    return of(result, TensorTable)[0]


CODES = ["?", "u1", "i1", "<u2", ">i2", "<u4", ">i4", "<u8", ">i8", "<f2", ">f2", "<f4", ">f4", "<f8", "<c8", "<c16"]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0, 3), (2, 1, 4)])
def test_arrays_are_tensors(code: str, order: str, shape: tuple[int, ...]) -> None:
    """Every type, either byte order, rows or columns first, no dimension and no element."""
    count = int(numpy.prod(shape))
    array = numpy.arange(count).astype(code).reshape(shape, order=order)
    view = _table(_saved(numpy.asarray(array, order=order))).tensors["array"]
    assert numpy.array_equal(value_of(view).numpy(), array) and view.shape == shape


def test_structured_arrays_have_a_tensor_for_each_field() -> None:
    """Fields whose elements lie in step are views; others are their bytes."""
    kind = numpy.dtype({"names": ["x", "y", "z"], "formats": ["i1", "<f8", ("<i4", (2,))], "offsets": [0, 8, 16]})
    array = numpy.zeros(3, kind)
    array["x"], array["y"], array["z"] = [1, 2, 3], [0.5, 1.5, 2.5], [[1, 2], [3, 4], [5, 6]]
    named = _table(_saved(array)).tensors
    assert list(named) == ["array.x", "array.y", "array.z"]
    for field in "xyz":
        assert numpy.array_equal(value_of(named[f"array.{field}"]).numpy(), array[field])
    packed = numpy.array([(1, 2.0)], [("a", "u1"), ("b", "<f4")])
    view = _table(_saved(packed)).tensors["array.b"]
    assert view.dtype == "uint8" and value_of(view).numpy().tobytes() == packed["b"].tobytes()


def test_texts_are_metadata_and_times_are_counts() -> None:
    """Arrays of text are JSON; times are their 64-bit counts; long doubles are named and left alone."""
    assert _table(_saved(numpy.array(["a", "bé"]))).metadata == {"array": '["a", "b\\u00e9"]'}
    assert _table(_saved(numpy.array(["2020-01-01"], "M8[D]"))).tensors["array.int64"].shape == (1,)
    assert "no tensor" in of(reading(_saved(numpy.ones(2, "g")), "x.npy"), Opaque)[0].detail


@pytest.mark.parametrize("save", [numpy.savez, numpy.savez_compressed])
def test_collections_are_one_table(save: object) -> None:
    """The arrays of a collection have the names of its members; zeros may shrink as far as they can."""
    out = io.BytesIO()
    arrays = {"a": numpy.arange(5), "zeros": numpy.zeros((1000, 1000)), "b/c": numpy.ones(2, ">f4")}
    save(out, **arrays)  # type: ignore[operator]
    named = _table(out.getvalue(), "x.npz").tensors
    assert list(named) == list(arrays)
    assert all(numpy.array_equal(value_of(named[name]).numpy(), array) for name, array in arrays.items())


def _with_header(text: str, body: bytes = bytes(64)) -> bytes:
    header = text.encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (17,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999999999,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 2, 'x': 1}",
        "{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': 7, 'fortran_order': False, 'shape': (2,)}",
        "{'descr': [('a', '<f4'), ('a', '<f8')], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': [('a',)], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,]}",
        "(" * 100,
        "__import__('os').system('true')",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1+1,)}",
    ],
)
def test_headers_that_lie_are_refused(text: str) -> None:
    """What numpy does not write is an error with the file's name."""
    result = reading(_with_header(text), "x.npy")
    assert isinstance(result.fault, MalformedInput) and isinstance(result.fault.where, Location)
    assert result.fault.where.file == "x.npy" and not of(result, TensorTable)


def test_a_cut_array_is_refused() -> None:
    """Fewer bytes than the header says are no array."""
    raw = _saved(numpy.arange(100))
    for at in (0, 5, 9, 20, 100, 127, 128, len(raw) - 1):
        result = reading(raw[:at], "x.npy")
        assert result.fault is not None or not of(result, TensorTable)


def test_bytes_behind_an_array_are_reported() -> None:
    """numpy ignores what follows; we say so."""
    assert "trailing-data" in kinds(reading(_saved(numpy.ones(2)) + b"x", "x.npy"))


def test_a_member_that_expands_beyond_deflate_is_refused() -> None:
    """A size that no compression reaches is a lie."""
    raw = _saved(numpy.zeros(10_000_000))
    result = reading(make_zip([Zipped("a.npy", raw, method=8, central={"size": 1 << 31})]), "x.npz")
    assert isinstance(result.fault, LimitExceeded)
