"""The inert graph that a pickle is read into: data that cannot act.

`None`, `bool`, `int`, `float`, `str` and short `bytes` stand for themselves. Everything else is one of the nodes
below. Nodes compare and hash by identity, so nothing in foreign data ever decides an `==`, and cycles are harmless:
who walks a graph keeps its own stack and remembers the identities it has seen.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.names import GlobalName

Value = Any
"""A constant or a `Node`. Static types cannot say more without slowing the reading down."""


class Node:
    """Anything in the graph that is not a constant. `depth` is how deeply it nests other nodes, as built."""

    __slots__ = ()
    depth: int


def depth_over(items: Sequence[Value]) -> int:
    """The depth of a container that holds `items`."""
    depth = 0
    for item in items:
        if isinstance(item, Node) and item.depth > depth:
            depth = item.depth
    return depth + 1


@dataclass(slots=True, eq=False, repr=False)
class List(Node):
    items: list[Value] = field(default_factory=list)
    depth: int = 1


@dataclass(slots=True, eq=False, repr=False)
class Set(Node):
    items: list[Value] = field(default_factory=list)
    depth: int = 1


@dataclass(slots=True, eq=False, repr=False)
class Dict(Node):
    """A dictionary as the pairs were written: later pairs with an equal key would win."""

    pairs: list[tuple[Value, Value]] = field(default_factory=list)
    depth: int = 1


@dataclass(slots=True, eq=False, repr=False)
class Tuple(Node):
    items: tuple[Value, ...]
    depth: int


@dataclass(slots=True, eq=False, repr=False)
class FrozenSet(Node):
    items: tuple[Value, ...]
    depth: int


@dataclass(slots=True, eq=False, repr=False)
class Span(Node):
    """Bytes left where they are because they are many, or mutable: `[start, start + length)` of the blob."""

    depth = 1
    start: int
    length: int
    mutable: bool


@dataclass(slots=True, eq=False, repr=False)
class Global(Node):
    """An importable thing, by name only. `written` differs where Python 2 names are mapped to today's."""

    depth = 1
    name: GlobalName
    written: GlobalName
    offset: int


class How(enum.Enum):
    """The opcode family that makes a call."""

    REDUCE = "reduce"
    NEWOBJ = "newobj"
    INSTANCE = "instance"


@dataclass(slots=True, eq=False, repr=False)
class Call(Node):
    """What an unpickler would call, and everything it would then do to the result."""

    callee: Value
    args: Value
    """Usually a `Tuple`; any other value means the stream asks for something C and Python treat differently."""
    kwargs: Value
    how: How
    offset: int
    depth: int
    states: list[Value] | tuple[()] = ()
    """What BUILD would set on the result, in order."""
    items: list[Value] | tuple[()] = ()
    """What APPEND, APPENDS or ADDITEMS would put into it."""
    pairs: list[tuple[Value, Value]] | tuple[()] = ()
    """What SETITEM or SETITEMS would put into it."""
    inline: Span | None = None
    """Raw bytes that follow this object between opcodes, where a format says there are some."""


@dataclass(slots=True, eq=False, repr=False)
class Build(Node):
    """The act of setting `state` on `target`; only in the trace."""

    depth = 1
    target: Value
    state: Value
    offset: int


@dataclass(slots=True, eq=False, repr=False)
class Persistent(Node):
    """An object that the loading program supplies, by an identifier that the stream chose."""

    id: Value
    offset: int
    depth: int


@dataclass(slots=True, eq=False, repr=False)
class Extension(Node):
    """An entry of the `copyreg` extension registry: what it means depends on the loading process."""

    depth = 1
    code: int
    offset: int


@dataclass(slots=True, eq=False, repr=False)
class OutOfBand(Node):
    """The n-th buffer handed to the unpickler beside the stream (protocol 5)."""

    depth = 1
    number: int


Fillable = List | Set | Dict | Call
"""Nodes that opcodes put something into after they were made."""
Acting = Global | Call | Build | Persistent | Extension
"""Nodes that make an unpickler do something, each with the `offset` at which it does so."""


class Anomaly(NamedTuple):
    """A spot that C `pickle`, Python `pickle` and `pickletools` do not all read alike, or that no pickler writes."""

    kind: str
    offset: int
    detail: str = ""
    """What this spot says beyond its kind; the rule `pickle-two-readings` says what each kind means."""


class _Nothing:
    """The value of a reading that ended before STOP."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING = _Nothing()


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One pickle, read to its STOP or to its fault. Offsets are absolute in `blob`."""

    blob: Blob
    start: int
    end: int
    """The offset after STOP. After a fault: of the opcode at fault, or the end of the bytes if some are missing."""
    value: Value
    trace: Sequence[Acting]
    """Every act of the stream, in order."""
    anomalies: tuple[Anomaly, ...] = ()
    protocol: int = 0
    opcodes: int = 0
    fault: MalformedInput | None = field(default=None)
    """Why reading stopped early; `value` is then `NOTHING`, and everything before the fault is in the trace."""

    def bytes_of(self, value: bytes | Span) -> bytes:
        """The bytes that a `bytes` constant or a `Span` of this reading stands for."""
        if isinstance(value, Span):
            return self.blob.read_at(value.start, value.length)
        return value
