"""safetensors headers: what the reference implementation accepts is read alike, what it refuses is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.formats import FileReading
from safeload.formats.base import TensorTable
from tests.corpus.build import safetensors as make
from tests.formats.helpers import kinds, of, reading, value_of

NAME = "model.safetensors"


def _entry(dtype: str = "U8", shape: Any = (1,), offsets: Any = (0, 1), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


def _read(header: Any, data: bytes = b"x", **options: Any) -> FileReading:
    return reading(make(header if isinstance(header, (str, bytes)) else json.dumps(header), data, **options), NAME)


def _theirs(raw: bytes) -> bool:
    """Whether the reference implementation reads these bytes."""
    try:
        safetensors.deserialize(raw)
    except safetensors.SafetensorError:
        return False
    return True


def test_real_files_are_read_bit_for_bit() -> None:
    """Names, types, shapes, metadata and bytes are those that were saved."""
    state = {
        "a": torch.randn(3, 4),
        "b": torch.ones(2, dtype=torch.bfloat16),
        "c": torch.tensor([True, False]),
        "d": torch.empty(0, 3),
        "e": torch.tensor(1, dtype=torch.int64),
        "f": torch.zeros(4).to(torch.float8_e4m3fn),
        "g": torch.zeros(2, dtype=torch.complex64),
    }
    result = reading(safetensors.torch.save(state, {"format": "pt"}), NAME)
    table = of(result, TensorTable)[0]
    assert result.fault is None and not kinds(result) and table.metadata == {"format": "pt"}
    assert set(table.tensors) == set(state)
    for name, tensor in state.items():
        view = value_of(table.tensors[name])
        assert view.dtype == tensor.dtype and view.tolist() == tensor.tolist()


BAD: dict[str, tuple[Any, bytes]] = {
    "no dtype": ({"w": {"shape": [1], "data_offsets": [0, 1]}}, b"x"),
    "unknown dtype": ({"w": _entry("U7")}, b"x"),
    "dtype is a list": ({"w": _entry(["U8"])}, b"x"),  # type: ignore[arg-type]
    "negative length": ({"w": _entry(shape=[-1])}, b"x"),
    "length is a float": ({"w": _entry(shape=[1.0])}, b"x"),
    "length is a bool": ({"w": _entry(shape=[True])}, b"x"),
    "shape is no list": ({"w": {"dtype": "U8", "shape": 1, "data_offsets": [0, 1]}}, b"x"),
    "one offset": ({"w": _entry(offsets=[0])}, b"x"),
    "backward offsets": ({"w": _entry(shape=[1], offsets=[1, 0])}, b"x"),
    "too short for the shape": ({"w": _entry("F32")}, b"x"),
    "product overflows": ({"w": _entry(shape=[1 << 40, 1 << 40])}, b"x"),
    "beyond the file": ({"w": _entry(shape=[9], offsets=[0, 9])}, b"x"),
    "overlap": ({"a": _entry(), "b": _entry()}, b"x"),
    "hole": ({"a": _entry(), "b": _entry(offsets=[2, 3])}, b"xyz"),
    "hole at the beginning": ({"a": _entry(offsets=[1, 2])}, b"xy"),
    "bytes appended": ({"w": _entry()}, b"xy"),
    "bytes with no tensor": ({}, b"x"),
    "metadata is no text": ({"__metadata__": {"a": 1}, "w": _entry()}, b"x"),
    "metadata is a list": ({"__metadata__": [], "w": _entry()}, b"x"),
    "entry is a number": ({"w": 1}, b"x"),
    "entry is null": ({"w": None}, b"x"),
    "a list": ("[]", b""),
    "not JSON": ("{", b""),
    "not UTF-8": (b'{"\xff":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"x"),
    "two documents": ('{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}{}', b"x"),
    "NUL after the header": ('{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}\0', b"x"),
    "NaN": ('{"w":{"dtype":"U8","shape":[NaN],"data_offsets":[0,1]}}', b"x"),
    "a third of a byte": ({"w": _entry("F4", shape=[1], offsets=[0, 0])}, b""),
}


@pytest.mark.parametrize("case", BAD)
def test_what_the_reference_refuses_is_refused(case: str) -> None:
    """Each broken header is refused by safetensors and by us, with a place."""
    header, data = BAD[case]
    raw = make(header if isinstance(header, (str, bytes)) else json.dumps(header), data)
    assert not _theirs(raw)
    assert isinstance(reading(raw, NAME).fault, MalformedInput)


@pytest.mark.parametrize("length", [0, 1, 7, 99, 100_000_001, (1 << 64) - 1])
def test_a_wrong_header_length_is_refused(length: int) -> None:
    """Longer than the file, longer than the format allows, or too short for the object."""
    raw = make('{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"x", length=length)
    assert not _theirs(raw)
    assert isinstance(reading(raw, NAME).fault, MalformedInput)


@pytest.mark.parametrize("size", range(9))
def test_a_file_of_a_few_bytes_is_refused(size: int) -> None:
    """Truncated in the header's length."""
    result = reading(b"\x01" * size, NAME)
    assert result.fault is not None or result.formats == ("stand-in",)


def test_spaces_after_the_header_are_allowed() -> None:
    """The reference implementation pads with them."""
    raw = make('{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}   ', b"x")
    assert _theirs(raw) and reading(raw, NAME).fault is None


@pytest.mark.parametrize("where", ["tensor", "field", "metadata"])
def test_a_key_that_stands_twice_is_two_readings(where: str) -> None:
    """Readers differ in which of two equal keys they take, so no header may hold any."""
    entry = '{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
    header = {
        "tensor": f'{{"w":{entry},"w":{entry}}}',
        "field": '{"w":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}',
        "metadata": f'{{"__metadata__":{{"a":"1","a":"2"}},"w":{entry}}}',
    }[where]
    assert "safetensors-duplicate-key" in kinds(_read(header))


def test_a_space_before_the_header_is_refused() -> None:
    """Stricter than the reference: the format's description says that a header begins with its brace."""
    header = ' {"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    assert _read(header).fault is not None


def test_an_unknown_entry_of_a_tensor_is_refused() -> None:
    """Stricter than the reference, which ignores it: another reader may not."""
    assert _read({"w": _entry(strides=[1])}).fault is not None


def test_nesting_without_end_is_a_limit() -> None:
    """A header of a hundred thousand brackets is no recursion error."""
    assert isinstance(_read('{"a":' + "[" * 100_000).fault, LimitExceeded)


def test_more_tensors_than_the_limit_are_refused() -> None:
    """The number of tensors is bounded."""
    header = {f"w{i}": _entry(offsets=[i, i + 1]) for i in range(20)}
    result = reading(make(json.dumps(header), bytes(20)), NAME, Limits(tensors=10))
    assert isinstance(result.fault, LimitExceeded)


def test_an_integer_of_five_thousand_digits_is_refused() -> None:
    """Python refuses to convert it; so it is an error of ours and not one of Python's."""
    header = '{"w":{"dtype":"U8","shape":[' + "1" * 5000 + '],"data_offsets":[0,1]}}'
    assert isinstance(_read(header).fault, MalformedInput)


_SCALARS = st.one_of(st.integers(-2, 6), st.booleans(), st.none(), st.floats(allow_nan=False), st.text(max_size=3))
_ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.one_of(st.sampled_from(["U8", "F32", "BF16", "BOOL", "F4", "X"]), _SCALARS),
        "shape": st.one_of(st.lists(st.integers(0, 4), max_size=3), st.lists(_SCALARS, max_size=2), _SCALARS),
        "data_offsets": st.one_of(st.lists(st.integers(0, 16), min_size=2, max_size=2), st.lists(_SCALARS, max_size=3)),
    }
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "__metadata__"]), _ENTRIES, max_size=3), st.binary(max_size=20))
def test_nothing_is_read_that_the_reference_refuses(header: dict[str, Any], data: bytes) -> None:
    """For any header: if we read it, safetensors reads it, to the same tensors."""
    raw = make(json.dumps(header), data)
    result = reading(raw, NAME)
    tables = of(result, TensorTable)
    if tables and result.fault is None:
        theirs = dict(safetensors.deserialize(raw))
        assert set(theirs) == set(tables[0].tensors)
        for name, view in tables[0].tensors.items():
            stored = view.storage
            assert bytes(theirs[name]["data"]) == stored.blob.read_at(stored.offset, stored.nbytes)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 400), st.integers(0, 7))
def test_a_flipped_bit_is_read_by_both_or_refused(position: int, bit: int) -> None:
    """No single flipped bit of a real file makes us read what the reference refuses."""
    raw = bytearray(safetensors.torch.save({"weight": torch.ones(2, 3), "bias": torch.zeros(4)}))
    raw[position % len(raw)] ^= 1 << bit
    result = reading(bytes(raw), NAME)
    if result.fault is None and of(result, TensorTable):
        assert _theirs(bytes(raw))
