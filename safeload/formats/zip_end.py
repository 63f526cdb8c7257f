"""The end records of a zip archive: where its directories are said to be.

The last end record counts; an earlier one whose comment reaches exactly to the end of the file counts too, because
some readers stop there. ZIP64 records are read where they are said to be, and where they must be.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from safeload.formats.window import Notes, Window

END = b"PK\x05\x06"
_CENTRAL = b"PK\x01\x02"
_END64 = b"PK\x06\x06"
_LOCATOR64 = b"PK\x06\x07"
_END_SIZE = 22
_TAIL = _END_SIZE + 0xFFFF
_FULL = 0xFFFFFFFF
_MOST = 4
"""End records that are followed; nobody but an attacker writes two."""


class End(NamedTuple):
    """One statement about where a directory is."""

    start: int
    """Where the end records begin: the ZIP64 one where there is one."""
    stop: int
    number: int
    """Of entries."""
    size: int
    offset: int


def has_end(tail: bytes, size: int) -> bool:
    """Whether the last bytes of a file of `size` bytes hold an end record that could be true."""
    listing = _CENTRAL in tail
    return any(listing or _plausible(tail, at, size - len(tail)) for at in _ends_in(tail))


def _ends_in(tail: bytes) -> Iterator[int]:
    at = tail.rfind(END, 0, len(tail) - _END_SIZE + len(END)) if len(tail) >= _END_SIZE else -1
    last = at
    while at >= 0:
        reach = at + _END_SIZE + int.from_bytes(tail[at + 20 : at + 22], "little")
        if at == last or reach == len(tail):
            yield at
        at = tail.rfind(END, 0, at)


def _plausible(tail: bytes, at: int, base: int) -> bool:
    size, offset, comment = struct.unpack_from("<IIH", tail, at + 12)
    fits = _FULL in (size, offset) or offset + size <= base + at
    return bool(fits and at + _END_SIZE + comment <= len(tail))


def last_directory(tail: bytes) -> bytes:
    """The directory of the last end record, if all of it lies in the last bytes of a file; else what is there of it."""
    at = next(_ends_in(tail), -1)
    if at < 0:
        return b""
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    begin = at - size - (76 if tail[max(0, at - 20) : at].startswith(_LOCATOR64) else 0)
    return tail[max(0, begin) : at] if size != _FULL else tail[:at]


def length_of_last(data: bytes) -> int | None:
    """How long the archive is that ends with `data` (its last 98 bytes), as torch writes them; `None` for others."""
    end, locator, long = data[-_END_SIZE:], data[-_END_SIZE - 20 : -_END_SIZE], data[-_END_SIZE - 76 : -_END_SIZE - 20]
    if len(end) < _END_SIZE or not end.startswith(END) or end[20:] != b"\0\0":
        return None
    size, offset = struct.unpack_from("<II", end, 12)
    if not locator.startswith(_LOCATOR64):
        return int(offset + size + _END_SIZE)
    if len(long) < 56 or not long.startswith(_END64):
        return None
    size, offset = struct.unpack_from("<QQ", long, 40)
    return int(offset + size + 56 + 20 + _END_SIZE)


def find_ends(window: Window, notes: Notes) -> Iterator[End]:
    """Every end record that a reader could use, the last one first."""
    base = max(0, window.size - _TAIL)
    tail = window.bytes(base, _TAIL)
    for number, at in enumerate(_ends_in(tail)):
        if number and not _plausible(tail, at, base):
            continue
        if number:
            notes.add("zip-several-ends", "more than one end record reaches to the end of the file", two=True)
        if number >= _MOST:
            return
        yield from _read_end(window, notes, base + at, tail[at : at + _END_SIZE])


def _read_end(window: Window, notes: Notes, at: int, data: bytes) -> Iterator[End]:
    disk, first_disk, here, count, size, offset, comment = struct.unpack("<4H2IH", data[4:])
    stop = at + _END_SIZE + comment
    if disk or first_disk or here != count:
        notes.add("zip-multi-disk", "the archive claims to be one of several disks", at)
    if stop > window.size:
        notes.add("zip-comment", "the archive's comment is longer than the file", at)
    short = End(at, stop, count, size, offset)
    long = _read_end64(window, notes, at, stop)
    if long is None:
        yield short
        return
    yield long
    fields = ((count, long.number, 0xFFFF), (size, long.size, _FULL), (offset, long.offset, _FULL))
    if any(small not in (big, full) for small, big, full in fields):
        notes.add("zip-zip64-disagrees", "the ZIP64 end record contradicts the ordinary one", at, two=True)
        yield short


def _read_end64(window: Window, notes: Notes, at: int, stop: int) -> End | None:
    locator = window.bytes(at - 20, 20)
    if not locator.startswith(_LOCATOR64):
        return None
    disk, stated, disks = struct.unpack("<IQI", locator[4:])
    if disk or disks > 1:
        notes.add("zip-multi-disk", "the ZIP64 locator names another disk", at - 20)
    before = at - 20 - 56
    for position in dict.fromkeys((stated, before)):
        data = window.bytes(position, 56)
        if data.startswith(_END64) and len(data) == 56:
            if position != before:
                notes.add("zip-zip64-disagrees", "the ZIP64 end record is not before its locator", at, two=True)
            elif position != stated:
                notes.add("zip-zip64-disagrees", "the ZIP64 locator points elsewhere", at, two=True)
            count, size, offset = struct.unpack("<QQQ", data[32:56])
            return End(position, stop, count, size, offset)
    notes.add("zip-zip64-disagrees", "the ZIP64 locator points at no end record", at, two=True)
    return None
