"""Pickles written from values, by hand: calls and names are data here, so nothing has to exist to be written down.

pickled(Called(Name("os", "system"), "touch x"))     the bytes of a pickle that would make that call
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Name:
    """A global."""

    module: str
    name: str


@dataclass(frozen=True)
class Called:
    """A call of a callable with arguments."""

    callee: Any
    args: tuple[Any, ...]

    def __init__(self, callee: Any, *args: Any) -> None:
        object.__setattr__(self, "callee", callee)
        object.__setattr__(self, "args", args)


@dataclass(frozen=True)
class Built:
    """An object that is given a state after it was made."""

    target: Any
    state: Any


def counted(value: str) -> bytes:
    """Text as BINUNICODE."""
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def written(value: Any) -> bytes:
    """The opcodes that make a value, for a stream of protocol 4."""
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return b"I%d\n" % value
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return counted(value)
        case bytes():
            return b"B" + struct.pack("<I", len(value)) + value
        case Name():
            return counted(value.module) + counted(value.name) + b"\x93"
        case Called():
            return written(value.callee) + written(value.args) + b"R"
        case Built():
            return written(value.target) + written(value.state) + b"b"
        case tuple():
            return b"(" + b"".join(map(written, value)) + b"t"
        case list():
            return b"](" + b"".join(map(written, value)) + b"e"
        case dict():
            return b"}(" + b"".join(written(key) + written(item) for key, item in value.items()) + b"u"
    raise TypeError(type(value))


def pickled(value: Any, write: Callable[[Any], bytes] = written) -> bytes:
    """A whole pickle."""
    return b"\x80\x04" + write(value) + b"."
