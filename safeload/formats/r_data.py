"""R's `.rds` and `.rda`: which kinds of objects are serialised, and whether the stream holds together.

Only the XDR form is read, which is the one that R writes unless asked otherwise; its usual compression is opened by
`packed`. Nothing is built. What is looked for is code: promises, which run when they are looked at (CVE-2024-27322),
closures, calls, bytecode, and pointers into memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Irregularity, Opaque, Part, Reference
from safeload.formats.inside import account
from safeload.formats.window import Window

_XDR = b"X\n\0\0\0"
_SAVED = (b"RDX2\n", b"RDX3\n")
_ASCII = (b"A\n2\n", b"A\n3\n", b"RDA2\n", b"RDA3\n")
_PAIRS = {2: "", 3: "closure", 5: "promise", 6: "call", 17: ""}
_ELEMENTS = {10: 4, 13: 4, 14: 8, 15: 16, 24: 1}
"""Vectors of numbers, and the bytes of one."""
_LISTS = frozenset({16, 19, 20})
_NOTHING = frozenset({254, 253, 252, 251, 250, 242, 241})
_IN_BYTECODE = frozenset({6, 2, 244, 243, 240, 239})

Task = list[int]
_ITEM, _LEAVE, _CODE, _CONSTANTS, _PIECE = range(5)


class _Walk:
    def __init__(self, blob: Blob, location: Location, limits: Limits, at: int) -> None:
        self.window = Window(blob)
        self.location = location
        self.limits = limits
        self.at = at
        self.work = account(limits, blob).work
        self.environments = 0
        self.tasks: list[Task] = []
        """What is still to be read: a kind, and how many of it."""
        self.found: dict[str, int] = {}
        """Kinds of code, and where the first of each stands."""

    def bad(self, why: str) -> MalformedInput:
        what = "a file of R objects cannot be read"
        return MalformedInput(what, where=self.location.at(self.at), why=why, remedy="fetch the file again")

    def number(self) -> int:
        data = self.window.bytes(self.at, 4)
        if len(data) < 4:
            raise self.bad("it ends within an object (truncated)")
        self.at += 4
        return int.from_bytes(data, "big", signed=True)

    def skip(self, count: int) -> None:
        if not 0 <= count <= self.window.size - self.at:
            raise self.bad(f"{count:,} bytes begin with fewer left (truncated)")
        self.at += count

    def length(self) -> int:
        count = self.number()
        if count == -1:
            high, low = self.number(), self.number()
            count = (high << 32) + (low & 0xFFFFFFFF)
        if count < 0:
            raise self.bad("a length is negative")
        return count

    def push(self, *tasks: tuple[int, int]) -> None:
        """Add tasks, the first of which is done first."""
        if len(self.tasks) > self.limits.nodes:
            raise LimitExceeded("nodes", allowed=self.limits.nodes, wanted=len(self.tasks), where=self.location)
        self.tasks.extend([kind, count] for kind, count in reversed(tasks) if count)

    def run(self) -> int:
        self.push((_ITEM, 1))
        while self.tasks:
            task = self.tasks[-1]
            task[1] -= 1
            if not task[1]:
                self.tasks.pop()
            self.work.walk(1, self.location)
            (self.item, self.leave, self.code, self.constant, self.piece)[task[0]]()
        return self.at

    def leave(self) -> None:
        self.environments -= 1

    def item(self) -> None:
        start, flags = self.at, self.number()
        kind, attributes, tagged = flags & 0xFF, bool(flags & 0x200), bool(flags & 0x400)
        if kind in _PAIRS:
            if what := _PAIRS[kind]:
                self.note("promise in an environment" if kind == 5 and self.environments else what, start)
            self.push((_ITEM, attributes + tagged + 2))
        elif kind in _ELEMENTS:
            self.skip(self.length() * _ELEMENTS[kind])
            self.push((_ITEM, int(attributes)))
        elif kind in _LISTS:
            count = self.length()
            if count > self.window.size - self.at:
                raise self.bad("a list is longer than the file (truncated)")
            self.push((_ITEM, count), (_ITEM, int(attributes)))
        elif kind == 9:
            self.skip(max(0, self.number()))
        elif kind in (7, 8):
            self.note("call", start)
            self.skip(self.length())
        else:
            self.rest(kind, flags, attributes, start)

    def rest(self, kind: int, flags: int, attributes: bool, start: int) -> None:
        if kind in _NOTHING:
            return
        if kind == 255:
            if not flags >> 8:
                self.number()
        elif kind == 1:
            self.push((_ITEM, 1))
        elif kind == 4:
            self.number()
            self.environments += 1
            self.push((_ITEM, 4), (_LEAVE, 1))
        elif kind in (247, 248, 249):
            if kind == 247:
                self.note("persistent name", start)
            self.number()
            self.push((_ITEM, self.length()))
        elif kind in (22, 23):
            self.note("external pointer", start)
            self.push((_ITEM, (2 if kind == 22 else 0) + attributes))
        elif kind == 25:
            self.push((_ITEM, int(attributes)))
        elif kind == 238:
            self.push((_ITEM, 3))
        elif kind == 21:
            self.note("bytecode", start)
            self.number()
            self.push((_CODE, 1), (_ITEM, int(attributes)))
        else:
            raise self.bad(f"an object of the unknown kind {kind}")

    def code(self) -> None:
        """One body of bytecode: its instructions, then its constants."""
        self.push((_ITEM, 1), (_CONSTANTS, 1))

    def constant(self) -> None:
        count = self.length()
        if count > self.window.size - self.at:
            raise self.bad("a list is longer than the file (truncated)")
        self.push((_PIECE, count))

    def piece(self) -> None:
        """A constant of bytecode, or a part of one: a kind stands before it."""
        kind = self.number()
        if kind == 21:
            self.push((_CODE, 1))
        elif kind == 243:
            self.number()
        elif kind in _IN_BYTECODE:
            if kind == 244:
                self.number()
                kind = self.number()
            self.push((_ITEM, (2 if kind in (240, 239) else 1)), (_PIECE, 2))
        else:
            self.push((_ITEM, 1))

    def note(self, what: str, at: int) -> None:
        self.found.setdefault(what, at)


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    head = blob.read_at(0, 24)
    begin = 5 if head.startswith(_SAVED) else 0
    if head[begin : begin + 2] != b"X\n":
        detail = "R objects in a form that safeload does not read: save them again without `ascii`"
        yield Opaque(location=location, what="r-ascii", detail=detail)
        return
    walk = _Walk(blob, location, limits, begin + 2)
    fault: MalformedInput | None = None
    try:
        version = walk.number()
        walk.skip(8)
        if version == 3:
            walk.skip(walk.length())
        end = walk.run()
    except MalformedInput as error:
        fault, end = error, blob.size
    for what, at in walk.found.items():
        yield Reference(location=location.at(at), kind="r-active", target=what)
    if end < blob.size:
        detail = f"{blob.size - end:,} bytes follow the objects"
        yield Irregularity(location=location.at(end), kind="trailing-data", detail=detail)
    yield Opaque(location=location, what="r-data", detail="R objects")
    if fault is not None:
        raise fault


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    return head.startswith((*_SAVED, *_ASCII)) or (head.startswith(_XDR) and head[5:6] in (b"\2", b"\3"))


FORMAT = Format(
    name="r-data",
    title="R objects",
    suffixes=(".rds", ".rda", ".rdata"),
    sniff=_sniff,
    read=_read,
    claims=Claims(begins=(_XDR, *_SAVED, *_ASCII)),
)
