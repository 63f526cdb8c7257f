"""Keras 3: the archive, and every object that its configuration names."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import h5py
import pytest
from hypothesis import given, settings

from safeload.core.finding import Status
from safeload.formats.base import Component, Member
from tests.formats.damage import bears, damaged
from tests.formats.helpers import of, reading
from tests.formats.verdicts import rules, status

DENSE = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 1}, "registered_name": None}


def weights(outside: str = "") -> bytes:
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file.create_dataset("layers/dense/vars/0", data=[1.0, 2.0])
        if outside:
            file["layers/dense/vars/1"] = h5py.ExternalLink(outside, "/x")
    return out.getvalue()


def model(*layers: Any, h5: bytes | None = None, **members: bytes) -> bytes:
    config = {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "sequential", "layers": [DENSE, *layers]},
        "registered_name": None,
        "build_config": {"input_shape": [None, 1]},
        "compile_config": {
            "optimizer": {"module": "keras.optimizers", "class_name": "Adam", "config": {}, "registered_name": None},
            "loss": {"module": "builtins", "class_name": "function", "config": "mse", "registered_name": "function"},
        },
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.11.3", "date_saved": "2026-01-01"}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights() if h5 is None else h5)
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def layer(module: str | None, name: str, registered: str | None = None, /, **config: Any) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": config, "registered_name": registered}


def function(module: str | None, name: str, registered: str | None = "function") -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": registered}


GOOD = [
    layer("keras.layers", "Conv2D", filters=3, kernel_initializer=layer("keras.initializers", "GlorotUniform")),
    layer("keras.src.models.functional", "Functional", "Functional", layers=[]),
    layer("keras.src.ops.numpy", "GetItem", "GetItem"),
    layer("keras.src.backend.torch.optimizers.torch_adam", "Adam", "Adam"),
    {"class_name": "Relu", "config": {"name": "relu"}},
    layer("keras.layers", "StringLookup", vocabulary=["a", "b"]),
    layer("keras.layers", "Activation", activation=function("builtins", "relu")),
    layer("keras_hub.src.models.bert.bert_backbone", "BertBackbone", "keras_hub>BertBackbone"),
    layer("keras.layers", "Rescaling", scale={"class_name": "__tensor__", "config": {"value": 1, "dtype": "float32"}}),
]
BAD = [
    function("os", "system"),
    function("subprocess", "run"),
    layer("subprocess", "Popen", args=["touch", "x"]),
    function("keras.utils", "get_file"),
    function("keras.src.utils.file_utils", "get_file"),
    function("keras.config", "enable_unsafe_deserialization"),
    function("keras.src.config", "enable_unsafe_deserialization"),
    function("keras.src.legacy.saving.legacy_h5_format", "load_model_from_hdf5"),
    function("keras.models", "load_model"),
    layer("keras.layers", "TorchModuleWrapper", module={"class_name": "__bytes__", "config": {"value": "x"}}),
    layer("keras.layers", "TFSMLayer", filepath="saved"),
    layer("keras.layers", "StringLookup", vocabulary="/etc/passwd"),
    layer("keras.layers", "TextVectorization", vocabulary="https://example.org/x"),
    layer("keras.layers", "Lambda", function={"class_name": "__lambda__", "config": {"code": "x"}}),
    {"class_name": "__lambda__", "config": {"value": "4wAA"}},
    layer("keras.src.utils.python_utils", "func_load"),
    layer("builtins", "eval"),
    layer("keras.layers", "Bidirectional", layer=layer("importlib", "import_module")),
    json.dumps(layer("os", "system")),
    {"class_name": "__typespec__", "spec_name": "system", "module": "os", "registered_name": None, "config": []},
    function("keras.initializers", "get"),
    function("keras_hub.utils", "get_file"),
    layer("keras.layers.Dense", "__init__"),
    layer("numpy", "load"),
    layer("os", "system", "custom>system"),
    layer("subprocess", "Popen", vocabulary="vocab.txt"),
    function("os", "system", "custom>system"),
]
ODD = [
    layer("my_package.layers", "MyLayer", "my_package>MyLayer"),
    layer(None, "MyLayer", "Custom>MyLayer"),
    layer("keras.layers", "Lambda", function=function("my_module", "normalise")),
    layer("keras.layers", "NoSuchLayerYet"),
    layer("keras.layers", "StringLookup", vocabulary="vocab.txt"),
    layer("keras.layers", "JaxLayer", call_fn=function("my_module", "f")),
    layer("tensorflow_addons.layers", "GroupNormalization"),
]


def test_a_plain_model_is_safe() -> None:
    """A configuration of Keras's own objects, and weights, are data: read to the end, nothing left unsaid."""
    raw = model(*GOOD)
    result = reading(raw, "model.keras")
    assert result.formats == ("keras",) and result.fault is None and not of(result, Member, name="model.weights.h5")
    assert len(of(result, Component)) > 10 and rules(raw, "model.keras") == set()


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: str(bad)[:70])
def test_gadgets_are_dangerous(bad: Any) -> None:
    """CVE-2025-1550, -8747, -9906, -12058, CVE-2026-1462 and their relatives: by what is listed, not by these names."""
    assert status(model(bad), "model.keras") is Status.DANGEROUS
    wrapped = layer("keras.layers", "TimeDistributed", layer=bad)
    assert status(model(wrapped), "model.keras") is Status.DANGEROUS


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(odd)[:70])
def test_other_peoples_objects_are_unverified(odd: Any) -> None:
    """What a program must bring along is not in the file."""
    assert status(model(odd), "model.keras") is Status.UNVERIFIED


def test_weights_that_lie_elsewhere_are_dangerous() -> None:
    """The HDF5 file in the archive is read as any other."""
    assert "data-elsewhere" in rules(model(h5=weights("/etc/passwd")), "model.keras")
    assert status(model(h5=weights()[:-200]), "model.keras") >= Status.UNDECIDED


def test_other_members_are_read_as_in_any_archive() -> None:
    """A pickle beside the weights is found, and so is a file that nobody looks into."""
    assert status(model(**{"assets/x.pkl": b"cos\nsystem\n(S'true'\ntR."}), "model.keras") is Status.DANGEROUS
    assert status(model(**{"assets/x.bin": b"\1\2\3"}), "model.keras") is Status.UNDECIDED


def test_a_second_configuration_is_read_too() -> None:
    """Readers differ in which of two members of one name they take."""
    out = io.BytesIO(model())
    with zipfile.ZipFile(out, "a") as archive, pytest.warns(UserWarning):
        archive.writestr("config.json", json.dumps(function("os", "system")))
    assert {"keras-reaches-out", "container-irregular"} <= rules(out.getvalue(), "model.keras")


def test_keys_that_stand_twice_are_dangerous() -> None:
    """Which of them counts depends on the reader."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("config.json", '{"class_name": "Dense", "class_name": "Model", "config": {}}')
    assert status(out.getvalue(), "model.keras") is Status.DANGEROUS


@pytest.mark.parametrize("name", ["model.keras", "model.zip", "pytorch_model.bin"])
def test_a_model_is_known_by_its_content(name: str) -> None:
    """Whatever its name is."""
    assert reading(model(), name).formats == ("keras",)


@settings(max_examples=100, deadline=None)
@given(damaged([model(*GOOD), model(*ODD, *GOOD)]))
def test_damage_is_borne(raw: bytes) -> None:
    """Parts or our error, whatever is broken."""
    bears(raw, "model.keras")
