"""`safeload inspect` shows what is in a file; its exit code is that of a scan, and 2 where the file cannot be read."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch

from safeload.cli.main import main


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Tensors, two of which are the same memory, and other data."""
    w = torch.ones(2, 3)
    path = tmp_path / "x.ckpt"
    torch.save({"w": w, "tied": w, "epoch": 3, "args": argparse.Namespace(lr=0.1), "n": {1: (None, {2.5})}}, path)
    return path


def test_a_file_is_shown_for_people(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tensors with totals and sharing, data as a tree, and globals with their status."""
    assert main(["inspect", str(checkpoint)]) == 0
    out = capsys.readouterr().out
    for text in ("float32", "[2, 3]", "2 tensors", "1 are the same memory", "epoch: 3", "argparse.Namespace", "listed"):
        assert text in out


def test_a_file_is_shown_for_programs(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One document with everything, and nothing else."""
    assert main(["inspect", "--json", str(checkpoint)]) == 0
    captured = capsys.readouterr()
    data = json.loads(captured.out)
    assert captured.err == ""
    assert data["schema"] == "safeload.inspection/1"
    assert [(one["name"], one["same_as"]) for one in data["tensors"]] == [("w", None), ("tied", "w")]
    assert data["data"]["args"]["class"] == "argparse.Namespace"
    assert {one["status"] for one in data["globals"]} == {"listed"}


def test_a_whole_module_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The value itself may be an object."""
    torch.save(torch.nn.Linear(2, 2), tmp_path / "m.pt")
    assert main(["inspect", str(tmp_path / "m.pt")]) in (0, 1)
    assert "torch.nn.modules.linear.Linear" in capsys.readouterr().out


def test_long_data_is_cut_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tree of ten thousand entries is not printed."""
    torch.save({"w": torch.ones(1), "n": list(range(10_000))}, tmp_path / "m.pt")
    assert main(["inspect", str(tmp_path / "m.pt")]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) < 300
    assert "more; --json has it all" in out


def test_a_hostile_file_is_code_1(tmp_path: Path, marker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What would run is named, and does not run."""
    (tmp_path / "x.bin").write_bytes(f"cos\nsystem\n(S'touch {marker}'\ntR.".encode())
    assert main(["inspect", str(tmp_path / "x.bin")]) == 1
    out = capsys.readouterr().out
    assert ("dangerous" in out and "os.system" in out) or "posix.system" in out


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04"])
def test_what_cannot_be_read_is_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    """It is said why."""
    (tmp_path / "x.bin").write_bytes(content)
    assert main(["inspect", str(tmp_path / "x.bin")]) == 2
    assert capsys.readouterr().err
