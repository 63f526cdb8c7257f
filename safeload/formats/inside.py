"""Files within files: members of archives, and compressed content, each read like a file of its own.

Every format is tried on them, as on the outermost file. What they cost together is one account, opened for the
outermost file: archives within archives multiply nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from safeload.core.blob import Blob, Extent, MemoryBlob
from safeload.core.errors import LimitExceeded
from safeload.core.frozen import replace
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Irregularity, Part, PickleStream

LEVELS = 6
"""Archives and compressions within each other that are opened."""
BETWEEN = " » "
"""What stands between the names of archives and members in `Location.member`."""
_UNPACKED_ALWAYS = 256 << 20
_UNPACKED = 20
"""Bytes that may be unpacked, beyond what is always allowed, for each byte of the outermost file."""
_LOOKED_ALWAYS = 256 << 10
_LOOKED = 4
"""Stored bytes that may be looked at as files within files, beyond those, for each byte of the file: honest archives
need as many as there are levels."""
_ALL_OPCODES = 1_000_000
"""Opcodes of all pickles in files within a file, and sixteen more for each of its bytes."""
_FILES_ALWAYS = 1_000
_BYTES_PER_FILE = 256
"""A file may hold a thousand files, and one more for each of these bytes: opening each one takes time …"""
_SNIFFED = 1 << 16
_SNIFFED_PER_FILE = 1 << 14
"""… and looking at so many bytes of what it begins with as much again."""
_FIELDS_ALWAYS = 150_000
_BYTES_PER_FIELD = 3
"""Fields of protocol buffers that are visited, by all readers of a file together: regular ones have more bytes each."""
_ITEMS_ALWAYS = 400_000
_BYTES_PER_ITEM = 2
"""Items of the formats that are walked through item by item, such as MessagePack, HDF5 and R's, by all readers of a
file together. What is packed into few bytes is counted by those."""
_STRAYS_ALWAYS = 5_000
_STRAYS = 2_000_000
_BYTES_PER_STRAY = 4
"""Opcodes of readings that begin wherever a pickle could, among bytes that nobody accounts for."""
_PARSED_ALWAYS = 4 << 20
_PARSED = 8
"""Bytes of text that may be read whole, beyond what is always allowed, for each byte of the outermost file: parsing
takes a thousand times as long as unpacking, and JSON twenty times as much memory as it has bytes."""
_WEIGHT_ALWAYS = 48 << 20
_WEIGHT_FROM, _WEIGHT = 1_000_000, 192
"""Memory that one document may take when it is read: so much, and so many times the bytes of the outermost file beyond
a megabyte. Tokenizers take that much of what they are packed in. A document no longer than the file is not asked."""
_IN_MEMORY = 16 << 20
_OPCODES = 50
_OPCODES_PER_BYTE = 16
"""Packed content may hold this part of `Limits.opcodes`, and a few for each packed byte."""


class Overdrawn(LimitExceeded):
    """A file asks for more work than regular ones of its size do. No option allows it more."""

    def __init__(self, limit: str, why: str, where: Location | str = "", remedy: str = "") -> None:
        super().__init__(limit, allowed=0, wanted=1, where=where)
        self.what = "reading stopped, because it would take too long"
        self.why = why
        self.remedy = remedy or "no model needs this: ask its author for a safetensors version"


class Work:
    """What the reading of one outermost file may still do. Each method raises `Overdrawn` where that is not enough."""

    def __init__(
        self,
        *,
        unpacked: int = _UNPACKED_ALWAYS,
        files: int = _FILES_ALWAYS,
        looked: int = _LOOKED_ALWAYS,
        opcodes: int = _ALL_OPCODES,
        fields: int = _FIELDS_ALWAYS,
        items: int = _ITEMS_ALWAYS,
        strays: int = _STRAYS_ALWAYS,
        parsed: int = _PARSED_ALWAYS,
        size: int = 0,
    ) -> None:
        self.unpacked = unpacked
        self.files = files
        self.looked = looked
        self.opcodes = opcodes
        self.fields = fields
        self.items = items
        self.strays = strays
        self.parsed = parsed
        self.size = size

    def visit(self, count: int, location: Location) -> None:
        """Account for fields of protocol buffers, and for tables of flatbuffers."""
        self.fields -= count
        if self.fields < 0:
            raise Overdrawn("nodes", "it has more fields, or tables, than regular files of its size", location)

    def walk(self, count: int, location: Location) -> None:
        """Account for items that are walked through."""
        self.items -= count
        if self.items < 0:
            raise Overdrawn("nodes", "it has more items than regular files of its size", location)

    def parse(self, count: int, location: Location) -> None:
        """Account for bytes of text that are read whole."""
        self.parsed -= count
        if self.parsed < 0:
            raise Overdrawn("text_bytes", f"its texts have more than {_PARSED} times its size, all together", location)

    def hold(self, size: int, weight: Callable[[], int], location: Location) -> None:
        """Make sure that a document of so many bytes will not take much more memory than the file is long."""
        if size > self.size and weight() > _WEIGHT_ALWAYS + _WEIGHT * max(0, self.size - _WEIGHT_FROM):
            why = (
                "it was packed into few bytes, and would take far more memory than what regular files of its size hold"
            )
            raise Overdrawn("json_bytes", why, location, "unpack it elsewhere, and scan what was in it")

    def unpack(self, count: int, location: Location) -> None:
        """Account for bytes that were unpacked, each time they are."""
        self.unpacked -= count
        if self.unpacked < 0:
            why = f"what is packed in it has more than {_UNPACKED} times its size, all levels together"
            raise Overdrawn("expansion", why, location)

    def open(self, size: int, stored: int, location: Location) -> None:
        """Account for a file, of so many stored bytes. Archives could list the same ones again on every level."""
        self.files -= 1 + min(size, _SNIFFED) // _SNIFFED_PER_FILE
        self.looked -= stored
        self.more(location)
        if self.looked < 0:
            raise Overdrawn("expansion", "its archives hold the same bytes again and again", location)
        if self.opcodes <= 0:
            raise Overdrawn("opcodes", "the pickles in it have more opcodes than regular ones of its size", location)

    def more(self, location: Location) -> None:
        """Ask whether one more file may be opened, before anything is done for it."""
        if self.files < 0:
            why = "it holds more files to look into than regular archives of its size"
            raise Overdrawn("members", why, location, "unpack it elsewhere, and scan the folder")


class Inner(Limits):
    """Limits that know how deep a reading is, and what it may still do."""

    level: int = 0
    work: Work


def account(limits: Limits, blob: Blob) -> Inner:
    """The limits with an account: the one they have, or a new one for this file."""
    if isinstance(limits, Inner):
        return limits
    work = Work(
        unpacked=_UNPACKED_ALWAYS + _UNPACKED * blob.size,
        files=_FILES_ALWAYS + blob.size // _BYTES_PER_FILE,
        looked=_LOOKED_ALWAYS + _LOOKED * blob.size,
        opcodes=_ALL_OPCODES + _OPCODES_PER_BYTE * blob.size,
        fields=min(limits.nodes, _FIELDS_ALWAYS + blob.size // _BYTES_PER_FIELD),
        items=min(limits.nodes, _ITEMS_ALWAYS + blob.size // _BYTES_PER_ITEM),
        strays=min(limits.opcodes, _STRAYS, _STRAYS_ALWAYS + blob.size // _BYTES_PER_STRAY),
        parsed=_PARSED_ALWAYS + _PARSED * blob.size,
        size=blob.size,
    )
    # As its constructor would make it, in a tenth of the time: this is done for every file.
    inner = Inner.__new__(Inner)
    inner.__dict__.update(limits.__dict__, level=0, work=work)
    return inner


def modest(limits: Limits, packed: int) -> Limits:
    """The limits for what is unpacked from so many bytes: opcodes cost memory, so a few for each of the bytes."""
    opcodes = min(limits.opcodes, limits.opcodes // _OPCODES + _OPCODES_PER_BYTE * packed)
    made = type(limits).__new__(type(limits))  # as `replace` would, and as above
    made.__dict__.update(limits.__dict__, opcodes=opcodes)
    return made


def member_of(place: Location, name: str) -> Location:
    """The place of a member of the archive at `place`, which may be a member itself."""
    name = name.replace("»", "_")  # so that a name cannot pretend to be several
    return Location(place.file, name if place.member is None else f"{place.member}{BETWEEN}{name}")


def called(place: Location) -> str:
    """What the innermost file at a place is called: the name that its own loader would go by."""
    return place.file if place.member is None else place.member.rpartition(BETWEEN)[2]


def _at_hand(blob: Blob) -> Blob:
    """A small file whose bytes would be unpacked again and again, as bytes."""
    outer = blob
    while isinstance(outer, Extent):
        outer = outer.outer
    if outer is blob or isinstance(outer, MemoryBlob) or blob.size > _IN_MEMORY or not hasattr(outer, "measure"):
        return blob
    return MemoryBlob(blob.read_at(0, blob.size))


def read_inside(blob: Blob, place: Location, limits: Limits, *, stored: int = 0) -> Iterator[Part]:
    """Everything that any format finds in a file within a file, which takes so many `stored` bytes of it.

    Its pickles are members, whatever they would be in a file of their own. Its tensors and its JSON data are not
    passed on: they would be taken for those of the file around it. What they point to is.

    Raises:
        MalformedInput: one of its readers stopped early; what was read was yielded.
    """
    from safeload.formats import read  # the registry, which finds the modules that call this one
    from safeload.formats.base import Config, TensorTable

    inner = account(limits, blob)
    if inner.level >= LEVELS:
        detail = f"archives lie within each other more than {LEVELS} deep; deeper ones are not read"
        yield Irregularity(location=place, kind="archive-too-deep", detail=detail)
        return
    inner.work.open(blob.size, stored, place)
    few = min(inner.opcodes, inner.work.opcodes)
    result = read(_at_hand(blob), place, replace(inner, level=inner.level + 1, opcodes=few))
    inner.work.opcodes -= sum(part.reading.opcodes for part in result.parts if isinstance(part, PickleStream))
    for part in result.parts:
        if isinstance(part, PickleStream) and part.role == "data":
            yield replace(part, role="member")
        elif not isinstance(part, (TensorTable, Config)):
            yield part
    if result.fault is not None:
        raise result.fault
