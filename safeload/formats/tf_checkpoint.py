"""TensorFlow checkpoints, and the weights of Core ML: tensors by name and place, nothing that a loader runs.

The index of a checkpoint is a sorted table in blocks. It is data only if its blocks are the whole file. The bytes it
points to have no form of their own, and are known by their name alone, if nothing else claims them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Opaque, Part
from safeload.formats.hdf5_objects import SIGNATURE

_MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER = 48
_DATA = re.compile(r"\.data-[0-9]{5}-of-[0-9]{5}\Z")
_BLOB = bytes.fromhex("efbeadde")
_LONGEST = 1 << 24


def _bad(why: str, where: Location) -> MalformedInput:
    return MalformedInput("a checkpoint cannot be read", where=where, why=why, remedy="fetch the file again")


def _varint(data: bytes, at: int, where: Location) -> tuple[int, int]:
    value = 0
    for index in range(10):
        if at + index >= len(data):
            break
        value |= (data[at + index] & 0x7F) << (7 * index)
        if data[at + index] < 0x80:
            return value, at + index + 1
    raise _bad("a number is cut off (truncated)", where)


def _read_index(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    start = blob.size - _FOOTER
    if start < 0:
        raise _bad("it has no footer (truncated)", location)
    footer = blob.read_at(start, _FOOTER)
    handles = []
    at = 0
    for _ in range(2):
        offset, at = _varint(footer, at, location)
        size, at = _varint(footer, at, location)
        handles.append((offset, size))
    blocks = [*_handles(blob, *handles[1], location, limits), *handles]
    end = 0
    for offset, size in sorted(blocks):
        if offset != end or blob.read_at(offset + size, 1) != b"\0":
            raise _bad("its blocks are not the whole file, or are compressed", location.at(end))
        end = offset + size + 5
    if end != start:
        raise _bad("its blocks are not the whole file", location.at(end))
    yield Opaque(location=location, what="tf-checkpoint", detail="the index of a TensorFlow checkpoint")


def _handles(blob: Blob, offset: int, size: int, location: Location, limits: Limits) -> list[tuple[int, int]]:
    """Where the blocks of data are, as the block of the index says."""
    if not 4 <= size <= _LONGEST or offset + size > blob.size:
        raise _bad("its table of blocks lies outside of it (truncated)", location)
    data = blob.read_at(offset, size)
    restarts = 4 * (1 + int.from_bytes(data[-4:], "little"))
    if restarts > size:
        raise _bad("its table of blocks has no end", location.at(offset))
    end = size - restarts
    found: list[tuple[int, int]] = []
    at = 0
    while at < end:
        _, at = _varint(data, at, location)
        key, at = _varint(data, at, location)
        length, at = _varint(data, at, location)
        block, after = _varint(data, at + key, location)
        room, _ = _varint(data, after, location)
        found.append((block, room))
        at += key + length
        if len(found) > limits.members:
            raise LimitExceeded("members", allowed=limits.members, wanted=len(found), where=location)
    return found


def _read_data(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    at = 1 << 16
    while at < blob.size:
        if blob.read_at(at, len(SIGNATURE)) == SIGNATURE:
            raise _bad("an HDF5 file begins in it", location.at(at))
        at *= 2
    yield Opaque(location=location, what="tf-checkpoint", detail="the tensors of a TensorFlow checkpoint")


def _read_weights(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    count = int.from_bytes(blob.read_at(0, 4), "little")
    if count > limits.tensors:
        raise LimitExceeded("tensors", allowed=limits.tensors, wanted=count, where=location)
    at = 64
    for _ in range(count):
        head = blob.read_at(at, 64)
        size, offset = int.from_bytes(head[8:16], "little"), int.from_bytes(head[16:24], "little")
        if head[:4] != _BLOB or offset < at + 64 or offset + size > blob.size:
            raise _bad("the weights of a tensor are not where they should be (truncated)", location.at(at))
        at = -(-(offset + size) // 64) * 64
    if at < blob.size:
        raise _bad(f"{blob.size - at:,} bytes follow the last tensor", location.at(at))
    yield Opaque(location=location, what="coreml-weights", detail="the weights of a Core ML model")


FORMATS = (
    Format(
        name="tf-checkpoint",
        title="the index of a TensorFlow checkpoint",
        suffixes=(),
        sniff=lambda head, tail, size, name: tail.endswith(_MAGIC),
        read=_read_index,
        claims=Claims(holds=(_MAGIC,)),
    ),
    Format(
        name="tf-checkpoint-data",
        title="tensors of a TensorFlow checkpoint",
        suffixes=(),
        sniff=lambda head, tail, size, name: _DATA.search(name) is not None,
        read=_read_data,
        fallback=True,
        claims=Claims(named=tuple("0123456789")),
    ),
    Format(
        name="coreml-weights",
        title="weights of a Core ML model",
        suffixes=(".bin",),
        sniff=lambda head, tail, size, name: head[4:8] == b"\2\0\0\0" and head.startswith(_BLOB, 64),
        read=_read_weights,
        claims=Claims(at=((64, _BLOB),)),
    ),
)
