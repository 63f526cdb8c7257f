"""Small helpers of container readers: a read-ahead window, the outermost blob, a bounded list of irregularities."""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob, Extent, MemoryBlob
from safeload.core.names import Location
from safeload.formats.base import Irregularity
from safeload.formats.inside import member_of

_AHEAD = 4096
_MOST = 100
"""Irregularities of one kind that are listed one by one; a hostile archive may have a million."""


class Window:
    """Reads small records of a blob without asking for each of them alone."""

    def __init__(self, blob: Blob) -> None:
        self.blob = blob
        self.size = blob.size
        self._base = 0
        self._data = blob.data if isinstance(blob, MemoryBlob) else b""

    def bytes(self, offset: int, length: int) -> bytes:
        """Exactly the bytes of `[offset, offset + length)` that exist."""
        start = offset - self._base
        if start < 0 or start + length > len(self._data):
            if not 0 <= offset < self.size:
                return b""
            self._data = self.blob.read_at(offset, max(length, _AHEAD))
            self._base, start = offset, 0
        return self._data[start : start + length]


def outermost(blob: Blob, offset: int) -> tuple[Blob, int]:
    """The same byte in the blob that is no range of another one: converters copy from the file itself."""
    while isinstance(blob, Extent):
        offset += blob.start
        blob = blob.outer
    return blob, offset


class Notes:
    """Irregularities of one file. After a hundred of a kind, the rest of that kind is one line with their number."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._noted: list[Irregularity] = []
        self._counts: dict[str, int] = {}

    def add(
        self, kind: str, detail: str, offset: int | None = None, *, member: str | None = None, two: bool = False
    ) -> None:
        """Note one irregularity; `two` where real readers get different content from these bytes."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._counts[kind] <= _MOST:
            place = self._location if member is None else member_of(self._location, member)
            at = Location(place.file, place.member, offset, self._location.path)
            self._noted.append(Irregularity(location=at, kind=kind, detail=detail, two_readings=two))

    def __iter__(self) -> Iterator[Irregularity]:
        yield from self._noted
        for kind, count in self._counts.items():
            if count > _MOST:
                two = any(note.two_readings for note in self._noted if note.kind == kind)
                detail = f"and {count - _MOST:,} more of this kind"
                yield Irregularity(location=self._location, kind=kind, detail=detail, two_readings=two)
