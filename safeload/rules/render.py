"""A pickle's calls as a person would write them, short and escaped."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

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
    return Renderer().call(call)


def callee_text(callee: Value) -> str:
    """What is called, without the arguments."""
    return Renderer().value(callee)


class Renderer:
    """Writes values on one line, escaped and cut where they get long.

    `names` gives names to nodes, by identity: a node that has one is written by it wherever it is part of another.
    """

    def __init__(self, names: Mapping[int, str] = MappingProxyType({})) -> None:
        self.names = names

    def call(self, call: Call) -> str:
        """A call in full, whether it has a name or not."""
        return escape(self._call(call, _DEPTH), _WHOLE)

    def value(self, value: Value) -> str:
        return escape(self._show(value, _DEPTH), _WHOLE)

    def _call(self, call: Call, depth: int) -> str:
        arguments: list[str] = []
        if isinstance(call.args, Tuple):
            arguments += [self._show(item, depth - 1) for item in call.args.items[:_ITEMS]]
            if len(call.args.items) > _ITEMS:
                arguments.append("…")
        else:
            arguments.append("*" + self._show(call.args, depth - 1))
        if isinstance(call.kwargs, Dict):
            pairs = call.kwargs.pairs[:_ITEMS]
            arguments += [f"{_word(key)}={self._show(value, depth - 1)}" for key, value in pairs]
        return f"{self._show(call.callee, depth - 1)}({', '.join(arguments)})"

    def _show(self, value: Value, depth: int) -> str:
        if not isinstance(value, Node):
            return _constant(value)
        if name := self.names.get(id(value)):
            return name
        if isinstance(value, Global):
            return str(value.name)
        if depth < 0:
            return "…"
        if isinstance(value, Call):
            return self._call(value, depth)
        if isinstance(value, (List, Set, Tuple, FrozenSet)):
            opening, closing = (
                ("[", "]") if isinstance(value, List) else ("(", ")") if isinstance(value, Tuple) else ("{", "}")
            )
            inner = ", ".join(self._show(item, depth - 1) for item in value.items[:_ITEMS])
            return opening + inner + (", …" if len(value.items) > _ITEMS else "") + closing
        if isinstance(value, Dict):
            pairs = value.pairs[:_ITEMS]
            inner = ", ".join(f"{self._show(key, depth - 1)}: {self._show(item, depth - 1)}" for key, item in pairs)
            return "{" + inner + (", …" if len(value.pairs) > _ITEMS else "") + "}"
        return _leaf(value)


def _leaf(value: Node) -> str:
    if isinstance(value, Span):
        return f"<{value.length:,} bytes>"
    if isinstance(value, Persistent):
        return "<persistent object>"
    if isinstance(value, Extension):
        return f"<extension {value.code}>"
    return "<out-of-band buffer>" if isinstance(value, OutOfBand) else "…"


def _word(key: Value) -> str:
    return escape(key, 40) if isinstance(key, str) else "…"


def _constant(value: Value) -> str:
    if isinstance(value, (str, bytes)) and len(value) > _TEXT:
        return repr(value[:_TEXT]) + "…"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return f"<integer of {value.bit_length():,} bits>"
    return repr(value)
