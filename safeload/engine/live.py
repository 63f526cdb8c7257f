"""From a reading to live objects of types that are known to be data: what adapters hand to `construct`, made ready.

`construct` gives objects of exactly its own types a state. A `datetime`, an `OrderedDict` with attributes or a numpy
array is of nobody's own type, so for the calls that a table names, what BUILD and APPENDS would do becomes part of the
call's arguments: its handler gets a `Made` with all of it, and returns the finished object. Named constants, such as
`torch.float32`, become calls of a handler that returns them.

An object that may be part of its own state gets it last, by a call of its own that stands beside the value.

What no handler knows stays what `construct` makes of it: an inert `Record`, or a `Named`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

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
    OutOfBand,
    Persistent,
    Reading,
    Set,
    Span,
    Tuple,
    Value,
)
from safeload.core.names import GlobalName, Location
from safeload.engine.crowded import refuse_crowded


@dataclass(slots=True, eq=False)
class Rest:
    """What remains to be done when every object is there.

    A container that is part of its own parts is filled last, so a maker may meet it while it is still empty. A maker
    that can wait says so with `afterwards`; where another took an empty container that was filled later, what it made
    lacks something, and nothing is returned.
    """

    steps: list[Callable[[], None]] = field(default_factory=list)
    empty: list[Any] = field(default_factory=list)

    def afterwards(self, step: Callable[[], None]) -> None:
        """Have this done when every object is there, in the order in which it was asked for."""
        self.steps.append(step)

    def watch(self, made: Made) -> None:
        """Remember what a maker got while it was empty."""
        self.expect((*made.args, *made.states, made.items))

    def expect(self, values: Iterable[object]) -> None:
        for value in values:
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, list | dict | set) and not one:
                    self.empty.append(one)

    def finish(self, location: Location) -> None:
        """Do what remains. Raises `MalformedInput` if something was made from what was not there yet."""
        for step in self.steps:
            step()
        if any(self.empty):
            raise MalformedInput(
                "a pickle describes an object that contains itself before it exists",
                where=location,
                why="it is made whole, from what refers back to it",
            )


class Made(NamedTuple):
    """Everything that a stream does to make one object."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    states: tuple[Any, ...]
    items: list[Any]
    name: GlobalName
    call: Call
    rest: Rest

    def record(self) -> Record:
        """The inert stand-in, for arguments that a handler has no use for."""
        record = Record(Named(self.name), self.call.how, self.args, self.kwargs or None)
        record.states.extend(self.states)
        record.items.extend(self.items)
        return record


Maker = Callable[[Made], object]
"""Makes the object of one call, whole. Raises `MalformedInput` for what it does not take."""
Setter = Callable[[Any, tuple[Any, ...]], None]
"""Gives an object of one call its states, last of all. Raises `MalformedInput` for what it cannot have."""
Texts = Callable[[bytes], object]
"""What becomes of a Python 2 string that is not ASCII."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What is made of each global that is known. Several tables are put together with `|`."""

    makers: Mapping[GlobalName, Maker] = field(default_factory=dict)
    constants: Mapping[GlobalName, object] = field(default_factory=dict)
    """Live values of names that are not called."""
    setters: Mapping[GlobalName, Setter] = field(default_factory=dict)
    """For makers whose objects get their states last, so that these may refer back to the object."""
    named: frozenset[GlobalName] = frozenset()
    """Names that makers expect as arguments: known, and never live."""

    def __or__(self, other: Table) -> Table:
        return Table(
            makers={**self.makers, **other.makers},
            constants={**self.constants, **other.constants},
            setters={**self.setters, **other.setters},
            named=self.named | other.named,
        )

    def __contains__(self, name: object) -> bool:
        return name in self.makers or name in self.constants or name in self.named


def names_in(readings: Iterable[Reading]) -> list[GlobalName]:
    """Every global that the pickles name, once each, in order."""
    return list(dict.fromkeys(node.name for one in readings for node in one.trace if isinstance(node, Global)))


def bring_to_life(
    reading: Reading,
    table: Table,
    *,
    location: Location,
    persistent: Callable[[object, Persistent], object] | None = None,
    spans: Callable[[Span, bool], object] | None = None,
    texts: Texts | None = None,
    buffers: Sequence[object] | None = None,
    strict: bool = False,
) -> object:
    """The value of a reading, with live objects where the table has a maker for them.

    The reading's graph is changed on the way: nobody else may use it afterwards.

    Args:
        persistent: as for `construct`.
        spans: makes the value of bytes left in place; is told whether they are the bytes of an array.
        texts: what becomes of Python 2 strings that are not ASCII; they stay bytes if absent.
        buffers: what stands for the buffers that protocol 5 keeps beside the stream, by number.
        strict: a known type that is made in a way that its maker has no use for is an error, not an inert record.

    Raises:
        MalformedInput: as `construct` does; also where an object that is made whole contains itself.
    """
    if buffers is not None:
        table |= Table(constants={_buffer(number): one for number, one in enumerate(buffers)})
    value, arrays, late = _prepare(reading.value, table, texts if reading.protocol < 3 else None, buffers)
    reading = replace(reading, value=Tuple((value, List(late)), 1))
    rest = Rest()
    handlers: dict[GlobalName, Handler] = {
        name: _handler(name, maker, rest, strict) for name, maker in table.makers.items()
    }
    handlers |= {_late(name): _setting(setter, rest) for name, setter in table.setters.items()}
    for name, constant in table.constants.items():
        handlers[_constant(name)] = lambda args, kwargs, call, constant=constant: constant  # type: ignore[misc]

    def of_span(span: Span) -> object:
        if spans is not None:
            return spans(span, id(span) in arrays)
        data = reading.bytes_of(span)
        return bytearray(data) if span.mutable else data

    whole: Any = construct(reading, handlers, location=location, persistent=persistent, spans=of_span)
    rest.finish(location)
    return whole[0]


_CONSTANTS: Any = object()
"""Stands where a module's name would: no stream can spell it."""


def _constant(name: GlobalName) -> GlobalName:
    return GlobalName(_CONSTANTS, f"{name.module}\0{name.name}")


def _buffer(number: int) -> GlobalName:
    return GlobalName(_CONSTANTS, str(number))


def _late(name: GlobalName) -> GlobalName:
    return GlobalName(_CONSTANTS, f"state\0{name.module}\0{name.name}")


def _setting(setter: Setter, rest: Rest) -> Handler:
    def handle(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> None:
        target, states = args
        rest.expect(states)
        if isinstance(target, Record):
            target.states.extend(states)
        else:
            setter(target, states)

    return handle


def _call_of_constant(name: GlobalName, offset: int) -> Call:
    called = _constant(name)
    return Call(Global(called, called, offset), Tuple((), 1), None, How.REDUCE, offset, 1)


def _handler(name: GlobalName, maker: Maker, rest: Rest, strict: bool) -> Handler:
    def handle(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
        plain, states, items = args if len(args) == 3 else ((), (), [])
        if not isinstance(plain, tuple):
            raise MalformedInput("a pickle passes arguments that are no tuple", why=type(plain).__name__)
        made, waiting = Made(plain, kwargs, states, items, name, call, rest), len(rest.steps)
        value = maker(made)
        if strict and isinstance(value, Record):
            raise MalformedInput(
                f"{name} is made in a way that is not known to be harmless",
                why="of these arguments only an inert record can be made",
                remedy="unknown='record'",
            )
        if len(rest.steps) == waiting:
            rest.watch(made)
        return value

    return handle


def _prepare(
    value: Value, table: Table, texts: Texts | None, buffers: Sequence[object] | None
) -> tuple[Value, set[int], list[Value]]:
    """Rewrite the graph as described above.

    Returns its root, the identities of the bytes that are arrays', and the calls that set states last.
    """
    arrays: set[int] = set()
    late: list[Value] = []
    seen: set[int] = set()

    def swap(item: Value) -> Value:
        if isinstance(item, Global) and item.name in table.constants:
            return _call_of_constant(item.name, item.offset)
        if isinstance(item, OutOfBand) and buffers is not None:
            if item.number >= len(buffers):
                raise MalformedInput(
                    "a pickle refers to buffers beside it that were not given",
                    why=f"there are {len(buffers):,}, and it asks for number {item.number + 1:,}",
                    remedy="buffers=[…], as its writer's buffer_callback got them",
                )
            return _call_of_constant(_buffer(item.number), 0)
        if texts is not None and type(item) is bytes:
            return texts(item)
        return item

    root = swap(value)
    stack = [root]
    while stack:
        node = stack.pop()
        if not isinstance(node, Node) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Dict | Set | FrozenSet):
            refuse_crowded([key for key, _ in node.pairs] if isinstance(node, Dict) else node.items)
        if isinstance(node, List | Set):
            node.items = [swap(item) for item in node.items]
            stack.extend(node.items)
        elif isinstance(node, Tuple | FrozenSet):
            node.items = tuple(swap(item) for item in node.items)
            stack.extend(node.items)
        elif isinstance(node, Dict):
            node.pairs = [(swap(key), swap(item)) for key, item in node.pairs]
            stack.extend(part for pair in node.pairs for part in pair)
        elif isinstance(node, Persistent):
            stack.append(node.id)
        elif isinstance(node, Call):
            _prepare_call(node, table, swap, arrays, late)
            stack += late[-1:]
            stack += (node.callee, node.args, node.kwargs, *node.states, *node.items)
            stack.extend(part for pair in node.pairs for part in pair)
    return root, arrays, late


def _prepare_call(
    node: Call, table: Table, swap: Callable[[Value], Value], arrays: set[int], late: list[Value]
) -> None:
    node.states = [swap(state) for state in node.states]
    node.items = [swap(item) for item in node.items]
    node.pairs = [(swap(key), swap(item)) for key, item in node.pairs]
    _straighten(node, table)
    if node.pairs:
        refuse_crowded([key for key, _ in node.pairs])
    if isinstance(node.args, Tuple) and isinstance(node.callee, Global) and node.callee.name in _KEYED:
        for part in node.args.items:
            if isinstance(part, List | Tuple):
                refuse_crowded([_first(item) for item in part.items])
    if not isinstance(node.callee, Global) or node.callee.name not in table.makers:
        return
    if node.callee.name.name in ("_reconstruct", "_frombuffer"):
        parts = [node.args, *node.states]
        arrays.update(
            id(item) for part in parts if isinstance(part, Tuple) for item in part.items if isinstance(item, Span)
        )
    if node.states and node.callee.name in table.setters:
        called = _late(node.callee.name)
        args = Tuple((node, Tuple(tuple(node.states), node.depth)), node.depth)
        late.append(Call(Global(called, called, node.offset), args, None, How.REDUCE, node.offset, node.depth))
        node.states = ()
    states, items = Tuple(tuple(node.states), node.depth), List(list(node.items), node.depth)
    node.args = Tuple((node.args, states, items), node.depth)
    node.states, node.items = (), ()


_KEYED = frozenset(
    {GlobalName("builtins", name) for name in ("set", "frozenset", "dict")}
    | {GlobalName("collections", name) for name in ("OrderedDict", "Counter", "defaultdict")}
)
"""Types that make keys of the items of a list."""


def _first(item: Value) -> Value:
    """The key of a pair; an item that is none is a key itself."""
    return item.items[0] if isinstance(item, List) and item.items else item


_NEW = GlobalName("copyreg", "__newobj__")
_OLD = GlobalName("copyreg", "_reconstructor")
_OBJECT = GlobalName("builtins", "object")


def _straighten(node: Call, table: Table) -> None:
    """Of a class that a table makes: the call of `copyreg` that protocols 0 and 1 write, as the one of later ones."""
    if not isinstance(node.callee, Global) or node.callee.name not in (_NEW, _OLD) or not isinstance(node.args, Tuple):
        return
    kind, *rest = node.args.items or (None,)
    if not isinstance(kind, Global) or kind.name not in table.makers:
        return
    if node.callee.name == _OLD:
        match rest:
            case (Global(name=name), None) if name == _OBJECT:
                rest = []
            case _:
                return
    node.callee, node.args, node.how = kind, Tuple(tuple(rest), node.args.depth), How.NEWOBJ
