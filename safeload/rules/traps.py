"""Names under which an unpickler looks for something to call on an object that it is making.

BUILD calls `__setstate__` where an object has one, and items go through `extend`, `append` or `add`. Each is looked up
on the object, so that whoever can set an attribute first chooses what is called (CPython, Modules/_pickle.c). States
come last, which the machine checks; what is left are constructors, and classes that answer for attributes with their
entries.
"""

from __future__ import annotations

from collections.abc import Iterable

from safeload.core.graph import Call, Dict, Extension, FrozenSet, Global, List, Node, Persistent, Set, Tuple, Value
from safeload.core.names import GlobalName

_LOOKED_UP = frozenset({"__setstate__", "append", "extend", "add"})
_TEXT_MAKERS = frozenset({"builtins", "numpy", "_codecs"})


class Traps:
    """Looks for such names among the keys of what objects are made from. Each node is looked at once."""

    def __init__(self) -> None:
        self.seen: set[Node] = set()

    def sprung(self, call: Call) -> str:
        """The name that the unpickler would find in what `call` was made from; empty if there is none."""
        return self.among((call.args, call.kwargs)) or self._keys(call.pairs)

    def among(self, values: Iterable[Value]) -> str:
        """The first such name among the keys of dictionaries in these values."""
        waiting = list(values)
        while waiting:
            node = waiting.pop()
            if not isinstance(node, Node) or node in self.seen:
                continue
            self.seen.add(node)
            if isinstance(node, (Dict, Call)):
                if found := self._keys(node.pairs):
                    return found
                waiting.extend(value for _, value in node.pairs)
            if isinstance(node, (List, Set, Tuple, FrozenSet)):
                if len(node.items) == 2 and (found := self._keys([(node.items[0], node.items[1])])):
                    return found  # a pair from which a dictionary may be made
                waiting.extend(node.items)
            if isinstance(node, Call):
                waiting.extend((node.args, node.kwargs))
        return ""

    def _keys(self, pairs: Iterable[tuple[Value, Value]]) -> str:
        for key, value in pairs:
            if not isinstance(value, (Global, Call, Persistent, Extension)):
                continue  # nothing that could be called
            if isinstance(key, str) and key in _LOOKED_UP:
                return key
            if isinstance(key, Call) and makes_text(key):
                return "a computed name"
        return ""


def makes_text(call: Call) -> bool:
    """Whether what a call gives may be text that is equal to any other."""
    return isinstance(call.callee, Global) and call.callee.name.module.partition(".")[0] in _TEXT_MAKERS


def stateless(name: GlobalName) -> bool:
    """Whether what this allowlisted callable returns is complete: it may be an object that it was handed."""
    if name.module in ("torch._utils", "torch._tensor", "torch.tensor", "torch.jit._pickle", "builtins"):
        return True
    return name.name in ("scalar", "_frombuffer") or (name.module == "numpy" and name.name not in ("dtype", "ndarray"))
