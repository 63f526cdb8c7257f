"""TensorFlow: SavedModels, frozen graphs, meta graphs, and what Keras writes beside them.

All operators are listed, also those of functions that nothing seems to call. Operators that take the path of a file
say where it comes from.
"""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Operator, Part
from safeload.formats.keras_objects import embedded
from safeload.formats.protobuf import BYTES, OF_A_KIND, VARINT, Field, Messages, begins, fits, shape
from safeload.formats.tf_graph import Body, Graph, Node, Origins, read_graph

_SAVED = {1: VARINT, 2: BYTES}
_METADATA = {1: BYTES}
_META = {1: BYTES, 2: BYTES, 3: BYTES, 4: BYTES, 5: BYTES, 6: BYTES, 7: BYTES}
_GRAPH = {1: BYTES, 2: BYTES, 3: VARINT, 4: BYTES, 5: BYTES}
_NODE = {1: BYTES, 2: BYTES, 3: BYTES, 4: BYTES, 5: BYTES, 6: BYTES, 7: BYTES}
_INFO = {1: BYTES, 2: BYTES, 3: BYTES, 4: BYTES, 5: BYTES, 6: BYTES, 7: VARINT, 8: BYTES, 9: BYTES}
_PATHS = {
    "SaveV2": 0,
    "Save": 0,
    "SaveSlices": 0,
    "RestoreV2": 0,
    "Restore": 0,
    "RestoreSlice": 0,
    "ShardedFilename": 0,
    "ShardedFilespec": 0,
    "MergeV2Checkpoints": 1,
    "InitializeTableFromTextFile": 1,
    "InitializeTableFromTextFileV2": 1,
}
"""Operators that models of every day have, and which input of theirs is a path."""
_OF_A_META_GRAPH = 50
"""Fields that reading a meta graph is counted for, however little is in it."""
_MOST = 50
"""Texts that are kept of one operator which is not judged by them."""


def operators(messages: Messages, graph: Graph) -> Iterator[Operator]:
    """Every operator of a graph and its functions, once by name and arguments."""
    origins = Origins(graph, messages)
    counts: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    loose: dict[str, dict[str, None]] = {}
    for body in graph.all_bodies():
        for nodes in body.nodes.values():
            for node in nodes:
                if node.op in graph.functions and node.op not in _PATHS:
                    loose.setdefault(node.op, {})
                if node.op in _PATHS:
                    arguments = tuple(sorted(_paths(origins, body, node)))
                    counts.setdefault((node.op, arguments), [0, node.offset])[0] += 1
                    continue
                counts.setdefault((node.op, ()), [0, node.offset])[0] += 1
                texts = loose.setdefault(node.op, {})
                if node.op not in ("Const", "ConstV2") and len(texts) < _MOST:
                    texts.update(dict.fromkeys(_texts(body, node, messages)[:_MOST]))
                for name in node.functions:
                    if name and name not in graph.functions:
                        counts.setdefault((name, ()), [0, node.offset])[0] += 1
    for (op, arguments), (count, offset) in counts.items():
        messages.work.visit(OF_A_KIND, messages.location)
        defined = op in graph.functions
        yield Operator(
            location=messages.location.at(offset),
            framework="tensorflow",
            name=op,
            domain="function" if defined else "",
            arguments=arguments or tuple(loose.get(op, ())),
            count=count,
        )


def _paths(origins: Origins, body: Body, node: Node) -> set[str]:
    inputs = [one for one in node.inputs if not one.startswith("^")]
    index = _PATHS[node.op]
    return origins.of(body, inputs[index]) if index < len(inputs) else set()


def _texts(body: Body, node: Node, messages: Messages) -> list[str]:
    """Texts of a node, and of the constants that it is given directly."""
    texts = [text for text in node.texts if text]
    for source in node.inputs[:16]:
        others = body.nodes.get(source.partition(":")[0], ())
        messages.work.visit(len(others), messages.location)
        for other in others:
            if other.op in ("Const", "ConstV2"):
                texts += other.texts
    return texts


def _meta_graph(messages: Messages, meta: Field | None, location: Location, limits: Limits) -> Iterator[Part]:
    messages.work.visit(_OF_A_META_GRAPH, location)
    graph = Graph()
    fault: MalformedInput | None = None
    try:
        for one in messages.parts(meta.start, meta.end) if meta else messages.parts():
            if one.number == 2:
                read_graph(messages, graph, one.start, one.end)
            elif one.number == 6:
                for part in messages.parts(one.start, one.end):
                    if part.number == 1:
                        graph.assets.add(messages.first(part, 1).partition(":")[0])
            elif one.number == 7:
                _bound(messages, one, graph)
                yield from _objects(messages, one, location, limits)
    except MalformedInput as error:
        fault = error
    yield from operators(messages, graph)
    if fault is not None:
        raise fault


def _bound(messages: Messages, objects: Field, graph: Graph) -> None:
    """Which constants loaders hand to which functions: kept as numbers of objects, some of which are constants."""
    constants: list[str] = []
    functions: dict[str, list[int]] = {}
    for one in messages.parts(objects.start, objects.end):
        if one.number == 1:
            constants.append("")
            for kind in messages.parts(one.start, one.end):
                if kind.number == 9:
                    constants[-1] = messages.first(kind, 1)
        elif one.number == 2:
            ids = functions.setdefault(messages.first(one, 1), [])
            for value in messages.parts(one.start, one.end):
                if value.number == 2:
                    for inner in messages.fields(value.start, value.end):
                        if inner.number == 2:
                            ids += _numbers(messages, inner)
    for name, ids in functions.items():
        graph.bound[name] = [constants[index] if index < len(constants) else "" for index in ids]


def _numbers(messages: Messages, field: Field) -> list[int]:
    """A repeated number, packed or not."""
    if field.wire != BYTES:
        return [field.value]
    found = []
    at = field.start
    while at < field.end:
        value, at = messages.varint(at, field.end, 10)
        found.append(value)
    return found


def _objects(messages: Messages, graph: Field, location: Location, limits: Limits) -> Iterator[Part]:
    """What Keras wrote into the object graph (until TensorFlow 2.5): layers as JSON."""
    for node in messages.parts(graph.start, graph.end):
        if node.number != 1:
            continue
        for one in messages.parts(node.start, node.end):
            if one.number == 4:
                yield from _metadata(messages, one, 3, location, limits)


def _metadata(messages: Messages, one: Field, number: int, location: Location, limits: Limits) -> Iterator[Part]:
    for part in messages.parts(one.start, one.end):
        if part.number == number and part.end > part.start:
            messages.work.visit(OF_A_KIND, location)  # a document of JSON, however short
            raw = messages.raw(part, limits.json_bytes + 1)
            yield from embedded(raw, location.at(part.start), limits)


def _read_saved_model(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    messages = Messages(blob, location, limits)
    for one in messages.parts():
        if one.number == 2:
            yield from _meta_graph(messages, one, location, limits)


def _read_meta_graph(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    yield from _meta_graph(Messages(blob, location, limits), None, location, limits)


def _read_graph(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    messages = Messages(blob, location, limits)
    graph = Graph()
    fault: MalformedInput | None = None
    try:
        read_graph(messages, graph, 0, blob.size)
    except MalformedInput as error:
        fault = error
    yield from operators(messages, graph)
    if fault is not None:
        raise fault


def _read_keras_metadata(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    messages = Messages(blob, location, limits)
    for node in messages.parts():
        if node.number == 1:
            yield from _metadata(messages, node, 5, location, limits)


# ── how they are told apart ─────────────────────────────────────────────────────────────────────────────────────


def _is_node(data: bytes, whole: int) -> bool:
    """A node has a name and an operator, whose names are words."""
    seen = shape(data, whole)
    if not fits(seen, _NODE, needs=(1,)) or seen is None:
        return False
    op = seen.get(2, (BYTES, b"NoOp"))[1]
    return all(byte > 0x20 for byte in op + seen[1][1]) and bool(op)


def _is_graph(data: bytes, whole: int) -> bool:
    seen = shape(data, whole)
    if not fits(seen, _GRAPH, needs=()) or seen is None:
        return False
    if 1 in seen:
        return _is_node(*_value(data, seen[1][1]))
    return bool(seen.keys() & {2, 4}) and 3 not in seen


def _value(data: bytes, value: bytes) -> tuple[bytes, int]:
    """A value, and how long it may be: one that reaches the end of what was seen may go on."""
    return value, (1 << 62 if data.endswith(value) else len(value))


def _is_meta(data: bytes, whole: int) -> bool:
    seen = shape(data, whole)
    if not fits(seen, _META, needs=(2,)) or seen is None:
        return False
    if 1 in seen and not fits(shape(*_value(data, seen[1][1])), _INFO, needs=()) and seen[1][1]:
        return False
    return not seen[2][1] or _is_graph(*_value(data, seen[2][1]))


def _is_saved(head: bytes, size: int) -> bool:
    seen = shape(head, size)
    if not fits(seen, _SAVED, needs=(2,)) or seen is None:
        return False
    meta = shape(*_value(head, seen[2][1]))
    if not meta or not fits(meta, _META, needs=()):
        return False
    return 1 not in meta or not meta[1][1] or fits(shape(*_value(head, meta[1][1])), _INFO, needs=())


def _is_metadata(head: bytes, size: int) -> bool:
    seen = shape(head, size)
    if not fits(seen, _METADATA, needs=(1,)) or seen is None:
        return False
    node = shape(*_value(head, seen[1][1]))
    known = {2: VARINT, 3: BYTES, 4: BYTES, 5: BYTES, 6: BYTES}
    return fits(node, known, needs=(2, 3, 4)) and node is not None and node[4][1].startswith(b"_tf_keras")


FORMATS = (
    Format(
        name="tf-saved-model",
        title="a TensorFlow SavedModel",
        suffixes=(".pb",),
        sniff=lambda head, tail, size, name: _is_saved(head, size),
        read=_read_saved_model,
        claims=Claims(first=begins(_SAVED)),
    ),
    Format(
        name="tf-meta-graph",
        title="a TensorFlow meta graph",
        suffixes=(".meta",),
        sniff=lambda head, tail, size, name: _is_meta(head, size),
        read=_read_meta_graph,
        claims=Claims(first=begins(_META)),
    ),
    Format(
        name="tf-graph",
        title="a TensorFlow graph",
        suffixes=(".pb", ".graphdef"),
        sniff=lambda head, tail, size, name: _is_graph(head, size),
        read=_read_graph,
        claims=Claims(first=begins(_GRAPH)),
    ),
    Format(
        name="keras-metadata",
        title="Keras's notes in a SavedModel",
        suffixes=(".pb",),
        sniff=lambda head, tail, size, name: _is_metadata(head, size),
        read=_read_keras_metadata,
        claims=Claims(first=begins(_METADATA)),
    ),
)
