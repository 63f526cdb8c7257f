"""A process that is killed leaves what was there, or what it was to write, and never a half; the next one completes it.

A wrapper counts the calls by which a process changes the file system, and kills it (SIGKILL) at one of them. Which
one does not depend on how fast the machine is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from safeload.trust.lockfile import parse_lock
from tests.corpus.build import checkpoint, make_zip, state_dict, tensor

PROGRAM = """
import os, sys
last, made = int(sys.argv[1]), 0
def counted(call):
    def wrapper(*args, **kwargs):
        global made
        made += 1
        if made == last:
            os.kill(os.getpid(), 9)
        return call(*args, **kwargs)
    return wrapper
CALLS = "write pwrite writev pwritev rename replace link unlink fsync fdatasync ftruncate mkdir open sendfile"
for name in (*CALLS.split(), "copy_file_range", "posix_fallocate"):
    if hasattr(os, name):
        setattr(os, name, counted(getattr(os, name)))
from safeload.cli.main import main
code = main(sys.argv[2:])
print(made)
sys.exit(code)
"""
POINTS = 7
"""At how many of its calls each job is killed: the last ones, and some that are spread over the others."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A model with a pickled checkpoint, in a project."""
    model = tmp_path / "model"
    model.mkdir()
    (tmp_path / ".git").mkdir()
    (model / "config.json").write_text('{"model_type": "bert", "dtype": "float32"}')
    weights = checkpoint(state_dict({"weight": tensor()}), {"0": bytes(16)})
    (model / "pytorch_model.bin").write_bytes(make_zip(weights))
    return tmp_path


def run(project: Path, last: int, *arguments: str) -> tuple[int, int]:
    """The exit code of a command that is killed at its `last` call, and how many it made if it was not."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(last), *arguments],
        cwd=project,
        env={**os.environ, "XDG_CACHE_HOME": str(project / "cache"), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode, int(done.stdout.split()[-1]) if done.returncode == 0 else 0


def points(total: int) -> list[int]:
    """Some calls of a job: most of them at its end, where what was made gets its name."""
    late = range(max(1, total - POINTS // 2), total + 1)
    return sorted({*late, *range(1, total, max(1, total // (POINTS - len(late))))})


def test_a_conversion_that_is_killed(project: Path) -> None:
    """Killed at any call, there is no output or the whole one; converting again makes it."""
    source = "model/pytorch_model.bin"
    _, total = run(project, 0, "convert", source, "-o", "whole.safetensors")
    whole = (project / "whole.safetensors").read_bytes()
    for last in points(total):
        output = project / f"{last}.safetensors"
        run(project, last, "convert", source, "-o", output.name)
        assert not output.exists() or output.read_bytes() == whole, last
        if not output.exists():
            run(project, 0, "convert", source, "-o", output.name)
        assert output.read_bytes() == whole, last


def test_a_lock_that_is_killed(project: Path) -> None:
    """Killed at any call, the lock is the old one or the new one; locking again makes the new one."""
    run(project, 0, "lock", "./model")
    old = (project / "safeload.lock").read_bytes()
    (project / "model" / "config.json").write_text('{"model_type": "gpt2", "dtype": "float32"}')
    _, total = run(project, 0, "lock", "./model", "--upgrade")
    new = (project / "safeload.lock").read_bytes()
    assert old != new
    for last in points(total):
        (project / "safeload.lock").write_bytes(old)
        run(project, last, "lock", "./model", "--upgrade")
        assert (project / "safeload.lock").read_bytes() in (old, new), last
        parse_lock((project / "safeload.lock").read_bytes())
        run(project, 0, "lock", "./model", "--upgrade")
        assert (project / "safeload.lock").read_bytes() == new, last


def test_an_admission_that_is_killed(project: Path) -> None:
    """Killed at any call, there is no admitted directory or the whole one; admitting again makes it."""
    _, total = run(project, 0, "admit", "./model", "--into", "whole")
    names = {path.name for path in (project / "whole").iterdir()}
    whole = (project / "whole" / "model.safetensors").read_bytes()
    for last in points(total):
        output = project / f"admitted-{last}"
        run(project, last, "admit", "./model", "--into", output.name)
        if output.exists():
            assert {path.name for path in output.iterdir()} == names, last
        else:
            run(project, 0, "admit", "./model", "--into", output.name)
        assert (output / "model.safetensors").read_bytes() == whole, last
