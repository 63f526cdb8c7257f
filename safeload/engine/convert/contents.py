"""What a checkpoint holds: its tensors by name, and the rest as inert values. Shared by converting, comparing and
inspecting; whether a file may be used is decided elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from safeload.core.construct import Record
from safeload.core.errors import MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.engine.convert.mosaic import joined
from safeload.formats.arrays import Array
from safeload.formats.base import Part, PickleStream, TensorTable, TensorView
from safeload.formats.tensors import Composite
from safeload.formats.tree import named_tensors, tree

_LISTED = 100


@dataclass(slots=True, kw_only=True)
class Contents:
    """One checkpoint file, read."""

    tensors: dict[str, TensorView] = field(default_factory=dict)
    """By the name that `state_dict()` or a dotted path gives it."""
    values: list[object] = field(default_factory=list)
    """The value of each pickle: containers, constants, tensors, and inert records."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What a table of tensors says about itself."""
    without_data: dict[str, str] = field(default_factory=dict)
    """What each tensor is that has a name and no bytes of its own, by that name."""


def contents_of(parts: Iterable[Part], location: Location, limits: Limits) -> Contents:
    """What a file's parts hold.

    Raises:
        MalformedInput: nothing that safeload reads as a checkpoint; or a pickle cannot be read to its end.
    """
    found = Contents()
    streams = 0
    for part in parts:
        if isinstance(part, TensorTable):
            said = {key: text for key, text in part.metadata.items() if key != "format"}
            found.metadata = {**found.metadata, **said}
            found.values += [said] if said else []
            _add(found, part.tensors, location)
            _add(found, {name: joined(tensor, part.location) for name, tensor in part.sharded.items()}, location)
        elif isinstance(part, PickleStream) and part.role in ("data", "constants"):
            value = tree(part, limits)
            value = {"constants": value} if part.role == "constants" else value
            found.values.append(value)
            tensors = named_tensors(value, limits, location=part.location)
            # Pickles that follow each other in one file: the first has the plain names.
            prefix = f"{streams}." if streams and part.role == "data" else ""
            _add(found, {prefix + name: view for name, view in tensors.items()}, location)
            found.without_data.update({prefix + name: kind for name, kind in _without_data(value)})
            streams += part.role == "data"
    if not found.values and not found.tensors and not any(isinstance(part, TensorTable) for part in parts):
        raise MalformedInput(
            "no checkpoint could be read",
            where=location,
            why="the file is not a checkpoint in a format that safeload reads",
            remedy=f"safeload scan {escape(location.file)}",
        )
    return found


def _add(found: Contents, tensors: Mapping[str, TensorView], location: Location) -> None:
    for name, view in tensors.items():
        if name in found.tensors:
            raise MalformedInput(
                "two tensors of a checkpoint get the same name",
                where=Location(location.file, None, None, name),
                why="two parts of the file hold one of that name",
            )
        found.tensors[name] = view


def join(path: str, label: str) -> str:
    """A dotted path."""
    return f"{path}.{label}" if path else label


def label_of(key: object, otherwise: str) -> str:
    """A dictionary key as a part of a path."""
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, bool | float) or (isinstance(key, int) and abs(key) < 1 << 64):
        return str(key)
    return otherwise


def children(item: object) -> Iterator[tuple[str, object]]:
    """What a value consists of, each with its part of the path, as tensors are named. Constants have none."""
    if isinstance(item, dict):
        yield from ((label_of(key, str(index)), child) for index, (key, child) in enumerate(item.items()))
    elif isinstance(item, list | tuple):
        yield from ((str(index), child) for index, child in enumerate(item))
    elif isinstance(item, Composite):
        yield from item.parts.items()
        yield from item.facts.items()
    elif isinstance(item, Array):
        # What an array is made of is named as its parts, and other values as such.
        inner = isinstance(item.values, Composite | list)
        yield from children(item.values) if inner else (("values", item.values),)
    elif isinstance(item, Record):
        attributes = item.attributes
        groups = [attributes.get(group) for group in ("_parameters", "_buffers", "_modules")]
        if is_module(item):
            for group in groups:
                yield from children(group)
            return
        yield from attributes.items()
        yield from (("args", item.args),) if item.args else ()
        yield from ((f"state{index}", state) for index, state in enumerate(item.states) if not isinstance(state, dict))
        yield from ((str(index), child) for index, child in enumerate(item.items))
        yield from ((label_of(key, str(index)), child) for index, (key, child) in enumerate(item.pairs))


def is_module(item: Record) -> bool:
    """Whether a record is what a torch module was."""
    attributes = item.attributes
    return isinstance(attributes.get("_modules"), dict) or isinstance(attributes.get("_parameters"), dict)


def is_tensor(item: object) -> bool:
    return isinstance(item, TensorView) or (isinstance(item, Array) and item.view is not None)


def _walk(value: object) -> Iterator[tuple[str, object]]:
    """Every value that is reached, once, with the first path to it; not on the Python stack."""
    seen: set[int] = set()
    stack: list[tuple[str, object]] = [("", value)]
    while stack:
        path, item = stack.pop()
        yield path, item
        if isinstance(item, dict | list | tuple | Record | Composite | Array) and not is_tensor(item):
            if id(item) in seen:
                continue
            seen.add(id(item))
            stack.extend(reversed([(join(path, label), child) for label, child in children(item)]))


def _without_data(value: object) -> Iterator[tuple[str, str]]:
    holding = _holding(value)
    for path, item in _walk(value):
        if isinstance(item, Composite) and item.kind == "meta":
            yield path, "it is on the meta device, without data"
        elif isinstance(item, Composite) and id(item) not in holding:
            yield path, f"it is {item.kind}, without any tensor"


def other_values(value: object) -> list[str]:
    """The paths of what is not a tensor, each container that holds none named once; the first hundred, and a count.

    Objects of foreign classes count as one, whatever they hold beside their tensors.
    """
    holding = _holding(value)
    listed: list[str] = []
    count = 0
    stack: list[tuple[str, object, bool]] = [("", value, True)]
    seen: set[int] = set()
    while stack:
        path, item, told = stack.pop()
        if is_tensor(item):
            continue
        holds = id(item) in holding or (not path and isinstance(item, dict) and bool(item))
        if told and (not holds or isinstance(item, Record)):
            count += 1
            if len(listed) < _LISTED:
                listed.append(f"{path or 'the value'}{_kind(item)}")
        if holds and id(item) not in seen:
            seen.add(id(item))
            # A quantised tensor's scheme and a module's settings are not entries of the checkpoint.
            inner = told and not isinstance(item, Record | Composite)
            stack.extend(reversed([(join(path, label), child, inner) for label, child in children(item)]))
    return [*listed, *([f"{count - len(listed):,} more"] if count > len(listed) else [])]


def _kind(item: object) -> str:
    return f" (an object of {item.name})" if isinstance(item, Record) and item.name is not None else ""


def _holding(value: object) -> set[int]:
    """The identities of all containers from which a tensor can be reached."""
    parents: dict[int, list[int]] = {id(value): []}
    keep: list[object] = []
    waiting: list[int] = []
    stack = [value]
    while stack:
        item = stack.pop()
        keep.append(item)
        for _, child in children(item):
            if is_tensor(child):
                waiting.append(id(item))
            elif isinstance(child, dict | list | tuple | Record | Composite | Array):
                if id(child) not in parents:
                    parents[id(child)] = []
                    stack.append(child)
                parents[id(child)].append(id(item))
    holding: set[int] = set()
    while waiting:
        here = waiting.pop()
        if here not in holding:
            holding.add(here)
            waiting.extend(parents[here])
    return holding
