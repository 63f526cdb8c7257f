"""`safeload scan` says what is in files, and its exit code says how bad it is."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from safeload.cli.main import main

HEADER = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
SAFETENSORS = struct.pack("<Q", len(HEADER)) + HEADER + b"\0\0\0\0"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a config and one tensor."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "model.safetensors").write_bytes(SAFETENSORS)
    return folder


def evil(marker: Path) -> bytes:
    return f"cos\nsystem\n(S'touch {marker}'\ntR.".encode()


def test_a_good_model_is_code_0(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing wrong: every file in the table, code 0."""
    assert main(["scan", str(model)]) == 0
    out = capsys.readouterr().out
    assert "model.safetensors" in out
    assert "2 files: 2 safe" in out


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_dangerous_file_is_code_1(
    model: Path, marker: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """One dangerous file among good ones decides, and is named with its call."""
    (model / "extra.bin").write_bytes(evil(marker))
    assert main(["scan", str(model), *arguments]) == 1
    out = capsys.readouterr().out
    assert "extra.bin" in out
    assert "os.system" in out


def test_a_file_that_cannot_be_read_is_code_2(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A truncated file is undecided, not safe."""
    (model / "model.safetensors").write_bytes(SAFETENSORS[:20])
    assert main(["scan", str(model)]) == 2
    assert "undecided" in capsys.readouterr().out


def test_a_target_that_is_not_there_is_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be found is an error of ours, in the report."""
    assert main(["scan", str(tmp_path / "nothing")]) == 2


def test_one_missing_target_does_not_hide_the_others(
    model: Path, marker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything that can be looked at is; what is dangerous decides the code."""
    path = model / "extra.bin"
    path.write_bytes(evil(marker))
    assert main(["scan", "--json", str(model / "nothing"), str(path)]) == 1
    data = json.loads(capsys.readouterr().out)
    assert [entry["status"] for entry in data["files"]] == ["dangerous"]
    assert len(data["errors"]) == 1


def test_the_json_document_has_every_file_once(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`files` lists each file with `path`, `status` and `findings`, and nothing else is printed."""
    assert main(["scan", "--json", str(model)]) == 0
    captured = capsys.readouterr()
    data = json.loads(captured.out)
    assert sorted((entry["path"], entry["status"], entry["findings"]) for entry in data["files"]) == [
        ("config.json", "safe", []),
        ("model.safetensors", "safe", []),
    ]
    assert captured.err == ""


def test_a_single_file_can_be_scanned(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file is a target of its own."""
    assert main(["scan", str(model / "model.safetensors")]) == 0


def test_a_hostile_name_does_not_reach_the_terminal(
    model: Path, marker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file called like a control sequence is shown, not obeyed."""
    (model / "\x1b]0;owned\x07\u202e.bin").write_bytes(evil(marker))
    assert main(["scan", str(model)]) == 1
    assert not {"\x1b", "\x07", "\u202e"} & set(capsys.readouterr().out)
