"""7-Zip archives: their members, each read like a file of its own.

Copied, LZMA, LZMA2, BZip2 and Deflate streams are unpacked, also behind a branch filter, which is what 7-Zip writes
unless asked otherwise. Encrypted archives and other methods leave the file undecided.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from safeload.core.blob import Blob, Extent, MemoryBlob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.base import Claims, Format, Irregularity, Member, Part
from safeload.formats.inside import Inner, account, member_of, modest, read_inside
from safeload.formats.seven_zip_header import SIGNATURE, Folder, Listing, damaged, listing, method_of
from safeload.formats.unpack import Unpacking

_HEADER = 1 << 26
_IN_MEMORY = 16 << 20
_FIXED = 32


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    inner = account(limits, blob)
    head = blob.read_at(0, _FIXED)
    if len(head) < _FIXED:
        raise damaged(location, "it ends within its first record (truncated)")
    offset, size = int.from_bytes(head[12:20], "little"), int.from_bytes(head[20:28], "little")
    end = _FIXED + offset + size
    if end > blob.size:
        raise damaged(location, f"{end - blob.size:,} bytes are missing at its end (truncated)")
    if size > _HEADER:
        raise LimitExceeded("members", allowed=limits.members, wanted=size, where=location)
    if zlib.crc32(head[12:32]) != int.from_bytes(head[8:12], "little"):
        detail = "the checksum of its first record is wrong, so that readers look for its directory elsewhere"
        yield Irregularity(location=location, kind="7z-checksum", detail=detail)
    if end < blob.size:
        detail = f"{blob.size - end:,} bytes follow its directory"
        yield Irregularity(location=location.at(end), kind="trailing-data", detail=detail)
    if not size:
        return
    found = listing(_directory(blob, _FIXED + offset, size, location, inner), location, limits)
    yield from _members(blob, found, location, inner)


def _directory(blob: Blob, at: int, size: int, location: Location, limits: Inner) -> bytes:
    """The directory, which may be packed, and that directory packed again."""
    data = blob.read_at(at, size)
    for _ in range(4):
        if data[:1] != b"\x17":
            return data
        found = listing(data, location, limits)
        if not found.folders or found.folders[0].size > _HEADER:
            raise damaged(location, "its directory is packed in a way that cannot be read")
        data = _open(blob, found.folders[0], location, limits).read_at(0, found.folders[0].size)
    raise damaged(location, "its directory is packed again and again")


def _open(blob: Blob, folder: Folder, location: Location, limits: Inner) -> Blob:
    if folder.start + folder.packed > blob.size:
        raise damaged(location, "a stream lies outside of the file (truncated)")
    packed = Extent(blob, folder.start, folder.packed)
    method = method_of(folder, location)
    if method is None:
        return packed
    content = Unpacking(packed, method, folder.size, location)
    content.work = limits.work
    return content


def _members(blob: Blob, found: Listing, location: Location, limits: Inner) -> Iterator[Part]:
    fault: MalformedInput | None = None
    names = iter(found.names)
    seen: set[str] = set()
    for folder in found.folders:
        at = 0
        content: Blob | None = None
        for number, size in enumerate(folder.files):
            name = next(names, f"member {number}")
            place = member_of(location, name)
            yield from _named(name, seen, place)
            try:
                content = content or _open(blob, folder, location, limits)
                whole = _at_hand(Extent(content, at, size), place)
                yield Member(location=place, name=name, size=size, read=True)
                yield from read_inside(whole, place, modest(limits, folder.packed))
            except MalformedInput as error:
                fault = fault or error
            at += size
    if fault is not None:
        raise fault


def _at_hand(content: Extent, place: Location) -> Blob:
    """A member that its readers may go through more than once: unpacked once, if it is not too large for that."""
    if content.size > _IN_MEMORY:
        return content
    data = content.read_at(0, content.size)
    if len(data) < content.size:
        raise damaged(place, "its data ends early")
    return MemoryBlob(data)


def _named(name: str, seen: set[str], place: Location) -> Iterator[Part]:
    steps = name.replace("\\", "/").split("/")
    if ".." in steps or steps[0] == "" or steps[0].endswith(":"):
        detail = f"a member is named {escape(name)}, outside of the archive"
        yield Irregularity(location=place, kind="7z-traversal-name", detail=detail)
    if name in seen:
        detail = f"two members are named {escape(name)}"
        yield Irregularity(location=place, kind="7z-duplicate-name", detail=detail, two_readings=True)
    seen.add(name)


FORMAT = Format(
    name="7z",
    title="a 7-Zip archive",
    suffixes=(".7z",),
    sniff=lambda head, tail, size, name: head.startswith(SIGNATURE),
    read=_read,
    claims=Claims(begins=(SIGNATURE,)),
)
