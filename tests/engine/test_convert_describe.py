"""Inspecting a file says what is in it, for any bytes, and runs nothing."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch

from safeload.core.errors import SourceError, UsageError
from safeload.core.finding import Status
from safeload.engine.convert.describe import inspect_file
from tests.engine import models
from tests.engine.checkpoints import saved
from tests.engine.test_convert import Evil, W


def test_tensors_data_and_globals_are_listed(tmp_path: Path) -> None:
    """Each tensor with type, shape and sharing; the data with its types; each global with its library and status."""
    value = {"w": W, "tied": W, "turned": W.t(), "epoch": 3, "args": argparse.Namespace(lr=0.1)}
    found = inspect_file(models.write(tmp_path / "x.pt", saved(value)))
    assert [(one.name, one.dtype, one.shape, one.nbytes, one.same_as) for one in found.tensors] == [
        ("w", "float32", (3, 4), 48, ""),
        ("tied", "float32", (3, 4), 48, "w"),
        ("turned", "float32", (4, 3), 48, ""),
    ]
    assert found.nbytes == 96
    assert found.data["epoch"] == 3
    assert found.data["args"]["class"] == "argparse.Namespace"
    names = {(one.module, one.name): (one.library, one.status, one.uses) for one in found.globals}
    assert names["argparse", "Namespace"] == ("argparse", "listed", 1)
    assert names["torch._utils", "_rebuild_tensor_v2"][0] == "torch"
    assert found.fault == ""


def test_hostile_globals_are_named(tmp_path: Path, marker: Path) -> None:
    """What would run is named with its status, and does not run."""
    found = inspect_file(models.write(tmp_path / "x.pt", saved({"w": W, "x": Evil(f"touch {marker}")})))
    assert found.report.status is Status.DANGEROUS
    assert {one.status for one in found.globals if one.name == "system"} == {"dangerous"}
    assert [one.name for one in found.tensors] == ["w"]


def test_tables_of_tensors_are_listed(tmp_path: Path) -> None:
    """safetensors have tensors and no globals."""
    found = inspect_file(models.write(tmp_path / "x.safetensors", models.safe()))
    assert {one.name for one in found.tensors} == set(models.STATE)
    assert found.globals == ()


@pytest.mark.parametrize("percent", range(0, 100, 10))
def test_broken_files_are_inspected_as_far_as_they_go(tmp_path: Path, percent: int) -> None:
    """For any bytes there is an answer, and what could not be read is said."""
    data = saved({"w": torch.zeros(500)}, _use_new_zipfile_serialization=False)
    found = inspect_file(models.write(tmp_path / "x.pt", data[: len(data) * percent // 100]))
    assert found.fault or found.report.status is Status.UNDECIDED


def test_directories_and_nothing_are_errors(tmp_path: Path) -> None:
    """One file at a time."""
    with pytest.raises(UsageError, match="nothing was inspected"):
        inspect_file(tmp_path)
    with pytest.raises(SourceError):
        inspect_file(tmp_path / "gone")
