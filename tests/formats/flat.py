"""A writer of flatbuffers: enough for models. Everything is laid out forwards, so that offsets are positive."""

from __future__ import annotations

import struct
from typing import Any


class Vector(list):
    """A vector of tables."""


def flatbuffer(root: dict[int, Any], magic: bytes) -> bytes:
    """A file with this root table. Fields by index: numbers, `bytes`, `str`, tables, or a `Vector` of tables."""
    out = bytearray(4) + magic
    struct.pack_into("<I", out, 0, _table(out, root))
    return bytes(out)


def _table(out: bytearray, fields: dict[int, Any]) -> int:
    out.extend(bytes(-len(out) % 8))
    count = max(fields, default=-1) + 1
    names = len(out)
    out += struct.pack("<HH", 4 + 2 * count, 4 + 12 * count)
    out += b"".join(struct.pack("<H", 4 + 12 * index if index in fields else 0) for index in range(count))
    out.extend(bytes(-len(out) % 4))
    at = len(out)
    out += struct.pack("<i", at - names) + bytes(12 * count)
    for index, value in fields.items():
        place = at + 4 + 12 * index
        if isinstance(value, int):
            struct.pack_into("<q", out, place, value)
            continue
        target = _table(out, value) if isinstance(value, dict) else _vector(out, value)
        struct.pack_into("<I", out, place, target - place)
    return at


def _vector(out: bytearray, value: Any) -> int:
    out.extend(bytes(-len(out) % 4))
    at = len(out)
    raw = value.encode() if isinstance(value, str) else value
    if isinstance(raw, bytes):
        out += struct.pack("<I", len(raw)) + raw + b"\0"
        return at
    out += struct.pack("<I", len(value)) + bytes(4 * len(value))
    for number, one in enumerate(value):
        place = at + 4 + 4 * number
        target = _table(out, one) if isinstance(one, dict) else _vector(out, one)
        struct.pack_into("<I", out, place, target - place)
    return at
