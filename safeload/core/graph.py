"""The inert graph that a pickle is read into: data that cannot act.

`None`, `bool`, `int`, `float`, `str` and short `bytes` stand for themselves. Everything else is one of the nodes
below. Nodes compare and hash by identity, so nothing in foreign data ever decides an `==`, and cycles are harmless:
who walks a graph keeps its own stack and remembers the identities it has seen.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, overload

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.names import GlobalName
from safeload.values import dataclass, field

Value = Any
"""A constant or a `Node`. Static types cannot say more without slowing the reading down."""


class Act(enum.Enum):
    """What an unpickler would do at one point of the stream."""

    IMPORT = "import"
    CALL = "call"
    BUILD = "build"
    PERSISTENT = "persistent"
    EXTENSION = "extension"


class Node:
    """Anything in the graph that is not a constant. `depth` is how deeply it nests other nodes, as built."""

    __slots__ = ("depth",)
    depth: int


def depth_over(items: Sequence[Value]) -> int:
    """The depth of a container that holds `items`."""
    depth = 0
    for item in items:
        if isinstance(item, Node) and item.depth > depth:
            depth = item.depth
    return depth + 1


class List(Node):
    __slots__ = ("items",)

    def __init__(self) -> None:
        self.depth = 1
        self.items: list[Value] = []


class Set(Node):
    __slots__ = ("items",)

    def __init__(self) -> None:
        self.depth = 1
        self.items: list[Value] = []


class Dict(Node):
    """A dictionary as the pairs were written: later pairs with an equal key would win."""

    __slots__ = ("pairs",)

    def __init__(self) -> None:
        self.depth = 1
        self.pairs: list[tuple[Value, Value]] = []


class Tuple(Node):
    __slots__ = ("items",)

    def __init__(self, items: Sequence[Value], depth: int) -> None:
        self.depth = depth
        self.items = tuple(items)


class FrozenSet(Node):
    __slots__ = ("items",)

    def __init__(self, items: Sequence[Value], depth: int) -> None:
        self.depth = depth
        self.items = tuple(items)


class Span(Node):
    """Bytes left where they are because they are many, or mutable: `[start, start + length)` of the blob."""

    __slots__ = ("length", "mutable", "start")

    def __init__(self, start: int, length: int, *, mutable: bool) -> None:
        self.depth = 1
        self.start = start
        self.length = length
        self.mutable = mutable


class Global(Node):
    """An importable thing, by name only. `written` differs where Python 2 names are mapped to today's."""

    __slots__ = ("name", "offset", "written")
    act = Act.IMPORT

    def __init__(self, name: GlobalName, written: GlobalName, offset: int) -> None:
        self.depth = 1
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

    __slots__ = ("args", "callee", "how", "inline", "items", "kwargs", "offset", "pairs", "states")
    act = Act.CALL

    def __init__(self, callee: Value, args: Value, kwargs: Value, how: How, offset: int, depth: int) -> None:
        self.depth = depth
        self.callee = callee
        self.args = args
        """Usually a `Tuple`; any other value means the stream asks for something C and Python treat differently."""
        self.kwargs = kwargs
        self.how = how
        self.offset = offset
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
    act = Act.BUILD

    def __init__(self, target: Value, state: Value, offset: int) -> None:
        self.depth = 1
        self.target = target
        self.state = state
        self.offset = offset


class Persistent(Node):
    """An object that the loading program supplies, by an identifier that the stream chose."""

    __slots__ = ("id", "offset")
    act = Act.PERSISTENT

    def __init__(self, id: Value, offset: int, depth: int) -> None:
        self.depth = depth
        self.id = id
        self.offset = offset


class Extension(Node):
    """An entry of the `copyreg` extension registry: what it means depends on the loading process."""

    __slots__ = ("code", "offset")
    act = Act.EXTENSION

    def __init__(self, code: int, offset: int) -> None:
        self.depth = 1
        self.code = code
        self.offset = offset


class OutOfBand(Node):
    """The n-th buffer handed to the unpickler beside the stream (protocol 5)."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.depth = 1
        self.number = number


Acting = Global | Call | Build | Persistent | Extension
"""Nodes that make an unpickler do something. Each knows its `act` and its `offset`."""


class Event(NamedTuple):
    """One act, where in the blob it stands, and the node it is about."""

    act: Act
    offset: int
    node: Acting


class Trace(Sequence[Event]):
    """Every act of a stream, in order. Events are made when asked for: streams have many, and few are looked at."""

    __slots__ = ("nodes",)

    def __init__(self, nodes: Sequence[Acting] = ()) -> None:
        self.nodes = nodes

    def __len__(self) -> int:
        return len(self.nodes)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> Trace: ...
    def __getitem__(self, index: int | slice) -> Event | Trace:
        if isinstance(index, slice):
            return Trace(self.nodes[index])
        node = self.nodes[index]
        return Event(node.act, node.offset, node)


class Anomaly(NamedTuple):
    """A spot that C `pickle`, Python `pickle` and `pickletools` do not all read alike, or that no pickler writes."""

    kind: str
    offset: int
    detail: str


ANOMALIES: Mapping[str, str] = MappingProxyType(
    {
        "arguments-not-a-tuple": "arguments that are no tuple: Python pickle makes the call, C pickle refuses",
        "build-on-value": "state is set on something that no call made",
        "frame-crossed": "an opcode reaches over the end of its frame: C pickle reads other bytes from a file",
        "frame-nested": "a frame begins before the last one ended: C pickle reads it, Python pickle refuses",
        "frame-past-end": "a frame is longer than what is left: Python pickle reads it, C pickle refuses",
        "frame-unfinished": "STOP stands before the end of its frame: what follows begins elsewhere in a file",
        "items-on-value": "items are put into something that is no container of that kind",
        "length-negative": "a length that C pickle takes for large is negative to Python pickle",
        "line-unterminated": "the file ends in a line: Python pickle takes it without its last byte, C pickle refuses",
        "mark-missing": "INST without a MARK: Python pickle imports before it refuses, C pickle does not",
        "name-odd": "a name to import is empty, or holds white space, a backslash or what is not ASCII",
        "new-of-value": "an object is made from what may be no class: Python pickle tries, C pickle refuses",
        "number-text": "a number in text that C pickle, Python pickle and pickletools do not all read alike",
        "protocol-again": "PROTO stands in the middle of the stream",
        "state-not-last": "an object is filled, or given state again, after its state was set, as no pickler does",
        "stack-leftover": "values or marks are left at STOP",
    }
)
"""Every kind of `Anomaly`, and what it says."""


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
    trace: Trace
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
