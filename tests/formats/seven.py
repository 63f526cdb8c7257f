"""Writes 7-Zip archives: one stream for all members, packed as asked. Enough for the tests of the reader."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable
from typing import Any

Coder = tuple[bytes, bytes]
"""Identity and properties."""


def number(value: int) -> bytes:
    for length in range(8):
        if value < 1 << (7 * (length + 1)):
            first = (0xFF00 >> length & 0xFF) | value >> (8 * length)
            return bytes((first,)) + (value & ((1 << 8 * length) - 1)).to_bytes(length, "little")
    return b"\xff" + value.to_bytes(8, "little")


def _lzma(*filters: dict[str, Any]) -> Callable[[bytes], bytes]:
    return lambda raw: lzma.compress(raw, lzma.FORMAT_RAW, filters=list(filters))


_LZMA2 = {"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}
_LZMA1 = {"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20, "lc": 3, "lp": 0, "pb": 2}
_ID2, _ID1 = (b"\x21", b"\x10"), (b"\x03\x01\x01", b"\x5d" + (1 << 20).to_bytes(4, "little"))
METHODS: dict[str, tuple[list[Coder], Callable[[bytes], bytes]]] = {
    "copy": ([(b"\0", b"")], bytes),
    "lzma2": ([_ID2], _lzma(_LZMA2)),
    "lzma": ([_ID1], _lzma(_LZMA1)),
    "delta": ([(b"\x03", b"\x03"), _ID2], _lzma({"id": lzma.FILTER_DELTA, "dist": 4}, _LZMA2)),
    "x86": ([(b"\x03\x03\x01\x03", b""), _ID2], _lzma({"id": lzma.FILTER_X86}, _LZMA2)),
    "bzip2": ([(b"\x04\x02\x02", b"")], bz2.compress),
    "deflate": ([(b"\x04\x01\x08", b"")], lambda raw: zlib.compress(raw, wbits=-15)),
}
"""Coders by name, from the one that gives the files on."""


def _folder(coders: list[Coder], reverse: bool) -> bytes:
    order = list(range(len(coders)))[:: -1 if reverse else 1]
    made = number(len(coders))
    for index in order:
        identity, properties = coders[index]
        made += bytes((len(identity) | (0x20 if properties else 0),)) + identity
        made += number(len(properties)) + properties if properties else b""
    for index in range(len(coders) - 1):
        made += number(order.index(index)) + number(order.index(index + 1))
    return made


def _streams(at: int, packed: int, size: int, coders: list[Coder], sizes: list[int], reverse: bool) -> bytes:
    made = b"\x06" + number(at) + number(1) + b"\x09" + number(packed) + b"\0"
    made += b"\x07\x0b" + number(1) + b"\0" + _folder(coders, reverse) + b"\x0c" + number(size) * len(coders) + b"\0"
    if sizes:
        made += b"\x08\x0d" + number(len(sizes)) + b"\x09" + b"".join(map(number, sizes[:-1])) + b"\0"
    return made + b"\0"


def make_7z(
    members: list[tuple[str, bytes]], method: str = "lzma2", *, packed_header: bool = False, reverse: bool = False
) -> bytes:
    """An archive of the members. `packed_header` packs the directory too; `reverse` lists the coders backwards."""
    coders, pack = METHODS[method]
    raw = b"".join(data for _, data in members)
    body = pack(raw)
    names = b"\0" + b"".join(name.encode("utf-16-le") + b"\0\0" for name, _ in members)
    header = b"\x01\x04" + _streams(0, len(body), len(raw), coders, [len(data) for _, data in members], reverse)
    header += b"\x05" + number(len(members)) + b"\x11" + number(len(names)) + names + b"\0\0"
    if packed_header:
        small = METHODS["lzma"][1](header)
        header = b"\x17" + _streams(len(body), len(small), len(header), METHODS["lzma"][0], [], False)
        body += small
    start = struct.pack("<QQI", len(body), len(header), zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\0\x04" + struct.pack("<I", zlib.crc32(start)) + start + body + header
