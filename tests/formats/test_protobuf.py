"""Protocol buffers: what is read, and that anything else is an error with a place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.blob import MemoryBlob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.engine.inspect import inspect
from safeload.formats import inside
from safeload.formats.inside import Work
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


@given(st.binary(max_size=200))
def test_parts_are_the_fields_that_hold_bytes(raw: bytes) -> None:
    """Passing over runs of numbers changes nothing else, for any bytes; and both fail alike."""

    def outcome(parts: bool) -> object:
        messages = Messages(MemoryBlob(raw), HERE, Limits())
        found = []
        try:
            for one in messages.parts() if parts else messages.fields():
                found += [one] if one.wire == BYTES else []
        except MalformedInput as error:
            return found, error.where.offset, error.why
        return found

    assert outcome(parts=True) == outcome(parts=False)


def test_numbers_in_a_row_are_one_step() -> None:
    """A forest of a million decision trees is mostly numbers; nobody asks for them one by one."""
    raw = (put(8, 5) + put(9, 1 << 20) + varint(3 << 3 | 5) + bytes(4)) * 20_000 + put(2, "end")
    messages = Messages(MemoryBlob(raw), HERE, Limits())
    before = messages.work.fields
    assert [messages.text(one) for one in messages.parts()] == ["end"]
    assert before - messages.work.fields < 1_000


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("model.onnx", put(1, 7) + put(7, put(1, b"") * 500_000)),
        ("model.onnx", put(1, 7) + put(7, b"") * 500_000),
        ("saved_model.pb", put(1, 1) + put(2, put(2, put(1, b""))) * 150_000),
        ("graph.pb", put(1, put(1, "a") + put(2, "b") + put(3, "a") * 3) * 60_000),
        ("thing.bin", put(1, b"") * 500_000),
        ("model.mlmodel", put(1, 1) + put(2, b"") + put(500, put(1, b"") * 500_000)),
    ],
    ids=["nodes", "graphs", "meta-graphs", "one-name", "unknown", "layers"],
)
def test_a_file_of_nothing_but_fields_is_undecided(name: str, raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """All readers of a file together visit fewer fields than it has bytes, and say that they stopped."""
    accounts: list[Work] = []

    def opened(**given: Any) -> Work:
        accounts.append(Work(**given))
        return accounts[-1]

    monkeypatch.setattr(inside, "Work", opened)
    report = inspect(MemoryBlob(raw), name, Limits()).report
    assert report.status is Status.UNDECIDED and "unreadable" in {finding.rule for finding in report.findings}
    assert len(accounts) == 1  # which the last step overdrew: among nodes of one name, by all of them
    assert -100_000 < accounts[0].fields < 0
