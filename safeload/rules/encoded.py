"""What a constant hides: the same bytes before they were encoded, packed or written in a wider alphabet.

Each way back is tried only on what has its shape, gives a bounded number of bytes, and never raises. Nothing here
decides anything; `arguments` looks at what comes out.
"""

from __future__ import annotations

import base64
import binascii
import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator

_LONGEST = 1 << 11
"""Bytes that one way back may give."""
_SHORTEST = 8
"""Bytes of anything encoded that says something."""
_READ = 1 << 13
"""Bytes that are read of something encoded."""
# Compiled by `re` when it first needs them: most files have no constant that is looked at so closely.
_BASE64 = rb"[A-Za-z0-9+/_-]{16,}={0,2}\Z"
_BASE32 = rb"[A-Z2-7]{24,}={0,6}\Z"
_HEX = rb"(?:[0-9a-fA-F]{2}){8,}\Z"
_SPELLED_HEX = rb"(?:(?:\\x|0x|%|:|,|\s){1,2}[0-9a-fA-F]{2}){8,}\Z|[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){8,}\Z"
_BASE85 = rb"[!-~]{20,}\Z"
_ESCAPE = rb"%([0-9A-Fa-f]{2})"
_PERCENT = rb"%[0-9a-fA-F]{2}"
_NUMBERS = rb"\[?\s{0,4}\d{1,3}(?:\s{0,4},\s{0,4}\d{1,3}){8,}\s{0,4},?\s{0,4}\]?\Z"
_SPACE = rb"[\s\"']+"
_WORDS = rb"[\x20-\x7e\t\r\n]{6,}"


def decoded(data: bytes) -> Iterator[bytes]:
    """Each reading of `data` as something encoded."""
    if len(data) < _SHORTEST:
        return
    packed = data[:_READ]
    if (plain := _unpacked(packed)) is not None:
        yield plain
    if (narrow := _narrowed(packed)) is not None:
        yield narrow
    text = re.sub(_SPACE, b"", packed.strip())
    if len(text) < 16:
        return
    if re.match(_HEX, text):
        yield bytes.fromhex(text[: 2 * _LONGEST].decode("ascii"))
    elif re.match(_SPELLED_HEX, text):
        yield bytes.fromhex("".join(re.findall("[0-9a-fA-F]{2}(?![0-9a-fA-F])", text[:_READ].decode("ascii"))))
    elif re.match(_BASE64, text):
        yield from _tried(lambda: base64.b64decode(_padded(text, 4), altchars=b"-_" if {45, 95} & set(text) else None))
    elif re.match(_NUMBERS, packed.strip()):
        yield bytes(int(number) & 0xFF for number in re.findall(rb"\d{1,3}", packed))
    elif re.match(_BASE85, text) and b" " not in packed.strip():
        yield from _tried(lambda: base64.a85decode(text))
        yield from _tried(lambda: base64.b85decode(text))
    if re.match(_BASE32, text):
        yield from _tried(lambda: base64.b32decode(_padded(text, 8)))
    if len(re.findall(_PERCENT, packed)) > 3:
        yield re.sub(_ESCAPE, lambda match: bytes((int(match[1], 16),)), packed)


def words(data: bytes) -> str:
    """The parts of bytes that a person could read, each on a line of its own: what `strings` would print."""
    if data[:_READ].isascii() and b"\0" not in data[:_READ]:
        return data[:_READ].decode("ascii")
    return "\n".join(match.decode("ascii") for match in re.findall(_WORDS, data[:_READ]))


def _tried(decode: Callable[[], bytes]) -> Iterator[bytes]:
    try:
        yield decode()[:_LONGEST]
    except (binascii.Error, ValueError, OverflowError):
        return


def _padded(text: bytes, block: int) -> bytes:
    text = text[: _READ // block * block].rstrip(b"=")
    return text + b"=" * (-len(text) % block)


def _unpacked(data: bytes) -> bytes | None:
    """The beginning of what was compressed, at most `_LONGEST` bytes of it."""
    try:
        if data[:2] == b"\x1f\x8b":
            return zlib.decompressobj(31).decompress(data, _LONGEST)
        if data[:1] == b"\x78" and len(data) > 8 and not (data[0] * 256 + data[1]) % 31:
            return zlib.decompressobj().decompress(data, _LONGEST)
        if data[:3] == b"BZh":
            return bz2.BZ2Decompressor().decompress(data, _LONGEST)
        if data[:6] == b"\xfd7zXZ\0" or data[:3] == b"\x5d\0\0":
            return lzma.LZMADecompressor(memlimit=1 << 24).decompress(data, _LONGEST)
    except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError):
        return None
    return None


def _narrowed(data: bytes) -> bytes | None:
    """Text whose characters take two or four bytes each, as one byte each."""
    if data.count(0) < _SHORTEST - 1:
        return None
    for width in (4, 2):
        for first in range(width):
            narrow = data[first::width]
            rest = [data[other::width] for other in range(width) if other != first]
            if len(narrow) >= _SHORTEST and narrow.isascii() and not any(any(part[: len(narrow)]) for part in rest):
                return narrow[:_LONGEST]
    return None
