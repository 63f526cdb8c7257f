"""numpy's `.npy`: an array, or (for arrays of objects) a pickle after a header."""

from __future__ import annotations

import re
from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Format, Opaque, Part
from safeload.formats.pickle_stream import read_pickles

MAGIC = b"\x93NUMPY"
_LONGEST = 1 << 20
_OBJECTS = re.compile(rb"['\"][<>|=]?O\d*['\"]")


def read_npy(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    """The pickle of an array of objects; for other arrays a note that there is nothing to run."""
    head = blob.read_at(0, 12)
    wide = head[6:7] != b"\x01"
    begin = 12 if wide else 10
    length = int.from_bytes(head[8:begin], "little")
    header = blob.read_at(begin, min(length, _LONGEST))
    if len(head) < begin or len(header) < length:
        raise MalformedInput(
            "a numpy file cannot be read",
            where=location,
            why=f"its header is {length:,} bytes long and the file has {blob.size:,} (truncated)",
            remedy="fetch the file again",
        )
    if not _OBJECTS.search(header):
        yield Opaque(location=location, what="npy", detail="an array of numbers")
        return
    yield from read_pickles(blob, location, limits, offset=begin + length)


FORMAT = Format(
    name="npy",
    title="a numpy array",
    suffixes=(".npy",),
    sniff=lambda head, tail, size, name: head.startswith(MAGIC),
    read=read_npy,
)
