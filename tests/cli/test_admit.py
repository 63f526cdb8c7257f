"""`safeload admit` prints a directory that holds what was judged, or refuses."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from safeload.cli.main import main
from tests.adapters import repos


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny real model as safetensors."""
    repos.build_safetensors(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    """The same as a pickle."""
    repos.build_bin(tmp_path / "pickled")
    return tmp_path / "pickled"


@pytest.fixture
def poisoned(tmp_path: Path, marker: Path) -> Path:
    """One that would create the marker."""
    repos.build_evil_bin(tmp_path / "poisoned", marker)
    return tmp_path / "poisoned"


def test_standard_output_is_the_path_alone(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A shell can use the output as it is."""
    into = tmp_path / "into"
    assert main(["admit", str(model), "--into", str(into)]) == 0
    assert capsys.readouterr().out == f"{into}\n"
    assert {"config.json", "model.safetensors"} <= set(os.listdir(into))


def test_the_directory_holds_real_files(model: Path, tmp_path: Path) -> None:
    """Nothing in it is a link that could lead elsewhere, or that ends with the process."""
    into = tmp_path / "into"
    main(["admit", str(model), "--into", str(into)])
    assert not [path for path in into.rglob("*") if path.is_symlink()]


def test_a_pickle_becomes_safetensors(pickled: Path, tmp_path: Path) -> None:
    """The admitted directory has the weights and no pickle."""
    into = tmp_path / "into"
    assert main(["admit", str(pickled), "--into", str(into)]) == 0
    names = os.listdir(into)
    assert "model.safetensors" in names
    assert not [name for name in names if name.endswith(".bin")]


def test_a_refusal_is_code_1_and_prints_no_path(
    poisoned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason goes to standard error; there is no directory."""
    into = tmp_path / "into"
    assert main(["admit", str(poisoned), "--into", str(into)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "pytorch_model.bin" in captured.err
    assert not into.exists()


def test_a_refusal_as_json(poisoned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A program gets verdict and report of a refusal."""
    assert main(["admit", str(poisoned), "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["error"] == "PolicyDenied"
    assert data["verdict"]["reasons"]
    assert "dangerous" in {entry["status"] for entry in data["report"]["files"]}


def test_an_admission_as_json(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A program learns what came from where."""
    into = tmp_path / "into"
    assert main(["admit", str(pickled), "--into", str(into), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["schema"], data["path"]) == ("safeload.admission/1", str(into))
    assert "converted" in {file["how"] for file in data["files"]}


def test_a_directory_that_is_not_empty_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of the user's is overwritten."""
    (tmp_path / "mine").write_text("mine")
    assert main(["admit", str(model), "--into", str(tmp_path)]) == 2
    assert (tmp_path / "mine").read_text() == "mine"


def test_an_admission_without_weights_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory of configs alone is admitted, and nobody waits for weights that are not there."""
    (tmp_path / "m").mkdir()
    repos.write_config(tmp_path / "m")
    assert main(["admit", str(tmp_path / "m")]) == 0
    assert "no weights" in capsys.readouterr().err


def test_link_without_into_is_refused(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing it could mean."""
    assert main(["admit", str(model), "--link"]) == 2


def test_without_into_the_directory_stays(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed can be served after the program has ended: real files, below the store."""
    assert main(["admit", str(model)]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.is_relative_to(os.environ["SAFELOAD_HOME"])
    assert path.name == "model"
    assert (path / "model.safetensors").stat().st_size > 0
    assert not [file for file in path.rglob("*") if file.is_symlink()]


def test_an_unchanged_model_is_written_once(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second admission prints the same directory and writes nothing into it."""
    main(["admit", str(model)])
    first = capsys.readouterr().out.strip()
    before = {path: path.stat().st_ino for path in Path(first).rglob("*")}
    main(["admit", str(model)])
    assert capsys.readouterr().out.strip() == first
    assert {path: path.stat().st_ino for path in Path(first).rglob("*")} == before


def test_a_changed_model_gets_another_directory(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A server that reads the old directory is not disturbed."""
    main(["admit", str(model)])
    first = capsys.readouterr().out.strip()
    repos.rewrite(model / "config.json", hidden_dropout_prob=0.5)
    main(["admit", str(model)])
    assert capsys.readouterr().out.strip() != first


def test_a_damaged_directory_is_written_again(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody wrote into the kept directory: the next admission notices and repairs it."""
    main(["admit", str(model)])
    path = Path(capsys.readouterr().out.strip(), "model.safetensors")
    good = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(b"X" * len(good))
    assert main(["admit", str(model)]) == 0
    assert path.read_bytes() == good


def test_kept_directories_are_listed_and_pruned(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`safeload cache` knows them."""
    main(["admit", str(model)])
    path = capsys.readouterr().out.strip()
    main(["cache", "list"])
    assert path in capsys.readouterr().out
    main(["cache", "prune"])
    assert Path(path).exists()
    main(["cache", "prune", "--all"])
    assert not Path(path).exists()
