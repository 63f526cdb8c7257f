"""Bare pickles: one or several in a row, what follows them, and what is nested in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from safeload.core.blob import Blob
from safeload.core.graph import Reading
from safeload.core.limits import Limits
from safeload.core.machine import InlineHook, read_pickle
from safeload.core.names import Location
from safeload.formats.base import Irregularity, Part, PickleStream, Storage
from safeload.formats.nested import nested_streams
from safeload.formats.stray import stray_readings


def read_stream(
    blob: Blob,
    offset: int,
    location: Location,
    limits: Limits,
    *,
    role: str = "data",
    storages: Mapping[str, Storage] | None = None,
    inline: InlineHook | None = None,
) -> Iterator[Part]:
    """One pickle and the pickles nested in it. Never raises: a fault is part of the reading."""
    reading = read_pickle(blob, offset, location=location, limits=limits, inline=inline)
    yield PickleStream(location=location, reading=reading, role=role, storages=storages or {}, tensors={})
    yield from nested_streams(reading, location, limits)


def read_trailing(blob: Blob, offset: int, location: Location, limits: Limits) -> Iterator[Part]:
    """Whatever follows a pickle: more pickles, which ordinary loaders never see, or other bytes."""
    for _ in range(limits.streams):
        if offset >= blob.size:
            return
        reading = read_pickle(blob, offset, location=location, limits=limits)
        if reading.fault is not None and not reading.trace:
            break
        yield PickleStream(location=location.at(offset), reading=reading, role="trailing")
        yield from nested_streams(reading, location, limits)
        if reading.fault is not None:
            break
        offset = reading.end
    if offset < blob.size:
        detail = f"{blob.size - offset:,} bytes follow the pickle"
        yield Irregularity(location=location.at(offset), kind="trailing-data", detail=detail)
        for reading in stray_readings(blob, offset, location, limits):
            yield PickleStream(location=location.at(reading.start), reading=reading, role="trailing")
            yield from nested_streams(reading, location, limits)


def read_pickles(
    blob: Blob,
    location: Location,
    limits: Limits,
    *,
    offset: int = 0,
    role: str = "data",
    storages: Mapping[str, Storage] | None = None,
    inline: InlineHook | None = None,
) -> Iterator[Part]:
    """All pickles of a blob from `offset` on: the first is the data, the rest trails.

    Raises:
        MalformedInput: the first pickle could not be read to its end; it has been yielded with what was read.
    """
    first: Reading | None = None
    for part in read_stream(blob, offset, location, limits, role=role, storages=storages, inline=inline):
        if first is None and isinstance(part, PickleStream):
            first = part.reading
        yield part
    if first is not None and first.fault is not None:
        raise first.fault
    if first is not None:
        yield from read_trailing(blob, first.end, location, limits)
