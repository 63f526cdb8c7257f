"""Arrays that were mapped from a file when they were written: `numpy.memmap` as the class of an array.

Called, it opens a file, or writes one. In a pickle of such an array it is only named, in two places:

1. `_reconstruct(numpy.memmap, (0,), b"b")`: numpy's own code makes an empty array of that class, by no call of it
   (multiarray/methods.c: array__reconstruct), and the numbers follow as its state;
2. joblib's `subclass`, where joblib leaves it aside.

Anywhere else it is what it always is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.graph import Build, Call, Dict, Global, How, Node, Persistent, Reading, Tuple, Value
from safeload.core.names import GlobalName
from safeload.rules.values import inside

_MAPS = frozenset(GlobalName(home, "memmap") for home in ("numpy", "numpy.core.memmap", "numpy._core.memmap"))
_REMAKES = frozenset(GlobalName(f"{core}.multiarray", "_reconstruct") for core in ("numpy.core", "numpy._core"))
_WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")


def _is_map(value: Value) -> bool:
    return isinstance(value, Global) and value.name in _MAPS


def remakes_map(call: Call) -> bool:
    """Whether a call makes an array of that class again, in exactly this form."""
    items = call.args.items if isinstance(call.args, Tuple) else ()
    named = isinstance(call.callee, Global) and call.callee.name in _REMAKES and call.how is How.REDUCE
    return named and len(items) == 3 and call.kwargs is None and _is_map(items[0])


def subclasses(reading: Reading, imports: Iterable[Global]) -> set[Global]:
    """Which imports name that class and stand nowhere but in these two places."""
    found = {node for node in imports if _is_map(node)}
    if not found:
        return found
    seen: set[Node] = set()
    waiting: list[Value] = [reading.value]
    for act in reading.trace:
        if isinstance(act, Build):
            waiting.append(act.target)
            if not _of_wrapper(act.target):
                waiting.append(act.state)
        elif isinstance(act, Persistent):
            waiting.append(act.id)
        elif isinstance(act, Call):
            waiting.append(act)
    while waiting:
        node = waiting.pop()
        if isinstance(node, Global):
            found.discard(node)
        elif isinstance(node, Node) and node not in seen:
            seen.add(node)
            waiting.extend(_parts(node))
    return found


def _parts(node: Node) -> Iterator[Value]:
    """What a node holds, but for the class in its place."""
    if not isinstance(node, Call):
        yield from inside(node)
    elif remakes_map(node) and isinstance(node.args, Tuple):
        yield from (*node.args.items[1:], *node.states, *node.items, *(part for pair in node.pairs for part in pair))
    elif _of_wrapper(node):
        yield from (node.args, node.kwargs, *node.items, *(part for pair in node.pairs for part in pair))
        for state in node.states:
            pairs = state.pairs if isinstance(state, Dict) else [(None, state)]
            yield from (part for pair in pairs if pair[0] != "subclass" for part in pair)
    else:
        yield node.callee
        yield from inside(node)


def _of_wrapper(value: Value) -> bool:
    return isinstance(value, Call) and isinstance(value.callee, Global) and value.callee.name == _WRAPPER
