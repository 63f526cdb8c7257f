"""The members of a tar archive, read by hand and in bounds.

Headers are understood as Python's `tarfile` does, which torch uses and which is generous. What makes tar readers
differ is reported: names that appear twice (the last one wins for some, the first for others), links, extended headers
that override names and sizes, numbers that are not plain octal, and what follows the end mark.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from safeload.core.blob import Blob, Extent
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.base import Claims, Irregularity
from safeload.formats.window import Notes, Window
from safeload.later import Later

TORCH_MEMBERS = ("sys_info", "pickle", "tensors", "storages")
"""The members of torch's own archives, which it looks up by these names."""
_BLOCK = 512
_LONGEST_NAME = 1 << 16
_PLAIN = b"0\0007"
_EMPTY = b"123456"
"""Links, devices, directories and pipes: whatever their size says, the next header follows at once."""
_KEEPS_NEXT = b"LKxgX"
"""Members that describe the next one: GNU long names and links, and POSIX extended headers."""
_DIGITS = b"01234567+-\0\x80\xff \t\n\r\v\f\x1c\x1d\x1e\x1f"
"""What a number of a header may begin with, as `_number` reads it."""
TAR = Claims(at=tuple((148, bytes((byte,))) for byte in _DIGITS))
"""The checksum of the first header begins like a number."""
_OCTAL = Later(rb"[ \0]*[0-7]*[ \0]*")
_RECORD = Later(rb"([0-9]{1,6}) ([^=]+)=")
_HARMLESS = frozenset({b"mtime", b"atime", b"ctime", b"uid", b"gid", b"uname", b"gname", b"comment"})
"""What an extended header may say without changing any member's name or content."""


class TarMember(NamedTuple):
    name: str
    header: int
    content: Extent


class Tar(NamedTuple):
    members: tuple[TarMember, ...]
    irregularities: tuple[Irregularity, ...]
    fault: MalformedInput | None = None


class _Header(NamedTuple):
    name: str
    kind: int
    size: int
    odd: bool
    """Whether some readers understand it differently, or not at all."""


def is_tar(head: bytes) -> bool:
    """Whether a file begins with a tar header: its checksum is right."""
    return _header(head[:_BLOCK]) is not None


def _header(block: bytes) -> _Header | None:
    """A header block whose checksum holds."""
    if len(block) < _BLOCK:
        return None
    stated, size = _number(block[148:156]), _number(block[124:136])
    if stated is None or size is None or size < 0:
        return None
    plain = block[:148] + b" " * 8 + block[156:]
    if stated != sum(plain) and stated != sum(byte - 256 if byte > 127 else byte for byte in plain):
        return None
    name, kind, prefix = _text(block[:100]), block[156], _text(block[345:500])
    odd = not (_OCTAL.fullmatch(block[148:156]) and (block[124] == 0x80 or _OCTAL.fullmatch(block[124:136])))
    if prefix and kind not in b"LKS":
        name = f"{prefix}/{name}"
        odd = odd or block[257:263] != b"ustar\0"
    if kind == 0 and name.endswith("/"):
        kind = ord("5")  # how the oldest archives write a directory
    return _Header(name, kind, size, odd)


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "replace")


def _number(data: bytes) -> int | None:
    """A number: octal text as Python reads it, or binary where the highest bit says so."""
    if data[0] in (0x80, 0xFF):
        return int.from_bytes(data[1:], "big") - (256 ** (len(data) - 1) if data[0] == 0xFF else 0)
    try:
        return int(data.partition(b"\0")[0].decode("ascii").strip() or "0", 8)
    except ValueError:
        return None


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
        name, kind, size = header.name, header.kind, header.size
        start = at + _BLOCK
        if header.odd:
            notes.add("tar-odd-header", "a header is one that not every reader takes", at, member=name, two=True)
        if kind in _EMPTY and size:
            notes.add("tar-odd-header", "a member that has no content has a size", at, member=name, two=True)
            size = 0
        if size > window.size - start:
            missing = size - (window.size - start)
            raise _damaged(location.at(at), f"{missing:,} bytes of a member are missing (truncated)")
        if kind in _KEEPS_NEXT:
            said = window.blob.read_at(start, min(size, _LONGEST_NAME))
            two = size > _LONGEST_NAME or (renamed is not None if kind in b"LK" else _redefines(said))
            notes.add("tar-extended-header", "a header overrides what the next one says", at, two=two)
            renamed = _text(said) if kind in b"L" else renamed
        else:
            name, renamed = renamed or name, None
            if name.startswith("/") or ".." in name.split("/"):
                notes.add("tar-traversal-name", f"a member is named {escape(name)}", at, member=name)
            if kind not in _EMPTY:
                yield TarMember(name, at, Extent(window.blob, start, size))
            if kind not in _PLAIN + b"5":
                two = kind not in _EMPTY or name in TORCH_MEMBERS
                notes.add("tar-link", "a member is a link, a device or of an unknown kind", at, member=name, two=two)
        at = start + (size + _BLOCK - 1) // _BLOCK * _BLOCK
    raise _damaged(location.at(window.size), "it has no end mark (truncated)")


def _redefines(records: bytes) -> bool:
    """Whether an extended header could say anything about the name, size or content of what follows."""
    at = 0
    while at < len(records):
        found = _RECORD.compiled.match(records, at)
        if found is None or not int(found[1]) or found[2] not in _HARMLESS:
            return True
        at += int(found[1])
    return False


def _check_rest(window: Window, notes: Notes, at: int) -> None:
    """After the end mark there is only padding, to a record of 20 blocks."""
    if window.size - at > 64 * _BLOCK or window.bytes(at, window.size - at).strip(b"\0"):
        notes.add("trailing-data", f"{window.size - at:,} bytes follow the end mark", at)


def _damaged(where: Location, why: str) -> MalformedInput:
    return MalformedInput("a tar archive cannot be read", where=where, why=why, remedy="fetch the file again")
