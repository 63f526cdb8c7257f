"""The value of a pickle as plain data and tensors, and the tensors in it by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from safeload.core.blob import Extent
from safeload.core.construct import Record, construct
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.graph import Call, Dict, FrozenSet, List, Node, Set, Span, Tuple, Value
from safeload.core.limits import Limits
from safeload.core.machine import read_pickle
from safeload.core.names import GlobalName, Location, escape
from safeload.formats.amount import metered
from safeload.formats.arrays import ARRAY_HANDLERS, Array, joblib_handlers, piece_of, storage_of
from safeload.formats.base import PickleStream, TensorView
from safeload.formats.pickle_head import is_legacy
from safeload.formats.plain import PLAIN
from safeload.formats.script_values import SCRIPT_HANDLERS
from safeload.formats.tensors import TENSOR_HANDLERS, Composite, bad, persistent_storage
from safeload.formats.torch_legacy import read as read_legacy

_NOWHERE = Location("")
_EMBEDDED = GlobalName("torch.storage", "_load_from_bytes")
_SHORT = 1 << 16
_NAME_BYTES = 1 << 27
"""Characters of all tensor names together: sharing can make few objects into many long names."""


def tree(stream: PickleStream, limits: Limits | None = None) -> object:
    """The value of a stream: Python's own containers and constants, tensors, and inert records for the rest.

    Tensors are `TensorView` (or `Composite`, where one is made of several), numpy arrays are `Array`, long bytes
    `Piece`; objects of classes that nobody imports are `Record`. Nothing is imported or called.

    Raises:
        MalformedInput: the stream ended early, or a tensor does not fit its storage; the location's path names it.
    """
    return _tree(stream, limits or Limits(), embedded=True)


def _tree(stream: PickleStream, limits: Limits, *, embedded: bool) -> object:
    reading = stream.reading

    def objects(start: int) -> object:
        """The value of the pickle that stands for an array of objects. joblib writes no further arrays into it."""
        inner = read_pickle(reading.blob, start, location=stream.location, limits=limits)
        return _tree(PickleStream(location=stream.location, reading=inner), limits, embedded=False)

    handlers = {
        **PLAIN,
        **TENSOR_HANDLERS,
        **SCRIPT_HANDLERS,
        **ARRAY_HANDLERS,
        **joblib_handlers(reading.blob, objects),
    }
    if embedded:
        handlers[_EMBEDDED] = lambda args, kwargs, call: _embedded(args, stream.location, limits)

    def span(value: Span) -> object:
        if value.length <= _SHORT:
            data = reading.bytes_of(value)
            return bytearray(data) if value.mutable else data
        return piece_of(reading.blob, value)

    try:
        return construct(
            reading,
            metered(handlers, reading.end - reading.start),
            location=stream.location,
            persistent=persistent_storage(stream.storages, stream.tensors or None, limits),
            spans=span,
        )
    except MalformedInput as error:
        at = error.where.offset if isinstance(error.where, Location) else None
        place = stream.location if at is None else stream.location.at(at)
        path = None if at is None else _path_to(reading.value, at)
        error.where = Location(place.file, place.member, place.offset, path or place.path)
        raise


def _embedded(args: tuple[object, ...], location: Location, limits: Limits) -> object:
    """A storage as plain `pickle` writes it: a whole legacy file in a bytes constant. They do not nest."""
    storage = storage_of(args[0]) if len(args) == 1 else None
    if storage is None or not is_legacy(storage.blob.read_at(storage.offset, _SHORT)):
        raise bad("it is built from bytes that are not a legacy torch file")
    for part in read_legacy(Extent(storage.blob, storage.offset, storage.nbytes), location, limits):
        if isinstance(part, PickleStream) and part.role == "data":
            return _tree(part, limits, embedded=False)
    raise bad("it is built from a legacy torch file without data")


def _path_to(value: Value, offset: int) -> str | None:
    """The dotted path of the call at `offset`, as far as dictionaries and lists name it."""
    seen: set[int] = set()
    stack: list[tuple[Value, str]] = [(value, "")]
    while stack:
        node, path = stack.pop()
        if not isinstance(node, Node) or id(node) in seen or len(path) > 4096:
            continue
        seen.add(id(node))
        if isinstance(node, Call) and node.offset == offset:
            return path
        if isinstance(node, (Dict, Call)):
            stack.extend((item, _join(path, _label(key, "?"))) for key, item in node.pairs)
        if isinstance(node, (List, Tuple, Set, FrozenSet)):
            stack.extend((item, _join(path, str(index))) for index, item in enumerate(node.items))
        if isinstance(node, Call):
            stack.extend((part, path) for part in (node.args, *node.states, *node.items))
    return None


def named_tensors(
    value: object, limits: Limits | None = None, *, location: Location = _NOWHERE
) -> dict[str, TensorView]:
    """Every tensor in a tree under the name that `state_dict()` or a dotted path gives it.

    A flat dictionary keeps its keys. Nested containers join them with dots; lists and tuples use indexes. Records
    that are torch modules are named from their parameters, persistent buffers and submodules; other records from
    their attributes. A tensor that is reachable in several ways has each of those names. The parts of a `Composite`
    are named after it: `weight.values`, `weight.scale`.

    Raises:
        LimitExceeded: more tensors, or longer names, than the limits allow.
        MalformedInput: two different tensors would get one name.
    """
    bounds = limits or Limits()
    useful = _holding_tensors(value, bounds, location)
    named: dict[str, TensorView] = {}
    letters = 0
    ancestors: set[int] = set()
    stack: list[tuple[object, str, bool]] = [(value, "", False)]
    while stack:
        item, name, done = stack.pop()
        if done:
            ancestors.discard(id(item))
            continue
        found = _tensor_of(item)
        if found is None:
            if id(item) in ancestors or id(item) not in useful:
                continue
            ancestors.add(id(item))
            stack.append((item, name, True))
            letters += len(name)
            children = [(child, _join(name, label), False) for label, child in _children(item)]
            stack.extend(reversed(children))
            letters += len(children)
        else:
            letters += len(name)
            if name in named and not _same(named[name], found):
                raise MalformedInput(
                    "two tensors of a checkpoint get the same name",
                    where=Location(location.file, location.member, None, name),
                    why="a key with a dot in it meets a nested dictionary",
                )
            named[name] = replace(found, location=Location(location.file, location.member, None, name))
            if len(named) > bounds.tensors:
                raise LimitExceeded("tensors", allowed=bounds.tensors, wanted=len(named), where=location)
        if letters > _NAME_BYTES:
            raise LimitExceeded("tensors", allowed=bounds.tensors, wanted=bounds.tensors + 1, where=location)
    return named


def _same(one: TensorView, other: TensorView) -> bool:
    return replace(one, location=other.location) == other


def _tensor_of(item: object) -> TensorView | None:
    if isinstance(item, Array):
        return item.view
    return item if isinstance(item, TensorView) else None


def _holding_tensors(value: object, limits: Limits, location: Location) -> set[int]:
    """The identities of all containers from which a tensor can be reached: the others are not walked again."""
    parents: dict[int, list[int]] = {id(value): []}
    kept: list[object] = []
    useful: set[int] = set()
    waiting: list[int] = []
    stack: list[object] = [value]
    edges = 0
    while stack:
        item = stack.pop()
        kept.append(item)
        for _, child in _children(item):
            edges += 1
            if edges > limits.nodes:
                raise LimitExceeded("nodes", allowed=limits.nodes, wanted=edges, where=location)
            if _tensor_of(child) is not None:
                waiting.append(id(item))
            elif _walks(child):
                if id(child) not in parents:
                    parents[id(child)] = []
                    stack.append(child)
                parents[id(child)].append(id(item))
    while waiting:
        here = waiting.pop()
        if here not in useful:
            useful.add(here)
            waiting.extend(parents[here])
    return useful


def _walks(item: object) -> bool:
    return isinstance(item, (dict, list, tuple, Record, Composite, Array))


def _children(item: object) -> Iterator[tuple[str, object]]:
    if isinstance(item, dict):
        for index, (key, child) in enumerate(item.items()):
            yield _label(key, str(index)), child
    elif isinstance(item, (list, tuple)):
        for index, child in enumerate(item):
            yield str(index), child
    elif isinstance(item, Composite):
        yield from item.parts.items()
        yield from item.facts.items()
    elif isinstance(item, Array):
        yield from _children(item.values) if isinstance(item.values, (Composite, list)) else (("values", item.values),)
    elif isinstance(item, Record):
        yield from _of_record(item)


def _of_record(item: Record) -> Iterator[tuple[str, object]]:
    attributes = item.attributes
    if isinstance(attributes.get("_modules"), dict) or isinstance(attributes.get("_parameters"), dict):
        yield from _of_module(attributes)
        return
    yield from attributes.items()
    yield from (("args", item.args),) if item.args else ()
    for index, state in enumerate(item.states):
        if not isinstance(state, dict):
            yield f"state{index}", state
    for index, child in enumerate(item.items):
        yield str(index), child
    for index, (key, child) in enumerate(item.pairs):
        yield _label(key, str(index)), child


def _of_module(attributes: dict[str, object]) -> Iterator[tuple[str, object]]:
    """What `state_dict()` of a module would list, in its order."""
    transient = attributes.get("_non_persistent_buffers_set")
    for kind, group in (("parameter", "_parameters"), ("buffer", "_buffers"), ("module", "_modules")):
        members = attributes.get(group)
        for name, child in members.items() if isinstance(members, dict) else ():
            if kind == "buffer" and isinstance(transient, (set, frozenset, list, tuple)) and name in transient:
                continue
            if kind != "module" and isinstance(child, TensorView):
                child = replace(child, kind=kind)
            yield _label(name, "?"), child


def _join(path: str, label: str) -> str:
    return f"{path}.{label}" if path else label


def _label(key: object, otherwise: str) -> str:
    """A dictionary key as a part of a name."""
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, (bool, float)) or (isinstance(key, int) and abs(key) < 1 << 64):
        return str(key)
    if isinstance(key, bytes) and len(key) <= 256:
        return escape(key.decode("latin-1"))
    return otherwise
