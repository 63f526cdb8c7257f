"""Where a reading uses what it imports as a value."""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.graph import Build, Call, Dict, FrozenSet, Global, List, Node, Persistent, Reading, Set, Tuple, Value


def globals_as_values(reading: Reading) -> set[Global]:
    """The globals that stand somewhere as a value, rather than as what is called."""
    found: set[Global] = set()
    seen: set[Node] = set()
    waiting: list[Value] = [reading.value]
    for node in reading.trace:
        if isinstance(node, Call):
            waiting.append(node)
        elif isinstance(node, Build):
            waiting.extend((node.target, node.state))
        elif isinstance(node, Persistent):
            waiting.append(node.id)
    while waiting:
        node = waiting.pop()
        if not isinstance(node, Node) or node in seen:
            continue
        seen.add(node)
        if isinstance(node, Global):
            found.add(node)
            seen.discard(node)
        else:
            waiting.extend(inside(node))
    return found


def inside(node: Node) -> Iterator[Value]:
    """The values that a node holds, but for the name that a call calls."""
    if isinstance(node, (List, Set, Tuple, FrozenSet)):
        yield from node.items
    elif isinstance(node, Dict):
        for pair in node.pairs:
            yield from pair
    elif isinstance(node, Call):
        if not isinstance(node.callee, Global):
            yield node.callee
        yield from (node.args, node.kwargs, *node.states, *node.items)
        for pair in node.pairs:
            yield from pair
