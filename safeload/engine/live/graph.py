"""A copy of a reading's graph in which the calls that a table makes carry everything that is done to their results.

Named constants become calls of a handler that returns them, buffers beside the stream calls that return these, and
states that are set last become calls of their own. The reading itself stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from safeload.core.errors import MalformedInput
from safeload.core.graph import (
    Call,
    Dict,
    FrozenSet,
    Global,
    How,
    List,
    Node,
    OutOfBand,
    Persistent,
    Set,
    Span,
    Tuple,
    Value,
)
from safeload.core.names import GlobalName
from safeload.engine.live.crowded import refuse_crowded
from safeload.rules.zones import ZONE, named_zone

if TYPE_CHECKING:
    from safeload.engine.live import Table

_CONSTANTS: Any = object()
"""Stands where a module's name would: no stream can spell it."""
_NEW = GlobalName("copyreg", "__newobj__")
_OLD = GlobalName("copyreg", "_reconstructor")
_OBJECT = GlobalName("builtins", "object")
_TUPLE = GlobalName("builtins", "tuple")
_LIST = GlobalName("builtins", "list")
_TZINFO = GlobalName("datetime", "tzinfo")
TUPLES = frozenset(
    {GlobalName("decimal", "DecimalTuple")}
    | {GlobalName("urllib.parse", f"{kind}Result{of}") for kind in ("Defrag", "Parse", "Split") for of in ("", "Bytes")}
)
"""Named tuples of the standard library."""
_KEYED = frozenset(
    {GlobalName("builtins", name) for name in ("set", "frozenset", "dict")}
    | {GlobalName("collections", name) for name in ("OrderedDict", "Counter", "defaultdict")}
)
"""Types that make keys of the items of a list."""
_OF_ARRAYS = ("_reconstruct", "_frombuffer")


def constant(name: GlobalName) -> GlobalName:
    """The name of the handler that returns a constant."""
    return GlobalName(_CONSTANTS, f"{name.module}\0{name.name}")


def buffer(number: int) -> GlobalName:
    """The name under which a buffer that was given beside the stream is a constant."""
    return GlobalName(_CONSTANTS, str(number))


def setter(name: GlobalName) -> GlobalName:
    """The name of the handler that sets the states of what another made."""
    return GlobalName(_CONSTANTS, f"state\0{name.module}\0{name.name}")


def _same_call(node: Call) -> Call:
    made = Call(node.callee, node.args, node.kwargs, node.how, node.offset, node.depth)
    made.states, made.items, made.pairs, made.inline = node.states, node.items, node.pairs, node.inline
    return made


_SHALLOW: Mapping[type[Node], Callable[[Any], Node]] = {
    List: lambda node: List(node.items, node.depth),
    Set: lambda node: Set(node.items, node.depth),
    Tuple: lambda node: Tuple(node.items, node.depth),
    FrozenSet: lambda node: FrozenSet(node.items, node.depth),
    Dict: lambda node: Dict(node.pairs, node.depth),
    Persistent: lambda node: Persistent(node.id, node.offset, node.depth),
    Call: _same_call,
}
"""A copy of each kind of node that holds others, with the same parts; `copy.copy` takes several times as long."""
_FLAT = 1_000
"""Containers of constants and nothing else are shared with the reading, for no part of one is rewritten: lists and
tuples of any length, and others of so few keys that they crowd nothing."""
_NONE = Tuple((), 1)
_CONTAINERS = frozenset({List, Set, Tuple, FrozenSet, Dict})


@dataclass(slots=True, eq=False)
class Prepared:
    """The copy of a graph."""

    root: Value = None
    arrays: set[Span] = field(default_factory=set)
    """Bytes that are one array's and nothing else: those of several are copied for each."""
    late: list[Value] = field(default_factory=list)
    """The calls that set states last."""


def prepare(
    value: Value, table: Table, texts: Callable[[bytes], object] | None, buffers: Sequence[object] | None
) -> Prepared:
    """Copy a graph and rewrite it for what `table` makes. Without recursion; nodes that are shared stay shared.

    Raises:
        MalformedInput: the graph refers to a buffer that was not given.
    """
    copier = _Copier(table, texts, buffers)
    copier.prepared.root = copier.part(value)
    while copier.waiting:
        copier.fill(copier.waiting.pop())
    copier.prepared.arrays = {one for one in copier.prepared.arrays if copier.used[one] == 1}
    return copier.prepared


class _Copier:
    """Copies nodes that hold others, each once, and lets them wait to be filled; leaves are shared with the reading."""

    def __init__(self, table: Table, texts: Callable[[bytes], object] | None, buffers: Sequence[object] | None) -> None:
        self.table = table
        self.texts = texts
        self.buffers = buffers
        self.copies: dict[Node, Value] = {}
        self.used: Counter[Span] = Counter()
        """How often bytes that were left in place are referred to. Arrays only share memory with nothing."""
        self.waiting: list[Node] = []
        self.prepared = Prepared()

    def part(self, item: Value) -> Value:
        """What stands for a part of a node in the copy."""
        if not isinstance(item, Node):
            return self.texts(item) if self.texts is not None and type(item) is bytes else item
        kind = type(item)
        if item.depth == 1 and self.texts is None and kind in _CONTAINERS:
            if kind is List or kind is Tuple or len(item.pairs if kind is Dict else item.items) <= _FLAT:  # type: ignore[attr-defined]
                return item
        elif isinstance(item, Span):
            self.used[item] += 1
        found = self.copies.get(item)
        if found is None:
            found = self._empty(item)
            self.copies[item] = found
            if found is not item and type(found) is kind:
                self.waiting.append(found)
        return found

    def _empty(self, node: Node) -> Value:
        if isinstance(node, Global) and node.name in self.table.constants:
            return _call(constant(node.name), node.offset)
        if isinstance(node, OutOfBand) and self.buffers is not None:
            if node.number >= len(self.buffers):
                raise MalformedInput(
                    "a pickle refers to buffers beside it that were not given",
                    why=f"there are {len(self.buffers):,}, and it asks for number {node.number + 1:,}",
                    remedy="buffers=[…], as its writer's buffer_callback got them",
                )
            return _call(constant(buffer(node.number)), 0)
        shallow = _SHALLOW.get(type(node))
        return node if shallow is None else shallow(node)

    def parts(self, items: Iterable[Value]) -> list[Value]:
        return [self.part(item) for item in items]

    def fill(self, node: Node) -> None:
        """Replace what a copy still shares with its original by copies."""
        if isinstance(node, Call):
            self._fill_call(node)
        elif isinstance(node, Tuple):
            node.items = tuple(self.parts(node.items))
        elif isinstance(node, List):
            node.items = self.parts(node.items)
        elif isinstance(node, Dict):
            refuse_crowded([key for key, _ in node.pairs])
            node.pairs = [(self.part(key), self.part(item)) for key, item in node.pairs]
        elif isinstance(node, Persistent):
            node.id = self.part(node.id)
        elif isinstance(node, Set):
            refuse_crowded(node.items)
            node.items = self.parts(node.items)
        elif isinstance(node, FrozenSet):
            refuse_crowded(node.items)
            node.items = tuple(self.parts(node.items))

    def _fill_call(self, node: Call) -> None:
        _refuse_crowded_call(node)
        straight = _straight(node, self.table)
        if straight is None:
            node.args = self.part(node.args)
            if not isinstance(node.callee, Global):
                node.callee = self.part(node.callee)
        else:
            node.callee, arguments, depth = straight
            node.args, node.how = Tuple(tuple(self.parts(arguments)), depth), How.NEWOBJ
        states, items = self.parts(node.states), self.parts(node.items)
        node.kwargs = self.part(node.kwargs)
        if node.pairs:
            node.pairs = [(self.part(key), self.part(item)) for key, item in node.pairs]
        node.states, node.items = states, items
        if not isinstance(node.callee, Global) or node.callee.name not in self.table.makers:
            return
        if node.callee.name.name in _OF_ARRAYS:
            within = [part.items for part in (node.args, *states) if isinstance(part, Tuple)]
            for item in (item for part in within for item in part if isinstance(item, Span)):
                self.used[item] += item in self.prepared.arrays  # two arrays, by way of one tuple
                self.prepared.arrays.add(item)
        if states and node.callee.name in self.table.setters:
            self._set_late(node, node.callee.name, states)
            states = []
        later: list[Value] | tuple[()] = ()
        if self.table.based.get(node.callee.name) == _LIST:  # such a list may hold itself, also by way of a tuple
            later, items = items, []
        set_later = Tuple(tuple(states), node.depth) if states else _NONE
        node.args = Tuple((node.args, set_later, List(items, node.depth if items else 1)), node.depth)
        node.states, node.items = (), later

    def _set_late(self, node: Call, name: GlobalName, states: list[Value]) -> None:
        call = _call(setter(name), node.offset)
        call.args, call.depth = Tuple((node, Tuple(tuple(states), node.depth)), node.depth), node.depth
        self.prepared.late.append(call)


def _refuse_crowded_call(node: Call) -> None:
    if node.pairs:
        refuse_crowded([key for key, _ in node.pairs])
    if isinstance(node.args, Tuple) and isinstance(node.callee, Global) and node.callee.name in _KEYED:
        for part in node.args.items:
            if isinstance(part, List | Tuple):
                refuse_crowded([_first(item) for item in part.items])


def _first(item: Value) -> Value:
    """The key of a pair; an item that is none is a key itself."""
    return item.items[0] if isinstance(item, List) and item.items else item


def _call(name: GlobalName, offset: int) -> Call:
    return Call(Global(name, name, offset), Tuple((), 1), None, How.REDUCE, offset, 1)


def _straight(node: Call, table: Table) -> tuple[Global, Sequence[Value], int] | None:
    """The same call, of a name that a table makes.

    Of a class: the call of `copyreg` that protocols 0 and 1 write, as the one of later protocols. Of a named time zone:
    the method that is looked up on its class, as a call of the class.
    """
    if named_zone(node) is not None and ZONE in table.makers:
        return Global(ZONE, ZONE, node.offset), node.args.items, node.depth
    if not isinstance(node.callee, Global) or node.callee.name not in (_NEW, _OLD) or not isinstance(node.args, Tuple):
        return None
    kind, *rest = node.args.items or (None,)
    if not isinstance(kind, Global) or kind.name not in table.makers:
        return None
    if node.callee.name == _OLD:
        match rest:
            case (Global(name=name), None) if name == _OBJECT:
                rest = []
            case (Global(name=name), Call(callee=Global(name=zone), args=Tuple(items=()))) if name == zone == _TZINFO:
                rest = []
            case (Global(name=name), Tuple(items=items)) if name == _TUPLE and kind.name in TUPLES | table.flat:
                rest = [*items]
            case (Global(name=name), value) if name == table.based.get(kind.name):
                rest = [value]
            case _:
                return None
    return kind, rest, node.args.depth
