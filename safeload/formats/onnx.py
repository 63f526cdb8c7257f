"""ONNX models: the operators of their graphs, subgraphs, training graphs and functions, and the files they point to.

Tensors are passed over; those that live in other files name them. Graphs within attributes wait on a list.
"""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.base import Claims, Format, Irregularity, Operator, Part, Reference, Text
from safeload.formats.protobuf import BYTES, OF_A_KIND, OF_A_NODE, VARINT, Field, Messages, begins, fits, shape

_MODEL = {1: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, 7: BYTES, 8: BYTES, 14: BYTES, 20: BYTES}
_KNOWN = {**_MODEL, 25: BYTES, 26: BYTES}
_GRAPH, _FUNCTION, _TRAINING = "graph", "function", "training"
_KEYS = frozenset({"location", "offset", "length", "checksum", "basepath"})
"""What may be said of data in another file; libraries set whatever else is there on an object of theirs."""
_TEXTS = 20
_FILES = 1_000
"""Files that tensors point to, listed one by one."""


class _Model:
    def __init__(self, messages: Messages, limits: Limits) -> None:
        self.messages = messages
        self.limits = limits
        self.operators: dict[tuple[str, str], list[int]] = {}
        self.texts: dict[tuple[str, str], dict[str, None]] = {}
        self.functions: set[tuple[str, str]] = set()
        self.files: dict[str, int] = {}
        self.notes: dict[str, int] = {}
        self.metadata: list[tuple[str, str, int]] = []
        self.waiting: list[tuple[str, Field, int]] = []

    def read(self) -> None:
        """The whole model. Whatever was found before a fault stays in the attributes."""
        for one in self.messages.parts():
            if one.number == 7:
                self.waiting.append((_GRAPH, one, 0))
            elif one.number == 14:
                self._entry(one)
            elif one.number == 20:
                self.waiting.append((_TRAINING, one, 0))
            elif one.number == 25:
                self.waiting.append((_FUNCTION, one, 0))
        while self.waiting:
            kind, field, depth = self.waiting.pop()
            if depth > self.limits.depth:
                raise LimitExceeded("depth", allowed=self.limits.depth, wanted=depth, where=self.messages.location)
            if kind == _GRAPH:
                self._graph(field, depth)
            elif kind == _FUNCTION:
                self._function(field, depth)
            else:
                for one in self.messages.parts(field.start, field.end):
                    if one.number in (1, 2):
                        self.waiting.append((_GRAPH, one, depth + 1))

    def _graph(self, graph: Field, depth: int) -> None:
        for one in self.messages.parts(graph.start, graph.end):
            if one.number == 1:
                self._node(one, depth)
            elif one.number == 5:
                self._tensor(one)
            elif one.number == 15:
                self._sparse(one)

    def _function(self, function: Field, depth: int) -> None:
        name = domain = ""
        for one in self.messages.parts(function.start, function.end):
            if one.number == 1:
                name = self.messages.text(one)
            elif one.number == 10:
                domain = self.messages.text(one)
            elif one.number == 7:
                self._node(one, depth)
            elif one.number == 11:
                self._attribute(one, depth)
        self.functions.add((domain, name))

    def _node(self, node: Field, depth: int) -> None:
        kind = domain = ""
        texts: list[str] = []
        self.messages.work.visit(OF_A_NODE, self.messages.location)
        for one in self.messages.parts(node.start, node.end):
            if one.number == 4:
                kind = self.messages.text(one)
            elif one.number == 7:
                domain = self.messages.text(one)
            elif one.number == 5:
                texts += self._attribute(one, depth)
        self.operators.setdefault((domain, kind), [0, node.start])[0] += 1
        kept = self.texts.setdefault((domain, kind), {})
        if len(kept) < _TEXTS:
            kept.update(dict.fromkeys(texts[:_TEXTS]))

    def _attribute(self, attribute: Field, depth: int) -> list[str]:
        texts: list[str] = []
        for one in self.messages.parts(attribute.start, attribute.end):
            if one.number in (4, 9) and len(texts) < _TEXTS:
                texts.append(self.messages.text(one))
            elif one.number in (5, 10):
                self._tensor(one)
            elif one.number in (6, 11):
                self.waiting.append((_GRAPH, one, depth + 1))
            elif one.number in (22, 23):
                self._sparse(one)
        return texts

    def _sparse(self, sparse: Field) -> None:
        for one in self.messages.parts(sparse.start, sparse.end):
            if one.number in (1, 2):
                self._tensor(one)

    def _tensor(self, tensor: Field) -> None:
        for one in self.messages.parts(tensor.start, tensor.end):
            if one.number != 13:
                continue
            key, value = self.messages.first(one, 1), self.messages.first(one, 2)
            if key in ("location", "basepath"):
                self._file(value, one.start)
            elif key not in _KEYS and len(self.notes) < _FILES:
                self.notes.setdefault(key, one.start)

    def _file(self, name: str, at: int) -> None:
        if len(self.files) >= _FILES and name not in self.files:
            raise LimitExceeded("members", allowed=_FILES, wanted=_FILES + 1, where=self.messages.location.at(at))
        self.files.setdefault(name, at)

    def _entry(self, entry: Field) -> None:
        if len(self.metadata) < _FILES:
            self.metadata.append((self.messages.first(entry, 1), self.messages.first(entry, 2), entry.start))


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    model = _Model(Messages(blob, location, limits), limits)
    fault: MalformedInput | None = None
    try:
        model.read()
    except MalformedInput as error:
        fault = error
    yield from _parts(model, location)
    if fault is not None:
        raise fault


def _parts(model: _Model, location: Location) -> Iterator[Part]:
    for (domain, name), (count, offset) in model.operators.items():
        model.messages.work.visit(OF_A_KIND, location)
        own = (domain, name) in model.functions
        yield Operator(
            location=location.at(offset),
            framework="onnx",
            name=name,
            domain=f"function {domain}".rstrip() if own else domain,
            arguments=tuple(model.texts[domain, name]),
            count=count,
        )
    for file, offset in model.files.items():
        yield Reference(location=location.at(offset), kind="external-data", target=file)
    for key, offset in model.notes.items():
        detail = f"data in another file has the property {escape(key, 80)}, which libraries would set on an object"
        yield Irregularity(location=location.at(offset), kind="onnx-external-key", detail=detail)
    for key, value, offset in model.metadata:
        where = Location(location.file, location.member, offset, key)
        yield Text(location=where, text=value, role="metadata")


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    seen = shape(head, size)
    if not fits(seen, _KNOWN, needs=(1,)) or seen is None:
        return False
    if 7 in seen:
        return True
    return bool(seen.keys() & {8, 25}) or (name.lower().endswith(".onnx") and bool(seen.keys() & {2, 3, 14}))


FORMAT = Format(
    name="onnx",
    title="an ONNX model",
    suffixes=(".onnx",),
    sniff=_sniff,
    read=_read,
    claims=Claims(first=begins(_KNOWN)),
)
