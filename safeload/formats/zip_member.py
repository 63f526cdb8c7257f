"""The content of zip members, within bounds.

A stored member is a range of the archive and is never copied. A deflated one is inflated into memory while it is
small; a large one is inflated while it is read (`unpack`), so that memory stays small whatever the archive claims.
Other methods are not supported: no checkpoint we know of uses them.
"""

from __future__ import annotations

import zlib

from safeload.core.blob import Blob, Extent, MemoryBlob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.unpack import DEFLATE, Unpacking
from safeload.formats.zip_archive import Entry

_STORED, _DEFLATED = 0, 8
_PIECE = 1 << 16
_IN_MEMORY = 16 << 20
"""Members up to this size are inflated whole."""
_ALL_IN_MEMORY = 64 << 20
"""All members of one archive that are inflated whole, together."""
_OVERLAP = 4
"""How often the members of an archive may ask for its bytes; once is regular, but every way of reading counts."""
_SOME = 256 << 10
"""What may be looked into however small the archive is."""
_PICKLE = 20
"""Pickles may expand by this part of the limit: each byte of theirs may cost ten in memory."""
_PICKLE_ALWAYS = 4 << 20
_DEFLATE_MOST = 1_040
"""How much larger than its packed form anything deflated can be, and a little more."""
_ALWAYS = 1 << 20
"""Members may expand to this size whatever their ratio."""


class Budget:
    """What one archive, in a file of so many bytes, may still inflate into memory."""

    def __init__(self, size: int, left: int = _ALL_IN_MEMORY) -> None:
        self.size = size
        self.left = left
        self.looked = 0
        """Bytes of members that were looked into."""
        self.pickles = 0
        """Pickles that were read."""
        self.spent = False
        """Nothing more of this archive is looked into."""

    def affords(self, wanted: int) -> bool:
        """Whether `spend` would let so much pass."""
        return self.looked + wanted <= _OVERLAP * self.size + _SOME

    def spend(self, wanted: int, location: Location) -> None:
        """Account for what is about to be read. Members that overlap could ask for the same bytes a million times.

        Raises:
            LimitExceeded: more was looked into than a regular archive can hold.
        """
        affords = self.affords(wanted)
        self.looked += wanted
        if not affords:
            self.spent = True
            ratio = self.looked // max(1, self.size)
            raise LimitExceeded("expansion", allowed=_OVERLAP, wanted=ratio, where=location)

    def count(self, limits: Limits, location: Location) -> None:
        """Account for a pickle: the smallest take two bytes and a thousand times longer than others of that size.

        Raises:
            LimitExceeded: there are more than `Limits.streams`.
        """
        self.pickles += 1
        if self.pickles > limits.streams:
            self.spent = True
            raise LimitExceeded("streams", allowed=limits.streams, wanted=self.pickles, where=location)


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
    content = Unpacking(packed, DEFLATE, entry.size, location)
    if entry.size > min(_IN_MEMORY, budget.left):
        return content
    data = content.read_at(0, entry.size)
    budget.left -= len(data)
    return MemoryBlob(data)


def open_array(blob: Blob, entry: Entry, location: Location, limits: Limits) -> Blob:
    """The content of a member that begins like an array, which may be all zeros: these shrink as far as can be.

    Raises:
        LimitExceeded: it claims to expand more than anything deflated can.
    """
    if entry.size > entry.packed * _DEFLATE_MOST:
        check_size(entry, location, limits)
    return Unpacking(Extent(blob, entry.start, entry.packed), DEFLATE, entry.size, location)


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
    return entry._replace(size=_ALWAYS), error


def checksum(content: Blob, most: int = _IN_MEMORY) -> int | None:
    """CRC-32 of a member's content; `None` for members larger than `most`, which are not read for it."""
    if content.size > most:
        return None
    crc = 0
    for at in range(0, content.size, _PIECE):
        crc = zlib.crc32(content.read_at(at, _PIECE), crc)
    return crc
