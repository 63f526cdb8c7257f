"""TensorFlow graphs: their nodes, the functions beside them, and the texts that reach a node.

A path that a graph opens is rarely written where it is opened: it goes through joins, choices and functions. `origins`
follows the first component of such a text back to where it comes from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from safeload.formats.protobuf import BYTES, OF_A_NODE, Field, Messages

GIVEN = "<given by the caller>"
COMPUTED = "<computed>"
_STRING = 7
_FIRST = frozenset(
    {"StringJoin", "ShardedFilename", "Identity", "Reshape", "ExpandDims", "Squeeze", "StringStrip", "EnsureShape"}
)
"""Operators whose result begins with their first input."""
_ALL = frozenset({"Pack", "Concat", "ConcatV2", "IdentityN", "PlaceholderWithDefault", "Merge", "Switch"})
_CHOICE = frozenset({"Select", "SelectV2"})
_OUTSIDE = frozenset({"Placeholder", "PlaceholderV2", "_Arg"})
_BRANCHES = frozenset({"If", "StatelessIf", "Case", "StatelessCase"})
_UP = ".."
_TEXTS = 1_000
"""Texts of one constant that are kept: paths come in small numbers, vocabularies do not."""


class Node(NamedTuple):
    op: str
    inputs: tuple[str, ...]
    offset: int
    texts: tuple[str, ...] = ()
    """Texts of a constant, and of attributes."""
    functions: tuple[str, ...] = ()
    """Functions that its attributes name."""


@dataclass(slots=True)
class Body:
    """A graph, or one function: nodes by name."""

    parameters: tuple[str, ...] = ()
    nodes: dict[str, list[Node]] = field(default_factory=dict)
    """Names should be unique; where they are not, each node counts."""


@dataclass(slots=True)
class Graph:
    """A graph and its library. Bodies of the same name are all kept."""

    bodies: list[Body] = field(default_factory=list)
    functions: dict[str, list[Body]] = field(default_factory=dict)
    assets: set[str] = field(default_factory=set)
    """Constants that a loader replaces by the path of a file of the model."""
    bound: dict[str, list[str]] = field(default_factory=dict)
    """What loaders hand to a function for its last parameters: names of constants of the graph; empty for the rest."""

    def all_bodies(self) -> Iterator[Body]:
        yield from self.bodies
        for named in self.functions.values():
            yield from named


def read_graph(messages: Messages, graph: Graph, start: int, end: int) -> None:
    """Add a `GraphDef` to a graph."""
    body = Body()
    graph.bodies.append(body)
    for one in messages.parts(start, end):
        if one.number == 1:
            _add(messages, body, one)
        elif one.number == 2:
            for function in messages.parts(one.start, one.end):
                if function.number == 1:
                    _function(messages, graph, function)


def _function(messages: Messages, graph: Graph, function: Field) -> None:
    names: list[str] = []
    parameters: list[str] = []
    body = Body()
    for one in messages.parts(function.start, function.end):
        if one.number == 1:
            for part in messages.parts(one.start, one.end):
                if part.number == 1:
                    names.append(messages.text(part))
                elif part.number == 2 and part.wire == BYTES:
                    parameters.append(messages.first(part, 1))
        elif one.number == 3:
            _add(messages, body, one)
    body.parameters = tuple(parameters)
    for name in names or [""]:
        graph.functions.setdefault(name, []).append(body)


def _add(messages: Messages, body: Body, node: Field) -> None:
    name = op = ""
    messages.work.visit(OF_A_NODE, messages.location)
    inputs: list[str] = []
    texts: list[str] = []
    functions: list[str] = []
    for one in messages.parts(node.start, node.end):
        if one.number == 1:
            name = messages.text(one)
        elif one.number == 2:
            op = messages.text(one)
        elif one.number == 3:
            inputs.append(messages.text(one))
        elif one.number == 5:
            _attribute(messages, one, texts, functions)
    body.nodes.setdefault(name, []).append(Node(op, tuple(inputs), node.start, tuple(texts[:_TEXTS]), tuple(functions)))


def _attribute(messages: Messages, entry: Field, texts: list[str], functions: list[str]) -> None:
    """Texts and functions of one attribute; of tensors only those of type string. Lists are read like single values."""
    waiting = [one for one in messages.parts(entry.start, entry.end) if one.number == 2]
    while waiting:
        value = waiting.pop()
        for one in messages.parts(value.start, value.end):
            if one.number == 1:
                _list(messages, one, texts, functions)
            elif one.number == 2:
                texts.append(messages.text(one))
            elif one.number == 8:
                _tensor(messages, one, texts)
            elif one.number == 10:
                functions.append(messages.first(one, 1))
                for inner in messages.parts(one.start, one.end):
                    if inner.number == 2:
                        waiting += [deep for deep in messages.parts(inner.start, inner.end) if deep.number == 2]


def _list(messages: Messages, value: Field, texts: list[str], functions: list[str]) -> None:
    for one in messages.parts(value.start, value.end):
        if one.number == 2 and len(texts) < _TEXTS:
            texts.append(messages.text(one))
        elif one.number == 8:
            _tensor(messages, one, texts)
        elif one.number == 9:
            functions.append(messages.first(one, 1))


def _tensor(messages: Messages, tensor: Field, texts: list[str]) -> None:
    for one in messages.fields(tensor.start, tensor.end):
        if one.number == 1 and one.value != _STRING:
            return
        if one.number == 8 and one.wire == BYTES and len(texts) < _TEXTS:
            texts.append(messages.text(one))


# ── where a text comes from ─────────────────────────────────────────────────────────────────────────────────────


class Origins:
    """Where texts come from, in one graph with its functions."""

    def __init__(self, graph: Graph, messages: Messages) -> None:
        self.graph = graph
        self.messages = messages
        self._calls: dict[str, list[tuple[Body, Node]]] = {}
        for body in graph.all_bodies():
            for nodes in body.nodes.values():
                for node in nodes:
                    for name in (*node.functions, *((node.op,) if node.op in graph.functions else ())):
                        self._calls.setdefault(name, []).append((body, node))
        self._names = {id(body): name for name, bodies in graph.functions.items() for body in bodies}

    def of(self, body: Body, source: str) -> set[str]:
        """The constant texts that the first component of an input may be; `GIVEN` or `COMPUTED` for the others.

        Raises:
            LimitExceeded: the graph is tangled beyond `Limits.nodes`.
        """
        found: set[str] = set()
        later: list[tuple[Body, str]] = []
        self._follow([(body, source)], found, later)
        if later:  # what is joined to the first component matters only where it leads upwards
            joined: set[str] = set()
            self._follow(later, joined, later)
            found |= {text for text in joined if _UP in text}
        return found

    def _follow(self, waiting: list[tuple[Body, str]], found: set[str], later: list[tuple[Body, str]]) -> None:
        """Collect the constant texts at the beginning of inputs, and put aside what is joined to them."""
        seen: set[tuple[int, str]] = set()
        while waiting:
            body, source = waiting.pop()
            name = source.partition(":")[0]
            if (id(body), name) in seen:
                continue
            seen.add((id(body), name))
            nodes = body.nodes.get(name)
            self.messages.work.visit(1 + (0 if nodes is None else len(nodes)), self.messages.location)
            if nodes is None:
                if name in body.parameters:
                    index = body.parameters.index(name)
                    callers = self._arguments(body, index) + self._bound(body, index)
                    waiting += callers
                    found |= set() if callers else {GIVEN}
                else:
                    found.add(COMPUTED)
                continue
            for node in nodes:
                found |= self._node(body, name, node, waiting)
                if node.op == "StringJoin":
                    later += [(body, one) for one in node.inputs[1:] if not one.startswith("^")]

    def _node(self, body: Body, name: str, node: Node, waiting: list[tuple[Body, str]]) -> set[str]:
        inputs = [one for one in node.inputs if not one.startswith("^")]
        if node.op in ("Const", "ConstV2"):
            return {GIVEN} if name in self.graph.assets else set(node.texts) or {COMPUTED}
        if node.op in _OUTSIDE:
            return {GIVEN}
        if node.op in _FIRST and inputs:
            waiting.append((body, inputs[0]))
        elif node.op in _CHOICE and len(inputs) > 2:
            waiting += [(body, one) for one in inputs[1:3]]
        elif node.op in _ALL and inputs:
            waiting += [(body, one) for one in inputs]
        else:
            return {COMPUTED}
        return set()

    def _arguments(self, body: Body, index: int) -> list[tuple[Body, str]]:
        """What callers of a function hand over for a parameter; all they hand over, where that is not clear."""
        found = []
        for caller, node in self._calls.get(self._names.get(id(body), ""), []):
            inputs = [one for one in node.inputs if not one.startswith("^")]
            inputs = inputs[1:] if node.op in _BRANCHES else inputs
            plain = len(inputs) == len(body.parameters)
            found += [(caller, one) for one in (inputs[index : index + 1] if plain else inputs)]
        return found

    def _bound(self, body: Body, index: int) -> list[tuple[Body, str]]:
        """The constants that a loader hands over for a parameter, by the object graph of a SavedModel."""
        bound = self.graph.bound.get(self._names.get(id(body), ""), [])
        place = index - (len(body.parameters) - len(bound))
        if place < 0 or place >= len(bound) or not bound[place]:
            return []
        return [(main, bound[place]) for main in self.graph.bodies]
