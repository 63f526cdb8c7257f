"""Shorthands for tests of the machine: read bytes, and write down what the graph holds."""

from __future__ import annotations

from safeload.core.blob import MemoryBlob
from safeload.core.graph import (
    Acting,
    Call,
    Dict,
    Extension,
    FrozenSet,
    Global,
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
from safeload.core.limits import Limits
from safeload.core.machine import InlineHook, read_pickle
from safeload.core.names import Location

HERE = Location("model.bin", "data.pkl")


def read(data: bytes, *, limits: Limits | None = None, inline: InlineHook | None = None) -> Reading:
    """One reading of bytes in memory, from their beginning."""
    return read_pickle(MemoryBlob(data), location=HERE, limits=limits, inline=inline)


def good(data: bytes) -> Value:
    """The value of a stream that must be read to its end, without anomalies, as plain structure."""
    reading = read(data)
    assert reading.fault is None, reading.fault
    assert reading.anomalies == ()
    assert reading.end == len(data)
    return shape(reading.value)


def why(data: bytes, *, limits: Limits | None = None) -> str:
    """Why a stream cannot be read to its end."""
    reading = read(data, limits=limits)
    assert reading.fault is not None
    return reading.fault.why


def kinds(data: bytes) -> list[str]:
    """The kinds of the anomalies of a stream, in order."""
    return [anomaly.kind for anomaly in read(data).anomalies]


def acts(reading: Reading) -> list[tuple[type[Acting], int]]:
    """What an unpickler would do, and where."""
    return [(type(node), node.offset) for node in reading.trace]


def imports(reading: Reading) -> list[tuple[int, str]]:
    """The names that a stream imports, and where."""
    return [(node.offset, str(node.name)) for node in reading.trace if isinstance(node, Global)]


def calls(reading: Reading) -> list[tuple[int, Value, Value]]:
    """What a stream calls: offset, callee and arguments as plain structure."""
    nodes = [node for node in reading.trace if isinstance(node, Call)]
    return [(node.offset, shape(node.callee), shape(node.args)) for node in nodes]


def shape(value: Value) -> Value:
    """The graph under a value as plain Python, with classes written as strings. Not for cycles or deep graphs."""
    match value:
        case List():
            return [shape(item) for item in value.items]
        case Tuple():
            return tuple(shape(item) for item in value.items)
        case Dict():
            return {shape(key): shape(item) for key, item in value.pairs}
        case Set():
            return {shape(item) for item in value.items}
        case FrozenSet():
            return frozenset(shape(item) for item in value.items)
        case Global():
            return f"<{value.name}>"
        case Persistent():
            return ("persistent", shape(value.id))
        case Extension():
            return ("extension", value.code)
        case OutOfBand():
            return ("buffer", value.number)
        case Span():
            return ("span", value.start, value.length, value.mutable)
        case Call():
            return ("call", value.how.value, shape(value.callee), shape(value.args))
        case Node():
            raise AssertionError(f"no shape for {value!r}")
    return value
