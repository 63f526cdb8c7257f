"""Programs of the kind that people run, and ways to run them: as they are, and under guard."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from tests.architecture.source import ROOT

_DROPPED = ("SAFELOAD_GUARD", "PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "COVERAGE_PROCESS_START")


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment, with the checkout on the path and nothing fetched."""
    kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    quiet = {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "error", "PYTHONWARNINGS": "ignore"}
    return {**kept, **quiet, "PYTHONPATH": str(ROOT), **(more or {})}


def write(path: Path, text: str) -> Path:
    """Write a program."""
    path.write_text(textwrap.dedent(text))
    return path


def python(
    *words: object, cwd: Path | None = None, more: Mapping[str, str] | None = None, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `python …`."""
    line = [sys.executable, *map(str, words)]
    return subprocess.run(
        line, cwd=cwd, env=environment(more), input=text, capture_output=True, text=True, timeout=240, check=False
    )


def guarded(
    *words: object, cwd: Path | None = None, more: Mapping[str, str] | None = None, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `safeload run …`."""
    return python("-m", "safeload", "run", *words, cwd=cwd, more=more, text=text)


def has(name: str) -> bool:
    """Whether safeload has a counterpart of this dotted name."""
    from safeload.guarding.doors import counterpart

    return counterpart(name) is not None
