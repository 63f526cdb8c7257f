"""The allowlisted unpickler: from a finished graph to live objects, by an explicit table and nothing else.

Rules it keeps:

1. The only callables it calls are the values of the table it is given, and the two hooks for persistent ids and spans.
2. A global that is not in the table becomes a `Named`, a call of one a `Record`: data is reachable, code is not.
3. State, items and pairs go only to objects that were made here and are made to take them.
4. Nothing is ever looked up on an object by a foreign name; there is no attribute traversal.
5. Nesting in the graph is never nesting on the Python stack; sharing and cycles are preserved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from safeload.core import graph
from safeload.core.errors import MalformedInput
from safeload.core.frozen import Frozen
from safeload.core.graph import Call, Dict, Global, How, List, Node, Persistent, Reading, Set, Span, Tuple, Value
from safeload.core.names import GlobalName, Location

_KEY_PARTS = 10_000

Handler = Callable[[tuple[Any, ...], dict[str, Any], Call], object]
"""Makes the object that a call of one global stands for. Raises `MalformedInput` for arguments it does not take."""


class Named(Frozen):
    """A global that appears as a value: its name, and nothing that could be called."""

    name: GlobalName


class Stateful:
    """An object that takes what BUILD, APPENDS and SETITEMS would put into it. Bases of what handlers return."""

    __slots__ = ()

    def set_state(self, state: object) -> None:
        raise MalformedInput("an object was given a state it cannot have", why=type(self).__name__)

    def extend(self, items: Sequence[object]) -> None:
        raise MalformedInput("an object was given items it cannot have", why=type(self).__name__)

    def update(self, pairs: Sequence[tuple[object, object]]) -> None:
        raise MalformedInput("an object was given entries it cannot have", why=type(self).__name__)


class Record(Stateful):
    """An object of a class that nobody imported: what it was made from, and what was set on it."""

    __slots__ = ("args", "callee", "how", "items", "kwargs", "pairs", "states")

    def __init__(self, callee: object, how: How, args: object, kwargs: object, states: Sequence[object] = ()) -> None:
        self.callee = callee
        """A `Named` where the stream names the class or function; any other value where it computes one."""
        self.how = how
        self.args = args
        self.kwargs = kwargs
        self.states = list(states)
        self.items: list[object] = []
        self.pairs: list[tuple[object, object]] = []

    @property
    def name(self) -> GlobalName | None:
        return self.callee.name if isinstance(self.callee, Named) else None

    @property
    def attributes(self) -> dict[str, object]:
        """What would become the object's attributes: each state that is a dict, or a pair of dicts (with slots)."""
        found: dict[str, object] = {}
        for state in self.states:
            for layer in state if isinstance(state, tuple) and len(state) == 2 else (state,):
                if isinstance(layer, dict):
                    found.update((key, value) for key, value in layer.items() if isinstance(key, str))
        return found

    def set_state(self, state: object) -> None:
        self.states.append(state)

    def extend(self, items: Sequence[object]) -> None:
        self.items.extend(items)

    def update(self, pairs: Sequence[tuple[object, object]]) -> None:
        self.pairs.extend(pairs)

    if not TYPE_CHECKING:  # pragma: no branch

        def __getattr__(self, name: str) -> object:
            if name in self.__slots__ or name.startswith("__"):
                raise AttributeError(name)
            raise AttributeError(f"{self!r} has no {name!r}, for its class was not imported: see .attributes, .args")

    def __repr__(self) -> str:
        return f"<inert {self.name or 'computed'}>"


class Mapped(dict[object, object], Stateful):
    """A dictionary that may carry attributes, as `OrderedDict` does in every `state_dict`."""

    __slots__ = ("states",)

    def __init__(self, pairs: Sequence[tuple[object, object]] = ()) -> None:
        super().__init__(pairs)
        self.states: list[object] = []

    def set_state(self, state: object) -> None:
        self.states.append(state)


class Outside:
    """Something that only the loading program could supply: a persistent id, a registry code, a buffer number."""

    __slots__ = ("id", "kind")

    def __init__(self, kind: str, id: object) -> None:
        self.kind, self.id = kind, id


def construct(
    reading: Reading,
    handlers: Mapping[GlobalName, Handler],
    *,
    location: Location,
    persistent: Callable[[object, Persistent], object] | None = None,
    spans: Callable[[Span], object] | None = None,
) -> object:
    """Turn a reading's value into live objects.

    Lists, dicts, sets, tuples and constants become Python's own; everything else only what `handlers` says, else
    inert. Shared nodes become shared objects.

    Args:
        reading: a reading without a fault.
        handlers: what to make of a call of each global.
        location: the file and member, for errors.
        persistent: makes the object for a persistent id; `Outside` if absent.
        spans: makes the object for bytes left in place; `bytes` or `bytearray` if absent.

    Raises:
        MalformedInput: the reading ended early, the graph contains itself where no object could, or a handler
            refused its arguments.
    """
    if reading.fault is not None:
        raise reading.fault

    def copied(span: Span) -> object:
        data = reading.bytes_of(span)
        return bytearray(data) if span.mutable else data

    outside = persistent or (lambda id, node: Outside("persistent", id))
    return _Builder(handlers, location, outside, spans or copied).build(reading.value)


def checked_key(key: object) -> object:
    """Return a key of a dictionary or an item of a set, if hashing it takes little time.

    Python walks over all of a tuple each time it hashes it: one of sixty pairs that each hold the next one twice is
    short to write and takes forever.

    Raises:
        MalformedInput: it has no hash, or too many parts.
    """
    if type(key) is str:  # as most are
        return key
    waiting, parts = [key], 1
    while waiting:
        item = waiting.pop()
        if isinstance(item, tuple):
            parts += len(item)
            if parts > _KEY_PARTS:
                raise MalformedInput("a pickle uses a key of too many parts", why=f"it has more than {_KEY_PARTS:,}")
            waiting.extend(item)
    try:
        hash(key)
    except TypeError:
        raise MalformedInput("a pickle uses a value as a key that cannot be one", why=type(key).__name__) from None
    return key


class _Kind(NamedTuple):
    """How one kind of node is built: what stands for it before its parts are there, its parts, and the last step."""

    empty: Callable[[_Builder, Any], object] | None = None
    parts: Callable[[Any], Iterable[Value]] = lambda node: ()
    finish: Callable[[_Builder, Any], None] | None = None
    flat: Callable[[Any], object] | None = None
    """Makes one that holds no nodes, whole: `depth` says so, and constants are always good keys."""


_Step = tuple[Callable[["_Builder", Any], None], Any]


class _Builder:
    def __init__(
        self,
        handlers: Mapping[GlobalName, Handler],
        location: Location,
        persistent: Callable[[object, Persistent], object],
        spans: Callable[[Span], object],
    ) -> None:
        self.handlers = handlers
        self.location = location
        self.persistent = persistent
        self.spans = spans
        self.made: dict[Node, Any] = {}
        self.begun: set[Node] = set()
        self.steps: list[_Step] = []
        self.late: list[_Step] | None = []

    def build(self, value: Value) -> object:
        if value is graph.NOTHING:
            raise MalformedInput("a pickle holds no value", where=self.location)
        self.want((value,))
        self.run()
        self.steps, self.late = self.late or [], None
        self.run()
        return self.live((value,))[0]

    def run(self) -> None:
        while self.steps:
            action, node = self.steps.pop()
            try:
                action(self, node)
            except RecursionError:  # Python compares equal keys by recursion, and handlers may look into arguments
                raise MalformedInput("a pickle is nested too deeply to be built", where=self.location) from None
            except MalformedInput as error:
                error.where = error.where or (self.location.at(node.offset) if type(node) is Call else self.location)
                raise

    def live(self, values: Iterable[Value], later: _Step | None = None) -> Any:
        """What was made of each; `None` if a step has to wait for the end, because one is not there yet."""
        made = self.made
        try:
            return [made[value] if isinstance(value, Node) else value for value in values]
        except KeyError:
            if later is not None and self.late is not None:
                return self.late.append(later)
            raise MalformedInput(
                "a pickle describes an object that contains itself before it exists",
                where=self.location,
                why="a tuple, key or argument refers back to what it is part of",
            ) from None

    def want(self, values: Iterable[Value]) -> None:
        """Make what holds no nodes, and have the rest begun."""
        made = self.made
        for value in values:
            if isinstance(value, Node) and value not in made:
                flat = _KINDS[type(value)].flat if value.depth == 1 else None
                if flat is None:
                    self.steps.append((_begin, value))
                else:
                    made[value] = flat(value)


def _begin(b: _Builder, node: Node) -> None:
    """First visit: make what needs no parts, ask for the parts, and come back."""
    kind = _KINDS[type(node)]
    if node in b.made or node in b.begun:
        return
    b.begun.add(node)
    if kind.empty is not None:
        b.made[node] = kind.empty(b, node)
    if kind.finish is not None:
        b.steps.append((kind.finish, node))
        b.want(kind.parts(node))


def _flat(pairs: Sequence[tuple[Value, Value]]) -> list[Value]:
    return [part for pair in pairs for part in pair]


def _pairs(parts: Sequence[Any]) -> list[tuple[object, Any]]:
    return list(zip(map(checked_key, parts[::2]), parts[1::2], strict=True))


def _fill_list(b: _Builder, node: List) -> None:
    if (items := b.live(node.items, (_fill_list, node))) is not None:
        b.made[node].extend(items)


def _fill_dict(b: _Builder, node: Dict) -> None:
    if (parts := b.live(_flat(node.pairs), (_fill_dict, node))) is not None:
        b.made[node].update(_pairs(parts))


def _fill_set(b: _Builder, node: Set) -> None:
    if (items := b.live(node.items, (_fill_set, node))) is not None:
        b.made[node].update(map(checked_key, items))


def _make_tuple(b: _Builder, node: Tuple | graph.FrozenSet) -> None:
    items = b.live(node.items)
    b.made[node] = tuple(items) if isinstance(node, Tuple) else frozenset(map(checked_key, items))


def _make_persistent(b: _Builder, node: Persistent) -> None:
    b.made[node] = b.persistent(b.live((node.id,))[0], node)


def _parts_of_call(node: Call) -> Iterable[Value]:
    return (node.args, node.kwargs, *(() if isinstance(node.callee, Global) else (node.callee,)))


def _make_call(b: _Builder, node: Call) -> None:
    handler = b.handlers.get(node.callee.name) if isinstance(node.callee, Global) else None
    args, kwargs = b.live((node.args, node.kwargs))
    if handler is not None and isinstance(args, tuple):
        b.made[node] = handler(args, _keywords(kwargs), node)
    else:
        callee = Named(name=node.callee.name) if isinstance(node.callee, Global) else b.live((node.callee,))[0]
        b.made[node] = Record(callee, node.how, args, kwargs)
    if node.states or node.items or node.pairs:
        b.steps.append((_finish_call, node))
        b.want((*node.states, *node.items, *_flat(node.pairs)))


def _keywords(kwargs: object) -> dict[str, Any]:
    if kwargs is None:
        return {}
    if isinstance(kwargs, dict) and all(isinstance(key, str) for key in kwargs):
        return dict(kwargs)
    raise MalformedInput("a pickle passes keyword arguments that are not keywords")


def _finish_call(b: _Builder, node: Call) -> None:
    """Give the object what the stream puts into it, in the order in which picklers write it."""
    parts = b.live((*node.states, *node.items, *_flat(node.pairs)), (_finish_call, node))
    if parts is None:
        return
    target, filled = b.made[node], len(node.states) + len(node.items)
    states, items, pairs = parts[: len(node.states)], parts[len(node.states) : filled], _pairs(parts[filled:])
    if items:
        _extend(target, items)
    if pairs and not isinstance(target, (dict, Stateful)):
        raise MalformedInput("a pickle puts entries into something that takes none", why=type(target).__name__)
    if pairs:
        target.update(pairs)
    for state in states:
        if not isinstance(target, Stateful):
            raise MalformedInput("a pickle sets state on something that has none", why=type(target).__name__)
        target.set_state(state)


def _extend(target: object, items: Sequence[object]) -> None:
    if isinstance(target, (list, Stateful)):
        target.extend(items)
    elif isinstance(target, set):
        target.update(items)
    else:
        raise MalformedInput("a pickle puts items into something that takes none", why=type(target).__name__)


_KINDS: Mapping[type[Node], _Kind] = {
    List: _Kind(lambda b, node: [], lambda node: node.items, _fill_list, lambda node: [*node.items]),
    Dict: _Kind(lambda b, node: {}, lambda node: _flat(node.pairs), _fill_dict, lambda node: dict(node.pairs)),
    Set: _Kind(lambda b, node: set(), lambda node: node.items, _fill_set, lambda node: {*node.items}),
    Tuple: _Kind(None, lambda node: node.items, _make_tuple, lambda node: node.items),
    graph.FrozenSet: _Kind(None, lambda node: node.items, _make_tuple, lambda node: frozenset(node.items)),
    Call: _Kind(None, _parts_of_call, _make_call),
    Persistent: _Kind(None, lambda node: (node.id,), _make_persistent),
    Global: _Kind(lambda b, node: Named(name=node.name)),
    Span: _Kind(lambda b, node: b.spans(node)),
    graph.Extension: _Kind(lambda b, node: Outside("extension", node.code)),
    graph.OutOfBand: _Kind(lambda b, node: Outside("buffer", node.number)),
}
"""Every kind of node that can be a value."""
