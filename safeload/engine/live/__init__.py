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
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from safeload.core.construct import Handler, Named, Record, construct
from safeload.core.errors import MalformedInput
from safeload.core.graph import Call, Global, List, Persistent, Reading, Span, Tuple
from safeload.core.names import GlobalName, Location
from safeload.engine.allowlists import default_allowlist
from safeload.engine.live import graph
from safeload.engine.live.crowded import Crowd
from safeload.formats.amount import Amount
from safeload.rules.indirect import excused
from safeload.rules.zones import ZONE, looks_zone_up

_FILLED = (list, dict, set)


@dataclass(slots=True, eq=False)
class Rest:
    """What remains to be done when every object is there.

    A container that is part of its own parts is filled last, so a maker may meet it while it is still empty. A maker
    that can wait says so with `afterwards`; where another took an empty container that was filled later, what it made
    lacks something, and nothing is returned.
    """

    steps: list[Callable[[], None]] = field(default_factory=list)
    empty: list[Any] = field(default_factory=list)
    crowd: Crowd = field(default_factory=Crowd)
    amount: Amount = field(default_factory=lambda: Amount(0))
    """How much all makers together may still take over."""

    def afterwards(self, step: Callable[[], None]) -> None:
        """Have this done when every object is there, in the order in which it was asked for."""
        self.steps.append(step)

    def watch(self, made: Made) -> None:
        """Remember what a maker got while it was empty."""
        self.expect((*made.args, *made.states, made.items))

    def expect(self, values: Iterable[object]) -> None:
        """Remember those of these values, or of the tuples among them, that are empty."""
        for value in values:
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, _FILLED) and not one:
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
        record = Record(Named(name=self.name), self.call.how, self.args, self.kwargs or None)
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
    based: Mapping[GlobalName, GlobalName] = field(default_factory=dict)
    """The builtin types that classes extend: protocols 0 and 1 name these beside them."""
    flat: frozenset[GlobalName] = frozenset()
    """Named tuples, whose items are arguments of their own."""

    def __or__(self, other: Table) -> Table:
        return Table(
            makers={**self.makers, **other.makers},
            constants={**self.constants, **other.constants},
            setters={**self.setters, **other.setters},
            named=self.named | other.named,
            based={**self.based, **other.based},
            flat=self.flat | other.flat,
        )

    def only(self, names: Iterable[GlobalName]) -> Table:
        """What is made of these names: as much as a file has use for."""
        found = frozenset(names)
        return Table(
            makers={name: self.makers[name] for name in found if name in self.makers},
            constants={name: self.constants[name] for name in found if name in self.constants},
            setters={name: self.setters[name] for name in found if name in self.setters},
            named=self.named & found,
            based={name: self.based[name] for name in found if name in self.based},
            flat=self.flat & found,
        )

    def __contains__(self, name: object) -> bool:
        return name in self.makers or name in self.constants or name in self.named


def names_in(readings: Iterable[Reading]) -> list[GlobalName]:
    """Every global that the pickles name, once each, in order.

    Left out are `getattr` and `type` where they are only called in the exact forms in which picklers write members of
    listed enumerations, types of constants and named time zones: judgement excuses these, so nobody need be asked.
    """
    allowlist = default_allowlist()
    named: list[GlobalName] = []
    for one in readings:
        calls = [
            (node.callee, node) for node in one.trace if isinstance(node, Call) and isinstance(node.callee, Global)
        ]
        forms: dict[Global, bool] = {}
        for callee, call in calls:
            if forms.get(callee, True):
                forms[callee] = looks_zone_up(call) or excused(callee.name, call, allowlist)
        named += [node.name for node in one.trace if isinstance(node, Global) and not forms.get(node, False)]
    return list(dict.fromkeys(named))


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

    The reading stays as it is: what is rewritten is a copy of its graph.

    Args:
        persistent: as for `construct`.
        spans: makes the value of bytes left in place; is told whether they are the bytes of an array.
        texts: what becomes of Python 2 strings that are not ASCII; they stay bytes if absent.
        buffers: what stands for the buffers that protocol 5 keeps beside the stream, by number.
        strict: a known type that is made in a way that its maker has no use for is an error, not an inert record.

    Raises:
        MalformedInput: as `construct` does; also where an object that is made whole contains itself.
    """
    table = table.only({node.name for node in reading.trace if isinstance(node, Global)} | {ZONE})
    if buffers:
        table |= Table(constants={graph.buffer(number): one for number, one in enumerate(buffers)})
    prepared = graph.prepare(reading.value, table, texts if reading.protocol < 3 else None, buffers)
    reading = reading._replace(value=Tuple((prepared.root, List(prepared.late, 2)), 3))
    beside = sum(memoryview(one).nbytes for one in buffers or () if isinstance(one, bytes | bytearray | memoryview))
    rest = Rest(amount=Amount(reading.end - reading.start + beside))
    handlers: dict[GlobalName, Handler] = {
        name: _handler(name, maker, rest, strict) for name, maker in table.makers.items()
    }
    handlers |= {graph.setter(name): _setting(setter, rest) for name, setter in table.setters.items()}
    for name, constant in table.constants.items():
        handlers[graph.constant(name)] = lambda args, kwargs, call, constant=constant: constant  # type: ignore[misc]

    def of_span(span: Span) -> object:
        if spans is not None:
            return spans(span, span in prepared.arrays)
        data = reading.bytes_of(span)
        return bytearray(data) if span.mutable else data

    whole: Any = construct(reading, handlers, location=location, persistent=persistent, spans=of_span)
    rest.finish(location)
    return whole[0]


def _setting(setter: Setter, rest: Rest) -> Handler:
    def handle(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> None:
        target, states = args
        rest.expect(states)
        rest.amount.spend(states)
        if isinstance(target, Record):
            target.states.extend(states)
        else:
            setter(target, states)

    return handle


def _handler(name: GlobalName, maker: Maker, rest: Rest, strict: bool) -> Handler:
    def handle(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
        plain, states, items = args if len(args) == 3 else ((), (), [])
        if not isinstance(plain, tuple):
            raise MalformedInput("a pickle passes arguments that are no tuple", why=type(plain).__name__)
        rest.amount.spend((*plain, *states, items))
        made, waiting = Made(plain, kwargs, states, items, name, call, rest), len(rest.steps)
        value = maker(made)
        rest.crowd.join(value)
        # A helper that makes an object of a class it is given has done so: names of classes were judged before.
        if strict and isinstance(value, Record) and value.name == name:
            raise MalformedInput(
                f"{name} is made in a way that is not known to be harmless",
                why="of these arguments only an inert record can be made",
                remedy="unknown='record'",
            )
        if len(rest.steps) == waiting:
            rest.watch(made)
        return value

    return handle
