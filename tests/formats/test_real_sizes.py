"""Models as large as real ones, with little data in them, so that all of their size is structure: each is decided.

What a file may cost is bounded by its size (`formats/inside.py`). These are the densest that real tools write: many
small operators, with the attributes that exporters give each, and hardly any weights.
"""

from __future__ import annotations

from safeload.core.finding import Status
from safeload.formats.base import Operator
from tests.formats.flat import Vector, flatbuffer
from tests.formats.helpers import of, reading
from tests.formats.proto import attr, function, graph, node, onnx, put, saved_model
from tests.formats.verdicts import status

NODES = 50_000


def _onnx_attribute(key: str) -> bytes:
    return put(5, put(1, key) + put(20, 7) + put(8, 1) + put(8, 1) + put(8, 3) + put(8, 3))


def _onnx_node(number: int) -> bytes:
    op = ("Conv", "Relu", "Add", "MatMul", "Reshape")[number % 5]
    keys = ("kernel_shape", "strides", "pads", "dilations") if op == "Conv" else ("axes",) * (number % 2)
    names = put(1, f"t{number}") + put(1, f"w{number}") + put(2, f"t{number + 1}") + put(3, f"node_{number}")
    return put(1, names + put(4, op) + b"".join(map(_onnx_attribute, keys)))


def test_an_onnx_model_of_twenty_thousand_nodes_is_decided() -> None:
    """With an initializer of four bytes for each node, the shape of each tensor, and one large initializer."""
    shape = put(2, put(1, put(1, 1) + put(2, put(1, put(1, 3)) * 4)))
    nodes = b"".join(_onnx_node(number) + put(13, put(1, f"t{number}") + shape) for number in range(20_000))
    weights = b"".join(put(5, put(1, 64) + put(2, 1) + put(8, f"w{n}") + put(9, bytes(4))) for n in range(20_000))
    data = onnx(
        nodes + put(2, "g") + weights + put(5, put(1, 1 << 21) + put(2, 1) + put(8, "large") + put(9, bytes(1 << 23)))
    )
    result = reading(data, "model.onnx")
    assert result.fault is None and sum(part.count for part in of(result, Operator)) == 20_000
    assert status(data, "model.onnx") is Status.SAFE


def _tensorflow_node(number: int) -> bytes:
    op = ("Const", "MatMul", "AddV2", "Relu", "Identity")[number % 5]
    shape = attr("_output_shapes", put(1, put(7, put(2, put(1, 1)) + put(2, put(1, 64)))))
    if op == "Const":
        tensor = put(8, put(1, 1) + put(2, put(2, put(1, 4))) + put(4, bytes(16)))
        return node(op, f"layer_{number}/n", (), attr("dtype", put(6, 1)), attr("value", tensor), shape)
    inputs = (f"layer_{number - 1}/n", f"layer_{max(0, number - 4)}/n")
    return node(op, f"layer_{number}/n", inputs, attr("T", put(6, 1)), shape)


def test_a_graph_of_fifty_thousand_nodes_is_decided() -> None:
    """A frozen TensorFlow graph, and a SavedModel of which half is in functions, with their objects."""
    nodes = [_tensorflow_node(number) for number in range(NODES)]
    assert status(graph(nodes), "frozen.pb") is Status.SAFE
    functions = [function(f"__inference_{n}", nodes[n : n + 50], ["x"]) for n in range(NODES // 2, NODES, 50)]
    objects = put(7, b"".join(put(1, put(1, put(1, n + 1) + put(2, "child"))) for n in range(10_000)))
    saved = saved_model(graph(nodes[: NODES // 2], functions), objects)
    result = reading(saved, "saved_model.pb")
    assert result.fault is None and sum(part.count for part in of(result, Operator)) == NODES
    assert status(saved, "saved_model.pb") is Status.SAFE


def test_a_tflite_model_of_twenty_thousand_operators_is_decided() -> None:
    """With three tensors and two empty buffers for each."""
    codes = Vector({0: number, 3: number} for number in (3, 9, 18, 22))
    used = Vector({0: number % 4} for number in range(20_000))
    tensors = Vector({1: number, 3: f"t{number}"} for number in range(60_000))
    buffers = Vector({} for _ in range(40_000))
    data = flatbuffer({0: 3, 1: codes, 2: Vector([{0: tensors, 3: used}]), 4: buffers}, b"TFL3")
    result = reading(data, "model.tflite")
    assert result.fault is None and sum(part.count for part in of(result, Operator)) == 20_000
    assert status(data, "model.tflite") is Status.SAFE
