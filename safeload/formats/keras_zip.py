"""Keras 3 models: an archive of a configuration, weights in HDF5, and files of layers.

The archive is read as any other; on top of that its configuration and its HDF5 files are.
"""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Format, Member, Part
from safeload.formats.zip_archive import Entry, read_archive
from safeload.formats.zip_member import Budget, open_member
from safeload.formats.zip_parts import ZIP, kind_of, read_zip

_HEADERS = 1 << 16
"""What the objects of an HDF5 file usually cost, for the budget."""
_HDF5 = b"\x89HDF\r\n\x1a\n"
_SETTINGS = ("config.json", "metadata.json")


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    fault: MalformedInput | None = None
    budget = Budget(blob.size)
    known: set[str] = set()
    for entry in read_archive(blob, location, limits).entries:
        try:
            content = _open(blob, entry, location, limits, budget)
            if content is not None:
                known.add(entry.name)
                yield from _parts(content, Location(location.file, entry.name), limits)
        except MalformedInput as error:
            fault = fault or error
    try:
        for part in read_zip(blob, location, limits):
            if not (isinstance(part, Member) and part.name in known):
                yield part
    except MalformedInput as error:
        fault = fault or error
    if fault is not None:
        raise fault


def _open(blob: Blob, entry: Entry, location: Location, limits: Limits, budget: Budget) -> Blob | None:
    """The content of settings and of HDF5 files; `None` for other members."""
    place = Location(location.file, entry.name)
    name = entry.name.casefold()
    if name not in _SETTINGS and not name.endswith((".h5", ".hdf5")):
        return None
    content = open_member(blob, entry, place, limits, budget)
    if name in _SETTINGS and content.size > limits.json_bytes:
        raise LimitExceeded("json_bytes", allowed=limits.json_bytes, wanted=content.size, where=place)
    budget.spend(content.size if name in _SETTINGS else _HEADERS, place)
    return content if name in _SETTINGS or content.read_at(0, len(_HDF5)) == _HDF5 else None


def _parts(content: Blob, place: Location, limits: Limits) -> Iterator[Part]:
    if place.member is not None and place.member.casefold() in _SETTINGS:
        from safeload.formats.keras_objects import embedded

        yield from embedded(content.read_at(0, content.size), place, limits)
    else:
        from safeload.formats.hdf5 import read_hdf5

        yield from read_hdf5(content, place, limits)


FORMAT = Format(
    name="keras",
    title="a Keras model",
    suffixes=(".keras",),
    sniff=lambda head, tail, size, name: kind_of(head, tail, size, name) == "keras",
    read=_read,
    claims=ZIP,
)
