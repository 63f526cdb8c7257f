"""The links of HDF5 groups, however a version keeps them: symbol tables, messages, or heaps of messages.

Small groups keep links as messages; large ones in a fractal heap (`hdf5_heaps`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from safeload.formats.hdf5_objects import File, Message

_DEEPEST = 64


class Link(NamedTuple):
    """One name in a group: an object of the file, a path within it, or an object of another file."""

    name: str
    address: int | None = None
    path: str = ""
    file: str = ""
    offset: int = 0
    kind: int = 0


def table_links(file: File, message: Message) -> Iterator[Link]:
    """The links of a group with a symbol table (versions before 1.8)."""
    tree, heap = file.address(message.start), file.address(message.start + file.offsets)
    if tree is None or heap is None:
        return
    names, room = _local_heap(file, heap)
    waiting = [(tree, 0)]
    seen: set[int] = set()
    while waiting:
        at, depth = waiting.pop()
        if at in seen or depth > _DEEPEST:
            raise file.bad("a tree of names leads back into itself", at)
        seen.add(at)
        mark = file.take(at, 8)
        if mark[:4] == b"SNOD":
            yield from _symbols(file, at + 8, int.from_bytes(mark[6:8], "little"), names, room)
            continue
        if mark[:4] != b"TREE" or mark[4] != 0:
            raise file.bad("a tree of names has a node that is none", at)
        here = at + 8 + 2 * file.offsets + file.lengths
        for _ in range(int.from_bytes(mark[6:8], "little")):
            file.spend(here)
            child = file.address(here)
            if child is not None:
                waiting.append((child, depth + 1))
            here += file.offsets + file.lengths


def _local_heap(file: File, at: int) -> tuple[int, int]:
    if file.take(at, 4) != b"HEAP":
        raise file.bad("a heap of names is none", at)
    data = file.address(at + 8 + 2 * file.lengths)
    if data is None:
        raise file.bad("a heap of names is nowhere", at)
    return data, file.number(at + 8, file.lengths)


def _symbols(file: File, here: int, count: int, names: int, room: int) -> Iterator[Link]:
    for _ in range(count):
        file.spend(here)
        offset = file.number(here, file.offsets)
        address = file.address(here + file.offsets)
        kind = file.number(here + 2 * file.offsets, 4)
        if offset >= room:
            raise file.bad("a name lies outside of its heap", here)
        name = file.text(names + offset, names + room)
        if kind == 2:
            target = file.number(here + 2 * file.offsets + 8, 4)
            yield Link(name, path=file.text(names + target, names + room), offset=here)
        else:
            yield Link(name, address, offset=here)
        here += 2 * file.offsets + 24


def link(file: File, start: int, size: int) -> tuple[Link, int]:
    """One link message, and where it ends."""
    version, flags = file.number(start, 1), file.number(start + 1, 1)
    if version != 1:
        raise file.bad(f"a link has version {version}", start)
    here = start + 2
    kind = 0
    if flags & 8:
        kind, here = file.number(here, 1), here + 1
    here += 8 if flags & 4 else 0
    here += 1 if flags & 16 else 0
    width = 1 << (flags & 3)
    length, here = file.number(here, width), here + width
    if length > size:
        raise file.bad("a name is longer than its link", start)
    name = file.take(here, length).decode("utf-8", "replace")
    here += length
    if kind == 0:
        return Link(name, file.address(here), offset=start), here + file.offsets
    room = file.number(here, 2)
    here += 2
    if here + room > start + size:
        raise file.bad("a link is longer than its message", start)
    raw = file.take(here, room)
    if kind == 1:
        return Link(name, path=raw.decode("utf-8", "replace"), offset=start), here + room
    if kind == 64:
        target, _, path = raw[1:].partition(b"\0")
        return (
            Link(name, path=_text(path), file=target.decode("utf-8", "replace"), offset=start, kind=64),
            here + room,
        )
    return Link(name, offset=start, kind=kind), here + room


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "replace")
