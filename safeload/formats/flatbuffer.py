"""FlatBuffers, as far as reading models needs: tables, vectors and texts at checked places.

Everything in a flatbuffer is an offset from where it stands. Each is checked against the file before it is followed.
Many may lead to one place, so that a small file can be a large tree: what is visited is counted, each time it is.
"""

from __future__ import annotations

from safeload.core.blob import Blob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.inside import account
from safeload.formats.window import Window

_LONGEST_TEXT = 1 << 16
_OF_A_TABLE = 2
"""What visiting a table is counted for, in fields as small as those of protocol buffers …"""
_OF_ONE = 16
"""… and for how many bytes of a text one is counted. Regular tables have sixteen bytes or more, and one visitor."""


class Tables:
    """The tables of one file, within its limits."""

    def __init__(self, blob: Blob, location: Location, limits: Limits) -> None:
        self.window = Window(blob)
        self.size = blob.size
        self.location = location
        self.left = self.most = limits.nodes
        self.work = account(limits, blob).work
        self.latest = (0, 0, 0, 0)  # the table at hand, and where the offsets of its fields stand

    def bad(self, why: str, at: int) -> MalformedInput:
        place = self.location.at(max(0, min(at, self.size)))
        return MalformedInput("a flatbuffer cannot be read", where=place, why=why, remedy="fetch the file again")

    def take(self, at: int, length: int) -> bytes:
        """Exactly these bytes. Raises `MalformedInput` if they are not all there."""
        self.left -= 1
        if length > _OF_ONE:
            self.work.visit(length // _OF_ONE, self.location.at(at))
        if self.left < 0:
            raise LimitExceeded("nodes", allowed=self.most, wanted=self.most + 1, where=self.location.at(at))
        if not 0 <= at <= self.size - length:
            raise self.bad(f"{length:,} bytes at {at:,} lie outside of the file (truncated)", at)
        return self.window.bytes(at, length)

    def number(self, at: int, width: int = 4, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(at, width), "little", signed=signed)

    def follow(self, at: int) -> int:
        """Where the offset that stands here leads."""
        return at + self.number(at)

    def root(self) -> int:
        return self.follow(0)

    def slot(self, table: int, index: int) -> int | None:
        """Where a field of a table stands; `None` for one that is left out."""
        known, names, length, room = self.latest
        if table != known or not names:
            self.work.visit(_OF_A_TABLE, self.location.at(max(0, table)))
            names = table - self.number(table, signed=True)
            length, room = self.number(names, 2), self.number(names + 2, 2)
            self.latest = (table, names, length, room)
        place = 4 + 2 * index
        if place + 2 > length:
            return None
        offset = self.number(names + place, 2)
        if offset >= room and offset:
            raise self.bad("a field lies outside of its table", table)
        return table + offset if offset else None

    def scalar(self, table: int, index: int, width: int, *, signed: bool = False) -> int:
        at = self.slot(table, index)
        return 0 if at is None else self.number(at, width, signed=signed)

    def table(self, table: int, index: int) -> int | None:
        at = self.slot(table, index)
        return None if at is None else self.follow(at)

    def vector(self, table: int, index: int, width: int) -> tuple[int, int]:
        """Where the elements of a vector begin, and how many there are; none for one that is left out."""
        at = self.slot(table, index)
        if at is None:
            return 0, 0
        start = self.follow(at)
        count = self.number(start)
        if count * width > self.size - start - 4:
            raise self.bad(f"a vector of {count:,} elements is longer than the file (truncated)", start)
        return start + 4, count

    def tables(self, table: int, index: int) -> list[int]:
        """The tables of a vector of tables."""
        start, count = self.vector(table, index, 4)
        self.work.visit(count, self.location.at(start))
        return [self.follow(start + 4 * number) for number in range(count)]

    def raw(self, table: int, index: int, longest: int = _LONGEST_TEXT) -> bytes:
        start, count = self.vector(table, index, 1)
        return self.take(start, min(count, longest)) if count else b""

    def text(self, table: int, index: int) -> str:
        return self.raw(table, index).decode("utf-8", "replace")
