"""Our walker over ONNX models against the onnx library's own reading of the same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeload.core.blob import MemoryBlob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Irregularity, Operator, Part, Reference, Text
from safeload.formats.onnx import FORMAT

onnx = pytest.importorskip("onnx")
DECODE_ERROR = pytest.importorskip("google.protobuf.message").DecodeError

WORDS = st.sampled_from(["", "a", "Relu", "If", "é", "com.example", "ai.onnx", "PythonOp", "x/y", "../w.bin", "f"])
NAMES = WORDS.filter(bool)
SEVERAL = {"max_size": 2}


@dataclass
class Found:
    """What a model names, by either reading."""

    operators: Counter[tuple[str, str]] = field(default_factory=Counter)
    own: set[tuple[str, str]] = field(default_factory=set)
    """Those that the model defines itself."""
    texts: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    odd_keys: int = 0
    metadata: list[tuple[str, str]] = field(default_factory=list)


# ── models ──────────────────────────────────────────────────────────────────────────────────────────────────────


@st.composite
def tensors(draw: st.DrawFn) -> Any:
    tensor = onnx.TensorProto(name=draw(WORDS), data_type=1, dims=[1])
    if draw(st.booleans()):
        tensor.raw_data = b"\0\0\0\0"
    else:
        tensor.float_data.extend([1.0, 2.0])
    keys = st.sampled_from(["location", "offset", "length", "checksum", "basepath", "other", ""])
    for key in draw(st.lists(keys, max_size=3)):
        tensor.external_data.add(key=key, value=draw(WORDS))
        tensor.data_location = onnx.TensorProto.EXTERNAL
    return tensor


@st.composite
def sparse(draw: st.DrawFn) -> Any:
    return onnx.SparseTensorProto(values=draw(tensors()), indices=draw(tensors()), dims=[3])


@st.composite
def attributes(draw: st.DrawFn, depth: int) -> Any:
    made = onnx.AttributeProto(name=draw(NAMES), type=draw(st.sampled_from([1, 2, 3, 4, 5, 8])), doc_string=draw(WORDS))
    filled = draw(st.sampled_from(["f", "i", "s", "t", "floats", "strings", "tensors", "sparse", "g", "graphs", "tp"]))
    if filled == "f":
        made.f = 1.5
    elif filled == "i":
        made.i = draw(st.integers(-5, 1 << 40))
    elif filled == "s":
        made.s = draw(WORDS).encode()
    elif filled == "t":
        made.t.CopyFrom(draw(tensors()))
    elif filled == "floats":
        made.floats.extend([1.0, 2.0])
        made.ints.extend([1, 2, 300])
    elif filled == "strings":
        made.strings.extend(draw(st.lists(WORDS.map(str.encode), **SEVERAL)))
    elif filled == "tensors":
        made.tensors.extend(draw(st.lists(tensors(), **SEVERAL)))
    elif filled == "sparse":
        made.sparse_tensor.CopyFrom(draw(sparse()))
        made.sparse_tensors.extend(draw(st.lists(sparse(), **SEVERAL)))
    elif filled == "tp":
        made.tp.tensor_type.elem_type = 1
    elif depth and filled == "g":
        made.g.CopyFrom(draw(graphs(depth - 1)))
    elif depth:
        made.graphs.extend(draw(st.lists(graphs(depth - 1), **SEVERAL)))
    return made


@st.composite
def nodes(draw: st.DrawFn, depth: int) -> Any:
    made = onnx.NodeProto(op_type=draw(NAMES), name=draw(WORDS), input=["x"], output=["y"], doc_string=draw(WORDS))
    if draw(st.booleans()):
        made.domain = draw(WORDS)
    made.attribute.extend(draw(st.lists(attributes(depth), **SEVERAL)))
    made.metadata_props.add(key="k", value="v")
    return made


@st.composite
def graphs(draw: st.DrawFn, depth: int) -> Any:
    made = onnx.GraphProto(name=draw(WORDS), node=draw(st.lists(nodes(depth), min_size=1, max_size=3)))
    made.initializer.extend(draw(st.lists(tensors(), **SEVERAL)))
    made.sparse_initializer.extend(draw(st.lists(sparse(), **SEVERAL)))
    made.input.append(onnx.helper.make_tensor_value_info("x", 1, [1, "n"]))
    return made


@st.composite
def models(draw: st.DrawFn) -> Any:
    made = onnx.ModelProto(ir_version=10, producer_name="p", graph=draw(graphs(2)))
    made.opset_import.add(domain="", version=21)
    for key in draw(st.lists(WORDS, **SEVERAL)):
        made.metadata_props.add(key=key, value=draw(WORDS))
    for _ in range(draw(st.integers(0, 2))):
        body = onnx.FunctionProto(name=draw(NAMES), domain=draw(WORDS), node=draw(st.lists(nodes(1), max_size=2)))
        body.attribute_proto.extend(draw(st.lists(attributes(1), **SEVERAL)))
        made.functions.append(body)
    if draw(st.booleans()):
        made.training_info.add(initialization=draw(graphs(1)), algorithm=draw(graphs(1)))
    return made


# ── the two readings ────────────────────────────────────────────────────────────────────────────────────────────


def theirs(data: bytes) -> Found:
    model = onnx.ModelProto.FromString(data)
    found = Found(metadata=[(entry.key, entry.value) for entry in model.metadata_props])
    found.own = {(body.domain, body.name) for body in model.functions}
    waiting: list[Any] = [model.graph, *model.functions]
    for training in model.training_info:
        waiting += [training.initialization, training.algorithm]
    while waiting:
        waiting += list(_inside(waiting.pop(), found))
    return found


def _inside(one: Any, found: Found) -> Iterator[Any]:
    """What stands in a message that could name something; the message itself is noted."""
    kind = type(one).__name__
    if kind == "TensorProto":
        for entry in one.external_data:
            if entry.key in ("location", "basepath"):
                found.files.add(entry.value)
            elif entry.key not in ("offset", "length", "checksum"):
                found.odd_keys = 1
    elif kind == "SparseTensorProto":
        yield from (one.values, one.indices)
    elif kind == "AttributeProto":
        yield from (one.t, one.g, one.sparse_tensor, *one.tensors, *one.graphs, *one.sparse_tensors)
    elif kind == "NodeProto":
        found.operators[one.domain, one.op_type] += 1
        texts = found.texts.setdefault((one.domain, one.op_type), set())
        for attribute in one.attribute:
            texts |= {text.decode() for text in ([attribute.s] if attribute.HasField("s") else [])}
            texts |= {text.decode() for text in attribute.strings}
        yield from one.attribute
    elif kind == "FunctionProto":
        yield from (*one.node, *one.attribute_proto)
    elif kind == "GraphProto":
        yield from (*one.node, *one.initializer, *one.sparse_initializer)


def ours(data: bytes) -> Found:
    found = Found()
    parts: Iterable[Part] = FORMAT.read(MemoryBlob(data), Location("m.onnx"), Limits())
    for part in parts:
        if isinstance(part, Operator):
            own = part.domain.startswith("function")
            name = (part.domain.removeprefix("function").strip() if own else part.domain, part.name)
            found.operators[name] += part.count
            found.texts[name] = set(part.arguments)
            found.own |= {name} if own else set()
        elif isinstance(part, Reference):
            found.files.add(part.target)
        elif isinstance(part, Text):
            found.metadata.append((part.location.path or "", part.text))
        elif isinstance(part, Irregularity):
            found.odd_keys = 1
    return found


def compare(data: bytes) -> None:
    mine, reference = ours(data), theirs(data)
    assert mine.operators == reference.operators
    assert mine.own == reference.own & set(reference.operators)
    assert mine.files == reference.files and mine.odd_keys == reference.odd_keys
    assert mine.metadata == reference.metadata
    for name, texts in reference.texts.items():
        assert mine.texts[name] <= texts and (len(texts) > 10 or mine.texts[name] == texts)


@settings(max_examples=50, deadline=None)
@given(models())
def test_what_onnx_reads_is_what_is_judged(model: Any) -> None:
    """Operators with their domains, counts and texts, the model's own functions, files that tensors point to, and
    notes are those that the library finds, wherever they stand."""
    data = model.SerializeToString()
    assert FORMAT.sniff(data[: 1 << 16], data[-(1 << 16) :], len(data), "m.onnx")
    compare(data)


@settings(max_examples=25, deadline=None)
@given(models(), models())
def test_two_models_in_a_row_are_read_as_one(first: Any, second: Any) -> None:
    """Parsers merge messages that follow each other: what the second one adds does not hide behind the first."""
    compare(first.SerializeToString() + second.SerializeToString())


@settings(max_examples=25, deadline=None)
@given(models(), st.randoms(use_true_random=False))
def test_what_onnx_accepts_of_a_damaged_model_is_judged(model: Any, chance: Any) -> None:
    """A changed byte that the library reads over changes our reading alike, or makes ours refuse the file."""
    from safeload.core.errors import MalformedInput

    data = bytearray(model.SerializeToString())
    data[chance.randrange(len(data))] = chance.randrange(256)
    try:
        reference = theirs(bytes(data))
    except (DECODE_ERROR, UnicodeDecodeError):
        return
    try:
        mine = ours(bytes(data))
    except MalformedInput:
        return
    assert mine.operators == reference.operators and mine.files == reference.files
