"""Checkpoints of training programs, full of objects whose classes are not installed: tensors by the names they had."""

from __future__ import annotations

import argparse
import collections
import enum
import io
import pathlib
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn

from safeload.formats.tree import named_tensors, tree
from tests.formats.helpers import data, reading, same, saved, value_of


@contextmanager
def _library(*classes: type) -> Iterator[None]:
    """Make classes importable under the names of the libraries that they play, while they are saved."""
    names = {
        ".".join(name.split(".")[:depth]) for name in {kind.__module__ for kind in classes} for depth in range(1, 9)
    }
    before = dict(sys.modules)
    for name in names:
        sys.modules.setdefault(name, types.ModuleType(name))
    for kind in classes:
        setattr(sys.modules[kind.__module__], kind.__qualname__, kind)
    try:
        yield
    finally:
        for name in names:
            if name not in before:
                del sys.modules[name]


def _class(name: str, *bases: type, **members: Any) -> Any:
    module, _, short = name.rpartition(".")
    return type(short, bases, {"__module__": module, "__qualname__": short, **members})


def _names(value: object, *classes: type, zipped: bool = True) -> dict[str, torch.Tensor]:
    with _library(*classes):
        raw = saved(value, zipped=zipped)
    result = reading(raw, "checkpoint.pt")
    assert result.fault is None
    return {name: value_of(view) for name, view in named_tensors(tree(data(result))).items()}


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Sequential(nn.Linear(2, 2, bias=False)))


def _equal(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], prefix: str = "") -> None:
    own = {name.removeprefix(prefix): tensor for name, tensor in found.items() if name.startswith(prefix)}
    assert list(own) == list(wanted)
    assert all(same(own[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_detector_in_the_way_of_yolo(zipped: bool) -> None:
    """Whole modules of foreign classes under `model` and `ema` have the names that `state_dict()` gives."""
    conv = _class("ultralytics.nn.modules.conv.Conv", nn.Module)
    model = _class("ultralytics.nn.tasks.DetectionModel", nn.Module)
    names = _class("ultralytics.utils.IterableSimpleNamespace", types.SimpleNamespace)
    net = model()
    block = conv()
    block.conv, block.bn = nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)
    block.register_buffer("grid", torch.zeros(2), persistent=False)
    net.model = nn.Sequential(block, nn.Upsample(scale_factor=2))
    net.stride, net.args = torch.tensor([8.0, 16.0]), names(lr=0.1)
    found = _names({"epoch": -1, "model": net.half(), "ema": None}, conv, model, names, zipped=zipped)
    _equal({name: tensor for name, tensor in found.items() if name != "model.stride"}, net.state_dict(), "model.")


def test_a_lightning_checkpoint() -> None:
    """State dict, optimizer states and callbacks with foreign objects."""
    enumeration = enum.Enum("Specifications", {"BINARY": 0}, module="pyannote.audio.core.task")  # type: ignore[misc]
    callback = _class("pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint")
    hyper = _class("lightning.fabric.utilities.data.AttributeDict", dict)
    model = _model()
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 1, 4, 4)[..., :, :4]).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    value = {
        "state_dict": {f"model.{name}": tensor for name, tensor in model.state_dict().items()},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [scheduler.state_dict()],
        "callbacks": {callback: {"best_model_score": torch.tensor(0.5), "dirpath": pathlib.PurePosixPath("/x")}},
        "hyper_parameters": hyper(lr=0.1, task=enumeration.BINARY),
    }
    found = _names(value, enumeration, callback, hyper)
    _equal(found, model.state_dict(), "state_dict.model.")
    steps = [name for name in found if name.startswith("optimizer_states.0.state.") and name.endswith(".exp_avg")]
    assert len(steps) == len(list(model.parameters()))
    assert any(name.startswith("callbacks.") and name.endswith("best_model_score") for name in found)


def test_a_checkpoint_of_fairseq_and_coqui() -> None:
    """Namespaces and configuration objects beside a state dict."""
    config = _class("TTS.tts.configs.xtts_config.XttsConfig")
    dictionary = _class("fairseq.data.dictionary.Dictionary")
    made, words = config(), dictionary()
    made.languages, words.indices = ["en"], {"a": 1}
    model = _model()
    value = {
        "args": argparse.Namespace(arch="hubert", extra=[1]),
        "cfg": made,
        "task_state": {"dictionary": words},
        "model": collections.OrderedDict(model.state_dict()),
        "last_optimizer_state": None,
    }
    _equal(_names(value, config, dictionary), model.state_dict(), "model.")


def test_a_tagger_in_the_way_of_flair() -> None:
    """A module inside an object inside a list, with attributes that are tensors."""
    embeddings = _class("flair.embeddings.token.TransformerWordEmbeddings", nn.Module)
    stacked = _class("flair.embeddings.token.StackedEmbeddings")
    inner, outer = embeddings(), stacked()
    inner.model = _model()
    outer.embeddings, outer.scale = [inner], torch.ones(1)
    found = _names({"embeddings": outer, "weights": torch.ones(2)}, embeddings, stacked)
    _equal(found, inner.model.state_dict(), "embeddings.embeddings.0.model.")
    assert {"embeddings.scale", "weights"} <= set(found)


@pytest.mark.parametrize(
    "make", [torch.optim.SGD, torch.optim.AdamW, torch.optim.Adagrad], ids=["sgd", "adamw", "adagrad"]
)
def test_optimizers_are_read_by_path(make: Callable[..., torch.optim.Optimizer]) -> None:
    """An optimizer's state has the paths of its nested dictionaries, whether saved as a dictionary or as an object."""
    model = nn.Linear(2, 3)
    optimizer = make(model.parameters(), lr=0.1)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    found = _names({"optimizer": optimizer.state_dict()})
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                assert same(found[f"optimizer.state.{index}.{key}"], value)
    whole = _names(optimizer)
    assert same(whole["param_groups.0.params.0"], model.weight)


def test_a_random_state_of_a_trainer() -> None:
    """`rng_state.pth`: tensors, numpy's state and Python's, by path."""
    import numpy

    value = {"python": (3, (1, 2), None), "numpy": numpy.random.get_state(), "cpu": torch.random.get_rng_state()}
    found = _names(value)
    assert same(found["cpu"], value["cpu"]) and found["numpy.1"].shape == (624,)


def test_pickled_tensors_outside_of_torch_save() -> None:
    """Plain `pickle` embeds each storage as a legacy file of its own."""
    out = io.BytesIO()
    pickle.dump({"a": torch.arange(3), "b": [torch.ones(2)]}, out)
    named = named_tensors(tree(data(reading(out.getvalue(), "x.pkl"))))
    assert list(named) == ["a", "b.0"] and value_of(named["a"]).tolist() == [0, 1, 2]
