"""What an array holds whose numpy `dtype` stands in a pickle: numbers of a known size, or objects.

joblib asks numpy, and where the type holds objects anywhere (one field of a record is enough) it reads a pickle of its
own in place of the array's bytes. So a type counts only if it is written as numpy writes one, in every part of it.
Whatever else numpy takes for a type (`"i4,O"`, `"d"`, a list of fields, a class) is for numpy to read.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from safeload.core.graph import Call, Dict, Global, Tuple, Value
from safeload.core.names import GlobalName
from safeload.formats.dtypes import numpy_width

_DTYPE = GlobalName("numpy", "dtype")
_RECORD = "record"
_CODE = re.compile(r"[<>=|]?(?:\?|[biufcmM]\d{1,4}(?:\[[\w/]{1,20}\])?|O\d{0,2}|[SUV]\d{0,9})", re.ASCII)
"""Type strings as `dtype.str` gives them. Without its size, or by its name, a type is whatever numpy says."""
_PARTS = 4_096
"""Fields of one type that are looked at, those of nested types included."""


class Element(NamedTuple):
    width: int
    """Bytes of one element."""
    objects: bool
    """Whether any part of it is an object."""


def is_written(code: object) -> bool:
    """Whether a type string is one that numpy writes itself."""
    return isinstance(code, str) and _CODE.fullmatch(code) is not None


def holds_objects(code: str) -> bool:
    """Whether a type string that numpy writes is that of objects."""
    return code.lstrip("<>=|").startswith("O")


def element_of(value: Value) -> Element | None:
    """What one element of a pickled type is; `None` where it is not written as numpy writes it."""
    width: Value = 0
    objects, seen = False, 0
    waiting = [value]
    while waiting:
        code, state = _written(waiting.pop())
        seen += 1
        if not code or len(waiting) + seen > _PARTS:
            return None
        told: list[Value] = [*state, *[None] * 6]
        base, fields, said = told[2], told[4], told[5]
        if seen == 1:
            width = said if code.lstrip("<>=|")[:1] in "SUV" and state else numpy_width(code)
        objects = objects or holds_objects(code)
        if isinstance(base, Tuple) and base.items:
            waiting.append(base.items[0])
        elif base is not None:
            return None
        if isinstance(fields, Dict) and len(fields.pairs) <= _PARTS:
            whole = (field.items if isinstance(field, Tuple) and field.items else (None,) for _, field in fields.pairs)
            waiting.extend(items[0] for items in whole)
        elif fields is not None:
            return None
    return Element(width, objects) if type(width) is int and width >= 0 else None


def _written(value: Value) -> tuple[str, tuple[Value, ...]]:
    """The type string and the state of a dtype as numpy pickles one; an empty string for anything else."""
    if not isinstance(value, Call) or not isinstance(value.callee, Global) or value.callee.name != _DTYPE:
        return "", ()
    args = value.args.items if isinstance(value.args, Tuple) else ()
    code = args[0] if args else None
    if isinstance(code, Global) and code.name.name == _RECORD and value.states:
        code = "V"
    if not isinstance(code, str) or not is_written(code) or value.kwargs is not None or len(value.states) > 1:
        return "", ()
    state = value.states[0] if value.states else Tuple((), 1)
    return (code, state.items) if isinstance(state, Tuple) else ("", ())
