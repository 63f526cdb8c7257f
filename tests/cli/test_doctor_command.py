"""`safeload doctor` shows what `engine.doctor` found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safeload.cli.main import main


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches of this test's own."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("PYTHONPATH", raising=False)


def test_a_machine_without_problems(capsys: pytest.CaptureFixture[str]) -> None:
    """Versions, limits and abilities are shown, and the code is 0."""
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for word in ("versions", "python", "limits", "opcodes", "integrity", "reflink", "nothing found"):
        assert word in out


def test_the_guard(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is on, could be, and what it knows; also where somebody took the path away that it starts from."""
    import safeload

    monkeypatch.delenv("SAFELOAD_GUARD", raising=False)

    def shown() -> list[str]:
        main(["doctor"])
        return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]

    lines = shown()
    assert "in this process off" in lines and "safeload run works here" in lines
    assert any(line.startswith("yaml ") and line.endswith(", any version") for line in lines)
    assert any(line.startswith("torch 2.") for line in lines)
    with safeload.guard():
        assert "in this process on" in shown()
        with safeload.guard(strict=True):
            assert "in this process on, strictly" in shown()
    monkeypatch.setenv("SAFELOAD_GUARD", "{}")
    assert any("its PYTHONPATH was taken away" in line for line in shown())
    main(["doctor", "--json"])
    guard = json.loads(capsys.readouterr().out)["guard"]
    assert (guard["here"], guard["possible"]) == ("off", False) and guard["libraries"]["yaml"]["oldest"] == ""


def test_a_machine_with_a_problem(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A dangerous variable is shown with its effect and what to do, and the code is 1."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "problem" in out
    assert "next: unset TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" in out


def test_the_same_as_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A program gets all of it."""
    monkeypatch.setenv("TRUST_REMOTE_CODE", "1")
    assert main(["doctor", "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["schema"] == "safeload.doctor/1"
    assert [note["grade"] for note in data["notes"]] == ["problem"]
    assert data["limits"]["depth"] == 10_000
