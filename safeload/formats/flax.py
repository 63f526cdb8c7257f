"""Flax checkpoints (`flax_model.msgpack`): nested maps of arrays in MessagePack.

Arrays are extensions of type 1 (shape, name of the type, bytes), numbers of numpy type 3, complex numbers type 2.
Arrays too large for one extension are maps of a flat shape and its pieces. Names join the keys with dots, as
`flatten_dict(sep=".")` does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from safeload.core.blob import Blob, MemoryBlob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.base import Chunk, Claims, Format, Part, ShardedTensor, Storage, TensorTable, TensorView
from safeload.formats.chunks import sharded
from safeload.formats.dtypes import WIDTHS
from safeload.formats.msgpack_items import Item, Items
from safeload.formats.tensors import StorageRef, contiguous, view
from safeload.formats.window import Notes

_ARRAY, _COMPLEX, _NUMBER = 1, 2, 3
_CHUNKED = "__msgpack_chunked_array__"
_DIMENSIONS = 64
_NAME_BYTES = 1 << 27
_SNIFFED = 64


@dataclass(slots=True)
class _Open:
    """An array or map that is being read."""

    name: str

    left: int
    keys: set[str] | None
    """The keys of a map so far; `None` for arrays."""
    index: int = 0


@dataclass(slots=True)
class _Found:
    tensors: dict[str, TensorView] = field(default_factory=dict)
    values: dict[str, object] = field(default_factory=dict)
    chunked: list[str] = field(default_factory=list)
    """The names of maps that stand for arrays in pieces."""


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    notes = Notes(location)
    items = Items(blob, location, limits)
    found, end = _walk(items, notes)
    if end < blob.size:
        notes.add("trailing-data", f"{blob.size - end:,} bytes follow the value", end)
    yield from notes
    pieces = {name: _joined(name, found, location) for name in found.chunked}
    metadata = {name: value if isinstance(value, str) else json.dumps(value) for name, value in found.values.items()}
    yield TensorTable(location=location, tensors=found.tensors, metadata=metadata, sharded=pieces)


def _walk(items: Items, notes: Notes) -> tuple[_Found, int]:
    """Every array and constant, by name, and where the value ends."""
    found = _Found()
    stack: list[_Open] = []
    at, name, letters = 0, "", 0
    while True:
        item = items.at(at)
        at = item.end
        letters += len(name)
        if letters > _NAME_BYTES or len(found.tensors) > items.limits.tensors:
            raise LimitExceeded(
                "tensors", allowed=items.limits.tensors, wanted=items.limits.tensors + 1, where=items.location
            )
        if item.kind in ("array", "map"):
            if len(stack) >= items.limits.depth:
                raise LimitExceeded("depth", allowed=items.limits.depth, wanted=len(stack) + 1, where=items.location)
            stack.append(_Open(name, item.count, set() if item.kind == "map" else None))
        else:
            _take(items, item, name, found)
        while stack and not stack[-1].left:
            stack.pop()
        if not stack:
            return found, at
        name, at = _next(items, stack[-1], at, found, notes)


def _next(items: Items, inside: _Open, at: int, found: _Found, notes: Notes) -> tuple[str, int]:
    """The name of the next item in a container, and where it begins."""
    inside.left -= 1
    label = str(inside.index)
    inside.index += 1
    if inside.keys is not None:
        key = items.at(at)
        if key.kind not in ("text", "value") or isinstance(key.value, float):
            raise items.bad(at, "a key is no text")
        label, at = str(key.value), key.end
        if label in inside.keys:
            notes.add("msgpack-duplicate-key", f"the key {escape(label)} stands twice in one map", at, two=True)
        inside.keys.add(label)
        if label == _CHUNKED:
            found.chunked.append(inside.name)
    return f"{inside.name}.{label}" if inside.name else label, at


def _take(items: Items, item: Item, name: str, found: _Found) -> None:
    place = Location(items.location.file, items.location.member, None, name)
    if item.kind == "extension":
        try:
            value = _extension(items, item, place)
        except MalformedInput as error:
            error.where = error.where or place
            raise
    elif item.kind == "bytes":
        value = f"{item.count:,} bytes"
    else:
        value = item.value
    if name in found.tensors or name in found.values:
        if isinstance(value, TensorView):
            raise MalformedInput(
                "two tensors of a checkpoint get the same name", where=place, why="a key with a dot meets a nested map"
            )
        return
    if isinstance(value, TensorView):
        found.tensors[name] = value
    else:
        found.values[name] = value


def _extension(items: Items, item: Item, place: Location) -> object:
    if item.value == _COMPLEX:
        pair = _parts(items, item, 2)
        return [part.value for part in pair]
    if item.value not in (_ARRAY, _NUMBER):
        raise items.bad(item.start, f"an extension of type {item.value}, which Flax does not write")
    head = items.at(item.start, item.end)
    if head.kind != "array" or head.count != 3:
        raise items.bad(item.start, "an array is not shape, type and bytes")
    lengths = items.at(head.end, item.end)
    if lengths.kind != "array" or lengths.count > _DIMENSIONS:
        raise items.bad(head.end, "an array's shape is no list of counts")
    shape: list[int] = []
    at = lengths.end
    for _ in range(lengths.count):
        length = items.at(at, item.end)
        if type(length.value) is not int or length.value < 0:
            raise items.bad(at, "an array's shape is no list of counts")
        shape.append(length.value)
        at = length.end
    kind = items.at(at, item.end)
    data = items.at(kind.end, item.end)
    dtype = kind.value
    if kind.kind == "bytes":
        dtype = items.window.bytes(kind.start, min(kind.count, 64)).decode("latin-1")
    if data.kind != "bytes" or data.end != item.end:
        raise items.bad(kind.end, "an array's bytes are not where they should be")
    if not isinstance(dtype, str) or dtype not in WIDTHS:
        raise items.bad(at, f"an array of the type {escape(str(dtype), 40)}, which torch has no word for")
    if math.prod(shape) * WIDTHS[dtype] != data.count:
        raise items.bad(data.start, f"an array has {data.count:,} bytes, and its shape needs another number")
    storage = Storage(blob=items.window.blob, offset=data.start, nbytes=data.count)
    made = view(StorageRef(dtype, "", storage), dtype, 0, tuple(shape), contiguous(shape))
    return TensorView(
        location=place,
        dtype=dtype,
        shape=made.shape,
        strides=made.strides,
        storage_offset=0,
        storage=storage,
        storage_key=place.path or "",
    )


def _parts(items: Items, item: Item, count: int) -> list[Item]:
    head = items.at(item.start, item.end)
    if head.kind != "array" or head.count != count:
        raise items.bad(item.start, f"a number is not a list of {count}")
    found = []
    at = head.end
    for _ in range(count):
        part = items.at(at, item.end)
        if part.kind != "value":
            raise items.bad(at, "a part of a number is no number")
        found.append(part)
        at = part.end
    return found


def _joined(name: str, found: _Found, location: Location) -> ShardedTensor:
    """An array in pieces: its map's `shape`, and `chunks` that follow each other."""
    dot = f"{name}." if name else ""
    place = Location(location.file, location.member, None, name)
    found.values.pop(f"{dot}{_CHUNKED}", None)
    shape: list[int] = []
    while f"{dot}shape.{len(shape)}" in found.values:
        length = found.values.pop(f"{dot}shape.{len(shape)}")
        if type(length) is not int or length < 0 or len(shape) >= _DIMENSIONS:
            raise MalformedInput("an array in pieces has no shape", where=place)
        shape.append(length)
    chunks: list[Chunk] = []
    at = 0
    while f"{dot}chunks.{len(chunks)}" in found.tensors:
        piece = found.tensors.pop(f"{dot}chunks.{len(chunks)}")
        chunks.append(Chunk((at,), piece.shape, piece))
        at += math.prod(piece.shape)
    if not chunks:
        raise MalformedInput("an array in pieces has none", where=place)
    try:
        return sharded(name, chunks[0].view.dtype, tuple(shape), chunks, grid=(math.prod(shape),))
    except MalformedInput as error:
        error.where = error.where or place
        raise


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    """A map whose first keys are text, down to an array of type 1; or any map with a text key under the right name."""
    items = Items(MemoryBlob(head), Location(name), Limits())
    at = 0
    try:
        for _ in range(_SNIFFED):
            item = items.at(at)
            if item.kind != "map" or not item.count:
                return at > 0 and item.kind == "extension" and item.value == _ARRAY
            key = items.at(item.end)
            if key.kind != "text":
                return False
            if name.lower().endswith(".msgpack"):
                return True
            at = key.end
    except MalformedInput:
        # The first array may well be longer than what is seen of the file.
        return _cut_array(head, at)
    return False


def _cut_array(head: bytes, at: int) -> bool:
    codes = {0xC7: 2, 0xC8: 3, 0xC9: 5}
    width = codes.get(head[at]) if 0 < at < len(head) else None
    return width is not None and head[at + width : at + width + 2] == b"\x01\x93"


FORMAT = Format(
    name="flax",
    title="a Flax checkpoint (MessagePack)",
    suffixes=(".msgpack",),
    sniff=_sniff,
    read=_read,
    claims=Claims(first=bytes((*range(0x81, 0x90), 0xDE, 0xDF))),
)
