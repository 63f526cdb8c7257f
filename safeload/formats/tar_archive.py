"""The members of a tar archive, read by hand and in bounds.

Plain files are ranges of the archive. What makes tar readers differ is reported: names that appear twice (the last
one wins for some, the first for others), links, extended headers that override names and sizes, and what follows the
end mark.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from safeload.core.blob import Blob, Extent
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.base import Irregularity
from safeload.formats.window import Notes, Window

_BLOCK = 512
_LONGEST_NAME = 1 << 16
_PLAIN = b"0\0"
_KEEPS_NEXT = b"LxKg"
"""Members that describe the next one: GNU long names and links, and POSIX extended headers."""


@dataclass(frozen=True, slots=True)
class TarMember:
    name: str
    header: int
    content: Extent


@dataclass(frozen=True, slots=True)
class Tar:
    members: tuple[TarMember, ...]
    irregularities: tuple[Irregularity, ...]
    fault: MalformedInput | None = None


def is_tar(head: bytes) -> bool:
    """Whether a file begins with a tar header: its checksum is right."""
    return _header(head[:_BLOCK]) is not None


def _header(block: bytes) -> tuple[str, int, int] | None:
    """`(name, type, size)` of a header block whose checksum holds."""
    if len(block) < _BLOCK or not block[0]:
        return None
    stated = _number(block[148:156])
    plain = block[:148] + b" " * 8 + block[156:]
    signed = sum(byte - 256 if byte > 127 else byte for byte in plain)
    size = _number(block[124:136])
    if stated is None or size is None or stated not in (sum(plain), signed):
        return None
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345]:
        name = f"{_text(block[345:500])}/{name}"
    return name, block[156], size


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "replace")


def _number(data: bytes) -> int | None:
    """A size: octal text, or binary where the highest bit says so."""
    if data[0] == 0x80:
        return int.from_bytes(data[1:], "big")
    text = data.partition(b"\0")[0].strip()
    if not all(byte in b"01234567" for byte in text):
        return None
    return int(text or b"0", 8)


def read_tar(blob: Blob, location: Location, limits: Limits) -> Tar:
    """List the members of an archive. Never raises: what ends the reading is `Tar.fault`."""
    notes = Notes(location)
    members: list[TarMember] = []
    fault: MalformedInput | None = None
    try:
        members.extend(_members(Window(blob), notes, location, limits))
    except MalformedInput as error:
        fault = error
    seen: dict[str, int] = {}
    for member in members:
        if member.name in seen:
            detail = f"two members are named {escape(member.name)}"
            notes.add("tar-duplicate-name", detail, member.header, two=True)
        seen[member.name] = member.header
    return Tar(tuple(members), tuple(notes), fault)


def _members(window: Window, notes: Notes, location: Location, limits: Limits) -> Iterator[TarMember]:
    at = count = 0
    renamed: str | None = None
    while at < window.size:
        block = window.bytes(at, _BLOCK)
        if not block.strip(b"\0"):
            _check_rest(window, notes, at)
            return
        header = _header(block)
        count += 1
        if header is None:
            raise _damaged(location.at(at), "a member's header is damaged")
        if count > limits.members:
            raise LimitExceeded("members", allowed=limits.members, wanted=count, where=location.at(at))
        name, kind, size = header
        start = at + _BLOCK
        if size > window.size - start:
            missing = size - (window.size - start)
            raise _damaged(location.at(at), f"{missing:,} bytes of a member are missing (truncated)")
        if kind in _KEEPS_NEXT:
            notes.add("tar-extended-header", "a header overrides what the next one says", at, two=kind in b"xg")
            if kind in b"L" and size <= _LONGEST_NAME:
                renamed = _text(window.blob.read_at(start, size))
        elif kind in _PLAIN:
            name = renamed or name
            renamed = None
            if name.startswith("/") or ".." in name.split("/"):
                notes.add("tar-traversal-name", f"a member is named {escape(name)}", at, member=name)
            if not name.endswith("/"):
                yield TarMember(name, at, Extent(window.blob, start, size))
        else:
            renamed = None
            if kind not in b"5":
                notes.add("tar-link", "a member is a link, a device or of an unknown kind", at, member=name)
        at = start + (size + _BLOCK - 1) // _BLOCK * _BLOCK
    raise _damaged(location.at(window.size), "it has no end mark (truncated)")


def _check_rest(window: Window, notes: Notes, at: int) -> None:
    """After the end mark there is only padding, to a record of 20 blocks."""
    if window.size - at > 64 * _BLOCK or window.bytes(at, window.size - at).strip(b"\0"):
        notes.add("trailing-data", f"{window.size - at:,} bytes follow the end mark", at)


def _damaged(where: Location, why: str) -> MalformedInput:
    return MalformedInput("a tar archive cannot be read", where=where, why=why, remedy="fetch the file again")
