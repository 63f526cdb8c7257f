"""torch's distributed checkpoints: the tensors of a `.metadata` file, joined from the parts it points into.

The metadata is a pickle, read as any other: into inert records. It says for each tensor which boxes it consists of,
and for each box in which part, at which offset, it was saved. Each of those is a torch archive with one tensor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from safeload.core.blob import Blob, Extent
from safeload.core.construct import Named, Record
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.base import Chunk, Irregularity, PickleStream, ShardedTensor, Storage, TensorView
from safeload.formats.chunks import sharded
from safeload.formats.dtypes import torch_dtype, width_of
from safeload.formats.tensors import StorageRef, bad, contiguous, counts, view, whole
from safeload.formats.tree import tree
from safeload.formats.window import outermost
from safeload.formats.zip_archive import LOCAL
from safeload.formats.zip_parts import read_zip

_MODULES = ("torch.distributed.checkpoint.", "torch.distributed._shard.checkpoint.")


class _Place(NamedTuple):
    """Where one box, or one object, was saved."""

    part: str
    offset: int
    length: int
    packed: bool


_Key = tuple[str, tuple[int, ...] | None]


def is_metadata(stream: PickleStream) -> bool:
    """Whether a pickle is the metadata of a distributed checkpoint, by the class of its value."""
    callee = getattr(stream.reading.value, "callee", None)
    return _is(getattr(callee, "name", None), "Metadata")


def part_names(metadata: PickleStream, limits: Limits | None = None) -> tuple[str, ...]:
    """The files that a checkpoint's metadata points into, as it spells them, each once.

    Raises:
        MalformedInput: it is not the metadata of a distributed checkpoint.
    """
    return tuple(dict.fromkeys(place.part for place in _places(_open(metadata, limits or Limits())).values()))


def join(metadata: PickleStream, parts: Mapping[str, Blob], limits: Limits | None = None) -> dict[str, ShardedTensor]:
    """Every tensor of a distributed checkpoint, by its name, in the order of the metadata.

    Args:
        metadata: the pickle of the `.metadata` file.
        parts: the files beside it, by the names that the metadata gives them (`part_names`).
        limits: bounds; the defaults of `Limits` if absent.

    Raises:
        MalformedInput: the metadata is not one, a part is missing or short, a chunk is not what the metadata says, or
            the chunks of a tensor do not fill it exactly. The location's path names the tensor.
    """
    bounds = limits or Limits()
    record = _open(metadata, bounds)
    places = _places(record)
    joined: dict[str, ShardedTensor] = {}
    chunks = 0
    for name, entry in _entries(record):
        if not _is(entry.name, "TensorStorageMetadata"):
            continue
        try:
            joined[name] = _tensor(name, entry, places, parts, bounds)
        except MalformedInput as error:
            error.where = Location(metadata.location.file, None, None, name)
            raise
        chunks += len(joined[name].chunks)
        if chunks > bounds.tensors:
            raise LimitExceeded("tensors", allowed=bounds.tensors, wanted=chunks, where=metadata.location)
    return joined


def objects(metadata: PickleStream, parts: Mapping[str, Blob], limits: Limits | None = None) -> dict[str, object]:
    """What else a distributed checkpoint holds, by name: the `tree` of each object. Raises as `join`."""
    return {name: tree(stream, limits) for name, stream in object_streams(metadata, parts, limits).items()}


def object_streams(
    metadata: PickleStream, parts: Mapping[str, Blob], limits: Limits | None = None
) -> dict[str, PickleStream]:
    """The pickle of each object that is no tensor, by name. Raises as `join`."""
    bounds = limits or Limits()
    record = _open(metadata, bounds)
    places = _places(record)
    found: dict[str, PickleStream] = {}
    for name, entry in _entries(record):
        if _is(entry.name, "BytesStorageMetadata"):
            place = places.get((name, None))
            if place is None:
                raise _bad(metadata.location, f"{escape(name)} is in no part")
            found[name] = _stream(_extent(place, parts), place, bounds)
    return found


# ── the metadata ────────────────────────────────────────────────────────────────────────────────────────────────


def _is(name: object, kind: str) -> bool:
    module = getattr(name, "module", "")
    return getattr(name, "name", "") == kind and isinstance(module, str) and module.startswith(_MODULES)


def _bad(where: Location, why: str) -> MalformedInput:
    return MalformedInput(
        "a distributed checkpoint cannot be read", where=where, why=why, remedy="fetch all of its files again"
    )


def _open(metadata: PickleStream, limits: Limits) -> Record:
    value = tree(metadata, limits)
    if not isinstance(value, Record) or not _is(value.name, "Metadata"):
        raise _bad(metadata.location, "its metadata is another pickle")
    return value


def _entries(record: Record) -> Iterator[tuple[str, Record]]:
    entries = record.attributes.get("state_dict_metadata")
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        if not isinstance(name, str) or not isinstance(entry, Record):
            raise _bad(Location(""), "its metadata does not map names to descriptions")
        yield name, entry


def _places(record: Record) -> dict[_Key, _Place]:
    """Where everything was saved, by name and (for tensors) the beginning of the box."""
    stored = record.attributes.get("storage_data")
    found: dict[_Key, _Place] = {}
    for index, info in stored.items() if isinstance(stored, dict) else ():
        if not isinstance(index, Record) or not isinstance(info, Record):
            raise _bad(Location(""), "its metadata does not say where its parts are")
        name, offset = index.attributes.get("fqn"), index.attributes.get("offset")
        facts = info.attributes
        part = facts.get("relative_path")
        if not isinstance(name, str) or not isinstance(part, str):
            raise _bad(Location(""), "its metadata does not say where its parts are")
        key = name, None if offset is None else counts(offset, "offset")
        if key in found:
            raise _bad(Location(""), f"a piece of {escape(name)} was saved twice")
        start, length = whole(facts.get("offset"), "offset"), whole(facts.get("length"), "length")
        found[key] = _Place(part, start, length, bool(facts.get("transform_descriptors")))
    return found


def _tensor(
    name: str, entry: Record, places: Mapping[_Key, _Place], parts: Mapping[str, Blob], limits: Limits
) -> ShardedTensor:
    dtype = _dtype(entry.attributes.get("properties"))
    shape = counts(entry.attributes.get("size"), "shape")
    boxes = entry.attributes.get("chunks")
    if not isinstance(boxes, list) or not all(isinstance(box, Record) for box in boxes):
        raise bad("its chunks are not listed")
    chunks: list[Chunk] = []
    for box in boxes:
        offsets, sizes = counts(box.attributes.get("offsets"), "offset"), counts(box.attributes.get("sizes"), "shape")
        place = places.get((name, offsets)) or (places.get((name, None)) if len(boxes) == 1 else None)
        if place is None:
            raise bad("a chunk of it is in no part")
        extent = _extent(place, parts)
        packed = extent.read_at(0, len(LOCAL)) == LOCAL
        value = tree(_stream(extent, place, limits), limits) if packed else _raw(extent, dtype, sizes)
        if not isinstance(value, TensorView):
            raise bad("a chunk of it is no plain tensor")
        chunks.append(Chunk(offsets, sizes, value))
    return sharded(name, dtype, shape, chunks)


def _dtype(properties: object) -> str:
    """The element type, which properties have as the first of a tuple, or under its name."""
    if isinstance(properties, Record):
        state = properties.states[0] if properties.states else properties.args
        named = properties.attributes.get("dtype")
        if named is None and isinstance(state, tuple) and state:
            named = state[0]
        dtype = torch_dtype(named.name) if isinstance(named, Named) else None
        if dtype is not None:
            return dtype
    raise bad("its element type is not one of torch's")


# ── the parts ───────────────────────────────────────────────────────────────────────────────────────────────────


def _extent(place: _Place, parts: Mapping[str, Blob]) -> Extent:
    part = parts.get(place.part)
    if part is None:
        raise bad(f"the part {escape(place.part)} is missing")
    if place.packed:
        raise bad(f"it was transformed (compressed, for instance) when it was saved to {escape(place.part)}")
    if place.offset + place.length > part.size:
        missing = place.offset + place.length
        raise bad(f"the part {escape(place.part)} is truncated", wanted=missing, available=part.size)
    return Extent(part, place.offset, place.length)


def _stream(extent: Extent, place: _Place, limits: Limits) -> PickleStream:
    """The pickle of the archive at one place. An archive that two readers see differently is refused."""
    found: PickleStream | None = None
    for part in read_zip(extent, Location(place.part), limits):
        if isinstance(part, Irregularity) and part.two_readings:
            raise bad(f"its archive in {escape(place.part)} is irregular: {part.detail}")
        if isinstance(part, PickleStream) and part.role == "data":
            found = found or part
    if found is None:
        raise bad(f"there is no torch archive at {place.offset:,} of {escape(place.part)}")
    return found


def _raw(extent: Extent, dtype: str, sizes: tuple[int, ...]) -> TensorView:
    if extent.size != math.prod(sizes) * width_of(dtype):
        raise bad("a chunk of it is neither an archive nor as many bytes as its elements")
    outer, offset = outermost(extent, 0)
    ref = StorageRef(dtype, "", Storage(blob=outer, offset=offset, nbytes=extent.size))
    return view(ref, dtype, 0, sizes, contiguous(sizes))
