"""Checkpoints as training programs leave them, old and new, from the disk and from the hub, give their tensors."""

from __future__ import annotations

import json
import random
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from safeload.core.errors import SafeloadError, SourceError, UsageError
from safeload.engine.convert.compare import compare
from safeload.engine.convert.job import convert
from safeload.engine.request import Access, Request
from tests.corpus.build import torch_tar
from tests.engine import models
from tests.engine.checkpoints import saved
from tests.engine.test_convert import converted, loaded, same
from tests.hubserver import Hub, hub  # noqa: F401  (a fixture)


@contextmanager
def foreign(*names: str) -> Iterator[list[type]]:
    """Classes of libraries that are not here: they can be pickled now, and are gone afterwards."""
    made, before = [], dict(sys.modules)
    for name in names:
        module, _, short = name.rpartition(".")
        kind = type(short, (), {"__module__": module})
        parts = module.split(".")
        for depth in range(1, len(parts) + 1):
            above = ".".join(parts[:depth])
            sys.modules[above] = types.ModuleType(above)
        setattr(sys.modules[module], short, kind)
        made.append(kind)
    try:
        yield made
    finally:
        for name in set(sys.modules) - set(before):
            del sys.modules[name]
        sys.modules.update(before)


def trained() -> tuple[torch.nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """A model after two steps."""
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    for _ in range(2):
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        scheduler.step()
    return model, optimizer, scheduler


def test_optimizer_and_scheduler_states_give_tensors_and_numbers(tmp_path: Path) -> None:
    """Tensors by their path in the state, and the rest in `checkpoint.json`."""
    _, optimizer, scheduler = trained()
    state = optimizer.state_dict()
    conversion = converted(tmp_path, {"optimizer": state, "lr": scheduler.state_dict()}, keep_data=True)
    found = loaded(conversion)
    assert set(found) == {f"optimizer.state.{n}.{key}" for n in (0, 1) for key in ("step", "exp_avg", "exp_avg_sq")}
    assert all(
        same(found[f"optimizer.state.{n}.{key}"], state["state"][n][key]) for n in (0, 1) for key in ("exp_avg",)
    )
    data = json.loads((tmp_path / "checkpoint.json").read_text())["data"]
    assert data["lr"]["last_epoch"] == 2 and data["optimizer"]["param_groups"][0]["betas"]["$"] == "tuple"


def test_a_scheduler_alone_has_no_tensors_and_says_so(tmp_path: Path) -> None:
    """There is nothing that safetensors could hold."""
    with pytest.raises(UsageError, match="no tensor"):
        converted(tmp_path, trained()[2].state_dict())


def test_a_lightning_checkpoint_gives_the_model(tmp_path: Path) -> None:
    """`--keys` and `--strip` take the weights out; callbacks and settings of foreign classes are listed."""
    model, optimizer, scheduler = trained()
    with foreign("pytorch_lightning.callbacks.ModelCheckpoint", "lightning.fabric.utilities.AttributeDict") as kinds:
        callback, settings = (kind() for kind in kinds)
        callback.best, settings.width = torch.ones(1), 3
        value = {
            "epoch": 12,
            "state_dict": {f"model.{name}": tensor for name, tensor in model.state_dict().items()},
            "optimizer_states": [optimizer.state_dict()],
            "lr_schedulers": [scheduler.state_dict()],
            "callbacks": {"ModelCheckpoint{'monitor': 'loss'}": callback},
            "hyper_parameters": settings,
        }
        data = saved(value)
    conversion = converted(tmp_path, data, "epoch=12.ckpt", keys="state_dict.", strip="model.")
    assert conversion.path == tmp_path / "epoch=12.safetensors"
    found = loaded(conversion)
    assert set(found) == {"weight", "bias"}
    assert all(same(found[name], tensor) for name, tensor in model.state_dict().items())
    dropped = {item.path for item in conversion.dropped}
    assert "epoch" in dropped and "hyper_parameters (an object of lightning.fabric.utilities.AttributeDict)" in dropped
    assert "optimizer_states.0.state.0.exp_avg" in dropped


@pytest.mark.parametrize(
    ("kind", "wrap"),
    [
        ("ultralytics.nn.tasks.DetectionModel", "model"),
        ("models.yolo.Model", "ema"),
        ("flair.embeddings.token.TransformerWordEmbeddings", "embeddings"),
        ("pyannote.audio.core.task.Specifications", "pyannote.audio"),
        ("__main__.Net", "net"),
    ],
)
def test_objects_of_foreign_classes_give_their_tensors(tmp_path: Path, kind: str, wrap: str) -> None:
    """Classes that are not installed stand in a checkpoint with modules and tensors in them; none is imported."""
    layer = torch.nn.Conv2d(2, 3, 1)
    with foreign(kind) as (made,):
        item = made()
        item.__dict__.update(training=False, names={0: "cat"}, stride=torch.tensor([8.0]))
        item._parameters, item._buffers = {}, {"anchors": torch.arange(4)}
        item._modules = {"conv": layer}
        data = saved({wrap: item, "epoch": -1})
    found = loaded(converted(tmp_path, data))
    assert set(found) >= {f"{wrap}.conv.weight", f"{wrap}.conv.bias", f"{wrap}.anchors"}
    assert same(found[f"{wrap}.conv.weight"], layer.weight.detach())


def test_the_files_of_a_trainer_are_converted(tmp_path: Path) -> None:
    """Of a directory that the Trainer wrote, the model; its other files one by one, as far as they hold tensors."""
    _, optimizer, scheduler = trained()
    folder = models.model(tmp_path / "checkpoint-500", pickle=True)
    with foreign("transformers.training_args.TrainingArguments") as (arguments,):
        models.write(folder / "training_args.bin", saved(arguments()))
    models.write(folder / "optimizer.pt", saved(optimizer.state_dict()))
    models.write(folder / "scheduler.pt", saved(scheduler.state_dict()))
    state = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.get_rng_state()}
    models.write(folder / "rng_state.pth", saved(state))
    models.write(folder / "trainer_state.json", {"global_step": 500})
    conversion = convert(folder, into=tmp_path / "clean")
    assert set(load_file(tmp_path / "clean/model.safetensors")) == set(models.STATE)
    assert not [name for name in models.files_below(tmp_path / "clean") if name.endswith((".bin", ".pt", ".pth"))]
    assert {"optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"} <= {
        item.path for item in conversion.dropped
    }
    assert len(convert(folder / "optimizer.pt").tensors) == 6
    found = loaded(convert(folder / "rng_state.pth"))
    assert same(found["cpu"], state["cpu"])
    assert np.array_equal(found["numpy.1"].numpy(), state["numpy"][1])
    with pytest.raises(UsageError, match="no tensor"):
        convert(folder / "training_args.bin")


def test_torch_files_from_before_2016_are_converted(tmp_path: Path) -> None:
    """The tar format: a tensor, and a view of the end of its storage."""
    path = models.write(tmp_path / "old.pt", torch_tar([1.0, 2.0, 3.0, 4.0]))
    found = loaded(convert(path))
    assert sorted(tensor.flatten().tolist() for tensor in found.values()) == [[1.0, 2.0, 3.0, 4.0], [3.0, 4.0]]
    assert compare(path, tmp_path / "old.safetensors").equal


@pytest.mark.parametrize("percent", range(0, 100, 3))
def test_a_truncated_tar_file_is_refused(tmp_path: Path, percent: int) -> None:
    """Cut anywhere: an error, and no output."""
    data = torch_tar([1.0, 2.0, 3.0, 4.0])
    end = len(data.rstrip(b"\0"))
    path = models.write(tmp_path / "old.pt", data[: end * percent // 100])
    with pytest.raises(SafeloadError):
        convert(path)
    assert models.files_below(tmp_path) == {"old.pt"}


FILES = {"config.json": b'{"model_type": "bert"}', "pytorch_model.bin": models.pickled()}


def test_a_model_on_the_hub_is_converted(tmp_path: Path, hub: Hub) -> None:  # noqa: F811
    """Fetched, admitted and converted; the provenance names the commit and the digests of what was fetched."""
    commit = hub.add("acme/demo", FILES)
    conversion = convert("acme/demo", into=tmp_path / "out")
    found = load_file(tmp_path / "out/model.safetensors")
    assert all(same(found[name], tensor) for name, tensor in models.STATE.items())
    assert conversion.statement is not None
    said = json.loads(conversion.statement.read_text())["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert {item["uri"] for item in said} == {f"pkg:huggingface/acme/demo@{commit}#{name}" for name in FILES}


def test_only_the_weights_of_a_model_on_the_hub_are_converted(tmp_path: Path, hub: Hub) -> None:  # noqa: F811
    """`--into X.safetensors` at a revision: nothing else is fetched."""
    old = hub.add("acme/demo", FILES, revision="v1")
    hub.add("acme/demo", {**FILES, "pytorch_model.bin": models.pickled({"other": torch.ones(1)})})
    conversion = convert("acme/demo", into=tmp_path / "w.safetensors", request=Request(revision="v1"))
    assert set(loaded(conversion)) == set(models.STATE)
    assert conversion.statement is not None and f"demo@{old}#pytorch_model.bin" in conversion.statement.read_text()
    assert hub.fetched == ["pytorch_model.bin"]


def test_a_download_that_is_not_what_the_hub_says_is_refused(tmp_path: Path, hub: Hub) -> None:  # noqa: F811
    """Bytes of another digest are not converted."""
    hub.add("acme/demo", FILES)
    hub.corrupt(
        "acme/demo", "pytorch_model.bin", models.pickled({"evil": torch.ones(9)})[: len(FILES["pytorch_model.bin"])]
    )
    with pytest.raises(SafeloadError):
        convert("acme/demo", into=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_a_connection_the_cache_must_do(tmp_path: Path, hub: Hub) -> None:  # noqa: F811
    """`--offline` converts what was fetched before, and nothing that was not."""
    hub.add("acme/demo", FILES)
    offline = Request(access=Access(local_files_only=True))
    with pytest.raises(SourceError):
        convert("acme/demo", into=tmp_path / "one", request=offline)
    convert("acme/demo", into=tmp_path / "two")
    hub.close()
    assert convert("acme/demo", into=tmp_path / "three", request=offline).tensors


def test_a_hub_model_needs_a_place(hub: Hub) -> None:  # noqa: F811
    """Nothing is written into the hub's cache."""
    hub.add("acme/demo", {"x.ckpt": models.pickled()})
    with pytest.raises(UsageError, match="nothing was converted"):
        convert("acme/demo")
