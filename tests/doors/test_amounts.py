"""Pickles that ask for far more than they hold: every door ends with our error, and no scan calls them safe."""

from __future__ import annotations

import pickle as standard
from math import prod
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload import pickle, scan
from safeload import torch as safe_torch
from safeload.core.blob import MemoryBlob
from safeload.core.errors import MalformedInput, SafeloadError
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.core.machine import read_pickle
from safeload.core.names import Location
from safeload.formats.amount import Amount
from safeload.formats.base import PickleStream
from safeload.formats.tree import tree
from safeload.rules import amounts

HUGE = 10**12


def value(of: Any) -> bytes:
    """The opcodes of a plain value, or those that are given."""
    if isinstance(of, bytearray):
        return bytes(of)
    if isinstance(of, tuple):
        return b"(" + b"".join(map(value, of)) + b"t"
    if isinstance(of, dict):
        return b"}(" + b"".join(value(part) for pair in of.items() for part in pair) + b"u"
    return standard.dumps(of, 2)[2:-1]


def named(module: str, name: str) -> bytearray:
    return bytearray(f"c{module}\n{name}\n".encode())


def call(module: str, name: str, *args: Any) -> bytearray:
    return named(module, name) + value(args) + b"R"


def whole(opcodes: bytes | bytearray) -> bytes:
    return b"\x80\x04" + bytes(opcodes) + b"."


ROW = call("builtins", "range", HUGE)
INDEX = call(
    "pandas.core.indexes.base",
    "_new_Index",
    named("pandas.core.indexes.range", "RangeIndex"),
    {"name": None, "start": 0, "stop": HUGE, "step": 1},
)
SIZES = {
    "bytes": call("builtins", "bytes", HUGE),
    "bytearray": call("builtins", "bytearray", HUGE),
    "row-backwards": call("builtins", "tuple", call("builtins", "range", HUGE, 0, -1)),
    "numbers-of-rows": call("numpy", "int64", (ROW, ROW)),
    "list-of-a-row": call("builtins", "list", ROW),
    "set-of-a-row": call("builtins", "set", ROW),
    "deque-of-a-row": call("collections", "deque", ROW),
    "numbers-of-a-row": call("numpy", "int64", ROW),
    "fraction": call("fractions", "Fraction", "1e999999999"),
    "fraction-small": call("fractions", "Fraction", "1e-999999999"),
    "fraction-of-decimal": call("fractions", "Fraction", call("decimal", "Decimal", "1E+999999999")),
    "array": call("numpy", "ndarray", (HUGE,)),
    "array-of-one-size": call("numpy", "ndarray", HUGE),
    "array-of-two-sizes": call("numpy", "ndarray", (1 << 20, 1 << 30)),
    "empty-number": call("numpy.core.multiarray", "scalar", call("numpy", "dtype", "V2000000000", False, True)),
    "empty-text": call("numpy._core.multiarray", "scalar", call("numpy", "dtype", "<U500000000", False, True)),
    "void": call("numpy", "void", 2_000_000_000),
    "tensor": call("torch", "Tensor", HUGE),
    "typed-tensor": call("torch", "FloatTensor", 1 << 20, 1 << 20),
    "tensor-on-a-device": call("torch.cuda", "HalfTensor", HUGE),
    "storage": call("torch", "FloatStorage", HUGE),
    "bytes-of-a-storage": call("torch.storage", "UntypedStorage", HUGE),
    "list-of-an-index": call("builtins", "list", INDEX),
    "new-array": call("copyreg", "__newobj__", named("numpy", "ndarray"), (HUGE,)),
    "many-small-ones": bytearray(b"](" + bytes(call("builtins", "bytearray", 1 << 20)) * 1_500 + b"e"),
}


@pytest.mark.parametrize("name", SIZES)
def test_a_size_alone_is_never_safe(name: str, tmp_path: Path) -> None:
    """A scan does not call a file safe that asks an ordinary reader for all its memory."""
    (tmp_path / "file.pkl").write_bytes(whole(SIZES[name]))
    found = scan(tmp_path / "file.pkl").files[0]
    assert found.status >= Status.UNDECIDED
    assert "pickle-takes-memory" in {one.rule for one in found.findings}


@pytest.mark.parametrize("name", SIZES)
def test_no_door_makes_what_only_has_a_size(name: str) -> None:
    """Our error, or an inert record: never as much memory as the file says."""
    for load in (pickle.loads, safe_torch.load):
        with pytest.raises(SafeloadError):
            load(whole(SIZES[name]))


@pytest.mark.parametrize(
    "of",
    [
        call("builtins", "bytearray", 1 << 20),
        ROW,
        INDEX,
        call("builtins", "list", call("builtins", "range", 1 << 20)),
        call("builtins", "range", 1 << 62, 0),
        call("fractions", "Fraction", "1e10"),
        call("decimal", "Decimal", "1E-5"),
        call("decimal", "Decimal", "Infinity"),
        call("fractions", "Fraction", HUGE, HUGE + 1),
        call("builtins", "slice", 0, HUGE, 1),
        call("collections", "Counter", {"a": HUGE}),
        call("numpy", "ndarray", (0, HUGE)),
    ],
)
def test_large_numbers_that_are_no_sizes_are_safe(of: bytearray, tmp_path: Path) -> None:
    """Small sizes, and numbers that nothing is made of."""
    (tmp_path / "file.pkl").write_bytes(whole(of))
    assert scan(tmp_path / "file.pkl").files[0].status is Status.SAFE


_COUNT = 1 << 17
_BYTES = b"B" + _COUNT.to_bytes(4, "little") + b"x" * _COUNT
_TEXT = b"X" + _COUNT.to_bytes(4, "little") + b"\0" * _COUNT
_LIST = b"](" + b"N" * _COUNT + b"e"
SHARED = {
    "bytearray": (_BYTES, b"cbuiltins\nbytearray\nh\0\x85R"),
    "list": (_LIST, b"cbuiltins\nlist\nh\0\x85R"),
    "tuple": (_LIST, b"cbuiltins\ntuple\nh\0\x85R"),
    "set": (_LIST, b"cbuiltins\nset\nh\0\x85R"),
    "deque": (_LIST, b"ccollections\ndeque\nh\0\x85R"),
    "encoded": (_TEXT, b"c_codecs\nencode\nh\0X\x06\0\0\0latin1\x86R"),
}
_TIMES = 300


def _repeated(name: str) -> bytes:
    first, again = SHARED[name]
    return whole(b"](" + first + b"q\0" + again * _TIMES + b"e")


@pytest.mark.parametrize("name", SHARED)
def test_what_is_written_once_is_not_taken_over_without_end(name: str, tmp_path: Path) -> None:
    """One value that is named three hundred times, in a few bytes each, would be three hundred copies."""
    data = _repeated(name)
    with pytest.raises(SafeloadError):
        pickle.loads(data)
    (tmp_path / "file.pkl").write_bytes(data)
    assert scan(tmp_path / "file.pkl").files[0].status >= Status.UNDECIDED


@pytest.mark.parametrize("name", ["set", "encoded"])
def test_converting_does_not_take_it_over_either(name: str) -> None:
    """The same for the plain tree that converting works on, whose objects are made by other code."""
    reading = read_pickle(MemoryBlob(_repeated(name)), 0, location=Location("file"))
    with pytest.raises(MalformedInput, match="makes far more than it holds"):
        tree(PickleStream(location=Location("file"), reading=reading), Limits())


def test_arrays_of_shared_bytes_are_not_copied_without_end(tmp_path: Path) -> None:
    """numpy copies bytes that are in another order than the machine's, for each array that has them as its state."""
    kind = value_of_type()
    first = b"(K\x01J" + (_COUNT // 2).to_bytes(4, "little") + b"\x85" + kind + b"\x89" + _BYTES + b"t"
    again = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87Rh\0b"
    data = whole(b"](" + first.replace(b"q\0", b"").replace(b"q\1", b"") + b"q\0" + again * _TIMES + b"e")
    with pytest.raises(SafeloadError):
        pickle.loads(data)
    (tmp_path / "file.pkl").write_bytes(data)
    assert scan(tmp_path / "file.pkl").files[0].status >= Status.UNDECIDED


def value_of_type() -> bytes:
    return bytes(value(call("numpy", "dtype", "u2", False, True)) + value((3, ">", None, None, None, -1, -1, 0)) + b"b")


def test_each_value_may_be_taken_over_once() -> None:
    """As much as a file has bytes, and ten million more, is what honest files need; a short text costs nothing."""
    amount = Amount(1 << 20)
    amount.spend([b"x" * (1 << 20)] * 8)
    amount.spend(["short"] * 100_000)
    with pytest.raises(MalformedInput):
        amount.spend([b"x" * (1 << 20)] * 10)


def test_a_file_of_many_arrays_is_as_safe_as_before(tmp_path: Path) -> None:
    """What is counted are copies of what a file holds; each of its arrays is its own."""
    of = {str(number): numpy.arange(1_000 + number, dtype=">i4") for number in range(200)}
    for protocol in (2, 4):
        (tmp_path / "file.pkl").write_bytes(data := standard.dumps(of, protocol))
        assert scan(tmp_path / "file.pkl").files[0].status is Status.SAFE
        assert (pickle.loads(data)["7"] == of["7"]).all()


def test_buffers_beside_a_pickle_are_not_counted_against_it() -> None:
    """Protocol 5 keeps large arrays out of the stream, whose size then says nothing of them."""
    made = numpy.arange(3_000_000)
    buffers: list[Any] = []
    data = standard.dumps([made], 5, buffer_callback=buffers.append)
    assert len(data) < 1_000
    for kind in (bytes, bytearray, memoryview):
        assert (pickle.loads(data, buffers=[kind(one) for one in buffers])[0] == made).all()


LONG = 1 << 800
"""Thousands of these would take seconds to multiply."""


@given(st.lists(st.integers(-2, LONG), max_size=20))
def test_sizes_are_multiplied_as_far_as_it_matters(sizes: list[int]) -> None:
    """Never further than to what is endless; below that, exactly; a size of nothing makes it nothing."""
    assert amounts._product(sizes) == min(prod(max(0, size) for size in sizes), amounts._ENDLESS)


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_no_array_has_more_dimensions_than_numpy_knows(core: str, tmp_path: Path) -> None:
    """Thousands of long lengths are refused before they are multiplied, and no scan calls them safe."""
    dtype = call("numpy", "dtype", "i4")
    array = call(f"{core}.numeric", "_frombuffer", bytearray(b"C\0"), dtype, (LONG,) * 65, "C")
    with pytest.raises(MalformedInput, match="short list of counts"):
        pickle.loads(whole(array))
    path = tmp_path / "model.pkl"
    path.write_bytes(whole(call("torch", "FloatTensor", *(LONG,) * 9_000)))
    assert scan(path).status is Status.UNDECIDED


@pytest.mark.parametrize("dimensions", [64, 65, 9_000])
def test_no_element_has_more_dimensions_than_numpy_knows(dimensions: int, tmp_path: Path) -> None:
    """A type of arrays is as numpy writes it up to its 64 dimensions; beyond, nothing of it is multiplied."""
    inner = call("numpy", "dtype", "i4", False, True)
    state = value((3, "|", (inner, (1 if dimensions < 9_000 else LONG,) * dimensions), None, None, 4, 1, 0))
    path = tmp_path / "model.pkl"
    path.write_bytes(whole(call("numpy", "dtype", "V4", False, True) + state + b"b"))
    assert (scan(path).status is Status.SAFE) == (dimensions == 64)
