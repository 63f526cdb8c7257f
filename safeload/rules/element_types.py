"""Whether the state given to a numpy dtype is one that numpy writes, so that arrays of it stay within their memory.

numpy believes a pickled state: an object type without the marks of one takes bytes for addresses of objects, and a
field beyond the end of its record reads other memory (numpy, descriptor.c: arraydescr_setstate). Both end in code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod

from safeload.core.graph import Call, Dict, Global, Tuple, Value
from safeload.core.names import GlobalName

_DTYPE = GlobalName("numpy", "dtype")
_CODE = r"[<>=|]?([?a-zA-Z])([0-9]{0,9})"
_OBJECT = 63
_COUNTED = 3
"""The marks that make numpy follow addresses; the others only cost time."""
_OF_FIELDS = 27
"""The marks that a record takes over from fields that hold objects."""
_WIDEST = 32
"""Bytes of a number whose name does not say how many; numpy always writes it."""
_DIMENSIONS = 64
"""As many as numpy 2 knows (`NPY_MAXDIMS`)."""
_LEVELS = 16


class Types:
    """What was measured of a stream's types, by identity: records of one type within each other double with each level.

    `look` is told how many fields are looked at; it raises where they are too many, because types may share them.
    """

    def __init__(self, look: Callable[[int], None]) -> None:
        self.look = look
        self.known: dict[int, tuple[int, bool] | None] = {}


def wrong_state(call: Call, types: Types) -> str:
    """Why a state of this dtype is not one of numpy's; empty if it is, or if `call` makes no dtype."""
    if not isinstance(call.callee, Global) or call.callee.name != _DTYPE:
        return ""
    return "" if _measure(call, 0, types) is not None else "which numpy does not write for such a type"


def _measure(value: Value, level: int, types: Types) -> tuple[int, bool] | None:
    """The size of a dtype and whether it holds objects; `None` if it cannot be or is not said."""
    if level > _LEVELS or not isinstance(value, Call) or len(value.states) > 1:
        return None
    known = types.known
    if id(value) not in known:
        known[id(value)] = None  # for a type that is within itself
        known[id(value)] = _of_call(value, level, types)
    return known[id(value)]


def _of_call(value: Call, level: int, types: Types) -> tuple[int, bool] | None:
    args = value.args.items if isinstance(value.args, Tuple) else ()
    letter, size = _code(args[0] if args else None)
    if not value.states:
        return size, letter == "O"
    state = value.states[0].items if isinstance(value.states[0], Tuple) else ()
    if len(state) < 6 or type(state[0]) is not int:
        return None
    _, _, base, names, fields, said, *rest = state
    holds = letter == "O"
    if letter in "SUV":
        if type(said) is not int or said < 0:
            return None
        size = said
    if base is not None or fields is not None or names is not None:
        inner = _array(base, size, level, types) if base is not None else _record(fields, size, level, types)
        if letter != "V" or inner is None:
            return None
        holds = inner
    wanted = _OBJECT if letter == "O" else _OF_FIELDS if holds else 0
    marks = rest[1] if len(rest) > 1 else wanted  # versions before 3 have none, and numpy works them out
    if type(marks) is not int or marks & wanted != wanted or (marks & _COUNTED and not holds):
        return None
    return size, holds


def _code(value: Value) -> tuple[str, int]:
    """The letter and the size of a type's name."""
    if isinstance(value, Global):
        return ("O", _WIDEST) if value.name.name in ("object_", "object") else ("V", 0)
    found = re.fullmatch(_CODE, value) if isinstance(value, str) else None
    if found is None:
        return "?", _WIDEST
    count = int(found[2] or (0 if found[1] in "SUV" else _WIDEST))
    return found[1], 4 * count if found[1] == "U" else count


def _array(base: Value, size: int, level: int, types: Types) -> bool | None:
    """Whether the elements of a subarray hold objects; `None` if they do not fit."""
    if not isinstance(base, Tuple) or len(base.items) != 2:
        return None
    types.look(len(base.items[1].items) if isinstance(base.items[1], Tuple) else 1)
    shape = base.items[1].items if isinstance(base.items[1], Tuple) else (base.items[1],)
    inner = _measure(base.items[0], level + 1, types)
    if inner is None or len(shape) > _DIMENSIONS or not all(type(length) is int and length >= 0 for length in shape):
        return None
    return inner[1] if inner[0] * prod(shape) <= size else None


def _record(fields: Value, size: int, level: int, types: Types) -> bool | None:
    """Whether a field holds objects; `None` if one does not fit."""
    if not isinstance(fields, Dict):
        return None
    types.look(len(fields.pairs))
    taken: set[tuple[int, int, bool]] = set()
    for _, field in fields.pairs:
        kind, offset = field.items[:2] if isinstance(field, Tuple) and len(field.items) > 1 else (None, None)
        inner = _measure(kind, level + 1, types)
        if inner is None or type(offset) is not int or offset < 0 or offset + inner[0] > size:
            return None
        taken.add((offset, offset + inner[0], inner[1]))  # a field with a title stands twice
    end = 0
    counted = False
    for start, stop, holds in sorted(taken):
        if start < end and (holds or counted):
            return None  # numbers over the address of an object
        counted = holds if start >= end else counted or holds
        end = max(end, stop)
    return any(holds for _, _, holds in taken)
