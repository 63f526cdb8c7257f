"""accelerate's checkpoint loaders through safeload: equal results, and no pickle of anybody's run."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import accelerate as plain
import pytest
import torch
from accelerate.utils import load_checkpoint_in_model

import safeload.accelerate as guarded
from safeload import MalformedInput, PolicyDenied, SafeloadError, UsageError
from tests.adapters import payloads, repos


def net() -> torch.nn.Module:
    torch.manual_seed(7)
    return torch.nn.Sequential(OrderedDict(a=torch.nn.Linear(4, 3), b=torch.nn.Linear(3, 2)))


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(8)
    return {name: torch.randn_like(tensor) for name, tensor in net().state_dict().items()}


def one_bin(path: Path) -> Path:
    path.mkdir()
    return repos.write_bin(path, state())


def one_safe(path: Path) -> Path:
    path.mkdir()
    repos.write_safetensors(path / "model.safetensors", state())
    return path


def sharded_bin(path: Path) -> Path:
    path.mkdir()
    halves = dict(zip(("one.bin", "two.bin"), repos.halves(state()), strict=True))
    for name, half in halves.items():
        repos.write_bin(path, half, name)
    listed = {key: name for name, half in halves.items() for key in half}
    return repos.write_index(path, listed, "pytorch_model.bin.index.json")


def sharded_safe(path: Path) -> Path:
    path.mkdir()
    halves = dict(zip(("one.safetensors", "two.safetensors"), repos.halves(state()), strict=True))
    for name, half in halves.items():
        repos.write_safetensors(path / name, half)
    return repos.write_index(path, {key: name for name, half in halves.items() for key in half})


def a_file(path: Path) -> Path:
    return one_bin(path) / "pytorch_model.bin"


def an_index(path: Path) -> Path:
    return sharded_bin(path) / "pytorch_model.bin.index.json"


SHAPES: list[Callable[[Path], Path]] = [one_bin, one_safe, sharded_bin, sharded_safe, a_file, an_index]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_the_model_gets_the_tensors(shape: Callable[[Path], Path], tmp_path: Path) -> None:
    """A file, an index or a directory, of pickles or safetensors: what the library would load."""
    path = shape(tmp_path / "checkpoint")
    ours, theirs = net(), net()
    guarded.load_checkpoint_in_model(ours, str(path))
    load_checkpoint_in_model(theirs, str(path))
    assert all(torch.equal(value, theirs.state_dict()[key]) for key, value in ours.state_dict().items())
    assert all(torch.equal(value, state()[key]) for key, value in ours.state_dict().items())


def test_a_model_is_spread(tmp_path: Path) -> None:
    """`device_map` and offloading to disk do what they do, from a converted checkpoint."""
    path = one_bin(tmp_path / "checkpoint")
    results = []
    for module, name in ((guarded, "ours"), (plain, "theirs")):
        with plain.init_empty_weights():
            model = net()
        spread = module.load_checkpoint_and_dispatch(
            model, path, device_map={"a": "cpu", "b": "disk"}, offload_folder=str(tmp_path / name)
        )
        results.append(spread(torch.ones(1, 4)))
    assert torch.equal(*results)


def test_safetensors_are_offloaded_where_they_are(tmp_path: Path) -> None:
    """Weights that stay on disk are read from the admitted directory, which lives as long as the model."""
    path = one_safe(tmp_path / "checkpoint")
    with plain.init_empty_weights():
        model = net()
    spread = guarded.load_checkpoint_and_dispatch(
        model, path, device_map={"a": "cpu", "b": "disk"}, offload_folder=str(tmp_path / "off")
    )
    expected = net()
    expected.load_state_dict(state())
    (path / "model.safetensors").unlink()
    assert torch.equal(spread(torch.ones(1, 4)), expected(torch.ones(1, 4)))


@pytest.mark.parametrize("spelling", payloads.SNIPPETS)
@pytest.mark.parametrize("shape", [one_bin, sharded_bin, a_file, an_index], ids=lambda shape: shape.__name__)
def test_a_poisoned_checkpoint_is_refused(
    shape: Callable[[Path], Path], spelling: str, tmp_path: Path, marker: Path
) -> None:
    """However it is spelled, and the model stays as it was."""
    path = shape(tmp_path / "checkpoint")
    for poisoned in (tmp_path / "checkpoint").glob("*.bin"):
        payloads.poison_zip(poisoned, payloads.SNIPPETS[spelling](marker))
    model = net()
    with pytest.raises(PolicyDenied):
        guarded.load_checkpoint_in_model(model, path)
    assert all(torch.equal(value, net().state_dict()[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    "target", ["../outside.safetensors", "/etc/passwd", "sub/x.safetensors", "missing.safetensors"]
)
def test_an_index_stays_within_its_directory(target: str, tmp_path: Path) -> None:
    """accelerate joins whatever the index says; here it names files beside it."""
    repos.write_safetensors(tmp_path / "outside.safetensors", state())
    (tmp_path / "checkpoint").mkdir()
    path = repos.write_index(tmp_path / "checkpoint", dict.fromkeys(state(), target))
    with pytest.raises((MalformedInput, PolicyDenied)):
        guarded.load_checkpoint_in_model(net(), path)


@pytest.mark.parametrize("content", ["[]", "{", '{"weight_map": 3}', '{"weight_map": {"a": 1}}', "{}"])
def test_a_broken_index_is_an_error_of_ours(content: str, tmp_path: Path) -> None:
    """What is no index, or names no files, is said; nothing is guessed."""
    (tmp_path / "x.index.json").write_text(content)
    with pytest.raises(SafeloadError):
        guarded.load_checkpoint_in_model(net(), tmp_path / "x.index.json")


def test_what_is_no_checkpoint_is_said(tmp_path: Path) -> None:
    """Nothing there, nothing in it, or two indexes of which one would have to be chosen."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "two").mkdir()
    for name in ("a.index.json", "b.index.json"):
        (tmp_path / "two" / name).write_text(json.dumps({"weight_map": {}}))
    for name in ("nowhere", "empty", "two"):
        with pytest.raises(UsageError):
            guarded.load_checkpoint_in_model(net(), tmp_path / name)


def test_other_names_are_the_library_s_own() -> None:
    """Guarding two functions changes nothing else."""
    assert guarded.Accelerator is plain.Accelerator and guarded.init_empty_weights is plain.init_empty_weights
    value: Any = dir(guarded)
    assert {"load_checkpoint_in_model", "load_checkpoint_and_dispatch", "Accelerator"} <= set(value)
