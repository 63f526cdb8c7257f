"""The objects of an HDF5 file: headers of both versions, and the messages in them.

An object is a list of messages: links to other objects, attributes, where data lies, and where the list goes on.
Everything is an address in the file; each is checked, and each object is read once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.inside import account
from safeload.formats.window import Window

SIGNATURE = b"\x89HDF\r\n\x1a\n"
NIL, LINK_INFO, DATATYPE, LINK, EXTERNAL, LAYOUT, FILTERS, ATTRIBUTE, CONTINUATION, TABLE, ATTRIBUTE_INFO = (
    *(0x00, 0x02, 0x03, 0x06, 0x07, 0x08, 0x0B, 0x0C),
    *(0x10, 0x11, 0x15),
)
_LONGEST = 1 << 26
"""Bytes of one block that is read whole; attributes larger than this lie in heaps."""


class Message(NamedTuple):
    """One message of an object: its kind, and the range of the file that it is."""

    kind: int
    start: int
    size: int
    shared: bool = False
    ordered: bool = False


class File:
    """Numbers and ranges of one HDF5 file, within its limits."""

    def __init__(self, blob: Blob, location: Location, limits: Limits) -> None:
        self.window = Window(blob)
        self.size = blob.size
        self.location = location
        self.limits = limits
        self.work = account(limits, blob).work
        self.base = 0
        self.offsets = self.lengths = 8

    def bad(self, why: str, at: int) -> MalformedInput:
        place = self.location.at(max(0, min(at, self.size)))
        return MalformedInput("an HDF5 file cannot be read", where=place, why=why, remedy="fetch the file again")

    def spend(self, at: int, items: int = 1) -> None:
        """Account for things that were read. Raises `Overdrawn` when there are more than the file may have."""
        self.work.walk(items, self.location.at(at))

    def take(self, at: int, length: int) -> bytes:
        """Exactly these bytes. Raises `MalformedInput` if they are not all there."""
        if length > _LONGEST:
            raise self.bad(f"a block of {length:,} bytes is too large", at)
        if not 0 <= at <= self.size - length:
            raise self.bad(f"{length:,} bytes at {at:,} lie outside of the file (truncated)", at)
        return self.window.bytes(at, length) if length else b""

    def number(self, at: int, width: int) -> int:
        return int.from_bytes(self.take(at, width), "little")

    def address(self, at: int) -> int | None:
        """An address; `None` where it is marked as undefined."""
        raw = self.take(at, self.offsets)
        if raw == b"\xff" * self.offsets:
            return None
        return self.base + int.from_bytes(raw, "little")

    def text(self, at: int, end: int) -> str:
        """Text up to its NUL."""
        raw = self.take(at, max(0, min(end, self.size) - at))
        return raw.partition(b"\0")[0].decode("utf-8", "replace")


def read_object(file: File, at: int) -> Iterator[Message]:
    """The messages of the object whose header begins here, with those of its continuations.

    Raises:
        MalformedInput: the header or a continuation is none.
    """
    if file.take(at, 4) == b"OHDR":
        yield from _second(file, at)
    else:
        yield from _first(file, at)


def _first(file: File, at: int) -> Iterator[Message]:
    head = file.take(at, 16)
    if head[0] != 1:
        raise file.bad("an object has no header", at)
    blocks = [(at + 16, int.from_bytes(head[8:12], "little"))]
    for start, size in _each(file, blocks):
        here, end = start, start + size
        while here + 8 <= end:
            file.spend(here)
            kind, length, flags = file.number(here, 2), file.number(here + 2, 2), file.number(here + 4, 1)
            if here + 8 + length > end:
                raise file.bad("a message is longer than its header", here)
            message = Message(kind, here + 8, length, bool(flags & 2))
            if kind == CONTINUATION:
                blocks.append(_continuation(file, message))
            elif kind != NIL:
                yield message
            here += 8 + length


def _each(file: File, blocks: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Each block of a header, those that are added on the way as well; each is whole."""
    seen: set[int] = set()
    for start, size in blocks:
        if start in seen:
            raise file.bad("a header continues in itself", start)
        seen.add(start)
        file.take(max(0, start + size - 1), 1)
        yield start, size


def _second(file: File, at: int) -> Iterator[Message]:
    flags = file.number(at + 5, 1)
    here = at + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    blocks = [(here + width, file.number(here, width))]
    ordered = bool(flags & 4)
    for start, size in _each(file, blocks):
        here, end = start, start + size
        step = 6 if ordered else 4
        while here + step <= end:
            file.spend(here)
            kind, length, marks = file.number(here, 1), file.number(here + 1, 2), file.number(here + 3, 1)
            if here + step + length > end:
                raise file.bad("a message is longer than its header", here)
            message = Message(kind, here + step, length, bool(marks & 2))
            if kind == CONTINUATION:
                begin, room = _continuation(file, message)
                if file.take(begin, 4) != b"OCHK" or room < 8:
                    raise file.bad("a header does not continue where it says", begin)
                blocks.append((begin + 4, room - 8))
            elif kind != NIL:
                yield message
            here += step + length


def _continuation(file: File, message: Message) -> tuple[int, int]:
    if message.size < file.offsets + file.lengths:
        raise file.bad("a continuation is too short", message.start)
    begin = file.address(message.start)
    if begin is None:
        raise file.bad("a continuation leads nowhere", message.start)
    return begin, file.number(message.start + file.offsets, file.lengths)
