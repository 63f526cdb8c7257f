"""ONNX: operators wherever they stand, files that tensors point to, and code in the notes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from safeload.core.finding import Status
from safeload.formats.base import Operator, Reference
from tests.formats.damage import bears, damaged
from tests.formats.helpers import of, reading
from tests.formats.proto import onnx, onnx_graph, onnx_node, onnx_tensor, put
from tests.formats.verdicts import rules, status

PLAIN = onnx_graph([onnx_node("Conv"), onnx_node("Relu", "ai.onnx")], [onnx_tensor()])


def inside(kind: str, bad: bytes) -> bytes:
    """A model that has a node in one of the places that a node can be in."""
    branch = put(1, "then_branch") + put(6, onnx_graph([bad]))
    deep = put(1, "body") + put(6, onnx_graph([onnx_node("If", "", branch)]))
    body = put(1, "f") + put(7, bad) + put(10, "local")
    return {
        "graph": onnx(onnx_graph([bad])),
        "branch": onnx(onnx_graph([onnx_node("If", "", branch)])),
        "loop": onnx(onnx_graph([onnx_node("Loop", "", deep)])),
        "many": onnx(onnx_graph([onnx_node("Case", "", put(1, "g") + put(11, onnx_graph([bad])))])),
        "function": onnx(onnx_graph([onnx_node("f", "local")]), put(25, body)),
        "training": onnx(PLAIN, put(20, put(2, onnx_graph([bad])))),
    }[kind]


def test_a_plain_model_is_safe() -> None:
    """Standard operators and tensors of its own are data."""
    result = reading(onnx(PLAIN), "model.onnx")
    assert result.formats == ("onnx",) and result.fault is None and len(of(result, Operator)) == 2
    assert status(onnx(PLAIN), "model.onnx") is Status.SAFE


@pytest.mark.parametrize("kind", ["graph", "branch", "loop", "many", "function", "training"])
def test_python_operators_are_found_everywhere(kind: str) -> None:
    """An operator that calls Python is dangerous in any graph of the file, and a custom one is never safe."""
    assert status(inside(kind, onnx_node("PythonOp", "com.microsoft")), "model.onnx") is Status.DANGEROUS
    assert status(inside(kind, onnx_node("Conv", "com.example")), "model.onnx") is Status.UNVERIFIED


def test_functions_of_the_file_are_no_custom_operators() -> None:
    """An operator that the model defines itself is what its body is; the same name in another domain is not."""
    good = onnx(
        onnx_graph([onnx_node("f", "local")]), put(25, put(1, "f") + put(7, onnx_node("Add")) + put(10, "local"))
    )
    other = onnx(onnx_graph([onnx_node("f", "x")]), put(25, put(1, "f") + put(7, onnx_node("Add")) + put(10, "local")))
    assert status(good, "model.onnx") is Status.SAFE and status(other, "model.onnx") is Status.UNVERIFIED


@pytest.mark.parametrize(
    "target", ["../../etc/passwd", "/etc/passwd", "C:\\x", "https://example.org/w", "a/../../b", "x\0y"]
)
@pytest.mark.parametrize("key", ["location", "basepath"])
def test_tensors_that_point_outside_are_dangerous(key: str, target: str) -> None:
    """Loaders join the name to the directory of the model."""
    raw = onnx(onnx_graph([onnx_node("Conv")], [onnx_tensor(**{"location": "w.bin", key: target})]))
    assert rules(raw, "model.onnx") == {"reference-escapes"}


def test_tensors_beside_the_model_are_fine() -> None:
    """Large models keep their tensors in a file of their own."""
    raw = onnx(onnx_graph([onnx_node("Conv")], [onnx_tensor("model.onnx_data", offset="0", length="4")]))
    assert of(reading(raw, "model.onnx"), Reference, kind="external-data")[0].target == "model.onnx_data"
    assert status(raw, "model.onnx") is Status.SAFE


def test_unknown_properties_of_outside_data_are_found() -> None:
    """onnx sets every key on an object of its own (CVE-2026-34445)."""
    raw = onnx(onnx_graph([onnx_node("Conv")], [onnx_tensor("w.bin", __class__="x")]))
    assert status(raw, "model.onnx") > Status.SAFE


@pytest.mark.parametrize("text", ["__import__('os').system('true')", "os.getcwd()", "import os", "(lambda: 0)()"])
def test_notes_that_programs_evaluate_are_read(text: str) -> None:
    """Programs for object detection evaluate the notes of a model as Python."""
    note = put(14, put(1, "names") + put(2, text))
    assert rules(onnx(PLAIN, note), "model.onnx") == {"embedded-code"}


@pytest.mark.parametrize(
    "text", ["{0: 'person', 1: 'car'}", "[640, 640]", "author(s)", "A model (v1). See __init__.", "3"]
)
def test_notes_of_every_day_are_fine(text: str) -> None:
    """Prose, numbers, lists and dictionaries call nothing."""
    assert status(onnx(PLAIN, put(14, put(1, "names") + put(2, text))), "model.onnx") is Status.SAFE


def test_tensors_in_attributes_point_too() -> None:
    """Constants hold tensors, and those may lie elsewhere."""
    held = put(1, "value") + put(5, onnx_tensor("../x"))
    assert status(onnx(onnx_graph([onnx_node("Constant", "", held)])), "model.onnx") is Status.DANGEROUS


@pytest.mark.parametrize("name", ["model.onnx", "pytorch_model.bin"])
def test_a_model_is_known_by_its_content(name: str) -> None:
    """Whatever its name is."""
    assert reading(onnx(PLAIN), name).formats == ("onnx",)


@settings(max_examples=150, deadline=None)
@given(damaged([inside(kind, onnx_node("Add")) for kind in ("loop", "function", "training")] + [onnx(PLAIN)]))
def test_damage_is_borne(raw: bytes) -> None:
    """Parts or our error, whatever is broken."""
    bears(raw, "model.onnx")
