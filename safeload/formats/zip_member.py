"""The content of zip members, within bounds.

A stored member is a range of the archive and is never copied. A deflated one is inflated into memory while it is
small; a large one is inflated again from its beginning when somebody reads backwards, so that memory stays small
whatever the archive claims. Other methods are not supported: no checkpoint we know of uses them.
"""

from __future__ import annotations

import threading
import zlib
from dataclasses import dataclass, replace

from safeload.core.blob import Blob, Extent, MemoryBlob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.zip_archive import Entry

_STORED, _DEFLATED = 0, 8
_PIECE = 1 << 16
_IN_MEMORY = 16 << 20
"""Members up to this size are inflated whole."""
_ALL_IN_MEMORY = 64 << 20
"""All members of one archive that are inflated whole, together."""
_OVERLAP = 4
"""How often the members of an archive may ask for its bytes; once is regular, but every way of reading counts."""
_PICKLE = 20
"""Pickles may expand by this part of the limit: each byte of theirs may cost ten in memory."""
_PICKLE_ALWAYS = 4 << 20
_ALWAYS = 1 << 20
"""Members may expand to this size whatever their ratio."""


@dataclass(slots=True)
class Budget:
    """What one archive may still inflate into memory."""

    left: int = _ALL_IN_MEMORY
    looked: int = 0
    """Bytes of members that were looked into."""
    spent: bool = False
    """Nothing more of this archive is looked into."""

    def spend(self, wanted: int, size: int, location: Location) -> None:
        """Account for what is about to be read. Members that overlap could ask for the same bytes a million times.

        Raises:
            LimitExceeded: more was looked into than a regular archive of `size` bytes can hold.
        """
        self.looked += wanted
        if self.looked > _OVERLAP * size + _IN_MEMORY:
            self.spent = True
            ratio = self.looked // max(1, size)
            raise LimitExceeded("expansion", allowed=_OVERLAP, wanted=ratio, where=location)


class Inflating:
    """A deflated member as a `Blob`: sequential reads cost one pass, a step back costs another.

    Raises `MalformedInput` from `read_at` where the stream is damaged.
    """

    def __init__(self, packed: Extent, size: int, location: Location) -> None:
        self._packed = packed
        self._size = size
        self._location = location
        self._lock = threading.Lock()
        self._restart()

    @property
    def size(self) -> int:
        return self._size

    def _restart(self) -> None:
        self._engine = zlib.decompressobj(-zlib.MAX_WBITS)
        self._taken = 0
        self._given = 0
        self._waiting = b""

    def read_at(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self._size - offset))
        with self._lock:
            if offset < self._given - len(self._waiting):
                self._restart()
            kept: list[bytes] = []
            missing = length
            while missing:
                begin = self._given - len(self._waiting)
                data = self._waiting or self._next()
                if not data:
                    break
                self._waiting = data
                if begin + len(data) <= offset:
                    self._waiting = b""
                    continue
                skip = max(0, offset - begin)
                piece = data[skip : skip + missing]
                kept.append(piece)
                missing -= len(piece)
                offset += len(piece)
                self._waiting = data[skip + len(piece) :]
            return b"".join(kept)

    def _next(self) -> bytes:
        """The next piece of the content; empty at its end."""
        while not self._engine.eof:
            source = self._engine.unconsumed_tail
            if not source:
                source = self._packed.read_at(self._taken, _PIECE)
                self._taken += len(source)
            try:
                data = self._engine.decompress(source, _PIECE)
            except zlib.error as error:
                raise damaged_member(self._location, str(error)) from None
            if data:
                self._given += len(data)
                return data
            if not source:
                break
        return b""


def damaged_member(location: Location, why: str) -> MalformedInput:
    return MalformedInput(
        "a member of a zip archive cannot be unpacked", where=location, why=why, remedy="fetch the file again"
    )


def open_member(blob: Blob, entry: Entry, location: Location, limits: Limits, budget: Budget) -> Blob:
    """The content of a member as a blob. A mark of encryption is ignored here, as some readers ignore it.

    Raises:
        LimitExceeded: it would expand more than `Limits.expansion` times.
        MalformedInput: it is damaged, or packed by a method that is not supported.
    """
    packed = Extent(blob, entry.start, entry.packed)
    if entry.method == _STORED:
        return packed
    if entry.method != _DEFLATED:
        raise damaged_member(location, f"compression method {entry.method} is not supported")
    check_size(entry, location, limits)
    content = Inflating(packed, entry.size, location)
    if entry.size > min(_IN_MEMORY, budget.left):
        return content
    data = content.read_at(0, entry.size)
    budget.left -= len(data)
    return MemoryBlob(data)


def check_size(entry: Entry, location: Location, limits: Limits) -> None:
    """Raise `LimitExceeded` for a member that would expand more than `Limits.expansion` times."""
    if entry.method != _STORED and entry.size > max(_ALWAYS, entry.packed * limits.expansion):
        ratio = entry.size // max(1, entry.packed)
        raise LimitExceeded("expansion", allowed=limits.expansion, wanted=ratio, where=location)


def beginning(entry: Entry, location: Location, limits: Limits) -> tuple[Entry, LimitExceeded | None]:
    """As much of a member as a pickle in it may be read, and the error to raise after that.

    Pickles may expand to 4 MiB, or to a twentieth of `Limits.expansion` times their packed size. Of what claims to be
    larger the first MiB is read: readers that do not believe the claim would run what stands there.
    """
    if entry.method == _STORED or entry.size <= max(_PICKLE_ALWAYS, entry.packed * limits.expansion // _PICKLE):
        return entry, None
    ratio = _PICKLE * entry.size // max(1, entry.packed)
    error = LimitExceeded("expansion", allowed=limits.expansion, wanted=ratio, where=location)
    return replace(entry, size=_ALWAYS), error


def checksum(content: Blob, most: int = _IN_MEMORY) -> int | None:
    """CRC-32 of a member's content; `None` for members larger than `most`, which are not read for it."""
    if content.size > most:
        return None
    crc = 0
    for at in range(0, content.size, _PIECE):
        crc = zlib.crc32(content.read_at(at, _PIECE), crc)
    return crc
