"""The inert graph that a pickle is read into: data that cannot act.

`None`, `bool`, `int`, `float`, `str` and short `bytes` stand for themselves. Everything else is one of the nodes
below. Nodes compare and hash by identity, so nothing in foreign data ever decides an `==`, and cycles are harmless:
who walks a graph keeps its own stack and remembers the identities it has seen.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
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


_CONSTANTS = frozenset({int, str, float, bool, type(None), bytes})


def depth_over(items: Sequence[Value]) -> int:
    """The depth of a container that holds `items`."""
    if len(items) > 3 and _CONSTANTS.issuperset(map(type, items)):
        return 1
    depth = 0
    for item in items:
        if isinstance(item, Node) and item.depth > depth:
            depth = item.depth
    return depth + 1


class _Growing(Node):
    __slots__ = ("depth", "items")

    def __init__(self, items: list[Value] | None = None, depth: int = 1) -> None:
        self.items = [] if items is None else items
        self.depth = depth


class List(_Growing):
    __slots__ = ()


class Set(_Growing):
    __slots__ = ()


class Dict(Node):
    """A dictionary as the pairs were written: later pairs with an equal key would win."""

    __slots__ = ("depth", "pairs")

    def __init__(self, pairs: list[tuple[Value, Value]] | None = None, depth: int = 1) -> None:
        self.pairs = [] if pairs is None else pairs
        self.depth = depth


class _Whole(Node):
    __slots__ = ("depth", "items")

    def __init__(self, items: tuple[Value, ...], depth: int) -> None:
        self.items = items
        self.depth = depth


class Tuple(_Whole):
    __slots__ = ()


class FrozenSet(_Whole):
    __slots__ = ()


class Span(Node):
    """Bytes left where they are because they are many, or mutable: `[start, start + length)` of the blob."""

    __slots__ = ("length", "mutable", "start")
    depth = 1

    def __init__(self, start: int, length: int, mutable: bool) -> None:
        self.start = start
        self.length = length
        self.mutable = mutable


class Global(Node):
    """An importable thing, by name only. `written` differs where Python 2 names are mapped to today's."""

    __slots__ = ("name", "offset", "written")
    depth = 1

    def __init__(self, name: GlobalName, written: GlobalName, offset: int) -> None:
        self.name = name
        self.written = written
        self.offset = offset


class How(enum.Enum):
    """The opcode family that makes a call."""

    REDUCE = "reduce"
    NEWOBJ = "newobj"
    INSTANCE = "instance"


class Call(Node):
    """What an unpickler would call, and everything it would then do to the result."""

    __slots__ = ("args", "callee", "depth", "how", "inline", "items", "kwargs", "offset", "pairs", "states")

    def __init__(self, callee: Value, args: Value, kwargs: Value, how: How, offset: int, depth: int) -> None:
        self.callee = callee
        self.args = args
        """Usually a `Tuple`; any other value means the stream asks for something C and Python treat differently."""
        self.kwargs = kwargs
        self.how = how
        self.offset = offset
        self.depth = depth
        self.states: list[Value] | tuple[()] = ()
        """What BUILD would set on the result, in order."""
        self.items: list[Value] | tuple[()] = ()
        """What APPEND, APPENDS or ADDITEMS would put into it."""
        self.pairs: list[tuple[Value, Value]] | tuple[()] = ()
        """What SETITEM or SETITEMS would put into it."""
        self.inline: Span | None = None
        """Raw bytes that follow this object between opcodes, where a format says there are some."""


class Build(Node):
    """The act of setting `state` on `target`; only in the trace."""

    __slots__ = ("offset", "state", "target")
    depth = 1

    def __init__(self, target: Value, state: Value, offset: int) -> None:
        self.target = target
        self.state = state
        self.offset = offset


class Persistent(Node):
    """An object that the loading program supplies, by an identifier that the stream chose."""

    __slots__ = ("depth", "id", "offset")

    def __init__(self, id: Value, offset: int, depth: int) -> None:
        self.id = id
        self.offset = offset
        self.depth = depth


class Extension(Node):
    """An entry of the `copyreg` extension registry: what it means depends on the loading process."""

    __slots__ = ("code", "offset")
    depth = 1

    def __init__(self, code: int, offset: int) -> None:
        self.code = code
        self.offset = offset


class OutOfBand(Node):
    """The n-th buffer handed to the unpickler beside the stream (protocol 5)."""

    __slots__ = ("number",)
    depth = 1

    def __init__(self, number: int) -> None:
        self.number = number


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


class Reading(NamedTuple):
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
    fault: MalformedInput | None = None
    """Why reading stopped early; `value` is then `NOTHING`, and everything before the fault is in the trace."""

    def bytes_of(self, value: bytes | Span) -> bytes:
        """The bytes that a `bytes` constant or a `Span` of this reading stands for."""
        if isinstance(value, Span):
            return self.blob.read_at(value.start, value.length)
        return value
