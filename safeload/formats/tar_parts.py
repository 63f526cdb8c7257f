"""The parts of any tar archive: torch's checkpoints from before 0.1.10, and pickles in others.

torch's archive has a member `pickle` whose persistent ids are keys of tensors; `tensors` says which storage, shape
and strides each has; `storages` holds the bytes. Both tables are pickles with raw data between them.
"""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob, Extent
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.graph import Global, List, Reading, Tuple, Value
from safeload.core.limits import Limits
from safeload.core.machine import read_pickle
from safeload.core.names import Location
from safeload.formats.base import Member, Part, PickleStream, Storage, TensorView
from safeload.formats.dtypes import storage_dtype, width_of
from safeload.formats.inside import account, member_of, read_inside
from safeload.formats.nested import nested_streams
from safeload.formats.pickle_stream import read_trailing
from safeload.formats.tar_archive import Tar, TarMember, read_tar
from safeload.formats.tensors import StorageRef, bad, counts, view, whole
from safeload.formats.torch_legacy import storage_key
from safeload.formats.window import outermost


def read_any_tar(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    """Everything in a tar archive. Raises the first `MalformedInput` that it met, after yielding the rest."""
    limits = account(limits, blob)
    archive = read_tar(blob, location, limits)
    yield from archive.irregularities
    fault = archive.fault
    tables = _Tables(location, limits)
    if tables.belongs(archive):
        for member in tables.in_order(archive):
            try:
                yield from tables.read(member)
            except MalformedInput as error:
                fault = fault or error
    for member in archive.members:
        place = member_of(location, member.name)
        try:
            if tables.found and member.name in ("tensors", "storages"):
                continue
            if tables.found and member.name == "pickle":
                yield from tables.data(member)
            else:
                yield Member(location=place, name=member.name, size=member.content.size, read=True)
                yield from read_inside(member.content, place, limits, stored=_stored(blob, member))
        except MalformedInput as error:
            fault = fault or error
    if fault is not None:
        raise fault


def _stored(blob: Blob, member: TarMember) -> int:
    """What a member takes of the file. Members do not share bytes, and what was unpacked has been paid for."""
    return member.content.size if isinstance(blob, Extent) else 0


class _Tables:
    """The storages and tensors of a torch archive, as far as they could be read."""

    def __init__(self, location: Location, limits: Limits) -> None:
        self.location = location
        self.limits = limits
        self.found = False
        self.storages: dict[str, StorageRef] = {}
        self.tensors: dict[str, TensorView] = {}

    def belongs(self, archive: Tar) -> bool:
        self.found = {"pickle", "tensors", "storages"} <= {member.name for member in archive.members}
        return self.found

    def in_order(self, archive: Tar) -> list[TarMember]:
        """The tables' members: storages before the tensors that lie in them."""
        tables = [member for member in archive.members if member.name in ("storages", "tensors")]
        return sorted(tables, key=lambda member: member.name)

    def read(self, member: TarMember) -> Iterator[Part]:
        reader = self._read_storages if member.name == "storages" else self._read_tensors
        return reader(member.content, member_of(self.location, member.name))

    def data(self, member: TarMember) -> Iterator[Part]:
        place = member_of(self.location, member.name)
        storages = {key: ref.storage for key, ref in self.storages.items()}
        reading = read_pickle(member.content, location=place, limits=self.limits)
        yield PickleStream(location=place, reading=reading, storages=storages, tensors=self.tensors)
        yield from nested_streams(reading, place, self.limits)
        if reading.fault is not None:
            raise reading.fault
        yield from read_trailing(member.content, reading.end, place, self.limits)

    def _pickle(self, content: Blob, at: int, place: Location, into: list[Reading]) -> Iterator[Part]:
        reading = read_pickle(content, at, location=place, limits=self.limits)
        into.append(reading)
        yield PickleStream(location=place.at(at), reading=reading, role="header")
        yield from nested_streams(reading, place, self.limits)
        if reading.fault is not None:
            raise reading.fault

    def _count(self, content: Blob, place: Location, into: list[Reading]) -> Iterator[Part]:
        yield from self._pickle(content, 0, place, into)
        count = into[-1].value
        if type(count) is not int or count < 0:
            raise self._bad(place, 0, "it does not begin with a number")
        if count > self.limits.tensors:
            raise LimitExceeded("tensors", allowed=self.limits.tensors, wanted=count, where=place)

    def _read_storages(self, content: Blob, place: Location) -> Iterator[Part]:
        """A number; for each storage a pickle `(key, location, type)`, eight bytes of length and its elements."""
        readings: list[Reading] = []
        yield from self._count(content, place, readings)
        at = readings[0].end
        for _ in range(readings[0].value):
            yield from self._pickle(content, at, place, readings)
            at = readings[-1].end
            key, _, kind = self._fields(readings[-1].value, 3, place, at)
            dtype = storage_dtype(kind.name) if isinstance(kind, Global) else None
            name = storage_key(key)
            length = int.from_bytes(content.read_at(at, 8), "little", signed=True)
            if dtype is None or name is None:
                raise self._bad(place, at, "a storage has no known type or key")
            nbytes = length * width_of(dtype)
            if not 0 <= nbytes <= content.size - at - 8:
                raise self._bad(
                    place, at, f"a storage needs {nbytes:,} bytes, {max(0, content.size - at - 8):,} are left"
                )
            self.storages[name] = _ref(dtype, name, content, at + 8, nbytes)
            at += 8 + nbytes
        yield from self._pickle(content, at, place, readings)
        views = readings[-1].value
        for item in views.items if isinstance(views, (List, Tuple)) else ():
            self._add_view(item, place, at)
        yield from read_trailing(content, readings[-1].end, place, self.limits)

    def _add_view(self, item: Value, place: Location, at: int) -> None:
        target, root, offset, count = self._fields(item, 4, place, at)
        name, base = storage_key(target), self.storages.get(storage_key(root) or "")
        if name is None or base is None:
            raise self._bad(place, at, "a view belongs to no storage")
        width = width_of(base.dtype)
        start, nbytes = whole(offset, "view offset") * width, whole(count, "view size") * width
        if start + nbytes > base.storage.nbytes:
            raise bad("a view reaches outside of its storage", wanted=start + nbytes, available=base.storage.nbytes)
        self.storages[name] = _ref(base.dtype, name, base.storage.blob, base.storage.offset + start, nbytes)

    def _read_tensors(self, content: Blob, place: Location) -> Iterator[Part]:
        """A number; for each tensor a pickle `(key, storage, type)`, then its shape, strides and offset."""
        readings: list[Reading] = []
        yield from self._count(content, place, readings)
        at = readings[0].end
        for _ in range(readings[0].value):
            yield from self._pickle(content, at, place, readings)
            at = readings[-1].end
            key, storage, _ = self._fields(readings[-1].value, 3, place, at)
            name, ref = storage_key(key), self.storages.get(storage_key(storage) or "")
            if name is None or ref is None:
                raise self._bad(place, at, "a tensor belongs to no storage")
            dimensions = int.from_bytes(content.read_at(at, 4), "little", signed=True)
            if not 0 <= dimensions <= 64:
                raise self._bad(place, at, f"a tensor has {dimensions} dimensions")
            numbers = content.read_at(at + 8, 16 * dimensions + 8)
            if len(numbers) < 16 * dimensions + 8:
                raise self._bad(place, at, "it ends within a tensor's shape (truncated)")
            values = [int.from_bytes(numbers[i : i + 8], "little", signed=True) for i in range(0, len(numbers), 8)]
            shape, strides = counts(values[:dimensions], "shape"), counts(values[dimensions:-1], "strides")
            self.tensors[name] = view(ref, ref.dtype, whole(values[-1], "offset"), shape, strides)
            at += 16 + 16 * dimensions
        yield from read_trailing(content, at, place, self.limits)

    def _fields(self, value: Value, count: int, place: Location, at: int) -> tuple[Value, ...]:
        if not isinstance(value, (Tuple, List)) or len(value.items) != count:
            raise self._bad(place, at, "an entry of a table has the wrong form")
        return tuple(value.items)

    def _bad(self, place: Location, at: int, why: str) -> MalformedInput:
        what = "a torch checkpoint (tar) cannot be read"
        return MalformedInput(what, where=place.at(at), why=why, remedy="fetch the file again")


def _ref(dtype: str, name: str, blob: Blob, offset: int, nbytes: int) -> StorageRef:
    outer, start = outermost(blob, offset)
    return StorageRef(dtype, name, Storage(blob=outer, offset=start, nbytes=nbytes))


def first_name(head: bytes) -> str:
    """The name of an archive's first member."""
    return head[:100].partition(b"\0")[0].decode("utf-8", "replace")
