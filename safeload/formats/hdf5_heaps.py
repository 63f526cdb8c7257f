"""Messages in the heaps of HDF5 groups with many links, and of objects with many attributes.

A fractal heap is a table of blocks that double in size; an index (a B-tree) says where in the heap each message is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from safeload.formats.hdf5_objects import File

_RECORDS = {5: (4, 7), 6: (8, 7), 8: (0, 8), 9: (0, 8)}
"""By type of index: where in a record the name of a heap object is, and how long it is."""


class _Heap(NamedTuple):
    starts: tuple[int, ...]
    """Where each block begins in the heap."""
    blocks: tuple[tuple[int, int], ...]
    """Where it begins in the file, and how long it is."""
    offset: int
    """Bytes of an offset within the heap."""
    length: int
    """Bytes of a length."""


def dense(file: File, heap_at: int, index_at: int) -> Iterator[tuple[int, int]]:
    """The ranges of all messages that an index finds in a heap.

    Raises:
        MalformedInput: heap or index is none, or a message is kept in a way that this does not read.
    """
    heap = _heap(file, heap_at)
    for at, kind in _records(file, index_at):
        skip, size = _RECORDS[kind]
        name = file.take(at + skip, size)
        if name[0] & 0xF0:
            raise file.bad("a link or attribute is kept outside of its heap", at)
        offset = int.from_bytes(name[1 : 1 + heap.offset], "little")
        length = int.from_bytes(name[1 + heap.offset : 1 + heap.offset + heap.length], "little")
        place = bisect_right(heap.starts, offset) - 1
        if place < 0 or offset + length > heap.starts[place] + heap.blocks[place][1]:
            raise file.bad("an index points outside of its heap", at)
        yield heap.blocks[place][0] + offset - heap.starts[place], length


def _heap(file: File, at: int) -> _Heap:
    if file.take(at, 5) != b"FRHP\0":
        raise file.bad("a heap of links or attributes is none", at)
    if file.number(at + 7, 2):
        raise file.bad("a heap of links or attributes is compressed", at)
    managed = file.number(at + 10, 4)
    here = at + 14 + 10 * file.lengths + 2 * file.offsets
    width, smallest = file.number(here, 2), file.number(here + 2, file.lengths)
    largest = file.number(here + 2 + file.lengths, file.lengths)
    bits = file.number(here + 2 + 2 * file.lengths, 2)
    here += 6 + 2 * file.lengths
    root, rows = file.address(here), file.number(here + file.offsets, 2)
    if not (0 < width <= 1 << 12 and 0 < smallest <= largest <= 1 << 32 and bits <= 64 and not width & (width - 1)):
        raise file.bad("a heap of links or attributes has a shape that is not possible", at)
    wide = (bits + 7) // 8
    found = sorted(_blocks(file, (root, rows), (width, smallest, largest), wide)) if root is not None else []
    longest = min(largest, managed)
    sizes = ((longest.bit_length() + 7) // 8) or 1
    return _Heap(tuple(one[0] for one in found), tuple(one[1:] for one in found), wide, sizes)


def _blocks(
    file: File, root: tuple[int, int], shape: tuple[int, int, int], wide: int
) -> Iterator[tuple[int, int, int]]:
    """`(offset in the heap, offset in the file, length)` of each block with data."""
    width, smallest, largest = shape
    waiting = [(*root, 0, smallest)]
    seen: set[int] = set()
    while waiting:
        at, rows, offset, size = waiting.pop()
        file.spend(at)
        if at in seen:
            raise file.bad("a heap leads back into itself", at)
        seen.add(at)
        mark = file.take(at, 4)
        if mark == b"FHDB" and not rows:
            file.take(at + size - 1, 1)
            yield offset, at, size
            continue
        if mark != b"FHIB" or not 0 < rows <= 64:
            raise file.bad("a heap has a block that is none", at)
        here = at + 5 + file.offsets + wide
        for row in range(rows):
            length = smallest << max(0, row - 1)
            first = width * smallest << (row - 1) if row else 0
            for column in range(width):
                file.spend(here)
                child = file.address(here)
                here += file.offsets
                if child is not None:
                    deeper = (length // (width * smallest)).bit_length() if length > largest else 0
                    waiting.append((child, deeper, offset + first + column * length, length))


def _records(file: File, at: int) -> Iterator[tuple[int, int]]:
    """`(offset, type)` of each record of an index."""
    head = file.take(at, 16)
    if head[:4] != b"BTHD" or head[5] not in _RECORDS:
        raise file.bad("an index of links or attributes is none", at)
    kind, node, size = head[5], int.from_bytes(head[6:10], "little"), int.from_bytes(head[10:12], "little")
    depth = int.from_bytes(head[12:14], "little")
    root, count = file.address(at + 16), file.number(at + 16 + file.offsets, 2)
    if root is None:
        return
    skip, name = _RECORDS[kind]
    if size < skip + name or node < 32 or depth > 16:
        raise file.bad("an index has a shape that is not possible", at)
    most = (node - 10) // size
    width = (most.bit_length() + 7) // 8
    # By depth: bytes of the number of all records below a child, and how many that can be.
    below = [0]
    total = most
    for _ in range(depth):
        pointer = file.offsets + width + below[-1]
        own = (node - 10 - pointer) // (size + pointer)
        total = (own + 1) * total + own
        below.append((total.bit_length() + 7) // 8)
    waiting = [(root, count, depth)]
    seen: set[int] = set()
    while waiting:
        here, count, level = waiting.pop()
        if here in seen:
            raise file.bad("an index leads back into itself", here)
        seen.add(here)
        if file.take(here, 4) != (b"BTIN" if level else b"BTLF"):
            raise file.bad("an index has a node that is none", here)
        file.spend(here, count + 1)
        records = here + 6
        for number in range(count):
            yield records + number * size, kind
        here = records + count * size
        for _ in range(count + 1 if level else 0):
            child, inner = file.address(here), file.number(here + file.offsets, width)
            here += file.offsets + width + (below[level - 1] if level > 1 else 0)
            if child is None:
                raise file.bad("an index leads nowhere", here)
            waiting.append((child, inner, level - 1))
