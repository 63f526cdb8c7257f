"""Core ML, PaddlePaddle, OpenVINO, ExecuTorch, TensorRT, and TensorFlow's checkpoints."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given, settings

from safeload.core.errors import MalformedInput
from safeload.core.finding import Status
from safeload.formats.base import Operator, Reference
from tests.formats.damage import bears, damaged
from tests.formats.flat import Vector, flatbuffer
from tests.formats.helpers import of, reading
from tests.formats.proto import put, varint
from tests.formats.verdicts import rules, status

# ── Core ML ─────────────────────────────────────────────────────────────────────────────────────────────────────


def coreml(kind: int, inner: bytes) -> bytes:
    return put(1, 7) + put(2, put(1, put(1, "input"))) + put(kind, inner)


def entry(value: bytes) -> bytes:
    return put(1, "key") + put(2, value)


def operation(kind: str, file: str = "", blocks: bytes = b"") -> bytes:
    value = put(5, put(1, file)) if file else b""
    return put(1, kind) + put(5, entry(value)) + (put(4, blocks) if blocks else b"")


def program(*operations: bytes) -> bytes:
    block = b"".join(put(3, one) for one in operations)
    return put(1, 1) + put(2, entry(put(2, "CoreML5") + put(3, entry(block))))


def layer(number: int, inner: bytes = b"") -> bytes:
    return put(1, put(1, "layer") + put(number, inner))


NETWORK = layer(100) + layer(140)
PROGRAM = program(
    operation("conv", "@model_path/weights/weight.bin"), operation("cond", blocks=put(3, operation("relu")))
)
CUSTOM = layer(500, put(10, "MyLayer"))


def test_plain_core_ml_models_are_safe() -> None:
    """Networks and programs of the runtime's own operations, with weights in their package."""
    for raw in (coreml(500, NETWORK), coreml(502, PROGRAM)):
        result = reading(raw, "model.mlmodel")
        assert result.formats == ("coreml",) and result.fault is None and of(result, Operator)
        assert status(raw, "model.mlmodel") is Status.SAFE
    assert {part.name for part in of(reading(coreml(502, PROGRAM), "m.mlmodel"), Operator)} == {"conv", "cond", "relu"}


@pytest.mark.parametrize(
    "raw",
    [
        coreml(500, CUSTOM),
        coreml(403, CUSTOM),
        coreml(500, layer(605, put(1, NETWORK) + put(2, CUSTOM))),
        coreml(500, layer(615, put(4, CUSTOM))),
        coreml(202, put(1, coreml(500, NETWORK)) + put(1, coreml(500, CUSTOM))),
        coreml(200, put(1, put(1, coreml(303, CUSTOM)))),
        coreml(555, put(1, "MyModel")),
        coreml(3000, put(1, "x")),
    ],
)
def test_custom_layers_are_found_everywhere(raw: bytes) -> None:
    """In branches, loops and pipelines: a class of an application that nobody here knows."""
    assert status(raw, "model.mlmodel") is Status.UNVERIFIED


@pytest.mark.parametrize("target", ["/etc/passwd", "../x", "@model_path/../../x"])
def test_core_ml_files_outside_are_dangerous(target: str) -> None:
    """Weights of programs and linked models are named by path."""
    assert status(coreml(502, program(operation("const", target))), "model.mlmodel") is Status.DANGEROUS
    linked = coreml(556, put(1, put(1, put(1, target))))
    assert of(reading(linked, "model.mlmodel"), Reference) and status(linked, "model.mlmodel") is Status.DANGEROUS


def test_core_ml_weights_are_data_to_their_end() -> None:
    """Each tensor where the file says; anything behind the last is no tensor."""
    head = struct.pack("<II", 1, 2) + bytes(56)
    raw = head + struct.pack("<IIQQ", 0xDEADBEEF, 1, 64, 128) + bytes(40) + b"\1" * 64
    assert status(raw, "weight.bin") is Status.SAFE
    assert status(raw + b"\2" * 64, "weight.bin") is Status.UNDECIDED
    assert status(raw[:-1], "weight.bin") is Status.UNDECIDED


# ── PaddlePaddle ────────────────────────────────────────────────────────────────────────────────────────────────


def paddle(*operators: str) -> bytes:
    ops = b"".join(put(4, put(3, name) + put(4, put(1, "a") + put(2, 2) + put(5, "text"))) for name in operators)
    return put(1, put(1, 0) + put(2, 0) + put(3, put(1, "x")) + ops) + put(4, put(1, 0))


def parameters(*dimensions: int) -> bytes:
    description = put(1, 5) + b"".join(put(2, one) for one in dimensions)
    head = struct.pack("<IQIi", 0, 0, 0, len(description))
    return head + description + b"\1" * (4 * math.prod(dimensions))


def test_paddle_programs_are_judged_by_their_operators() -> None:
    """Those that compute, those that call Python or open files, and those of somebody else."""
    assert status(paddle("feed", "conv2d", "fetch"), "m.pdmodel") is Status.SAFE
    assert status(paddle("conv2d", "py_func"), "m.pdmodel") is Status.DANGEROUS
    assert status(paddle("load_combine"), "m.pdmodel") is Status.DANGEROUS
    assert status(paddle("my_op"), "m.pdmodel") is Status.UNVERIFIED


def test_paddle_parameters_are_data_to_their_end() -> None:
    """Tensors one after the other, and nothing else."""
    raw = parameters(2, 3) + parameters(4)
    assert reading(raw, "m.pdiparams").formats == ("paddle-parameters",) and status(raw, "m.pdiparams") is Status.SAFE
    assert status(raw[:-1], "m.pdiparams") is Status.UNDECIDED
    assert status(raw + b"\x80\x04N.", "m.pdiparams") is Status.UNDECIDED


# ── OpenVINO ────────────────────────────────────────────────────────────────────────────────────────────────────

NET = b"""<?xml version="1.0"?>
<net name="m" version="11"><layers>
<layer id="0" name="x" type="Parameter" version="opset1"/>
<layer id="1" name="y" type="%s" version="%s"/>
</layers></net>
"""


def test_openvino_networks_are_judged_by_their_layers() -> None:
    """Layers of its operator sets are its own; extensions are native code that somebody must load."""
    assert status(NET % (b"Convolution", b"opset1"), "m.xml") is Status.SAFE
    assert status(NET % (b"MyOp", b"extension"), "m.xml") is Status.UNVERIFIED


@pytest.mark.parametrize(
    "raw",
    [
        b'<?xml version="1.0"?><!DOCTYPE net [<!ENTITY x SYSTEM "file:///etc/passwd">]><net>&x;</net>',
        b"<net><layers>" + b"<a>" * 2000,
        (NET % (b"Add", b"opset1"))[:-9],
        b"<net>\xff</net>",
    ],
)
def test_openvino_xml_is_read_strictly(raw: bytes) -> None:
    """No entities, no endless depth, no half documents."""
    assert status(raw, "m.xml") >= Status.UNDECIDED


# ── ExecuTorch, TensorRT, checkpoints ───────────────────────────────────────────────────────────────────────────


def executorch(*names: str) -> bytes:
    plan = {0: "forward", 6: Vector({0: name} for name in names), 7: Vector([{0: "XnnpackBackend"}])}
    return flatbuffer({0: 0, 1: Vector([plan])}, b"ET12")


def test_executorch_programs_are_undecided_and_listed() -> None:
    """Programs in native code, whatever they call."""
    raw = executorch("aten::add", "my_lib::run")
    assert {(part.domain, part.name) for part in of(reading(raw, "m.pte"), Operator)} == {
        ("aten", "add"),
        ("my_lib", "run"),
        ("delegate", "XnnpackBackend"),
    }
    assert status(raw, "m.pte") is Status.UNDECIDED and rules(raw, "m.pte") == {"program", "operator-unlisted"}


@pytest.mark.parametrize(
    "raw", [b"ptrt\1\0\0\0" + bytes(64), b"B\0C\0N\0\0\0B\0V\0" + bytes(20), b"\x12\x01" + bytes(30)]
)
def test_engines_and_old_formats_are_undecided(raw: bytes) -> None:
    """Recognised, and not read."""
    assert reading(raw, "model.bin").formats[0] in ("tensorrt", "cntk", "mxnet")
    assert status(raw, "model.bin") is Status.UNDECIDED


def checkpoint(gap: bytes = b"") -> bytes:
    """An index with one block of data."""

    def block(entries: list[tuple[bytes, bytes]]) -> bytes:
        body = b"".join(varint(0) + varint(len(key)) + varint(len(value)) + key + value for key, value in entries)
        return body + struct.pack("<II", 0, 1)

    trailer = b"\0" + b"\7\7\7\7"
    data = block([(b"", b"\x08\x01"), (b"w", b"\x08\x01")])
    raw = data + trailer + gap
    meta = (len(raw), len(block([])))
    raw += block([]) + trailer
    index = block([(b"x", varint(0) + varint(len(data)))])
    handles = varint(meta[0]) + varint(meta[1]) + varint(len(raw)) + varint(len(index))
    return raw + index + trailer + handles.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def test_checkpoints_of_tensorflow_are_data() -> None:
    """An index whose blocks are the whole file, and tensors that nothing else claims."""
    assert status(checkpoint(), "variables.index") is Status.SAFE
    assert status(checkpoint(b"anything"), "variables.index") is Status.UNDECIDED
    assert status(b"anything" * 20 + checkpoint()[-48:], "variables.index") is Status.UNDECIDED
    assert status(b"\1\2\3\xff" * 9, "variables.data-00000-of-00001") is Status.SAFE
    assert status(b"cos\nsystem\n(S'true'\ntR.", "variables.data-00000-of-00001") is Status.DANGEROUS
    hidden = bytes(1 << 17) + b"\x89HDF\r\n\x1a\n" + b"\1" * 100
    assert status(b"\1" + hidden[1:], "variables.data-00000-of-00001") is Status.UNDECIDED


@pytest.mark.parametrize(
    "line",
    [
        'op: "PyFunc"',
        "op: 'PyFunc'",
        'op:"Py" "Func"',
        "op: # a note\n 'Py'  # another\n \"Func\"",
        'op: "\\x50yFunc"',
        'op: "\\120yFunc"',
    ],
)
@pytest.mark.parametrize("name", ["saved_model.pbtxt", "graph.conf"])
def test_graphs_as_text_are_read(name: str, line: str) -> None:
    """TensorFlow loads the text form as well; however a string is spelled, it is the same operator."""
    raw = f'node {{ name: "a" op: "MatMul" }} node {{ name: "b" {line} }}\n'.encode()
    assert status(raw, name) is Status.DANGEROUS
    assert status(raw.replace(line.encode(), b'op: "Add"'), name) is Status.SAFE
    assert status(raw.replace(line.encode(), b'op: "SaveV2"'), name) is Status.UNVERIFIED


def test_python_layers_of_caffe_are_dangerous() -> None:
    """They import a module by name."""
    assert status(b'layer { name: "x" type: "Python" python_param { module: "os" } }', "m.prototxt") is Status.DANGEROUS
    assert status(b'layer { name: "x" type: "Convolution" }', "m.prototxt") is Status.SAFE


_FILES = {
    "g.pbtxt": [b'node { name: "a" op: "MatMul" } # x\nnode { op: "Py" "Func" }'],
    "m.mlmodel": [coreml(502, PROGRAM), coreml(202, put(1, coreml(500, layer(615, put(4, CUSTOM)))))],
    "m.pdmodel": [paddle("conv2d", "py_func")],
    "m.pdiparams": [parameters(2, 3) + parameters(4)],
    "m.xml": [NET % (b"Add", b"opset1")],
    "m.pte": [executorch("aten::add")],
    "m.index": [checkpoint()],
}


@pytest.mark.parametrize("name", _FILES)
def test_damage_is_borne(name: str) -> None:
    """Parts or our error, whatever is broken."""

    @settings(max_examples=80, deadline=None)
    @given(damaged(_FILES[name]))
    def law(raw: bytes) -> None:
        bears(raw, name)

    law()


@pytest.mark.parametrize("name", ["m.mlmodel", "m.pdmodel", "m.pte"])
def test_truncated_models_are_never_safe(name: str) -> None:
    """Half a model is not read to its end."""
    for raw in _FILES[name]:
        assert status(raw[: len(raw) // 2], name) >= Status.UNDECIDED
        assert not isinstance(reading(raw, name).fault, MalformedInput)
