"""Constants of a pickle that hold a pickle in disguise: spelled as base64 or hexadecimal, compressed, or archived.

Payloads are hidden so, and honest libraries keep whole files in constants. Only the pickles in them matter here: what
else they hold is data to whoever unpickles it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from safeload.core.blob import Blob, Extent, MemoryBlob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.frozen import replace
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Irregularity, Part, PickleStream
from safeload.formats.inside import account, read_inside
from safeload.later import Later

_SHORTEST = 16
_LONGEST = 1 << 26
_SOME = 48
_TIMES = 4
"""Spellings of spellings that are followed."""
_BASE64 = Later(rb"[A-Za-z0-9+/\s]+={0,2}\s*|[A-Za-z0-9_\-\s]+={0,2}\s*")
_HEX = Later(rb"(?:[0-9a-fA-F]{2}\s*)+")
_FIRST = frozenset(b"gYKHQ/_eUkZWSLXV8621435f7F9")
"""First letters of what decodes to an opcode that pickles begin with, or to a mark below; also when spelled twice."""
_ZLIB = tuple(b"x" + bytes((second,)) for second in (0x01, 0x5E, 0x9C, 0xDA))
_PACKED = (
    b"\x1f\x8b\x08",
    b"BZh",
    b"\xfd7zXZ\0",
    b"PK\x03\x04",
    b"\x93NUMPY",
    b"\x28\xb5\x2f\xfd",
    b"\x04\x22\x4d\x18",
)
_TAR = 257
_OPENED = 3
"""Files of an archive that opening such a constant takes as long as."""


def spelled(blob: Blob, start: int, size: int, location: Location) -> Iterator[Blob]:
    """What a constant spells in base64 or hexadecimal, and what that spells in turn.

    Raises:
        LimitExceeded: it begins like one, and is longer than anybody writes.
    """
    plain = _spelled(blob, start, size, location)
    for _ in range(_TIMES):
        if plain is None or not plain.size:
            return
        yield plain
        plain = _spelled(plain, 0, plain.size, location)


def _spelled(blob: Blob, start: int, size: int, location: Location) -> Blob | None:
    """One decoding.

    Raises:
        LimitExceeded: it begins like one, and is longer than anybody writes.
    """
    head = blob.read_at(start, min(size, _SOME))
    if size < _SHORTEST or head[0] not in _FIRST or not head.isascii():
        return None
    if not (_HEX.fullmatch(head[: len(head) // 2 * 2]) or _BASE64.fullmatch(head)):
        return None
    if size > _LONGEST:
        raise LimitExceeded("text_bytes", allowed=_LONGEST, wanted=size, where=location)
    data = blob.read_at(start, size)
    for pattern, decode in ((_HEX, _from_hex), (_BASE64, _from_base64)):
        if pattern.fullmatch(data):
            try:
                return MemoryBlob(decode(data))
            except (ValueError, binascii.Error):
                continue  # it only looked like that; hexadecimal digits may be base64 as well
    return None


def _from_hex(data: bytes) -> bytes:
    return bytes.fromhex(data.decode("ascii"))


def _from_base64(data: bytes) -> bytes:
    plain = b"".join(data.split()).rstrip(b"=")
    return base64.b64decode(plain + b"=" * (-len(plain) % 4), altchars=b"-_" if set(plain) & set(b"-_") else None)


def is_packed(head: bytes) -> bool:
    """Whether bytes begin like something compressed or archived."""
    return head.startswith((*_PACKED, *_ZLIB)) or head[_TAR : _TAR + 5] == b"ustar"


def unpacked(blob: Blob, start: int, place: Location, limits: Limits) -> Iterator[Part]:
    """The pickles of a constant that is a compressed file or an archive; nothing if there are none.

    Raises:
        MalformedInput: it could not be read to its end, or reading it would cost too much.
    """
    content = Extent(blob, start, blob.size - start)
    if content.size < _SHORTEST:
        return  # too short for anything that acts, compressed or not
    found: list[Part] = []
    fault: MalformedInput | None = None
    inner = account(limits, blob)
    try:
        inner.work.files -= _OPENED
        found.extend(read_inside(content, place, inner))
    except MalformedInput as error:
        fault = error
    if isinstance(fault, LimitExceeded):
        raise fault
    if not any(isinstance(part, PickleStream) for part in found):
        if fault is not None and not content.read_at(0, 2).startswith(_ZLIB):  # whose two bytes may be chance
            raise fault
        return
    for part in found:
        if isinstance(part, PickleStream):
            yield replace(part, role="nested")
        elif isinstance(part, Irregularity):
            yield part
    if fault is not None:
        raise fault
