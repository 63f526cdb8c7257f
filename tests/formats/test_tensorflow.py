"""TensorFlow graphs: every operator is found wherever it stands, and a path is followed to where it comes from."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from safeload.core.errors import MalformedInput
from safeload.core.finding import Status
from safeload.formats.base import Component, Operator
from tests.formats.damage import bears, damaged
from tests.formats.helpers import kinds, of, reading
from tests.formats.proto import (
    attr,
    calls,
    constant,
    function,
    graph,
    meta_graph,
    node,
    onnx_graph,
    put,
    saved_model,
)
from tests.formats.verdicts import rules, status

PLAIN = [node("Placeholder", "x"), node("MatMul", "y", ["x", "x"]), node("Identity", "z", ["y", "^x"])]
SAVER = [
    node("Placeholder", "saver_filename"),
    constant("suffix", ".part"),
    node("StringJoin", "joined", ["saver_filename", "suffix"]),
    node("ShardedFilename", "shard", ["joined"]),
    node("SaveV2", "save", ["shard", "suffix"]),
    node("RestoreV2", "restore", ["saver_filename", "suffix"]),
]
WRAPPED = {
    "saved_model.pb": saved_model,
    "frozen.pb": lambda one: one,
    "model.meta": meta_graph,
}


@pytest.mark.parametrize("name", WRAPPED)
def test_plain_graphs_are_safe(name: str) -> None:
    """A graph that only computes, saves where it is told, and was read to its end is data."""
    raw = WRAPPED[name](graph([*PLAIN, *SAVER]))
    result = reading(raw, name)
    assert len(result.formats) == 1 and result.formats[0].startswith("tf-") and result.fault is None
    assert {part.name for part in of(result, Operator)} >= {"MatMul", "SaveV2"} and status(raw, name) is Status.SAFE


@pytest.mark.parametrize(
    "op", ["ReadFile", "WriteFile", "PyFunc", "EagerPyFunc", "PyFuncStateless", "TFRecordDataset", "MatchingFiles"]
)
@pytest.mark.parametrize("name", WRAPPED)
def test_operators_that_reach_out_are_dangerous(name: str, op: str) -> None:
    """In the graph itself, in a function that is called, and in one that nothing calls."""
    wrap = WRAPPED[name]
    bad = node(op, "bad", ["x"])
    assert status(wrap(graph([*PLAIN, bad])), name) is Status.DANGEROUS
    assert status(wrap(graph([*PLAIN, calls("c", "f")], [function("f", [bad])])), name) is Status.DANGEROUS
    assert status(wrap(graph(PLAIN, [function("unused", [bad])])), name) is Status.DANGEROUS


def test_a_function_cannot_lend_its_name_to_a_dangerous_operator() -> None:
    """An operator that is known to reach out counts even if the file defines a function of that name."""
    raw = graph([*PLAIN, node("ReadFile", "r")], [function("ReadFile", [node("Identity")])])
    assert status(raw, "frozen.pb") is Status.DANGEROUS


def test_calls_of_own_functions_are_no_custom_operators() -> None:
    """A node may name a function of the file as its operator."""
    inner = function("__inner_1", [node("Identity", "i", ["a"])], ["a"])
    raw = graph([*PLAIN, node("__inner_1", "c", ["x"])], [inner])
    assert status(raw, "frozen.pb") is Status.SAFE


def test_custom_operators_are_unverified() -> None:
    """Nobody here knows what another library does."""
    assert status(graph([*PLAIN, node("Example>Op", "o")]), "frozen.pb") is Status.UNVERIFIED
    hidden = node("PartitionedCall", "c", [], attr("f", put(10, put(1, "ReadFile"))))
    assert status(graph([*PLAIN, hidden]), "frozen.pb") is Status.DANGEROUS


@pytest.mark.parametrize("op", ["SaveV2", "RestoreV2", "MergeV2Checkpoints"])
@pytest.mark.parametrize(
    "detour",
    [
        [constant("path", "/home/user/.bashrc")],
        [constant("p", "/home/user/.bashrc"), node("Identity", "path", ["p"])],
        [constant("p", "../../x"), constant("s", "a"), node("StringJoin", "path", ["p", "s"])],
        [constant("p", "s3://bucket/x"), node("Placeholder", "b"), node("Select", "path", ["b", "b", "p"])],
        [constant("p", "model"), constant("s", "/../../x"), node("StringJoin", "path", ["p", "s"])],
        [node("Placeholder", "p"), constant("s", "/../../x"), node("StringJoin", "path", ["p", "s"])],
        [constant("p", "/x"), node("PlaceholderWithDefault", "path", ["p"])],
        [constant("path", "model"), constant("path", "/x")],
    ],
)
def test_a_path_that_the_graph_chooses_is_dangerous(op: str, detour: list[bytes]) -> None:
    """However a constant reaches the operator that opens it."""
    inputs = ["other", "path"] if op == "MergeV2Checkpoints" else ["path"]
    raw = graph([*PLAIN, *detour, node(op, "bad", inputs)])
    assert rules(raw, "frozen.pb") == {"operator-reaches-out"}


def test_a_path_is_followed_into_functions() -> None:
    """What a caller hands over counts; what nobody in the file hands over is the loader's choice."""
    saver = function("save", [node("SaveV2", "s", ["prefix"])], ["prefix"])
    outer = function("outer", [calls("c", "save", ["p"])], ["p"])
    good = graph([node("Placeholder", "f"), calls("c", "outer", ["f"])], [saver, outer])
    bad = graph([constant("f", "/etc/cron.d/x"), calls("c", "outer", ["f"])], [saver, outer])
    assert status(good, "frozen.pb") is Status.SAFE and status(bad, "frozen.pb") is Status.DANGEROUS
    assert status(graph(PLAIN, [saver]), "frozen.pb") is Status.SAFE


@pytest.mark.parametrize("packed", [True, False])
def test_what_loaders_bind_to_a_function_counts(packed: bool) -> None:
    """The object graph of a SavedModel says which constants a function gets beside what its caller gives."""
    saver = function("save", [node("SaveV2", "s", ["captured"])], ["given", "captured"])
    ids = put(2, b"\1") if packed else put(2, 1)
    objects = put(1, put(8, b"")) + put(1, put(9, put(1, "path"))) + put(2, put(1, "save") + put(2, ids))
    for text, expected in (("/home/user/.profile", Status.DANGEROUS), ("model", Status.SAFE)):
        raw = saved_model(graph([constant("path", text)], [saver]), put(7, objects))
        assert status(raw, "saved_model.pb") is expected


def test_computed_paths_are_never_safe() -> None:
    """A path put together in a way that nobody here follows is no path that the caller chose."""
    made = [constant("p", "L2V0Yw"), node("DecodeBase64", "path", ["p"])]
    assert status(graph([*made, node("SaveV2", "s", ["path"])]), "frozen.pb") is Status.DANGEROUS
    assert status(graph([*made, node("RestoreV2", "s", ["path"])]), "frozen.pb") is Status.UNVERIFIED


def test_tables_are_filled_from_files_of_the_model_only() -> None:
    """A constant that the loader replaces by an asset is fine; the same without an asset is a path of the author's."""
    nodes = [constant("vocab", "/tmp/vocab.txt"), node("InitializeTableFromTextFileV2", "t", ["table", "vocab"])]
    asset = put(6, put(1, put(1, "vocab:0")) + put(2, "vocab.txt"))
    assert status(saved_model(graph(nodes), asset), "saved_model.pb") is Status.SAFE
    assert status(saved_model(graph(nodes)), "saved_model.pb") is Status.DANGEROUS


def test_functions_that_call_each_other_in_circles_end() -> None:
    """Following a path stops where it has been."""
    one = function("one", [calls("c", "two", ["p"]), node("SaveV2", "s", ["p"])], ["p"])
    two = function("two", [calls("c", "one", ["p"])], ["p"])
    assert reading(graph(PLAIN, [one, two]), "frozen.pb").fault is None


def test_keras_layers_in_the_object_graph_are_read() -> None:
    """Keras wrote its layers into SavedModels as JSON, and loads code from there."""
    layer = {"class_name": "Lambda", "config": {"function": {"class_name": "__lambda__"}}}
    user = put(1, "_tf_keras_layer") + put(3, json.dumps(layer))
    raw = saved_model(graph(PLAIN), put(7, put(1, put(4, user))))
    assert [part.name for part in of(reading(raw, "saved_model.pb"), Component)] == ["Lambda", "__lambda__"]
    notes = put(1, put(2, 1) + put(3, "root.layer") + put(4, "_tf_keras_layer") + put(5, json.dumps(layer)))
    result = reading(notes, "keras_metadata.pb")
    assert result.formats == ("keras-metadata",) and of(result, Component)[0].name == "Lambda"


def test_one_file_that_is_two_models_is_dangerous() -> None:
    """Parsers pass over fields they do not know, so an ONNX file may carry a SavedModel."""
    bad = meta_graph(graph([node("PyFunc", "p")]))
    raw = put(1, 8) + put(2, bad) + put(7, onnx_graph([])) + put(8, put(2, 17))
    assert "polyglot" in kinds(reading(raw, "saved_model.pb")) and status(raw, "model.onnx") is Status.DANGEROUS


@pytest.mark.parametrize("field", [put(99, "x"), put(3, 1)])
def test_unknown_fields_hide_nothing(field: bytes) -> None:
    """A file with fields of a version that nobody here knows is undecided, and what is found in it counts."""
    for op, expected in (("PyFunc", Status.DANGEROUS), ("Add", Status.UNDECIDED)):
        raw = saved_model(graph([node(op)]))
        assert status(field + raw, "saved_model.pb") is expected and status(raw + field, "saved_model.pb") is expected


def test_parts_that_are_split_are_read_together() -> None:
    """Parsers merge a part that stands twice; each half counts here."""
    raw = put(1, 1) + put(2, put(1, put(4, "serve")) + put(2, graph([node("Add")])) + put(2, graph([node("PyFunc")])))
    assert status(raw, "saved_model.pb") is Status.DANGEROUS
    tensor = put(8, put(8, "/etc/x")) + put(8, put(1, 7))
    split = put(1, "p") + put(2, "Const") + put(5, put(1, "value") + put(2, tensor))
    assert status(graph([split, node("SaveV2", "s", ["p"])]), "g.pb") is Status.DANGEROUS


def test_a_vocabulary_may_hide_a_graph() -> None:
    """A sentencepiece model is a list of pieces; a graph among or behind them is found, and pieces alone are data."""
    pieces = b"".join(put(1, put(1, f"w{index}") + b"\x15\0\0\0\0" + put(3, index % 3 + 1)) for index in range(50))
    unscored = put(1, put(1, "x"))
    good = pieces + unscored + put(2, put(3, 1))
    assert reading(good, "spiece.model").formats == ("sentencepiece",) and status(good, "spiece.model") is Status.SAFE
    for bad in (put(1, node("PyFunc", "p")), put(2, put(1, function("f", [node("PyFunc", "p")])))):
        assert status(pieces + bad, "spiece.model") is Status.DANGEROUS
        assert status(pieces + bad + pieces, "spiece.model") is Status.DANGEROUS
    long = put(1, put(1, "y" * 200) + b"\x15\0\0\0\0")
    assert status(pieces + long + pieces, "spiece.model") is Status.SAFE


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_truncated_graph_is_undecided_or_worse(cut: int) -> None:
    """Whatever was read until then still counts."""
    raw = saved_model(graph([node("PyFunc", "p"), *PLAIN]))
    result = reading(raw[:-cut], "saved_model.pb")
    assert isinstance(result.fault, MalformedInput) or result.formats == ("opaque",)
    assert status(raw[:-cut], "saved_model.pb") >= Status.UNDECIDED


_FILES = [
    wrap(graph([*PLAIN, *SAVER, calls("c", "f", ["x"])], [function("f", PLAIN, ["a"])])) for wrap in WRAPPED.values()
]


@settings(max_examples=150, deadline=None)
@given(damaged(_FILES))
def test_damage_is_borne(raw: bytes) -> None:
    """Parts or our error, whatever is broken."""
    bears(raw, "saved_model.pb")
