"""MessagePack, one item at a time: what stands at an offset, without reading long bytes.

Every length is checked against the bytes that exist. Nothing recurses; whoever walks the items keeps a stack.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from safeload.core.blob import Blob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.inside import account
from safeload.formats.window import Window

Kind = Literal["value", "text", "bytes", "array", "map", "extension"]

_NUMBERS = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
_SIZED: dict[int, tuple[Kind, int]] = {
    0xC4: ("bytes", 1),
    0xC5: ("bytes", 2),
    0xC6: ("bytes", 4),
    0xC7: ("extension", 1),
    0xC8: ("extension", 2),
    0xC9: ("extension", 4),
    0xD9: ("text", 1),
    0xDA: ("text", 2),
    0xDB: ("text", 4),
    0xDC: ("array", 2),
    0xDD: ("array", 4),
    0xDE: ("map", 2),
    0xDF: ("map", 4),
}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_WIDEST = 9


@dataclass(frozen=True, slots=True)
class Item:
    """What begins at one place. `start` is its content: the first byte, or the first inner item."""

    kind: Kind
    start: int
    count: int = 0
    """Bytes of text, bytes and extensions; items of arrays; pairs of maps."""
    value: object = None
    """Of a `value`: a number, a truth value or nothing. Of an `extension`: its type. Of a `text`: itself."""

    @property
    def end(self) -> int:
        """The offset after it; of arrays and maps, where the first inner item begins."""
        return self.start if self.kind in ("array", "map", "value") else self.start + self.count


class Items:
    """Reads items out of a range of a blob."""

    def __init__(self, blob: Blob, location: Location, limits: Limits) -> None:
        self.window = Window(blob)
        self.location = location
        self.limits = limits
        self.work = account(limits, blob).work

    def bad(self, at: int, why: str) -> MalformedInput:
        return MalformedInput(
            "a MessagePack file cannot be read",
            where=self.location.at(at),
            why=why,
            remedy="fetch the file again; if it stays so, ask its author for a safetensors version",
        )

    def at(self, offset: int, stop: int | None = None) -> Item:
        """The item at an offset, which must end before `stop`.

        Raises:
            MalformedInput: it is cut, of no type that the format has, or holds text that is no UTF-8.
            LimitExceeded: more items than a file of this size may have, or text longer than `Limits.text_bytes`.
        """
        self.work.walk(1, self.location)
        end = self.window.size if stop is None else stop
        item = self._head(offset, end)
        if item.kind in ("text", "bytes", "extension") and item.end > end:
            raise self.bad(offset, f"{item.count:,} bytes begin with only {end - item.start:,} left (truncated)")
        if item.kind in ("array", "map") and item.count > end - item.start:
            raise self.bad(offset, f"{item.count:,} items cannot stand in {end - item.start:,} bytes (truncated)")
        if item.kind == "text":
            return Item("text", item.start, item.count, self._text(item))
        return item

    def _text(self, item: Item) -> str:
        if item.count > self.limits.text_bytes:
            raise LimitExceeded(
                "text_bytes", allowed=self.limits.text_bytes, wanted=item.count, where=self.location.at(item.start)
            )
        try:
            return self.window.bytes(item.start, item.count).decode("utf-8")
        except UnicodeDecodeError:
            raise self.bad(item.start, "text is not UTF-8") from None

    def _head(self, offset: int, end: int) -> Item:
        data = self.window.bytes(offset, _WIDEST)[: max(0, end - offset)]
        if not data:
            raise self.bad(offset, "it ends where an item should begin (truncated)")
        first, after = data[0], offset + 1
        if first <= 0x7F or first >= 0xE0:
            return Item("value", after, value=first if first <= 0x7F else first - 256)
        if first <= 0x8F:
            return Item("map", after, first & 15)
        if first <= 0x9F:
            return Item("array", after, first & 15)
        if first <= 0xBF:
            return Item("text", after, first & 31)
        if first in _CONSTANTS:
            return Item("value", after, value=_CONSTANTS[first])
        if 0xD4 <= first <= 0xD8:
            kind = struct.unpack_from(">b", self._need(data, 2, offset), 1)[0]
            return Item("extension", after + 1, 1 << (first - 0xD4), kind)
        if first in _NUMBERS:
            layout = _NUMBERS[first]
            size = struct.calcsize(layout)
            number = struct.unpack_from(layout, self._need(data, 1 + size, offset), 1)[0]
            return Item("value", after + size, value=number)
        if first not in _SIZED:
            raise self.bad(offset, f"{first:#04x} begins no item")
        name, width = _SIZED[first]
        count = int.from_bytes(self._need(data, 1 + width, offset)[1 : 1 + width], "big")
        if name != "extension":
            return Item(name, after + width, count)
        code = struct.unpack_from(">b", self._need(data, 2 + width, offset), 1 + width)[0]
        return Item(name, after + width + 1, count, code)

    def _need(self, data: bytes, length: int, offset: int) -> bytes:
        if len(data) < length:
            raise self.bad(offset, "it ends within an item (truncated)")
        return data
