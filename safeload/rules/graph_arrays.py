"""numpy's arrays in an inert graph, as pickle and joblib write them: their shape, type, and numbers, without numpy.

For rules that look at what compiled code would follow. `None` stands for whatever is not exactly as numpy writes it
today, in this machine's usual byte order; nothing is guessed.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from math import prod
from typing import NamedTuple

from safeload.core.graph import Call, Dict, Global, How, List, Reading, Span, Tuple, Value
from safeload.core.names import GlobalName
from safeload.rules.indirect import plain_bytes

_CORES = ("numpy.core", "numpy._core")
_RECONSTRUCT = frozenset(GlobalName(f"{core}.multiarray", "_reconstruct") for core in _CORES)
_SCALAR = frozenset(GlobalName(f"{core}.multiarray", "scalar") for core in _CORES)
_FROMBUFFER = frozenset(GlobalName(f"{core}.numeric", "_frombuffer") for core in _CORES)
_WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")
_DTYPE = ("numpy", "dtype")
_NDARRAY = ("numpy", "ndarray")
_CODE = re.compile(r"[<=|]?([biufcSUVO])([0-9]{1,9})\Z", re.ASCII)
_FORMATS = {
    "b1": "?", "i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q",
    "f4": "f", "f8": "d",
}  # fmt: skip
_MOST = 1 << 26
"""Bytes of an array that is read here; larger ones stay unlooked at."""


class Kind(NamedTuple):
    """An element type: a letter with its bytes, and for records the fields with the place of each."""

    code: str
    size: int
    fields: Mapping[str, tuple[str, int]]


class Array(NamedTuple):
    shape: tuple[int, ...]
    kind: Kind
    data: bytes | Span | None
    """`None` where the elements are objects."""
    items: tuple[Value, ...]
    """The objects, in row order."""

    def fits(self, *shape: int | None, kinds: str = "f") -> bool:
        """Whether it has such a shape (`None`: any length) and such a kind of numbers."""
        lengths = len(shape) == len(self.shape) and all(
            one in (None, there) for one, there in zip(shape, self.shape, strict=True)
        )
        return lengths and self.kind.code[0] in kinds and not self.kind.fields


def attributes(value: Value) -> dict[str, Value] | None:
    """The one state of an object that is made without arguments, by its attributes; `None` for any other."""
    if not isinstance(value, Call) or value.how is not How.NEWOBJ or value.kwargs is not None:
        return None
    bare = isinstance(value.args, Tuple) and not value.args.items and not value.items and not value.pairs
    return words(value.states[0]) if bare and len(value.states) == 1 else None


def words(value: Value) -> dict[str, Value] | None:
    """A dictionary of different texts."""
    if not isinstance(value, Dict):
        return None
    found = {key: item for key, item in value.pairs if isinstance(key, str)}
    return found if len(found) == len(value.pairs) else None


def array_of(value: Value, reading: Reading) -> Array | None:
    """The array that a call makes, in any of the three ways."""
    if not isinstance(value, Call) or not isinstance(value.callee, Global) or value.items or value.pairs:
        return None
    name, args = value.callee.name, value.args.items if isinstance(value.args, Tuple) else ()
    if name == _WRAPPER:
        return _of_joblib(value, reading)
    if value.how is not How.REDUCE or value.kwargs is not None:
        return None
    if name in _FROMBUFFER and not value.states and len(args) == 4 and args[3] in ("C", "F"):
        return _made(args[2], args[1], args[0])
    if name in _RECONSTRUCT and args and _names(args[0], _NDARRAY) and len(value.states) == 1:
        state = value.states[0].items if isinstance(value.states[0], Tuple) else ()
        if len(state) == 5 and type(state[0]) is int:
            return _made(state[1], state[2], state[4])
    return None


def _of_joblib(value: Call, reading: Reading) -> Array | None:
    state = words(value.states[0]) if len(value.states) == 1 else None
    span = value.inline
    if state is None or span is None or not _names(state.get("subclass"), _NDARRAY):
        return None
    if type(state.get("numpy_array_alignment_bytes")) is int:
        skipped = 1 + reading.blob.read_at(span.start, 1)[0] if span.length else 0
        span = Span(span.start + skipped, max(0, span.length - skipped), False)
    return _made(state.get("shape"), state.get("dtype"), span)


def _made(shape: Value, dtype: Value, data: Value) -> Array | None:
    kind = kind_of(dtype)
    lengths = shape.items if isinstance(shape, Tuple) else (None,)
    if kind is None or len(lengths) > 8 or not all(type(one) is int and 0 <= one < 1 << 40 for one in lengths):
        return None
    counts = tuple(one for one in lengths if type(one) is int)
    if kind.code[0] == "O":
        fits = isinstance(data, List) and len(data.items) == prod(counts)
        return Array(counts, kind, None, tuple(data.items)) if fits and isinstance(data, List) else None
    plain = b"" if _no_bytes(data) else plain_bytes(data)
    if isinstance(plain, Span) or type(plain) is bytes:
        length = plain.length if isinstance(plain, Span) else len(plain)
        if length == prod(counts) * kind.size:
            return Array(counts, kind, plain, ())
    return None


def _no_bytes(value: Value) -> bool:
    """Whether a call is `bytes()`, as protocols 0 to 2 write no bytes at all."""
    bare = isinstance(value, Call) and isinstance(value.args, Tuple) and not value.args.items and not value.states
    return bare and isinstance(value, Call) and _names(value.callee, ("builtins", "bytes"))


def kind_of(value: Value) -> Kind | None:
    """The element type that a call of `numpy.dtype` makes."""
    if not isinstance(value, Call) or not _names(value.callee, _DTYPE) or len(value.states) > 1:
        return None
    args = value.args.items if isinstance(value.args, Tuple) else ()
    found = _CODE.match(args[0]) if args and isinstance(args[0], str) else None
    if found is None:
        return None
    letter, size = found[1], int(found[2])
    fields: dict[str, tuple[str, int]] = {}
    if value.states:
        state = value.states[0].items if isinstance(value.states[0], Tuple) else ()
        if len(state) < 7 or state[1] not in ("<", "=", "|") or state[2] is not None:
            return None
        if state[3] is not None or state[4] is not None:
            return _record(letter, size, state[4])
    return Kind(f"{letter}{size}", 8 if letter == "O" else size * (4 if letter == "U" else 1), fields)


def _record(letter: str, size: int, value: Value) -> Kind | None:
    known, fields = words(value), dict[str, tuple[str, int]]()
    for name, field in (known or {}).items():
        parts = field.items if isinstance(field, Tuple) else ()
        inner = kind_of(parts[0]) if len(parts) == 2 else None
        place = parts[1] if len(parts) == 2 else None
        if inner is None or inner.fields or type(place) is not int or not 0 <= place <= size - inner.size:
            return None
        fields[name] = inner.code, place
    return Kind(f"V{size}", size, fields) if letter == "V" and fields else None


def numbers(array: Array, reading: Reading, field: str = "") -> list[int] | None:
    """The numbers of an array, or those of one field of its records, in the order of its memory."""
    code, place = array.kind.fields.get(field, ("", 0)) if field else (array.kind.code, 0)
    letter = _FORMATS.get(code)
    total = prod(array.shape) * array.kind.size
    if letter is None or array.data is None or total > _MOST:
        return None
    rest = array.kind.size - place - struct.calcsize(f"<{letter}")
    if rest < 0:
        return None
    return [one for (one,) in _unpacked(f"<{place}x{letter}{rest}x", reading.bytes_of(array.data))]


def _unpacked(form: str, data: bytes) -> Iterator[tuple[int]]:
    yield from struct.iter_unpack(form, data)


def number(value: Value) -> int | None:
    """A whole number, Python's or numpy's."""
    if type(value) is int:
        return value
    kind, data = _scalar(value)
    return int.from_bytes(data, "little", signed=kind[0] == "i") if kind[:1] in ("i", "u") else None


def is_number(value: Value) -> bool:
    """Whether a call makes a number of numpy's."""
    return _scalar(value)[0][:1] in ("b", "i", "u", "f")


def _scalar(value: Value) -> tuple[str, bytes]:
    if isinstance(value, Call) and isinstance(value.callee, Global) and value.callee.name in _SCALAR:
        args = value.args.items if isinstance(value.args, Tuple) else ()
        kind = kind_of(args[0]) if len(args) == 2 and not value.states and value.how is How.REDUCE else None
        data = plain_bytes(args[1]) if kind is not None else None
        if kind is not None and not kind.fields and type(data) is bytes and len(data) == kind.size:
            return kind.code, data
    return "", b""


def _names(value: Value, name: tuple[str, str]) -> bool:
    return isinstance(value, Global) and value.name == name
