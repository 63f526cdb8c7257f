"""Pickles inside a pickle: bytes that somebody may unpickle once more.

`__reduce__` methods often carry a whole pickle as a bytes constant, and attackers hide one there. Every bytes
constant of a reading that begins like a pickle is read as one, and so is Latin-1 text, which is how protocols 0 to 2
write bytes. Constants that are compressed, archives, base64 or hexadecimal are opened first (`wrapped`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from safeload.core.blob import Blob, Extent, MemoryBlob
from safeload.core.errors import LimitExceeded
from safeload.core.graph import (
    Build,
    Call,
    Dict,
    FrozenSet,
    Global,
    List,
    Node,
    Persistent,
    Reading,
    Set,
    Span,
    Tuple,
    Value,
)
from safeload.core.limits import Limits
from safeload.core.machine import read_pickle
from safeload.core.names import Location
from safeload.formats.base import Irregularity, Part, PickleStream
from safeload.formats.pickle_head import OPCODES, begins_with_protocol, calls_something, imports_something
from safeload.formats.stray import stray_readings
from safeload.formats.wrapped import is_packed, spelled, unpacked

_LEVELS = 8
"""Pickles within pickles that are followed."""
_SHORTEST = 4
_HEAD = 262
_SPELLED = 16
_SPELLS = frozenset("gYKHQ/_eUkZWSLXV8621435f7F9")
_BEGINS = frozenset("\x80c(x\x1fBP\xfd\x93")
_SUSPICIOUS = _SPELLS | _BEGINS
"""What text begins with that `_latin` makes bytes of."""


def nested_streams(reading: Reading, location: Location, limits: Limits) -> Iterator[Part]:
    """Every pickle inside the constants of `reading`, and inside those, with role `nested`."""
    waiting: list[tuple[Reading, Location, int]] = [(reading, location, 0)]
    found = 0
    while waiting:
        outer, place, level = waiting.pop()
        for blob, start in _candidates(outer, place):
            if is_packed(blob.read_at(start, _HEAD)):
                where = _within(place, found)
                for part in unpacked(blob, start, where, limits):
                    found += isinstance(part, PickleStream)
                    yield part
                continue
            for inner in _run(blob, start, place, limits):
                where = _within(place, found)
                found += 1
                if found > limits.streams:
                    raise LimitExceeded("streams", allowed=limits.streams, wanted=found, where=location)
                if level >= _LEVELS:
                    detail = f"pickles are nested more than {_LEVELS} deep; deeper ones are not read"
                    yield Irregularity(location=where, kind="nested-too-deep", detail=detail)
                    break
                yield PickleStream(location=where, reading=inner, role="nested")
                waiting.append((inner, where, level + 1))


def _within(place: Location, number: int) -> Location:
    return Location(place.file, place.member, None, f"{place.path or 'pickle'}.nested[{number}]")


def _run(blob: Blob, start: int, place: Location, limits: Limits) -> Iterator[Reading]:
    """The pickles that follow each other in one constant, as torch's legacy format has them, or with junk between."""
    first = start
    while start < blob.size:
        inner = read_pickle(blob, start, location=place, limits=limits)
        if not _is_stream(inner, blob, start):
            break
        yield inner
        start = inner.end
        if inner.fault is not None:
            break
    if start > first:
        yield from stray_readings(blob, start, place, limits)


def _is_stream(inner: Reading, blob: Blob, start: int) -> bool:
    """Whether bytes are a pickle, and not the bytes of a time or a number that happen to spell a few opcodes."""
    if inner.fault is None:
        return imports_something(inner.trace) or begins_with_protocol(blob.read_at(start, 3))
    if begins_with_protocol(blob.read_at(start, 3)):
        return any(isinstance(node, Call) for node in inner.trace)
    return calls_something(inner)


def _candidates(reading: Reading, place: Location) -> Iterator[tuple[Blob, int]]:
    """Where in which bytes a pickle, or something that could hold one, begins."""
    for constant in constants(reading):
        if isinstance(constant, Span):
            blob: Blob = Extent(reading.blob, 0, constant.start + constant.length)
            start, head = constant.start, reading.blob.read_at(constant.start, min(_HEAD, constant.length))
            if constant.length < _SHORTEST:
                continue
        else:
            blob, start, head = MemoryBlob(constant), 0, constant[:_HEAD]
        size = blob.size - start
        for plain in spelled(blob, start, size, place):
            first = plain.read_at(0, _HEAD)
            if is_packed(first) or begins_with_protocol(first) or first[:1] in (b"c", b"("):
                yield plain, 0
        if is_packed(head) or begins_with_protocol(head) or (head[0] in OPCODES and _may_import(constant)):
            yield blob, start


def _may_import(constant: bytes | Span) -> bool:
    """A pickle without PROTO is looked for only where it could import something."""
    return isinstance(constant, Span) or any(opcode in constant for opcode in (b"c", b"i", b"\x93", b"\x82"))


def constants(reading: Reading) -> Iterator[bytes | Span]:
    """Each bytes constant reachable from the value or from an act; every node is looked at once."""
    seen: set[Node] = set()
    told: set[int] = set()
    stack: list[Iterable[Value]] = [(reading.value,)]
    stack.append(list(_acts(reading)))
    while stack:
        for value in stack.pop():
            kind = type(value)
            if kind in _EMPTY:
                continue
            if kind is str or kind is bytes:
                if len(value) < _SHORTEST or (kind is str and value[0] not in _SUSPICIOUS):
                    continue
                # Each is looked at once: a stream may refer to one a million times.
                if id(value) not in told:
                    told.add(id(value))
                    data = value if kind is bytes else _latin(value)
                    if data is not None:
                        yield data
            elif kind is Dict:
                if value.pairs and value not in seen:
                    seen.add(value)
                    stack.append(chain.from_iterable(value.pairs))
            elif kind in _LISTED:
                if value.items and value not in seen:
                    seen.add(value)
                    if not _EMPTY.issuperset(map(type, value.items)):
                        stack.append(value.items)
            elif kind is Call:
                if value not in seen:
                    seen.add(value)
                    stack.extend(_of_call(value))
            elif kind is Span and value not in seen:
                seen.add(value)
                yield value


def _acts(reading: Reading) -> Iterator[Value]:
    """What acts hold. The states of an object are with the call that made it."""
    for node in reading.trace:
        if isinstance(node, Build):
            if type(node.target) is not Call:
                yield node.target
                yield node.state
        elif isinstance(node, Call):
            if not _holds_nothing(node):
                yield node
        elif isinstance(node, Persistent):
            yield node.id


def _holds_nothing(node: Call) -> bool:
    bare = type(node.callee) is Global and type(node.args) is Tuple and not node.args.items and node.kwargs is None
    return bare and not (node.states or node.items or node.pairs)


def _of_call(node: Any) -> list[Sequence[Value]]:
    return [(node.callee, node.args, node.kwargs), node.states, node.items, *node.pairs]


_EMPTY = frozenset({int, float, bool, type(None), Global, Persistent})
"""Kinds of values that hold no bytes, or whose own are among what acts hold."""
_LISTED = frozenset({List, Set, Tuple, FrozenSet})


def _latin(value: str) -> bytes | None:
    """The bytes of text that begins like a pickle, or is packed, and is not all printable; or that may be base64."""
    first = value[0]
    spells = first in _SPELLS and len(value) >= _SPELLED and value.isascii()
    if not spells and (first not in _BEGINS or value.isprintable()):
        return None
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return None
