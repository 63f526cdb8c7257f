"""Protocol buffers: what is read, and that anything else is an error with a place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.blob import MemoryBlob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.protobuf import BYTES, FIXED32, FIXED64, VARINT, Messages, shape
from tests.formats.proto import put, varint

HERE = Location("x.pb")


def fields(data: bytes, limits: Limits | None = None) -> list[tuple[int, int, int, bytes]]:
    messages = Messages(MemoryBlob(data), HERE, limits or Limits())
    return [
        (one.number, one.wire, one.value, messages.raw(one) if one.wire == BYTES else b"") for one in messages.fields()
    ]


def test_every_kind_of_field_is_read() -> None:
    """Numbers, bytes and both widths of fixed numbers, in the order of the file."""
    raw = put(1, 300) + put(2, "text") + varint(3 << 3 | 5) + b"\1\0\0\0" + varint(4 << 3 | 1) + b"\2" + bytes(7)
    assert fields(raw) == [(1, VARINT, 300, b""), (2, BYTES, 0, b"text"), (3, FIXED32, 1, b""), (4, FIXED64, 2, b"")]


def test_groups_are_passed_over() -> None:
    """What stands in a group belongs to no field that a model has, as parsers without a schema for it see it."""
    group = varint(9 << 3 | 3) + put(1, "inside") + varint(9 << 3 | 4)
    assert fields(group + put(2, "after")) == [(2, BYTES, 0, b"after")]


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01",  # the field number 0
        b"\x0a\x05abc",  # a length beyond the end
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a length that never ends
        b"\x08" + b"\x80" * 11,  # a number that never ends
        b"\x8a\x80\x80\x80\x80\x00\x01a",  # a tag of six bytes
        b"\xff\xff\xff\xff\x7f\x01",  # a tag of more than 32 bits
        b"\x0d\x01",  # a cut number
        b"\x0f",  # a way of storing that does not exist
        b"\x4b",  # a group without an end
        b"\x4c",  # an end without a group
        b"\x4b\x54",  # the end of another group
        b"\x0b" * 200,  # groups without measure
        b"\x08",
    ],
)
def test_what_is_no_message_is_refused(raw: bytes) -> None:
    """Each fault names an offset within the file."""
    with pytest.raises(MalformedInput) as caught:
        fields(raw)
    assert caught.value.where.offset is not None and caught.value.where.offset <= len(raw)


def test_fields_are_counted() -> None:
    """A file of nothing but fields ends at the limit."""
    with pytest.raises(LimitExceeded):
        fields(put(1, 1) * 100, Limits(nodes=50))


@given(st.binary(max_size=200))
def test_anything_is_fields_or_an_error(raw: bytes) -> None:
    """Total: for any bytes the fields cover the message, or there is an error; sniffing never raises."""
    shape(raw, len(raw))
    try:
        found = fields(raw)
    except MalformedInput:
        return
    assert all(0 < number < 1 << 29 for number, *_ in found)
