"""Flax's MessagePack: nested maps of arrays, arrays in pieces, and files that lie."""

from __future__ import annotations

import struct
from typing import Any

import numpy
import pytest

from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import PickleStream, TensorTable
from tests.corpus.build import payload
from tests.formats.helpers import kinds, of, reading, value_of


def pack(value: Any) -> bytes:
    """MessagePack, as far as Flax needs it."""
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return bytes((value,)) if 0 <= value < 128 else struct.pack(">Bq", 0xD3, value)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xCB, value)
    if isinstance(value, str):
        raw = value.encode()
        return (bytes((0xA0 | len(raw),)) if len(raw) < 32 else struct.pack(">BH", 0xDA, len(raw))) + raw
    if isinstance(value, bytes):
        return struct.pack(">BI", 0xC6, len(value)) + value
    if isinstance(value, (list, tuple)):
        head = bytes((0x90 | len(value),)) if len(value) < 16 else struct.pack(">BH", 0xDC, len(value))
        return head + b"".join(map(pack, value))
    if isinstance(value, dict):
        head = bytes((0x80 | len(value),)) if len(value) < 16 else struct.pack(">BI", 0xDF, len(value))
        return head + b"".join(pack(key) + pack(item) for key, item in value.items())
    if isinstance(value, complex):
        return extension(2, pack([value.real, value.imag]))
    kind = 3 if isinstance(value, numpy.generic) else 1
    return extension(kind, pack([value.shape, value.dtype.name, value.tobytes()]))


def extension(kind: int, raw: bytes) -> bytes:
    return struct.pack(">BIb", 0xC9, len(raw), kind) + raw


def _table(value: Any) -> TensorTable:
    result = reading(pack(value), "flax_model.msgpack")
    assert result.formats == ("flax",) and result.fault is None and not kinds(result)
    return of(result, TensorTable)[0]


def test_nested_maps_have_dotted_names() -> None:
    """Arrays and numbers of numpy are tensors, other constants are metadata."""
    state = {
        "params": {
            "dense": {"kernel": numpy.arange(6.0).reshape(2, 3), "bias": numpy.ones(3, "f2")},
            "list": [1, None],
        },
        "step": numpy.int32(7),
        "z": 1 + 2j,
        "name": "x" * 40,
        "empty": numpy.zeros((0, 4), "i8"),
    }
    table = _table(state)
    assert list(table.tensors) == ["params.dense.kernel", "params.dense.bias", "step", "empty"]
    assert numpy.array_equal(value_of(table.tensors["params.dense.kernel"]).numpy(), numpy.arange(6.0).reshape(2, 3))
    assert value_of(table.tensors["step"]).item() == 7 and table.tensors["step"].shape == ()
    assert table.metadata == {"params.list.0": "1", "params.list.1": "null", "z": "[1.0, 2.0]", "name": "x" * 40}


def test_a_checkpoint_is_known_by_its_content() -> None:
    """The name only decides where there are no arrays to be seen."""
    raw = pack({"params": {"w": numpy.ones(100_000)}})
    assert reading(raw, "weights.bin").formats == ("flax",)
    assert reading(pack({"a": 1}), "x.msgpack").formats == ("flax",)
    assert reading(pack({"a": 1}), "x.bin").formats != ("flax",)


def test_bfloat16_is_a_type() -> None:
    """Types are named, so that numpy need not know them."""
    raw = extension(1, pack([[2], "bfloat16", b"\x80\x3f\x00\x40"]))
    view = of(reading(b"\x81" + pack("w") + raw, "x.msgpack"), TensorTable)[0].tensors["w"]
    assert value_of(view).tolist() == [1.0, 2.0]


def _pieces(shape: list[int], *sizes: int) -> dict[str, Any]:
    flat = numpy.arange(float(sum(sizes)))
    parts = numpy.split(flat, numpy.cumsum(sizes)[:-1])
    return {
        "__msgpack_chunked_array__": True,
        "shape": {str(index): length for index, length in enumerate(shape)},
        "chunks": {str(index): part for index, part in enumerate(parts)},
    }


def test_large_arrays_come_in_pieces() -> None:
    """Pieces of the flat array are one tensor, counted in a flat grid."""
    table = _table({"w": {"big": _pieces([3, 4], 5, 5, 2), "b": numpy.ones(1)}})
    tensor = table.sharded["w.big"]
    assert list(table.tensors) == ["w.b"] and not table.metadata
    assert (tensor.shape, tensor.grid, tensor.dtype) == ((3, 4), (12,), "float64")
    assert [chunk.offsets for chunk in tensor.chunks] == [(0,), (5,), (10,)]
    flat = [number for chunk in tensor.chunks for number in value_of(chunk.view).tolist()]
    assert flat == list(range(12))


@pytest.mark.parametrize("value", [_pieces([3, 4], 5, 5), _pieces([], 3), _pieces([2, 2], 5)])
def test_pieces_that_do_not_fill_an_array_are_refused(value: Any) -> None:
    """A piece too few or too many."""
    fault = reading(pack({"w": value}), "x.msgpack").fault
    assert isinstance(fault, MalformedInput) and isinstance(fault.where, Location) and fault.where.path == "w"


@pytest.mark.parametrize(
    "raw",
    [
        extension(1, pack([[3], "float32", bytes(8)])),
        extension(1, pack([[-1], "float32", bytes(8)])),
        extension(1, pack([[1 << 62, 1 << 62], "float32", bytes(8)])),
        extension(1, pack([[2], "object", bytes(8)])),
        extension(1, pack([[2], "<f4", bytes(8)])),
        extension(1, pack([[2], 7, bytes(8)])),
        extension(1, pack([[2], "float32", "text"])),
        extension(1, pack([[2], "float32", bytes(8)]) + b"\0"),
        extension(1, pack([[2], "float32"])),
        extension(1, pack(7)),
        extension(2, pack([1.0])),
        extension(2, pack(["a", "b"])),
        extension(5, b""),
        b"\xc1",
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xa2\xff\xff",
    ],
)
def test_items_that_lie_are_refused(raw: bytes) -> None:
    """Shapes, types, lengths and extensions that Flax does not write."""
    result = reading(b"\x81" + pack("w") + raw, "x.msgpack")
    assert isinstance(result.fault, MalformedInput) and isinstance(result.fault.where, Location)


def test_repeated_keys_and_trailing_bytes_are_reported() -> None:
    """Readers differ in which of two values they take."""
    twice = b"\x82" + (pack("w") + pack(1)) * 2
    assert "msgpack-duplicate-key" in kinds(reading(twice, "x.msgpack"))
    assert "trailing-data" in kinds(reading(pack({"w": 1}) + b"\0", "x.msgpack"))


def test_names_that_meet_are_refused() -> None:
    """A key with a dot may not hide a tensor."""
    assert reading(pack({"a.b": numpy.ones(1), "a": {"b": numpy.ones(2)}}), "x.msgpack").fault is not None


def test_limits_hold() -> None:
    """Nesting, items and tensors are bounded, and deep nesting is no recursion."""
    deep = (b"\x81" + pack("k")) * 5000 + pack(1)
    assert reading(deep, "x.msgpack").fault is None
    assert isinstance(reading(deep, "x.msgpack", Limits(depth=100)).fault, LimitExceeded)
    assert isinstance(reading(pack({"a": [0] * 1000}), "x.msgpack", Limits(nodes=100)).fault, LimitExceeded)
    many = {str(index): numpy.ones(1) for index in range(20)}
    assert isinstance(reading(pack(many), "x.msgpack", Limits(tensors=10)).fault, LimitExceeded)


def test_any_truncation_is_refused() -> None:
    """No prefix of a checkpoint gives a table."""
    raw = pack({"params": {"w": numpy.ones(3), "name": "x" * 50, "z": 1j}, "n": 1 << 40, "f": 0.5})
    for at in range(1, len(raw)):
        assert not of(reading(raw[:at], "x.msgpack"), TensorTable)


def test_a_pickle_under_the_name_is_a_pickle() -> None:
    """Content decides."""
    assert of(reading(payload(), "flax_model.msgpack"), PickleStream)
