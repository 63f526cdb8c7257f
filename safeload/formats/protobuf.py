"""Protocol buffers, as far as reading models needs: the fields of a message, in order, without a schema.

Lengths are checked against the message they stand in before anything is read; long values are ranges, never copied;
nothing recurses. What Google's parsers accept and this refuses (tags of more than five bytes) makes a file unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.inside import account
from safeload.formats.window import Window
from safeload.later import Later

VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = range(6)
_AHEAD = 2048
OF_A_NODE, OF_A_KIND = 2, 20
"""What a node of a graph, and a kind of operator in it, are counted for beside their fields."""
_LONGEST_TEXT = 1 << 16
"""Bytes of one text that is kept: a name, a path, a short program. The rest of a longer one is dropped."""


def _tags(wire: int) -> bytes:
    """A class of the tags, of one byte, of fields that are stored so."""
    return b"[" + re.escape(bytes(number << 3 | wire for number in range(1, 16))) + b"]"


_NUMBERS = Later(
    b"(?:%s[\x80-\xff]{0,9}[\x00-\x7f]|%s.{4}|%s.{8})+" % (_tags(VARINT), _tags(FIXED32), _tags(FIXED64)), re.DOTALL
)
"""A run of fields that hold numbers: most of what a forest of decision trees has."""


class Field(NamedTuple):
    """One field of a message: its number, how it is stored, and where or what it is."""

    number: int
    wire: int
    value: int
    """Of a number; 0 for bytes."""
    start: int
    """Of bytes: where they begin in the blob. Of a number: where its tag begins."""
    end: int


class Messages:
    """The messages of one blob. All reading of one file goes through one of these, so that it ends within limits."""

    def __init__(self, blob: Blob, location: Location, limits: Limits) -> None:
        self.window = Window(blob)
        self.size = blob.size
        self.location = location
        self.work = account(limits, blob).work

    def bad(self, why: str, at: int) -> MalformedInput:
        return MalformedInput(
            "a protocol buffer cannot be read", where=self.location.at(at), why=why, remedy="fetch the file again"
        )

    def parts(self, start: int = 0, end: int | None = None) -> Iterator[Field]:
        """Those of `fields` that hold bytes. Runs of numbers are passed over as fast as they can be found."""
        return self.fields(start, end, numbers=False)

    def fields(self, start: int = 0, end: int | None = None, *, numbers: bool = True) -> Iterator[Field]:
        """The fields of the message in `[start, end)`. Those inside of groups, which no model uses, are left out.

        Args:
            numbers: false for those that hold bytes alone.

        Raises:
            MalformedInput: a tag, a length or a number is not one, or leads out of the message.
            LimitExceeded: all readers of the file visited more fields than its size allows.
        """
        at, end = start, self.size if end is None else end
        groups: list[int] = []
        data, base, work = b"", at, self.work
        while at < end:
            begin = at
            work.fields -= 1
            if work.fields < 0:
                work.visit(0, self.location.at(at))
            # Most fields begin with two small numbers: those are read here, all others in `varint`.
            if at - base + 2 > len(data):
                data, base = self.window.bytes(at, min(_AHEAD, end - at)), at
            tag = data[at - base] if at - base < len(data) else 0x80
            if not numbers and not groups and tag & 7 != BYTES and (run := _NUMBERS.compiled.match(data, at - base)):
                at = base + run.end()
                continue
            if tag < 0x80:
                at += 1
            elif at - base + 2 < len(data) and data[at - base + 1] < 0x80:
                tag, at = tag & 0x7F | data[at - base + 1] << 7, at + 2
            else:
                tag, at = self.varint(at, end, 5)
            number, wire = tag >> 3, tag & 7
            if not 0 < number < 1 << 29:
                raise self.bad(f"a field has the number {number}", begin)
            value, first = 0, begin
            if wire in (VARINT, BYTES):
                value = data[at - base] if at - base < len(data) and at < end else 0x80
                if value < 0x80:
                    at += 1
                else:
                    value, at = self.varint(at, end, 10)
            if wire == BYTES:
                if value > end - at:
                    raise self.bad(f"{value:,} bytes are needed and {end - at:,} are left (truncated)", at)
                first = at
                at += value
                value = 0
            elif wire in (FIXED64, FIXED32):
                width = 8 if wire == FIXED64 else 4
                if width > end - at:
                    raise self.bad("a number is cut off (truncated)", at)
                value, at = int.from_bytes(self.window.bytes(at, width), "little"), at + width
            elif wire == GROUP:
                groups.append(number)
                if len(groups) > 100:
                    raise self.bad("groups are nested too deep", begin)
                continue
            elif wire == END_GROUP and groups and groups.pop() == number:
                continue
            elif wire != VARINT:
                raise self.bad(f"a field is stored in a way that does not exist ({wire})", begin)
            if not groups and (numbers or wire == BYTES):
                yield Field(number, wire, value, first, at)
        if groups:
            raise self.bad("a group does not end (truncated)", end)

    def numbers(self) -> frozenset[int]:
        """The numbers of the fields at the top that hold bytes."""
        return frozenset({one.number for one in self.parts()})

    def varint(self, at: int, end: int, longest: int) -> tuple[int, int]:
        """`(value, offset after it)`."""
        data = self.window.bytes(at, min(longest, end - at))
        value = 0
        for index, byte in enumerate(data):
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if longest == 5 and value >> 32:
                    break
                return value & 0xFFFFFFFFFFFFFFFF, at + index + 1
        raise self.bad("a number is cut off or too long", at)

    def raw(self, field: Field, longest: int = _LONGEST_TEXT) -> bytes:
        return self.window.bytes(field.start, min(longest, field.end - field.start))

    def text(self, field: Field) -> str:
        """The beginning of a text; bytes that are no UTF-8 are replaced."""
        return self.raw(field).decode("utf-8", "replace")

    def first(self, field: Field, number: int) -> str:
        """A text field of a submessage: the last of that number, as parsers do; empty if there is none."""
        found = ""
        for inner in self.parts(field.start, field.end):
            if inner.number == number:
                found = self.text(inner)
        return found


_Head = Mapping[int, tuple[int, bytes]]


def shape(head: bytes, size: int) -> _Head | None:
    """The first field of each number at the top of a message of which only the beginning is there.

    By number: how it is stored, and the beginning of its bytes. `None` if this is no message. For sniffers.
    """
    seen: dict[int, tuple[int, bytes]] = {}
    at = 0
    for _ in range(10_000):
        if at >= len(head):
            break
        tag, at = _varint(head, at)
        number, wire = tag >> 3, tag & 7
        length = {VARINT: 0, FIXED64: 8, FIXED32: 4}.get(wire, 0)
        if tag < 8 or wire not in (VARINT, FIXED64, BYTES, FIXED32) or number >= 1 << 29:
            return None if at < len(head) or at >= size else seen
        if wire in (VARINT, BYTES):
            value, at = _varint(head, at)
            if value < 0:
                return None if at < len(head) or at >= size else seen
            length = value if wire == BYTES else 0
        if at + length > size:
            return None
        seen.setdefault(number, (wire, head[at : at + length] if wire == BYTES else b""))
        at += length
    return seen


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """`(value, offset after it)`; -1 where there is none, with the offset where the data ends."""
    value = 0
    for index in range(10):
        if at + index >= len(data):
            return -1, len(data)
        value |= (data[at + index] & 0x7F) << (7 * index)
        if data[at + index] < 0x80:
            return value, at + index + 1
    return -1, at


def begins(known: Mapping[int, int]) -> bytes:
    """The first bytes that a message may have whose fields are all of these: see `fits`. For claims."""
    tags = {(number << 3 | wire) & 0x7F for number, wire in known.items()}
    return bytes(sorted(tags | {tag | 0x80 for tag in tags}))


def fits(head: _Head | None, known: Mapping[int, int], *, needs: tuple[int, ...]) -> bool:
    """Whether the fields seen are stored as a schema has them, and those that it needs are there."""
    if not head or any(number not in head for number in needs):
        return False
    return all(known.get(number) == wire for number, (wire, _) in head.items())


_PRINTABLE = Later(rb"[\x20-\x7e]+")


def is_name(data: bytes, allowed: Callable[[bytes], object] = _PRINTABLE.fullmatch) -> bool:
    return bool(data) and allowed(data) is not None
