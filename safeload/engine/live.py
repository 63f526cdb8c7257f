"""From a reading to live objects of types that are known to be data: what adapters hand to `construct`, made ready.

`construct` gives objects of exactly its own types a state. A `datetime`, an `OrderedDict` with attributes or a numpy
array is of nobody's own type, so for the calls that a table names, what BUILD and APPENDS would do becomes part of the
call's arguments: its handler gets a `Made` with all of it, and returns the finished object. Named constants, such as
`torch.float32`, become calls of a handler that returns them.

What no handler knows stays what `construct` makes of it: an inert `Record`, or a `Named`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

from safeload.core.construct import Handler, Named, Record, construct
from safeload.core.errors import MalformedInput
from safeload.core.graph import (
    Call,
    Dict,
    FrozenSet,
    Global,
    How,
    List,
    Node,
    Persistent,
    Reading,
    Set,
    Span,
    Tuple,
    Value,
)
from safeload.core.names import GlobalName, Location
from safeload.engine.allowlists import default_allowlist
from safeload.rules.indirect import excused


class Made(NamedTuple):
    """Everything that a stream does to make one object."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    states: tuple[Any, ...]
    items: list[Any]
    name: GlobalName
    call: Call

    def record(self) -> Record:
        """The inert stand-in, for arguments that a handler has no use for."""
        record = Record(Named(self.name), self.call.how, self.args, self.kwargs or None)
        record.states.extend(self.states)
        record.items.extend(self.items)
        return record


Maker = Callable[[Made], object]
"""Makes the object of one call, whole. Raises `MalformedInput` for what it does not take."""
Texts = Callable[[bytes], object]
"""What becomes of a Python 2 string that is not ASCII."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What is made of each global that is known. Several tables are put together with `|`."""

    makers: Mapping[GlobalName, Maker] = field(default_factory=dict)
    constants: Mapping[GlobalName, object] = field(default_factory=dict)
    """Live values of names that are not called."""
    named: frozenset[GlobalName] = frozenset()
    """Names that makers expect as arguments: known, and never live."""

    def __or__(self, other: Table) -> Table:
        return Table(
            makers={**self.makers, **other.makers},
            constants={**self.constants, **other.constants},
            named=self.named | other.named,
        )

    def __contains__(self, name: object) -> bool:
        return name in self.makers or name in self.constants or name in self.named


def names_in(readings: Iterable[Reading]) -> list[GlobalName]:
    """Every global that the pickles name, once each, in order.

    Left out are `getattr` and `type` where they are only called in the exact forms in which picklers write members of
    listed enumerations and `NoneType`: judgement excuses these, so nobody need be asked about them.
    """
    allowlist = default_allowlist()
    named: list[GlobalName] = []
    for one in readings:
        calls = [node for node in one.trace if isinstance(node, Call) and isinstance(node.callee, Global)]
        forms: dict[int, bool] = {}
        for call in calls:
            harmless = excused(cast(Global, call.callee).name, call, allowlist)
            forms[id(call.callee)] = forms.get(id(call.callee), True) and harmless
        named += [node.name for node in one.trace if isinstance(node, Global) and not forms.get(id(node), False)]
    return list(dict.fromkeys(named))


def bring_to_life(
    reading: Reading,
    table: Table,
    *,
    location: Location,
    persistent: Callable[[object, Persistent], object] | None = None,
    spans: Callable[[Span, bool], object] | None = None,
    texts: Texts | None = None,
) -> object:
    """The value of a reading, with live objects where the table has a maker for them.

    The reading stays as it is: what is rewritten is a copy of its graph.

    Args:
        persistent: as for `construct`.
        spans: makes the value of bytes left in place; is told whether they are the bytes of an array.
        texts: what becomes of Python 2 strings that are not ASCII; they stay bytes if absent.

    Raises:
        MalformedInput: as `construct` does; also where an object that is made whole contains itself.
    """
    value, arrays = _prepare(reading.value, table, texts if reading.protocol < 3 else None)
    reading = replace(reading, value=value)
    handlers: dict[GlobalName, Handler] = {name: _handler(name, maker) for name, maker in table.makers.items()}
    for name, constant in table.constants.items():
        handlers[_constant(name)] = lambda args, kwargs, call, constant=constant: constant  # type: ignore[misc]

    def of_span(span: Span) -> object:
        if spans is not None:
            return spans(span, id(span) in arrays)
        data = reading.bytes_of(span)
        return bytearray(data) if span.mutable else data

    return construct(reading, handlers, location=location, persistent=persistent, spans=of_span)


_CONSTANTS: Any = object()
"""Stands where a module's name would: no stream can spell it."""


def _constant(name: GlobalName) -> GlobalName:
    return GlobalName(_CONSTANTS, f"{name.module}\0{name.name}")


def _handler(name: GlobalName, maker: Maker) -> Handler:
    def handle(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
        plain, states, items = args if len(args) == 3 else ((), (), [])
        if not isinstance(plain, tuple):
            raise MalformedInput("a pickle passes arguments that are no tuple", why=type(plain).__name__)
        return maker(Made(plain, kwargs, states, items, name, call))

    return handle


def _prepare(value: Value, table: Table, texts: Texts | None) -> tuple[Value, set[int]]:
    """A copy of the graph, rewritten as described above: its root, and the identities of the bytes that are arrays'."""
    copier = _Copier(table, texts)
    root = copier.part(value)
    while copier.waiting:
        copier.fill(*copier.waiting.pop())
    return root, copier.arrays


class _Copier:
    """Copies nodes that hold others, each once, and lets them wait to be filled; leaves are shared with the reading."""

    def __init__(self, table: Table, texts: Texts | None) -> None:
        self.table = table
        self.texts = texts
        self.copies: dict[int, Value] = {}
        self.waiting: list[tuple[Node, Node]] = []
        self.arrays: set[int] = set()
        """The bytes of arrays, by identity."""

    def part(self, item: Value) -> Value:
        """What stands for a part of a node in the copy."""
        if not isinstance(item, Node):
            return self.texts(item) if self.texts is not None and type(item) is bytes else item
        found = self.copies.get(id(item))
        if found is None:
            found = self._empty(item)
            self.copies[id(item)] = found
            if found is not item and type(found) is type(item):
                self.waiting.append((item, found))
        return found

    def _empty(self, node: Node) -> Value:
        if isinstance(node, Global) and node.name in self.table.constants:
            callee = Global(_constant(node.name), node.written, node.offset)
            return Call(callee, Tuple((), 1), None, How.REDUCE, node.offset, 1)
        if isinstance(node, List | Set | Tuple | FrozenSet | Dict | Persistent | Call):
            return copy(node)
        return node

    def parts(self, items: Iterable[Value]) -> list[Value]:
        return [self.part(item) for item in items]

    def fill(self, old: Node, new: Node) -> None:
        if isinstance(new, List | Set):
            new.items = self.parts(new.items)
        elif isinstance(new, Tuple | FrozenSet):
            new.items = tuple(self.parts(new.items))
        elif isinstance(new, Dict):
            new.pairs = [(self.part(key), self.part(item)) for key, item in new.pairs]
        elif isinstance(new, Persistent):
            new.id = self.part(new.id)
        elif isinstance(new, Call):
            self._fill_call(new)

    def _fill_call(self, node: Call) -> None:
        known = isinstance(node.callee, Global) and node.callee.name in self.table.makers
        if known and cast(Global, node.callee).name.name in ("_reconstruct", "_frombuffer"):
            parts = [node.args, *node.states]
            self.arrays.update(
                id(item) for part in parts if isinstance(part, Tuple) for item in part.items if isinstance(item, Span)
            )
        node.args, node.kwargs = self.part(node.args), self.part(node.kwargs)
        node.states, node.items = self.parts(node.states), self.parts(node.items)
        node.pairs = [(self.part(key), self.part(item)) for key, item in node.pairs]
        if not known:
            node.callee = self.part(node.callee)
            return
        states, items = Tuple(tuple(node.states), node.depth), List(node.items, node.depth)
        node.args = Tuple((node.args, states, items), node.depth)
        node.states, node.items = (), ()
