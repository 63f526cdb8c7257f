"""`safeload scan --watch` prints a line for each file that arrives, and its code is that of the worst."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from safeload.cli import scan
from safeload.cli.watching import watch
from tests.architecture.source import ROOT


def parsed(folder: Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    scan.arguments(parser)
    return parser.parse_args(["--watch", str(folder)])


def rounds(*steps: Callable[[], object]) -> Callable[[float], None]:
    """Does one step at each wait, then waits once more, then interrupts."""
    left = [*steps, lambda: None, lambda: None]

    def wait(_: float) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop(0)()

    return wait


def test_each_arrival_is_one_line(tmp_path: Path, marker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status, name and the worst finding; a control sequence in the name is shown, not obeyed."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / "old.pkl").write_bytes(b"cos\nsystem\n(S'x'\ntR.")
    name = "\x1b[2J.pkl"
    wait = rounds(
        lambda: (folder / "config.json").write_text("{}"),
        lambda: (folder / name).write_bytes(f"cos\nsystem\n(S'touch {marker}'\ntR.".encode()),
    )
    assert watch(parsed(folder), wait=wait, settle=0) == 1
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert len(lines) == 2 and "\x1b" not in captured.out
    assert lines[0].startswith("safe       config.json")
    assert lines[1].startswith("dangerous  \\x1b[2J.pkl") and "os.system" in lines[1]
    assert "1 files are there already" in captured.err and "2 files scanned" in captured.err


def test_nothing_arrived_is_code_0(tmp_path: Path) -> None:
    """An interrupted watch that saw nothing has nothing to report."""
    assert watch(parsed(tmp_path), wait=rounds(), settle=0) == 0


def test_a_file_that_cannot_be_read_is_undecided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that vanishes before it is read is said, and is code 2."""
    path = tmp_path / "a.bin"

    def swap() -> None:
        path.write_bytes(b"x")

    from safeload.engine import watch as looking

    look = looking.Watcher.look

    def vanish(self: looking.Watcher, now: float) -> list[str]:
        ready = look(self, now)
        for each in ready:
            os.unlink(each)
        return ready

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(looking.Watcher, "look", vanish)
        assert watch(parsed(tmp_path), wait=rounds(swap), settle=0) == 2
    assert "undecided  a.bin" in capsys.readouterr().out


def test_a_service_manager_gets_the_code(tmp_path: Path) -> None:
    """SIGTERM ends it in order: the process returns the code of what it saw."""
    command = [sys.executable, "-m", "safeload", "scan", "--watch", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        assert "watching" in process.stderr.readline()
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
