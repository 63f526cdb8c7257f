"""HDF5: what a file links to, where its data lies, and the configuration of the Keras model in it.

Every object is visited once; data is not read. What would make a library open another file is a reference: external
links, data in other files, virtual data sets. Attributes that hold JSON are read as Keras reads them.
"""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob, MemoryBlob
from safeload.core.errors import MalformedInput
from safeload.core.limits import Limits
from safeload.core.machine import read_pickle
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Irregularity, Opaque, Part, PickleStream, Reference
from safeload.formats.hdf5_attributes import attribute, heap_object
from safeload.formats.hdf5_groups import Link, link, table_links
from safeload.formats.hdf5_heaps import dense
from safeload.formats.hdf5_objects import (
    ATTRIBUTE,
    ATTRIBUTE_INFO,
    EXTERNAL,
    LAYOUT,
    LINK,
    LINK_INFO,
    SIGNATURE,
    TABLE,
    File,
    Message,
    read_object,
)
from safeload.formats.keras_objects import embedded
from safeload.formats.nested import nested_streams
from safeload.formats.pickle_head import begins_with_protocol, calls_something

_PLACES = (0, 512, 1024, 2048, 4096, 8192, 16384, 32768)
"""Where a superblock may stand (it may be later: such files are of no format that this knows)."""
_OWN = frozenset({LINK, LAYOUT, EXTERNAL, TABLE, LINK_INFO, ATTRIBUTE, ATTRIBUTE_INFO})
"""Messages that stand in their object; elsewhere, this reader would not find them."""
_SAME_FILE = 4
"""Flag of a source of a virtual data set: it is of this file."""
_CONFIGS = frozenset({"model_config", "training_config", "layer_config"})


def _root(file: File, at: int) -> tuple[int, MalformedInput | None]:
    """The address of the root group, and what is wrong with the length of the file.

    Raises:
        MalformedInput: it has no root, or a version that does not exist.
    """
    version = file.number(at + 8, 1)
    if version in (0, 1):
        file.offsets, file.lengths = file.number(at + 13, 1), file.number(at + 14, 1)
        here = at + 24 + (4 if version else 0)
        _check_sizes(file, at)
        file.base = file.number(here, file.offsets)
        end, root = file.number(here + 2 * file.offsets, file.offsets), file.address(here + 5 * file.offsets)
    elif version in (2, 3):
        file.offsets, file.lengths = file.number(at + 9, 1), file.number(at + 10, 1)
        _check_sizes(file, at)
        file.base = file.number(at + 12, file.offsets)
        end, root = file.number(at + 12 + 2 * file.offsets, file.offsets), file.address(at + 12 + 3 * file.offsets)
    else:
        raise file.bad(f"version {version} of the superblock is not one that safeload reads", at)
    if root is None:
        raise file.bad("it has no root group", at)
    missing = end - file.size  # counted from the beginning of the file, unlike addresses
    return root, file.bad(f"{missing:,} bytes of it are missing (truncated)", file.size) if missing > 0 else None


def _check_sizes(file: File, at: int) -> None:
    if file.offsets not in (2, 4, 8) or file.lengths not in (2, 4, 8):
        raise file.bad("addresses have a width that does not exist", at)


def read_hdf5(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    """The parts of an HDF5 file. Raises the first `MalformedInput` that it met, after yielding the rest."""
    file = File(blob, location, limits)
    start = next(place for place in (*_PLACES, -1) if place < 0 or blob.read_at(place, 8) == SIGNATURE)
    root, fault = _root(file, start)
    yield Opaque(
        location=location, what="hdf5-data", detail="an HDF5 file, whose objects are read and whose data is not"
    )
    waiting = [(root, "/")]
    seen: set[int] = set()
    while waiting:
        at, path = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        file.spend(at)
        where = Location(location.file, location.member, at, path)
        try:
            for message in read_object(file, at):
                for found in _message(file, message, where):
                    if not isinstance(found, Link):
                        yield found
                        continue
                    name = f"{path.rstrip('/')}/{found.name}"
                    yield from _elsewhere(found, name, where)
                    if not found.kind and found.address is not None:
                        waiting.append((found.address, name if len(name) < 1000 else path))
        except MalformedInput as error:
            fault = fault or error
    if fault is not None:
        raise fault


def _elsewhere(found: Link, name: str, where: Location) -> Iterator[Part]:
    """What a link says that does not lead to an object of this file."""
    if found.kind == 64:
        place = Location(where.file, where.member, found.offset, name)
        yield Reference(location=place, kind="hdf5-external", target=found.file)
    elif found.kind:
        detail = f"a link of the unknown kind {found.kind}"
        yield Irregularity(location=where, kind="hdf5-user-link", detail=detail)


def _message(file: File, message: Message, where: Location) -> Iterator[Part | Link]:
    """The links of one message, and what else it says that matters."""
    start, kind = message.start, message.kind
    if message.shared and kind in _OWN:
        raise file.bad("a message of an object is kept elsewhere", start)
    if kind == LINK:
        yield link(file, start, message.size)[0]
    elif kind == TABLE:
        yield from table_links(file, message)
    elif kind in (LINK_INFO, ATTRIBUTE_INFO):
        flags = file.number(start + 1, 1)
        here = start + 2 + ((8 if kind == LINK_INFO else 2) if flags & 1 else 0)
        heap, indexes = file.address(here), [file.address(here + file.offsets)]
        if flags & 2:  # by name, and by the order in which they were made: libraries use either
            indexes.append(file.address(here + 2 * file.offsets))
        found = {one for index in indexes if heap is not None and index is not None for one in dense(file, heap, index)}
        if heap is not None and not found:
            raise file.bad("links or attributes are kept without an index", start)
        for at, size in sorted(found):
            if kind == LINK_INFO:
                yield link(file, at, size)[0]
            else:
                yield from _attribute(file, Message(ATTRIBUTE, at, size), where)
    elif kind == ATTRIBUTE:
        yield from _attribute(file, message, where)
    elif kind == EXTERNAL:
        yield from _external(file, message, where)
    elif kind == LAYOUT and file.number(start, 1) >= 3 and file.number(start + 1, 1) == 3:
        yield from _virtual(file, message, where)


def _attribute(file: File, message: Message, where: Location) -> Iterator[Part]:
    found = attribute(file, message)
    if found is None:
        return
    name, values = found
    place = Location(where.file, where.member, message.start, f"{where.path}@{name}")
    for value in values:
        yield from _pickled(value, place, file.limits)
        if name == "PSEUDOATOM" and value in (b"object", b"vlstring"):
            detail = "a PyTables file with an array of objects, which PyTables unpickles"
            yield Opaque(location=place, what="pytables-objects", detail=detail)
        elif value.lower() in _PICKLED:
            detail = "data of which an attribute says that it is a pickle, as hickle does, which unpickles it"
            yield Opaque(location=place, what="hdf5-pickle", detail=detail)
        text = value.strip()
        if name in _CONFIGS or text[:1] in (b"{", b"["):
            try:
                yield from embedded(value, place, file.limits)
            except MalformedInput:
                if name in _CONFIGS:
                    raise


_PICKLED = frozenset({b"pickle", b"pickled", b"cpickle", b"cloudpickle", b"dill"})
"""What libraries note beside data that they unpickle."""


def _pickled(value: bytes, place: Location, limits: Limits) -> Iterator[Part]:
    """The pickles that an attribute is: PyTables unpickles attributes as soon as it opens the object."""
    if len(value) < 2 or b"." not in value:
        return
    reading = read_pickle(MemoryBlob(value), location=place, limits=limits)
    whole = reading.fault is None and (reading.trace or begins_with_protocol(value[:3]))
    if whole or calls_something(reading):
        yield PickleStream(location=place, reading=reading, role="member")
        yield from nested_streams(reading, place, limits)


def _external(file: File, message: Message, where: Location) -> Iterator[Part]:
    """Data in other files: a list of names, with offsets."""
    start = message.start
    used = file.number(start + 6, 2)
    heap = file.address(start + 8)
    if heap is None or file.take(heap, 4) != b"HEAP":
        raise file.bad("a list of files has no names", start)
    room, names = file.number(heap + 8, file.lengths), file.address(heap + 8 + 2 * file.lengths)
    here = start + 8 + file.offsets
    for _ in range(used):
        file.spend(here)
        offset = file.number(here, file.lengths)
        if names is None or offset >= room:
            raise file.bad("a file has no name", here)
        place = Location(where.file, where.member, here, where.path)
        yield Reference(location=place, kind="hdf5-external", target=file.text(names + offset, names + room))
        here += 3 * file.lengths


def _virtual(file: File, message: Message, where: Location) -> Iterator[Part]:
    """A data set put together from others: the names of their files stand in the global heap."""
    heap = file.address(message.start + 2)
    if heap is None:
        return
    block = heap_object(file, heap, file.number(message.start + 2 + file.offsets, 4))
    count = int.from_bytes(block[1 : 1 + file.lengths], "little")
    rest = block[1 + file.lengths :]
    here = False
    if block[:1] == b"\x01":
        here, rest = bool(rest[:1] and rest[0] & _SAME_FILE), rest[1:]
    if not count:
        return
    # Later entries follow selections, whose layout has many versions: that there are several is enough to say.
    name = rest.partition(b"\0")[0][:200].decode("utf-8", "replace")
    target = "." if here else name
    if count > 1:
        target = f"{target} and {count - 1:,} more"
    place = Location(where.file, where.member, message.start, where.path)
    yield Reference(location=place, kind="hdf5-virtual", target=target)


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    return any(head.startswith(SIGNATURE, place) for place in _PLACES if place < len(head))


FORMAT = Format(
    name="hdf5",
    title="an HDF5 file",
    suffixes=(".h5", ".hdf5", ".keras"),
    sniff=_sniff,
    read=read_hdf5,
    claims=Claims(at=tuple((place, SIGNATURE) for place in _PLACES)),
)
