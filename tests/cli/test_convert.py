"""`safeload convert` writes safetensors or compares, and its exit code says what came of it."""

from __future__ import annotations

import io
import json
import os
import pickle
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from safeload.cli.main import main
from tests.architecture.source import ROOT

STATE = {"state_dict": {"model.w": torch.ones(2, 3), "model.b": torch.zeros(2)}, "epoch": 3}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint as Lightning writes it."""
    path = tmp_path / "epoch=3.ckpt"
    torch.save(STATE, path)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    """Code, standard output and standard error of a command."""
    code = main(["convert", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_output_is_the_path_alone(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output names the file; what was left out is told beside it."""
    code, out, err = run(capsys, checkpoint, "--keys", "state_dict.", "--strip", "model.")
    assert (code, out) == (0, f"{checkpoint.with_name('epoch=3.safetensors')}\n")
    assert "left out: epoch" in err


def test_the_json_document_has_everything(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files, tensors with digests, what was dropped and why, and the report; nothing else is printed."""
    code, out, err = run(capsys, checkpoint, "--json", "--rename", "state_dict.=")
    data = json.loads(out)
    assert (code, err) == (0, "")
    assert data["schema"] == "safeload.conversion/1"
    assert [one["name"] for one in data["tensors"]] == ["model.w", "model.b"]
    assert all(len(one["sha256"]) == 64 for one in [*data["tensors"], *data["files"]])
    assert data["dropped"][0]["path"] == "epoch"
    assert Path(data["path"]).exists() and Path(data["statement"]).exists()


def test_a_preview_is_a_table(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Name, type, shape and source of each tensor; nothing is written."""
    code, out, _ = run(capsys, checkpoint, "--dry-run")
    assert code == 0
    assert "state_dict.model.w" in out and "float32" in out and "[2, 3]" in out and "nothing written" in out
    assert list(tmp_path.iterdir()) == [checkpoint]


def test_a_second_conversion_is_code_2(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is there is not replaced, unless it is asked for."""
    assert run(capsys, checkpoint)[0] == 0
    code, out, err = run(capsys, checkpoint)
    assert (code, out) == (2, "")
    assert "--force" in err
    assert run(capsys, checkpoint, "--force")[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["gone.bin"],
        ["CKPT", "--rename", "nosign"],
        ["CKPT", "--rename", "a=b", "--rename", "a=c"],
        ["CKPT", "--view", "float32=float16"],
        ["CKPT", "--max-shard-size", "many"],
        ["CKPT", "--keys", "nothing."],
        ["CKPT", "--check", "a", "b"],
    ],
)
def test_mistakes_are_code_2(checkpoint: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """Options that cannot be honoured say so, and nothing is written."""
    code, out, err = run(capsys, *[str(checkpoint) if one == "CKPT" else one for one in arguments])
    assert (code, out) == (2, "")
    assert "why:" in err
    assert list(checkpoint.parent.iterdir()) == [checkpoint]


@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_a_truncated_file_is_code_2(checkpoint: Path, capsys: pytest.CaptureFixture[str], json_too: list[str]) -> None:
    """A file that ends early is an error with its place, in text and as a document."""
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    code, out, err = run(capsys, checkpoint, *json_too)
    assert code == 2
    assert checkpoint.name in (json.loads(out)["where"] if json_too else err)


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def test_a_dangerous_file_is_code_1(tmp_path: Path, marker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is denied as for loading; with the unsafe option its tensors are written, and still nothing runs."""
    path = tmp_path / "x.pt"
    torch.save({"w": torch.ones(2), "x": Evil(marker)}, path, pickle_module=pickle)
    code, out, err = run(capsys, path)
    assert (code, out) == (1, "")
    assert "system" in err
    assert run(capsys, path, "--unsafe-convert-dangerous")[0] == 0


def test_safetensors_are_left_alone(tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to convert, which is no error."""
    run(capsys, checkpoint)
    code, out, err = run(capsys, checkpoint.with_suffix(".safetensors"))
    assert (code, out) == (0, "")
    assert "nothing to convert" in err


@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_checking_says_equal_or_how_much_not(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], json_too: list[str]
) -> None:
    """Code 0 for equal tensors, 1 for others, 2 where something cannot be read."""
    output = tmp_path / "out.safetensors"
    run(capsys, checkpoint, "--into", output)
    code, out, _ = run(capsys, "--check", checkpoint, output, *json_too)
    assert code == 0
    assert json.loads(out)["equal"] is True if json_too else "2 equal" in out
    other = tmp_path / "other.pt"
    torch.save({"state_dict": {"model.w": torch.ones(2, 3) * 1.5}}, other)
    code, out, _ = run(capsys, "--check", checkpoint, other, *json_too)
    assert code == 1
    if json_too:
        outcomes = {one["name"]: (one["outcome"], one["largest"]) for one in json.loads(out)["tensors"]}
        assert outcomes == {"state_dict.model.w": ("differs", 0.5), "state_dict.model.b": ("missing", None)}
    else:
        assert "6 numbers differ, by at most 0.5" in out and "missing" in out
    other.write_bytes(b"")
    assert run(capsys, "--check", checkpoint, other, *json_too)[0] == 2


def test_infinite_differences_are_valid_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has no infinity: it is written as text."""
    torch.save({"w": torch.tensor([float("inf")])}, tmp_path / "a.pt")
    torch.save({"w": torch.tensor([1.0])}, tmp_path / "b.pt")
    code, out, _ = run(capsys, "--check", tmp_path / "a.pt", tmp_path / "b.pt", "--json")
    assert (code, json.loads(out)["tensors"][0]["largest"]) == (1, "inf")


def test_hostile_names_do_not_reach_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tensor called like a control sequence is shown, not obeyed, wherever its name is printed."""
    path = tmp_path / "x.pt"
    torch.save({"\x1b[2J\u202ew": torch.ones(2), "\x1b]0;x\x07": 3}, path)
    texts = [run(capsys, path, "--dry-run"), run(capsys, path), run(capsys, "--check", path, path)]
    main(["inspect", str(path)])
    texts.append((0, *capsys.readouterr()))
    assert not {"\x1b", "\x07", "\u202e"} & set("".join(out + err for _, out, err in texts))


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_a_bar(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is shown on a terminal, with rate and time left, and a checkpoint's name in it is shown, not obeyed."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    name = checkpoint.with_name("[red]x\x1b]0;y.ckpt")
    checkpoint.rename(name)
    assert main(["convert", str(name)]) == 0
    assert "converting" in screen.getvalue()
    assert "\x1b]0" not in screen.getvalue()


def test_a_reader_that_has_seen_enough_is_no_defect(tmp_path: Path) -> None:
    """When the output is closed early, as by `head`, there is no traceback."""
    torch.save({f"layer.{i}": torch.ones(1) for i in range(3000)}, tmp_path / "x.pt")
    command = f"{shlex.quote(sys.executable)} -m safeload inspect {shlex.quote(str(tmp_path / 'x.pt'))} | head -1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=ROOT)
    assert "torch-zip" in result.stdout
    assert "Traceback" not in result.stderr
