"""A pickle's calls as a person would write them, short and escaped."""

from __future__ import annotations

from safeload.core.graph import (
    Call,
    Dict,
    Extension,
    FrozenSet,
    Global,
    List,
    Node,
    OutOfBand,
    Persistent,
    Set,
    Span,
    Tuple,
    Value,
)
from safeload.core.names import escape

_DEPTH = 3
_ITEMS = 6
_TEXT = 120
_WHOLE = 400


def call_text(call: Call) -> str:
    """`os.system('touch x')`: the callee with its arguments, on one line, cut where it gets long."""
    return escape(_call(call, _DEPTH), _WHOLE)


def callee_text(callee: Value) -> str:
    """What is called, without the arguments."""
    return escape(_show(callee, _DEPTH), _WHOLE)


def _call(call: Call, depth: int) -> str:
    arguments = [_show(item, depth - 1) for item in _cut(call.args.items)] if isinstance(call.args, Tuple) else []
    if isinstance(call.args, Tuple):
        if len(call.args.items) > _ITEMS:
            arguments.append("…")
    else:
        arguments.append("*" + _show(call.args, depth - 1))
    if isinstance(call.kwargs, Dict):
        arguments += [f"{_word(key)}={_show(value, depth - 1)}" for key, value in _cut(call.kwargs.pairs)]
    return f"{_show(call.callee, depth - 1)}({', '.join(arguments)})"


def _word(key: Value) -> str:
    return escape(key, 40) if isinstance(key, str) else "…"


def _cut(items: tuple[Value, ...] | list[Value]) -> tuple[Value, ...] | list[Value]:
    return items[:_ITEMS]


def _show(value: Value, depth: int) -> str:
    if not isinstance(value, Node):
        return _constant(value)
    if isinstance(value, Global):
        return str(value.name)
    if depth < 0:
        return "…"
    if isinstance(value, Call):
        return _call(value, depth)
    if isinstance(value, (List, Set, Tuple, FrozenSet)):
        opening, closing = (
            ("[", "]") if isinstance(value, List) else ("(", ")") if isinstance(value, Tuple) else ("{", "}")
        )
        inner = ", ".join(_show(item, depth - 1) for item in _cut(value.items))
        return opening + inner + (", …" if len(value.items) > _ITEMS else "") + closing
    if isinstance(value, Dict):
        inner = ", ".join(f"{_show(key, depth - 1)}: {_show(item, depth - 1)}" for key, item in _cut(value.pairs))
        return "{" + inner + (", …" if len(value.pairs) > _ITEMS else "") + "}"
    if isinstance(value, Span):
        return f"<{value.length:,} bytes>"
    if isinstance(value, Persistent):
        return "<persistent object>"
    if isinstance(value, Extension):
        return f"<extension {value.code}>"
    return "<out-of-band buffer>" if isinstance(value, OutOfBand) else "…"


def _constant(value: Value) -> str:
    if isinstance(value, (str, bytes)) and len(value) > _TEXT:
        return repr(value[:_TEXT]) + "…"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return f"<integer of {value.bit_length():,} bits>"
    return repr(value)
