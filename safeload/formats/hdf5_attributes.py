"""Attributes of HDF5 objects: texts and bytes, of a fixed length or in the global heap. Numbers are passed over."""

from __future__ import annotations

import math

from safeload.formats.hdf5_objects import File, Message

_NUMBER, _STRING, _OPAQUE, _VLEN = 0, 3, 5, 9
_LONGEST = 1 << 26
_MOST = 100_000
"""Texts of one attribute."""


def attribute(file: File, message: Message) -> tuple[str, list[bytes]] | None:
    """The name of an attribute and its texts or bytes; `None` for the kinds that hold none.

    Raises:
        MalformedInput: it is not laid out as one.
    """
    start = message.start
    version, flags = file.number(start, 1), file.number(start + 1, 1)
    if version not in (1, 2, 3):
        raise file.bad(f"an attribute has version {version}", start)
    sizes = [file.number(start + 2 + 2 * index, 2) for index in range(3)]
    here = start + 8 + (1 if version == 3 else 0)
    name = file.take(here, sizes[0]).partition(b"\0")[0].decode("utf-8", "replace")
    padded = [-(-size // 8) * 8 if version == 1 else size for size in sizes]
    kind_at = here + padded[0]
    space_at = kind_at + padded[1]
    data_at = space_at + padded[2]
    if data_at > start + message.size:
        raise file.bad("an attribute is longer than its message", start)
    if flags & 3 and version > 1:
        raise file.bad("an attribute has a type or a shape that is kept elsewhere", start)
    head = file.take(kind_at, 8)
    kind, size = head[0] & 0x0F, int.from_bytes(head[4:8], "little")
    count = _elements(file, space_at)
    if kind == _NUMBER and size == 1 and 0 < count <= start + message.size - data_at:
        return name, [file.take(data_at, count)]  # bytes that Python wrote as they are
    if count > _MOST and kind in (_STRING, _OPAQUE, _VLEN):
        raise file.bad(f"an attribute has {count:,} texts", start)
    if kind in (_STRING, _OPAQUE):
        if count * size > start + message.size - data_at:
            raise file.bad("an attribute is longer than its message", start)
        return name, [file.take(data_at + index * size, size).rstrip(b"\0") for index in range(count)]
    if kind == _VLEN:
        step = 8 + file.offsets
        values = []
        for index in range(count):
            file.spend(data_at)
            at = data_at + index * step
            heap = file.address(at + 4)
            length, number = file.number(at, 4), file.number(at + 4 + file.offsets, 4)
            if heap is not None and heap != file.base and length:
                values.append(heap_object(file, heap, number)[:length])
        return name, values
    return None


def _elements(file: File, at: int) -> int:
    version, rank = file.number(at, 1), file.number(at + 1, 1)
    if version not in (1, 2) or rank > 32:
        raise file.bad("an attribute has no shape", at)
    if version == 2 and file.number(at + 3, 1) == 2:
        return 0
    here = at + (8 if version == 1 else 4)
    return math.prod(file.number(here + index * file.lengths, file.lengths) for index in range(rank))


def heap_object(file: File, at: int, number: int) -> bytes:
    """One object of a collection of the global heap. Raises `MalformedInput` if it is not there."""
    head = file.take(at, 8 + file.lengths)
    if head[:4] != b"GCOL":
        raise file.bad("a collection of texts is none", at)
    here, end = at + 8 + file.lengths, at + int.from_bytes(head[8:], "little")
    while here + 8 + file.lengths <= end:
        file.spend(here)
        index, size = file.number(here, 2), file.number(here + 8, file.lengths)
        if index == 0:
            break
        if index == number:
            return file.take(here + 8 + file.lengths, min(size, _LONGEST))
        here += 8 + file.lengths + -(-size // 8) * 8
    raise file.bad("a text is not in its collection", at)
