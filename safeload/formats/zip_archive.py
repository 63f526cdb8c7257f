"""The directory of a zip archive, read so that no reader's version of it goes unseen.

Zip says most things twice (central directory, local header, descriptor, ZIP64 records), and readers differ in what
they believe. This module reads all of them, reports every disagreement, and lists a member once for each way in
which a reader could reach its content. It never inflates anything: that is `zip_member`.

Rules it keeps:

1. Every end record that some reader would use is followed (`zip_end`).
2. A directory is read where it says it is, and where its size puts it, if those are two places.
3. Every byte of the file belongs to a member, a directory or an end record; what does not is reported, and
   members found there are listed.
4. Member counts and directory sizes are checked before anything of that size is made.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from safeload.core.blob import Blob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.base import Irregularity
from safeload.formats.window import Notes, Window
from safeload.formats.zip_end import End, find_ends

LOCAL = b"PK\x03\x04"
_CENTRAL = b"PK\x01\x02"
_DESCRIPTOR = b"PK\x07\x08"
_CENTRAL_HEAD = struct.Struct("<4s6H3I5H2I")
_LOCAL_HEAD = struct.Struct("<4s5H3I2H")
_CENTRAL_SAID = struct.Struct("<8xHH4x3I4H2xII")
"""Of a record of the directory: flags, method, checksum, both sizes, three lengths, disk, attributes, offset."""
_LOCAL_SAID = struct.Struct("<4s2x4s4x12sHH")
"""Of a member's own header: the mark, flags with method, checksum with sizes, both lengths."""
_FULL = 0xFFFFFFFF
_ENCRYPTED = 0x0001 | 0x0020 | 0x0040 | 0x2000
"""Flag bits: encrypted, patch data, strong encryption, masked headers."""
_LATER = 0x0008
"""Flag bit: sizes follow the data in a descriptor."""
_UTF8 = 0x0800
_UNICODE_PATH = 0x7075
_UNICODE_PATH_BYTES = b"up"
_LAYOUTS = (struct.Struct("<IQQ"), struct.Struct("<III"))
"""What stands in a descriptor: checksum and both sizes."""
_LONG_DESCRIPTOR = struct.Struct("<4sIQQ")
_NONE = bytes(12)
"""What a local header says of checksum and sizes that come later."""
_UNKNOWN = 1 << 20
"""What is unpacked of a deflated member whose size nobody says."""
_RECORD_BYTES = 512
"""Directory bytes that `Limits.members` stands for, per member."""


class Entry(NamedTuple):
    """One way to reach a member's content."""

    name: str
    method: int
    encrypted: bool
    crc: int
    packed: int
    """Bytes in the archive."""
    size: int
    """Bytes after unpacking, as the archive says."""
    header: int
    """Offset of the local header."""
    start: int
    """Offset of the first byte of data."""
    listed: bool = True
    """False for members that no directory names."""


class Archive(NamedTuple):
    """All members of an archive, and all that is wrong with it."""

    entries: tuple[Entry, ...]
    irregularities: tuple[Irregularity, ...]
    fault: MalformedInput | None = None
    """Why the directory could not be read to its end; members found until then are listed."""


class _Header(NamedTuple):
    """What local and central headers both say."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    extra: bytes


class _Scan:
    def __init__(self, window: Window, notes: Notes, limits: Limits, location: Location) -> None:
        self.window = window
        self.notes = notes
        self.limits = limits
        self.location = location
        self.entries: list[Entry] = []
        self.ranges: list[tuple[int, int]] = []

    """What is accounted for, for rule 3."""

    def damaged(self, why: str, at: int) -> MalformedInput:
        what, remedy = "a zip archive cannot be read", "fetch the file again: it may be an interrupted download"
        return MalformedInput(what, where=self.location.at(at), why=why, remedy=remedy)

    def too_many(self, wanted: int, at: int) -> LimitExceeded:
        return LimitExceeded("members", allowed=self.limits.members, wanted=wanted, where=self.location.at(at))


def read_archive(blob: Blob, location: Location, limits: Limits) -> Archive:
    """Read the directory of an archive. Never raises: what ends the reading is `Archive.fault`."""
    scan = _Scan(Window(blob), Notes(location), limits, location)
    fault: MalformedInput | None = None
    try:
        ends = list(find_ends(scan.window, scan.notes))
        if not ends:
            _salvage(scan, 0, blob.size)
            raise scan.damaged("it has no directory at its end: the file is truncated", blob.size)
        for end in ends:
            scan.ranges.append((end.start, end.stop))
            _read_directory(scan, end)
        _check_names(scan)
        _check_cover(scan)
    except MalformedInput as error:
        fault = error
    return Archive(entries=tuple(scan.entries), irregularities=tuple(scan.notes), fault=fault)


# ── the directory (rules 2 and 4) ───────────────────────────────────────────────────────────────────────────────


def _read_directory(scan: _Scan, end: End) -> None:
    if end.number > scan.limits.members:
        raise scan.too_many(end.number, end.start)
    if end.size > scan.limits.members * _RECORD_BYTES:
        raise scan.too_many(end.size // _RECORD_BYTES, end.start)
    behind = end.start - end.size
    if behind != end.offset:
        detail = f"the directory is said to be at {end.offset:,}, and its size puts it at {behind:,}"
        scan.notes.add("zip-shifted", detail, end.start, two=True)
    found = False
    for start in dict.fromkeys((end.offset, behind)):
        if start >= 0 and (end.number == end.size == 0 or scan.window.bytes(start, 4) == _CENTRAL):
            found = True
            _read_records(scan, start, end, shift=start - end.offset)
    if not found:
        raise scan.damaged("its directory is not where its end record says: a part of the file is missing", end.start)


def _read_records(scan: _Scan, start: int, end: End, *, shift: int) -> None:
    data = scan.window.blob.read_at(start, max(0, min(end.size, end.start - start)))
    at = count = 0
    last, most = len(data) - _CENTRAL_HEAD.size, 2 * scan.limits.members
    while at <= last and data.startswith(_CENTRAL, at):
        stop = 0 if len(scan.entries) > most else _add_regular(scan, data, at, shift)
        if not stop and (stop := _add_record(scan, data, at, start + at, shift)) > len(data):
            break
        count += 1
        at = stop
    if count != end.number or at != end.size:
        said = f"its end record says {end.number:,} in {end.size:,}"
        detail = f"the directory holds {count:,} members in {at:,} bytes; {said}"
        scan.notes.add("zip-count-disagrees", detail, start, two=True)
    scan.ranges.append((start, start + at))


def _add_record(scan: _Scan, data: bytes, at: int, place: int, shift: int) -> int:
    """Add what the record at `at` of the directory names, however it says so; return where the record ends.

    One that ends beyond the directory is not added.
    """
    record = _CENTRAL_HEAD.unpack_from(data, at)
    flags, method, crc, packed, size, name_length, extra_length, comment_length, disk = (*record[3:5], *record[7:14])
    name_at = at + _CENTRAL_HEAD.size
    extra_at = name_at + name_length
    stop: int = extra_at + extra_length + comment_length
    if stop > len(data):
        return stop
    if len(scan.entries) > 2 * scan.limits.members:
        raise scan.too_many(len(scan.entries), place)
    name, extra = data[name_at:extra_at], data[extra_at : extra_at + extra_length]
    size, packed, header = _widen(extra, [size, packed, record[16]])
    if disk not in (0, 0xFFFF):
        scan.notes.add("zip-multi-disk", "a member claims to be on another disk", place)
    if record[15] >> 16 & _KIND == _LINK:
        scan.notes.add("zip-link", "a member is a link, which unpacking makes", place)
    _add_member(scan, _Header(name, flags, method, crc, packed, size, extra), header + shift)
    return stop


_KIND, _LINK = 0o170000, 0o120000
"""The bits of a Unix mode that say what a file is, and those of a symbolic link."""


def _fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        yield kind, extra[at + 4 : at + 4 + length]
        at += 4 + length


def _widen(extra: bytes, values: list[int]) -> list[int]:
    """Replace each value that is all ones by the next one of the ZIP64 field."""
    if _FULL not in values:
        return values
    for kind, data in _fields(extra):
        if kind == 1:
            for index, value in enumerate(values):
                if value == _FULL and len(data) >= 8:
                    values[index] = int.from_bytes(data[:8], "little")
                    data = data[8:]
            break
    return values


# ── members ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_local(scan: _Scan, at: int) -> tuple[_Header, int] | None:
    head = scan.window.bytes(at, _LOCAL_HEAD.size)
    if len(head) < _LOCAL_HEAD.size or not head.startswith(LOCAL):
        return None
    _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL_HEAD.unpack(head)
    rest = scan.window.bytes(at + _LOCAL_HEAD.size, name_length + extra_length)
    extra = rest[name_length:]
    size, packed = _widen(extra, [size, packed])
    start = at + _LOCAL_HEAD.size + name_length + extra_length
    return _Header(rest[:name_length], flags, method, crc, packed, size, extra), start


def _add_regular(scan: _Scan, data: bytes, at: int, shift: int) -> int:
    """Add a member that is stored and of which all readers say the same, as nearly all are; return where its record
    in the directory ends, or 0 if it is none of these: then nothing was added or noted.
    """
    said = _CENTRAL_SAID.unpack_from(data, at)
    flags, method, crc, packed, size, name_length, extra_length, comment_length, disk, attributes, header = said
    if method or packed != size or flags & _ENCRYPTED or disk or attributes >> 16 & _KIND == _LINK:
        return 0
    name_at = at + _CENTRAL_HEAD.size
    extra_at = name_at + name_length
    stop: int = extra_at + extra_length + comment_length
    if stop > len(data) or packed == _FULL:
        return 0
    name, extra = data[name_at:extra_at], data[extra_at : extra_at + extra_length]
    if name.find(0) >= 0 or not name.isascii() or _may_name(extra):
        return 0
    if header == _FULL:
        header = _widen(extra, [size, packed, header])[2]
    header += shift
    head = scan.window.bytes(header, _LOCAL_HEAD.size)
    if len(head) < _LOCAL_HEAD.size:
        return 0
    mark, kind, own, own_name_length, own_extra_length = _LOCAL_SAID.unpack(head)
    if mark != LOCAL or kind != data[at + 8 : at + 12] or own_name_length != name_length:
        return 0
    sizes = data[at + 16 : at + 28]
    if own != sizes and (own != _NONE or not flags & _LATER):
        return 0
    begin = header + _LOCAL_HEAD.size
    start = begin + name_length + own_extra_length
    rest = scan.window.bytes(begin, start - begin)
    if not rest.startswith(name) or rest.find(_UNICODE_PATH_BYTES, name_length) >= 0:
        return 0
    end = start + packed
    if end > scan.window.size:
        return 0
    if flags & _LATER:
        after = scan.window.bytes(end, _LONG_DESCRIPTOR.size)
        if packed and after.startswith(_DESCRIPTOR + sizes):  # written as the directory writes it
            end += len(_DESCRIPTOR) + len(sizes)
        elif after == _LONG_DESCRIPTOR.pack(_DESCRIPTOR, crc, packed, size):
            end += _LONG_DESCRIPTOR.size
        elif after.startswith(_DESCRIPTOR + sizes):
            end += len(_DESCRIPTOR) + len(sizes)
        else:
            return 0
    scan.entries.append(Entry(name.decode("ascii"), 0, False, crc, packed, size, header, start))
    scan.ranges.append((header, end))
    return stop


def _add_member(scan: _Scan, central: _Header, at: int) -> None:
    name = _decode(scan, central, at)
    read = _read_local(scan, at)
    if read is None:
        scan.notes.add("zip-no-local-header", "a listed member is not where the directory says", at, member=name)
        return
    local, start = read
    encrypted = bool((central.flags | local.flags) & _ENCRYPTED)
    if encrypted:
        scan.notes.add("zip-encrypted", "a member is marked as encrypted, patched or masked", at, member=name)
    available = max(0, scan.window.size - start)
    if central.packed > available:
        scan.notes.add("zip-truncated-member", f"{central.packed - available:,} bytes are missing", at, member=name)
    end = start + min(central.packed, available)
    plain = local.name == central.name and name.isascii() and "\0" not in name
    plain = plain and not (_may_name(central.extra) or _may_name(local.extra))
    later = bool(local.flags & _LATER)
    if later:
        end = _check_descriptor(scan, central, end, name)
    differing = () if _alike(central, local, later=later) else _differences(central, local, later=later)
    if differing:
        detail = f"the directory and the member's own header disagree about its {', '.join(differing)}"
        scan.notes.add("zip-local-disagrees", detail, at, member=name, two=True)
    if central.method == 0 and central.packed != central.size:
        scan.notes.add("zip-stored-size", "a stored member has two sizes", at, member=name, two=True)
    # Where sizes disagree, the larger one is read: it begins with whatever the smaller one holds.
    packed = max(central.packed, local.packed if "packed size" in differing else 0)
    size = max(central.size, local.size if "size" in differing else 0)
    for method in dict.fromkeys((central.method, local.method)):
        whole = min(max(packed, size), available)
        for called in (name,) if plain else _names_of(scan, central, local, at):
            scan.entries.append(
                Entry(
                    name=called,
                    method=method,
                    encrypted=encrypted,
                    crc=central.crc,
                    packed=whole if method == 0 else min(packed, available),
                    size=whole if method == 0 else size,
                    header=at,
                    start=start,
                )
            )
    scan.ranges.append((at, end))


def _names_of(scan: _Scan, central: _Header, local: _Header, at: int) -> tuple[str, ...]:
    """Every name by which some reader finds the member."""
    names = [_decode(scan, central, at)]
    if local.name != central.name:
        names.append(_decode(scan, local, at))
    for header in (central, local):
        for kind, data in _fields(header.extra):
            if kind == _UNICODE_PATH and data[5:] != header.name:
                scan.notes.add("zip-second-name", "an extra field gives a member another name", at, two=True)
                names.append(data[5:].decode("utf-8", "replace"))
    for name in names[:]:
        if "\0" in name:
            scan.notes.add("zip-name-nul", "a member's name holds a NUL, where some readers cut it", at, two=True)
            names.append(name.partition("\0")[0])
    return tuple(dict.fromkeys(names))


def _may_name(extra: bytes) -> bool:
    """Whether there could be another name among these fields."""
    return bool(extra) and extra.find(_UNICODE_PATH_BYTES) >= 0


def _alike(central: _Header, local: _Header, *, later: bool) -> bool:
    """Whether two headers say the same, as nearly all do: a short way to no `_differences`."""
    return (
        central.name == local.name
        and central.method == local.method
        and central.flags & ~_LATER == local.flags & ~_LATER
        and (central[3:6] == local[3:6] or (later and not any(local[3:6])))
    )


def _differences(central: _Header, local: _Header, *, later: bool) -> list[str]:
    pairs = {
        "name": (central.name, local.name),
        "method": (central.method, local.method),
        "flags": (central.flags & ~_LATER, local.flags & ~_LATER),
        "checksum": (central.crc, local.crc),
        "packed size": (central.packed, local.packed),
        "size": (central.size, local.size),
    }
    return [
        what
        for what, (listed, own) in pairs.items()
        # A header whose sizes come later has zeros, or says that a ZIP64 field would hold them.
        if listed != own and not (later and what in ("checksum", "packed size", "size") and own in (0, _FULL))
    ]


def _check_descriptor(scan: _Scan, central: _Header, at: int, name: str) -> int:
    """The offset after the descriptor that should stand at `at`."""
    data = scan.window.bytes(at, 24)
    wanted = (central.crc, central.packed, central.size)
    for mark in (len(_DESCRIPTOR), 0) if data.startswith(_DESCRIPTOR) else (0,):
        for layout in _LAYOUTS:
            length = mark + layout.size
            if len(data) >= length and layout.unpack_from(data, mark) == wanted:
                return at + length
    detail = "the sizes or checksum after a member are not those of the directory"
    scan.notes.add("zip-local-disagrees", detail, at, member=name, two=True)
    return at


def _decode(scan: _Scan, header: _Header, at: int) -> str:
    if header.name.isascii():
        name = header.name.decode("ascii")
    else:
        name = header.name.decode("utf-8" if header.flags & _UTF8 else "cp437", "replace")
        if header.flags & _UTF8 and "�" in name:
            scan.notes.add("zip-name-encoding", "a member's name is not the UTF-8 that it claims to be", at, two=True)
    return name


def _salvage(scan: _Scan, at: int, stop: int) -> None:
    """List the members that begin one after the other at `at`, though no directory names them."""
    while at < stop and (read := _read_local(scan, at)) is not None:
        local, start = read
        name = _decode(scan, local, at)
        unknown = bool(local.flags & _LATER) and local.packed in (0, _FULL)
        packed = max(0, stop - start) if unknown else min(local.packed, max(0, stop - start))
        scan.entries.append(
            Entry(
                name=name,
                method=local.method,
                encrypted=bool(local.flags & _ENCRYPTED),
                crc=0 if unknown else local.crc,
                packed=packed,
                size=packed if local.method == 0 else _UNKNOWN if unknown else local.size,
                header=at,
                start=start,
                listed=False,
            )
        )
        if unknown or len(scan.entries) > scan.limits.members:
            return
        at = start + packed


# ── the whole (rule 3) ──────────────────────────────────────────────────────────────────────────────────────────


def _check_names(scan: _Scan) -> None:
    if _plain([entry.name for entry in scan.entries]):
        return
    headers: dict[str, set[int]] = {}
    for entry in scan.entries:
        # Without regard to case, because torch looks members up that way; some file systems compose letters, too.
        name = entry.name.casefold()
        if not name.isascii():
            import unicodedata

            name = unicodedata.normalize("NFKC", name)
        headers.setdefault(name, set()).add(entry.header)
        steps = entry.name.replace("\\", "/").split("/")
        if ".." in steps or steps[0] == "" or steps[0].endswith(":"):
            detail = f"a member is named {escape(entry.name)}, outside of the archive"
            scan.notes.add("zip-traversal-name", detail, entry.header, member=entry.name)
    for name, places in headers.items():
        if len(places) > 1:
            detail = f"{len(places)} members share the name {escape(name)}"
            scan.notes.add("zip-duplicate-name", detail, max(places), two=True)


def _plain(names: list[str]) -> bool:
    """A first look at the names of an archive, all at once: whether they differ, and none leads anywhere else."""
    text = "\0".join(names).casefold()
    single = text.isascii() and text.count("\0") == len(names) - 1 and len(set(text.split("\0"))) == len(names)
    leads = ".." in text or ":" in text or "\\" in text or "\0/" in text or text.startswith(("/", "\0"))
    return single and not leads and "" not in names


def _check_cover(scan: _Scan) -> None:
    at = 0
    for start, stop in sorted(set(scan.ranges)):
        if start > at:
            _report_gap(scan, at, start)
        elif start < at:
            scan.notes.add("zip-overlap", "two parts of the archive share bytes", start, two=True)
        at = max(at, stop)
    if at < scan.window.size:
        _report_gap(scan, at, scan.window.size)


def _report_gap(scan: _Scan, start: int, stop: int) -> None:
    before = len(scan.entries)
    _salvage(scan, start, stop)
    if hidden := len(scan.entries) - before:
        detail = f"{hidden} members stand where no directory lists them"
        scan.notes.add("zip-hidden-member", detail, start, two=True)
    else:
        detail = f"{stop - start:,} bytes belong to no member"
        scan.notes.add("zip-bytes-outside", detail, start, two=start == 0)
