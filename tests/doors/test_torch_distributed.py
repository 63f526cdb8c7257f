"""`safeload.torch.distributed.checkpoint.load` against torch's: the same values, and no unpickling."""

from __future__ import annotations

import argparse
import copy
import inspect
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as genuine
from torch import nn

from safeload import PolicyDenied, UsageError
from safeload.core.construct import Record
from safeload.core.errors import MalformedInput, SafeloadError, SourceError
from safeload.torch.distributed import checkpoint

pytestmark = pytest.mark.filterwarnings("ignore")


def saved(folder: Path, state: dict[str, Any]) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        genuine.save(state, checkpoint_id=folder)
    return folder


def state() -> dict[str, Any]:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.25)
    model(torch.ones(2, 3)).sum().backward()
    optimiser.step()
    return {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": 7,
        "name": "run",
        "parts": [torch.arange(3), {"deep": torch.ones(2, dtype=torch.bfloat16)}],
        "plain": [1, 2.5, None],
    }


def emptied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return torch.zeros_like(value)
    if isinstance(value, dict):
        return type(value)((key, emptied(item)) for key, item in value.items())
    return [emptied(item) for item in value] if isinstance(value, list) else None


def equal(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert one.dtype is other.dtype and torch.equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            equal(one[key], other[key])
    elif isinstance(one, list):
        for left, right in zip(one, other, strict=True):
            equal(left, right)
    else:
        assert one == other


def test_what_torch_loads_is_the_same(tmp_path: Path) -> None:
    """Nested dictionaries and lists, an optimiser, plain values: as torch fills them."""
    value = state()
    folder = saved(tmp_path / "c", value)
    ours, theirs = emptied(value), emptied(value)
    weight = ours["model"]["0.weight"]
    checkpoint.load(ours, checkpoint_id=folder)
    genuine.load(theirs, checkpoint_id=folder)
    equal(ours, theirs)
    assert ours["model"]["0.weight"] is weight, "tensors are filled in place"


def test_a_reader_gives_its_path(tmp_path: Path) -> None:
    """torch's reader of directories is taken for where it points, and never used."""
    folder = saved(tmp_path / "c", {"w": torch.ones(2)})
    wanted = {"w": torch.zeros(2)}
    checkpoint.load(wanted, storage_reader=checkpoint.FileSystemReader(str(folder)))
    assert torch.equal(wanted["w"], torch.ones(2))


def test_objects_with_a_state_are_filled(tmp_path: Path) -> None:
    """A module in the dictionary gets its state by its own `load_state_dict`."""
    module, other = nn.Linear(2, 2), nn.Linear(2, 2)
    folder = saved(tmp_path / "c", {"model": module})
    checkpoint.load({"model": other}, checkpoint_id=folder)
    equal(dict(other.state_dict()), dict(module.state_dict()))


def test_meta_tensors_get_data(tmp_path: Path) -> None:
    """What has no data yet is replaced."""
    folder = saved(tmp_path / "c", {"w": torch.ones(2)})
    wanted = {"w": torch.empty(2, device="meta")}
    checkpoint.load(wanted, checkpoint_id=folder)
    assert torch.equal(wanted["w"], torch.ones(2))


class Foreign:
    pass


def test_foreign_objects_are_inert(tmp_path: Path) -> None:
    """torch unpickles every entry that is no tensor; here it is a record."""
    folder = saved(tmp_path / "c", {"x": Foreign(), "o": argparse.Namespace(lr=0.1)})
    wanted: dict[str, Any] = {"x": None, "o": None}
    checkpoint.load(wanted, checkpoint_id=folder)
    assert isinstance(wanted["x"], Record)
    assert wanted["o"] == argparse.Namespace(lr=0.1)


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        import os

        return os.system, (f"touch {self.path}",)


def test_dangerous_metadata_is_refused(tmp_path: Path, marker: Path) -> None:
    """The metadata is a pickle, and is judged as one before anything else is read."""
    folder = saved(tmp_path / "c", {"w": torch.ones(2)})
    (folder / ".metadata").write_bytes(pickle.dumps(Evil(marker)))
    wanted = {"w": torch.zeros(2)}
    with pytest.raises(SafeloadError):
        checkpoint.load(wanted, checkpoint_id=folder)
    assert torch.equal(wanted["w"], torch.zeros(2))


def test_a_dangerous_object_is_refused(tmp_path: Path, marker: Path) -> None:
    """So is every entry that is a pickle, wanted or not."""
    folder = saved(tmp_path / "c", {"w": torch.ones(2), "x": Evil(marker)})
    with pytest.raises(PolicyDenied):
        checkpoint.load({"w": torch.zeros(2)}, checkpoint_id=folder)


def test_all_that_does_not_fit_is_named(tmp_path: Path) -> None:
    """Missing entries and other shapes are one error, and nothing is changed."""
    folder = saved(tmp_path / "c", {"a": torch.ones(2), "b": torch.ones(3), "n": 1})
    wanted: dict[str, Any] = {"a": torch.zeros(2), "b": torch.zeros(4), "n": torch.zeros(1), "gone": torch.zeros(1)}
    before = copy.deepcopy(wanted)
    with pytest.raises(MalformedInput) as caught:
        checkpoint.load({**wanted, "also": None}, checkpoint_id=folder)
    for text in ("b has shape [3], wanted [4]", "n is no tensor", "gone is missing", "also is missing"):
        assert text in str(caught.value)
    equal(wanted, before)


class Subclass(torch.Tensor):
    pass


@pytest.mark.parametrize(
    "arguments",
    [
        {"planner": genuine.DefaultLoadPlanner()},
        {"process_group": object()},
        {"storage_reader": object()},
        {"checkpoint_id": None},
        {"checkpoint_id": "s3://bucket/c"},
        {"safeload": 1},
    ],
    ids=lambda one: next(iter(one)) + str(type(next(iter(one.values()))).__name__),
)
def test_what_cannot_be_honoured_is_refused(arguments: dict[str, Any], tmp_path: Path) -> None:
    """Other readers and planners see the files themselves; other places are no directories."""
    folder = saved(tmp_path / "c", {"w": torch.ones(2)})
    with pytest.raises(UsageError):
        checkpoint.load({"w": torch.zeros(2)}, **{"checkpoint_id": folder, **arguments})


def test_tensors_with_values_of_their_own_are_refused(tmp_path: Path) -> None:
    """A subclass, such as one spread over devices, is not filled as if it were plain."""
    folder = saved(tmp_path / "c", {"w": torch.ones(2)})
    with pytest.raises(UsageError, match="Subclass"):
        checkpoint.load({"w": torch.zeros(2).as_subclass(Subclass)}, checkpoint_id=folder)


def test_other_checkpoints_are_refused(tmp_path: Path) -> None:
    """A directory with another checkpoint, or with nothing, or none at all."""
    torch.save({"w": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UsageError, match="state_dict_of"):
        checkpoint.load({"w": torch.zeros(2)}, checkpoint_id=tmp_path)
    with pytest.raises(SourceError):
        checkpoint.load({"w": torch.zeros(2)}, checkpoint_id=tmp_path / "none")


def test_the_signature_is_torchs() -> None:
    """Every parameter of torch's is there, as a keyword."""
    own, theirs = inspect.signature(checkpoint.load).parameters, inspect.signature(genuine.load).parameters
    assert list(own) == [*theirs, "safeload"]
    assert all(own[name].kind is theirs[name].kind for name in theirs)
    assert checkpoint.save is genuine.save
    with pytest.raises(AttributeError, match="safeload convert"):
        checkpoint.load_state_dict
