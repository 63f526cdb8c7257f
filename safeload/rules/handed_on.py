"""What allowlisted helpers of compiled libraries may be handed: they look into objects, and believe what they find.

numpy takes an address of memory from any object with an attribute `__array_interface__`, torch and pandas look for
tensors and arrays in the same way, and some constructors take an address as a keyword (numpy, ctors.c; torch,
tensor_new.cpp, Storage.cpp). So they get data, and what their own library made; keyword arguments, buffers and second
states are what no pickler writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from safeload.core.allowlist import Allowlist, Effect, Entry
from safeload.core.graph import Build, Call, Dict, FrozenSet, Global, List, Node, Set, Tuple, Value
from safeload.core.names import GlobalName
from safeload.later import Later
from safeload.rules.traps import makes_text

_COMPILED = frozenset({"numpy", "torch", "pandas"})
_MOMENTS = ("datetime", "decimal", "pytz", "dateutil", "zoneinfo")
_MADE_BY: dict[str, frozenset[str]] = {
    "numpy": frozenset({"numpy", "joblib", "builtins", "_codecs"}),
    "torch": frozenset({"torch", "numpy", "collections", "builtins", "_codecs"}),
    "pandas": frozenset(
        {"pandas", "numpy", "joblib", "builtins", "_codecs", "datetime", "decimal", "pytz", "dateutil", "zoneinfo"}
    ),
}
"""By library, the packages whose objects its helpers are handed. What is joblib's is an array by then, or no more
than the description of one."""
_STATES = frozenset({"_rebuild_from_type", "_rebuild_from_type_v2", "_rebuild_parameter_with_state"})
"""Helpers of torch whose last argument is a state: it is set, and not looked into."""
_RECONSTRUCT = frozenset({"_reconstruct", "_mareconstruct"})
_DTYPE = GlobalName("numpy", "dtype")
_CONTAINERS = frozenset({"builtins", "collections"})
"""Packages of what only holds what it was made of."""
_QUIET = frozenset({"builtins", "_codecs"})
_LAYERS = 8
"""Parts of a state that may each hold attributes: two with slots, three of files in memory."""
_ATTRIBUTES = ("__array", "__cuda_array", "__dlpack", "__buffer")
"""Beginnings of attributes from which compiled code takes addresses."""
_TEMPLATE = "_parse_arg_template"
_PARSERS = Later(
    r"\ndef _parse_args\(self, (?P<shapes>(?:\w{1,40}, ){0,20}) (?P<rest>loc=0(?:, scale=1)?)\):\n"
    r"    return \((?P=shapes)\), (?P<found>loc, (?:scale|1))\n\n"
    r"def _parse_args_rvs\(self, (?P=shapes) (?P=rest), size=None\):\n"
    r"    return self\._argcheck_rvs\((?P=shapes) (?P=found), size=size\)\n\n"
    r"def _parse_args_stats\(self, (?P=shapes) (?P=rest), moments='mv'\):\n"
    r"    return \((?P=shapes)\), (?P=found), moments\n\Z",
    re.ASCII,
    needs=("\ndef _parse_args(self, ",),
)
"""The text that scipy writes into the state of a distribution, and runs when it restores one: names of parameters."""


class Handed:
    """Looks at what helpers are handed. Each object is looked at once for each library: all of it is linear."""

    def __init__(self, allowlist: Allowlist) -> None:
        self.allowlist = allowlist
        self.seen: dict[str, set[Node]] = {}

    def wrong(self, name: GlobalName, call: Call) -> str:
        """Why an allowlisted helper may not be called like this; empty if it may."""
        library = name.module.partition(".")[0]
        if library not in _COMPILED:
            return ""
        args = call.args.items if isinstance(call.args, Tuple) else ()
        if name == ("numpy", "ndarray") and len(args) > 2:
            return "it would make an array over foreign memory"
        if name.name == "_frombuffer" and args and isinstance(args[0], Call) and _package(args[0]) not in _QUIET:
            return "its buffer is an object of the stream"
        if name.name in _RECONSTRUCT and library == "numpy" and not _empty(args[-2:-1]):
            return "it would make an array that is not empty, whose memory its state gives back"
        return self._foreign(library, args[:-1] if name.name in _STATES else args)

    def _foreign(self, library: str, args: tuple[Value, ...]) -> str:
        seen = self.seen.setdefault(library, set())
        waiting: list[Value] = list(args)
        while waiting:
            node = waiting.pop()
            if isinstance(node, Call):
                if why := self._object(library, node):
                    return why
                if _package(node) in _CONTAINERS and node not in seen:
                    seen.add(node)
                    waiting.extend((node.args, *node.items, *(part for pair in node.pairs for part in pair)))
            elif isinstance(node, (List, Set, Tuple, FrozenSet, Dict)) and node not in seen:
                seen.add(node)
                waiting.extend(_parts(node))
        return ""

    def _object(self, library: str, call: Call) -> str:
        """Why an object that a call made is none that a helper of this library is handed."""
        package, name = _package(call), _made(call)
        entry = self.allowlist.get(name) if name is not None else None
        if entry is None or not package:
            return ""  # a finding of its own
        if package not in _MADE_BY[library] or (entry.effect is Effect.RECORD and package not in _OWN[library]):
            return f"it would look into an object of {entry.name}"
        return f"it would look into attributes of {entry.name}" if call.states and package == "collections" else ""


def _parts(node: List | Set | Tuple | FrozenSet | Dict) -> Iterable[Value]:
    return (part for pair in node.pairs for part in pair) if isinstance(node, Dict) else node.items


_OWN: dict[str, frozenset[str]] = {
    "numpy": frozenset({"numpy"}),
    "torch": frozenset(),
    "pandas": frozenset({"pandas", "numpy", *_MOMENTS}),
}
"""By library, the packages of which even objects that only hold attributes are handed to its helpers."""


def _package(call: Call) -> str:
    name = _made(call)
    return name.module.partition(".")[0] if name is not None else ""


def _made(call: Call) -> GlobalName | None:
    """What a call makes an object of; `copyreg` makes one of the class that it is given."""
    callee: Value = call.callee
    if isinstance(callee, Global) and callee.name.module == "copyreg" and isinstance(call.args, Tuple):
        callee = call.args.items[0] if call.args.items else None
    return callee.name if isinstance(callee, Global) else None


def _empty(shape: tuple[Value, ...]) -> bool:
    """Whether a shape is that of the empty array, with which picklers begin."""
    one = shape[0] if shape else None
    return (isinstance(one, Tuple) and one.items == (0,)) or one == 0


class Late:
    """Notes whether something was made of a numpy dtype before its state was set: it would change under its arrays."""

    def __init__(self) -> None:
        self.last = -1

    def noted(self, node: Node) -> str:
        """Take the next act of the stream; why it is too late, or empty."""
        if isinstance(node, Build):
            made = node.target
            if isinstance(made, Call) and isinstance(made.callee, Global) and made.callee.name == _DTYPE:
                return "which already has been used" if self.last > made.offset else ""
            self.last = max(self.last, node.offset)
        elif isinstance(node, Call) and not (isinstance(node.callee, Global) and _quiet(node.callee.name)):
            self.last = max(self.last, node.offset)
        return ""


def _quiet(name: GlobalName) -> bool:
    return name == _DTYPE or name.module in _QUIET


def reaching(state: Value, look: Callable[[int], None]) -> str:
    """Why an attribute that a state sets would be taken for an address or a program; empty if none would.

    `look` is told how many keys were looked at, and may raise: one state can be set on a million objects.
    """
    if not isinstance(state, (Tuple, Dict, Call)):
        return ""
    for layer in state.items if isinstance(state, Tuple) and len(state.items) < _LAYERS else (state,):
        pairs = tuple(_pairs(layer))
        look(len(pairs))
        for key, value in pairs:
            if key == _TEMPLATE and not (isinstance(value, str) and _PARSERS.match(value)):
                return f"and scipy would run the program in {_TEMPLATE}"
            if isinstance(key, str) and key.startswith(_ATTRIBUTES):
                return f"and compiled code takes an address from {key}"
            if isinstance(key, Call) and makes_text(key):
                return "with an attribute whose name is computed"
    return ""


def _pairs(layer: Value) -> Iterator[tuple[Value, Value]]:
    """The entries of a dictionary, also of one that a call makes of another or of pairs."""
    if isinstance(layer, (Dict, Call)):
        yield from layer.pairs
    for given in layer.args.items if isinstance(layer, Call) and isinstance(layer.args, Tuple) else ():
        if isinstance(given, Dict):
            yield from given.pairs
        elif isinstance(given, (List, Tuple, Set, FrozenSet)):
            yield from (
                (pair.items[0], pair.items[-1])
                for pair in given.items
                if isinstance(pair, (List, Tuple)) and pair.items
            )


def again(call: Call, entry: Entry | None, build: Build) -> str:
    """Why a state is one too many: what was made before it may stand on the memory that it gives back."""
    own = entry is not None and entry.effect is Effect.REBUILD
    return "which has a state already" if own and len(call.states) > 1 and build.state is not call.states[0] else ""
