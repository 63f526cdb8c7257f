"""Keras weights and other HDF5 files: names, types and places of the datasets, as h5py tells them.

The HDF5 library reads the structure, from the descriptor that is open already. It never reads a dataset that other
bytes of the file describe: those are read here. So none of its filters, plug-ins, conversions and references to other
files is ever used (`docs/decisions`). What leads elsewhere is refused before anything behind it is opened:

1. soft and external links, which are looked at and not followed
2. datasets with external storage, and virtual ones, whose creation properties are read first

Datasets that lie in one piece or in chunks, plain, deflated or shuffled, are taken.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

from safeload.core.blob import Blob, MemoryBlob
from safeload.core.errors import LimitExceeded, MalformedInput, UsageError
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.engine.convert.contents import Contents
from safeload.engine.convert.hdf5_chunks import DEFLATE, LARGEST, SHUFFLE, Chunked, Stored
from safeload.formats.base import Storage, TensorView
from safeload.formats.tensors import contiguous

if TYPE_CHECKING:
    import h5py

MEMBER = "model.weights.h5"
"""The weights in a `.keras` archive."""
_TYPES = {
    **{f"{sign}{size}": f"{name}{size * 8}" for sign, name in (("i", "int"), ("u", "uint")) for size in (1, 2, 4, 8)},
    "b1": "bool", "f2": "float16", "f4": "float32", "f8": "float64", "c8": "complex64", "c16": "complex128",
}  # fmt: skip
_TEXT = "SOU"
"""numpy's letters for text and references: what is no tensor."""
_CHUNKS = 1 << 20
_COMPACT = 1 << 16
"""Bytes of a dataset that stands in its header: that is no longer."""
_LONGEST = 4096
"""Characters of a path."""
_FAULTS = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, IndexError, MemoryError)
"""What h5py raises for files that HDF5 cannot read."""


def hdf5_contents(blob: Blob, location: Location, limits: Limits) -> Contents:
    """The datasets of an HDF5 file by their paths; text and the names of attributes are listed, not read.

    Raises:
        UsageError: h5py is not installed.
        MalformedInput: the file is damaged, leads to other files, or uses what is not read here.
    """
    try:
        import h5py
    except ImportError:
        raise UsageError(
            f"{escape(location.file)!r} was not read",
            where=location,
            why="HDF5 files need h5py, which is not installed",
            remedy="pip install 'safeload[hdf5]'",
        ) from None
    try:
        with h5py.File(_Stream(blob), "r") as file:
            return _Walk(h5py, blob, location, limits).contents(file.id)
    except _FAULTS as error:
        raise _refused(location, str(error).splitlines()[0] if str(error) else type(error).__name__) from None


def _refused(location: Location, why: str, path: str = "") -> MalformedInput:
    return MalformedInput(
        "an HDF5 file cannot be read",
        where=Location(location.file, location.member, None, path or None),
        why=why,
        remedy="fetch the file again, or ask its author for safetensors",
    )


class _Stream(io.RawIOBase):
    """A blob as the file object that h5py reads from."""

    def __init__(self, blob: Blob) -> None:
        self.blob, self.place = blob, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.place = offset + (0, self.place, self.blob.size)[whence]
        return self.place

    def readinto(self, buffer: Any) -> int:
        data = self.blob.read_at(self.place, len(buffer))
        buffer[: len(data)] = data
        self.place += len(data)
        return len(data)


class _Walk:
    """One look at all groups and datasets of a file."""

    def __init__(self, library: Any, blob: Blob, location: Location, limits: Limits) -> None:
        self.h5, self.blob, self.location, self.limits = library, blob, location, limits
        self.found = Contents()
        self.notes: dict[object, object] = {}

    def contents(self, file: h5py.h5f.FileID) -> Contents:
        if file.get_create_plist().get_userblock():
            raise _refused(self.location, "something stands before the HDF5 file")
        for path, item in self._objects(file):
            if isinstance(item, self.h5.h5d.DatasetID):
                self._dataset(path, item)
            if attributes := self.h5.h5a.get_num_attrs(item):
                self.notes[f"{path or '/'} (attributes)"] = attributes
        self.found.values += [self.notes] if self.notes else []
        # A file without any dataset is read all the same: nothing is selected then, which is what is said.
        return self.found

    def _objects(self, file: h5py.h5f.FileID) -> Iterator[tuple[str, Any]]:
        """Every object with its path; a group that is reached twice once. Not on the Python stack."""
        h5 = self.h5
        root = h5.h5g.open(file, b"/")
        waiting: list[tuple[str, Any, bytes]] = [("", root, b".")]
        seen: set[int] = set()
        count = 0
        while waiting:
            path, parent, name = waiting.pop()
            item = h5.h5o.open(parent, name)
            if not isinstance(item, h5.h5g.GroupID):
                yield path, item
                continue
            address = h5.h5o.get_info(item).addr
            if address in seen:
                raise _refused(self.location, "the group is reached in two ways", path)
            seen.add(address)
            yield path, item
            below = []
            for name in item:
                count += 1
                if count > self.limits.tensors:
                    raise LimitExceeded("tensors", allowed=self.limits.tensors, wanted=count, where=self.location)
                child = f"{path}/{name.decode()}".lstrip("/")
                if len(child) > _LONGEST:
                    raise _refused(self.location, f"a path has more than {_LONGEST:,} characters", child[:200])
                if item.links.get_info(name).type != h5.h5l.TYPE_HARD:
                    raise _refused(self.location, "it is a link to another place or file, which is not followed", child)
                below.append((child, item, name))
            waiting.extend(reversed(below))

    def _dataset(self, path: str, data: h5py.h5d.DatasetID) -> None:
        h5, plist = self.h5, data.get_create_plist()
        layout = plist.get_layout()
        if layout == h5.h5d.VIRTUAL or plist.get_external_count():
            raise _refused(self.location, "its data are in another file, which is not opened", path)
        kind = data.dtype
        shape = data.shape
        dtype = _TYPES.get(kind.str[1:])
        if shape is None or kind.kind in _TEXT:
            self.notes[path] = "a dataset of text" if shape is not None else "an empty dataset"
            return
        if dtype is None or not data.get_type().equal(h5.h5t.py_create(kind)):
            self.found.without_data[path] = f"its type is {escape(kind.str, 40)}, which is not read"
            return
        width = kind.itemsize
        storage = self._storage(path, data, plist, tuple(shape), width)
        big = kind.byteorder == ">"
        self.found.tensors[path] = TensorView(
            location=Location(self.location.file, self.location.member, None, path),
            dtype=dtype,
            shape=tuple(shape),
            strides=contiguous(tuple(shape)),
            storage_offset=0,
            storage=Storage(blob=storage[0], offset=storage[1], nbytes=prod(shape) * width, big_endian=big),
            storage_key=path,
        )

    def _storage(self, path: str, data: Any, plist: Any, shape: tuple[int, ...], width: int) -> tuple[Blob, int]:
        """The blob that holds a dataset's elements in their order, and where they begin in it."""
        h5, layout, nbytes = self.h5, plist.get_layout(), prod(shape) * width
        if not nbytes:
            return MemoryBlob(b""), 0
        if layout == h5.h5d.CHUNKED:
            return self._chunked(path, data, plist, shape, width), 0
        if layout == h5.h5d.COMPACT:
            if nbytes > _COMPACT:
                raise _refused(self.location, "it is larger than the place it is said to be in", path)
            return self._compact(data, nbytes), 0
        offset = data.get_offset()
        if offset is None:
            raise _refused(self.location, "its data were never written", path)
        if offset + nbytes > self.blob.size:
            raise _refused(self.location, f"it should end at byte {offset + nbytes:,}, and the file does before", path)
        return self.blob, offset

    def _compact(self, data: Any, nbytes: int) -> Blob:
        """A few bytes that stand in the header of the dataset: only the library knows where."""
        import numpy

        made = numpy.empty(data.shape, data.dtype)
        data.read(self.h5.h5s.ALL, self.h5.h5s.ALL, made, mtype=data.get_type())
        return MemoryBlob(made.tobytes()[:nbytes])

    def _chunked(self, path: str, data: Any, plist: Any, shape: tuple[int, ...], width: int) -> Blob:
        chunk = tuple(plist.get_chunk())
        filters = tuple(plist.get_filter(number)[0] for number in range(plist.get_nfilters()))
        if unknown := [number for number in filters if number not in (DEFLATE, SHUFFLE)]:
            raise _refused(self.location, f"it is packed with HDF5's filter {unknown[0]}, which is not read", path)
        if prod(chunk) * width > LARGEST:
            raise _refused(self.location, f"its chunks have more than {LARGEST:,} bytes", path)
        grid = tuple(-(-size // step) for size, step in zip(shape, chunk, strict=True))
        if prod(grid) > _CHUNKS or data.get_num_chunks() != prod(grid):
            why = f"{data.get_num_chunks():,} of its {prod(grid):,} chunks were written, and {_CHUNKS:,} are read"
            raise _refused(self.location, why, path)
        table: dict[tuple[int, ...], Stored] = {}

        def note(info: Any) -> None:
            place = tuple(at // step for at, step in zip(info.chunk_offset, chunk, strict=True))
            table[place] = Stored(info.byte_offset, info.size, info.filter_mask)

        data.chunk_iter(note)
        wanted = itertools.product(*map(range, grid))
        if any(place not in table or not self._within(table[place]) for place in wanted):
            raise _refused(self.location, "its chunks do not fill it, or lie outside the file", path)
        return Chunked(self.blob, shape, chunk, width, table, filters, self.location)

    def _within(self, stored: Stored) -> bool:
        return stored.offset >= 0 and stored.offset + stored.nbytes <= self.blob.size and stored.nbytes <= 2 * LARGEST
