"""The other scanners, each in an environment of its own below `build/peers`, as people would install them.

Which arguments scan a path, and what their exit codes say, is written down here once for `scan.py` and `compare.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "peers"
_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A scanner from PyPI."""

    name: str
    requires: tuple[str, ...]
    """What `pip install` is given, in order; what begins with `--no-deps ` is installed alone."""
    command: tuple[str, ...]
    """The arguments that scan a path, which is appended."""
    clean: tuple[int, ...] = (0,)
    found: tuple[int, ...] = (1,)
    """Exit codes that say so. Any other says that the file was not decided."""

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    def on(self, path: Path) -> list[str]:
        return [str(self.folder / "bin" / self.command[0]), *self.command[1:], str(path)]

    def verdict(self, path: Path) -> str:
        """`clean`, `found`, or `?` where its exit code says neither."""
        code = exit_code(self.on(path))
        return "clean" if code in self.clean else "found" if code in self.found else "?"

    @property
    def version(self) -> str:
        code = f"from importlib.metadata import version; print(version({self.name!r}))"
        done = subprocess.run([self.folder / "bin" / "python", "-c", code], capture_output=True, text=True, check=False)
        return done.stdout.strip()


PEERS = (
    Peer(name="picklescan", requires=("picklescan",), command=("picklescan", "-p")),
    Peer(name="modelscan", requires=("modelscan",), command=("modelscan", "-p")),
    Peer(
        name="fickling", requires=("fickling", "typing_extensions"), command=("fickling", "--check-safety")
    ),  # the second is not declared
    Peer(name="hayward", requires=("hayward",), command=("hayward", "scan")),
)
MODELAUDIT = Peer(name="modelaudit", requires=("modelaudit",), command=("modelaudit", "scan"))
"""Takes a second or more for each file, so that the others are timed without it."""


def exit_code(command: list[str]) -> int:
    """What a scanner ends with, or 124 after two minutes. Those that report to others what they see are told not to."""
    quiet = os.environ | {"NO_ANALYTICS": "1", "PROMPTFOO_DISABLE_TELEMETRY": "1"}
    with tempfile.TemporaryDirectory() as folder:  # some leave files where they are started
        try:
            done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False, cwd=folder, env=quiet)
        except subprocess.TimeoutExpired:
            return 124
    return done.returncode


def install(peer: Peer) -> str:
    """Make the environment, once. Returns why that was not possible, or ""."""
    if (peer.folder / ".installed").exists():
        return ""
    commands = [[sys.executable, "-m", "venv", str(peer.folder)]]
    for requirement in peer.requires:
        pip = [str(peer.folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-cache-dir"]
        commands.append([*pip, *requirement.split()])
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["it could not be installed"])[-1]
    (peer.folder / ".installed").touch()
    return ""


def ours() -> list[str]:
    """The scan of the present checkout, installed into an environment of its own without any option."""
    folder = FOLDER / "safeload"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-cache-dir", str(ROOT)], check=True)
    subprocess.run([python, "-m", "compileall", "-q", str(folder / "lib")], check=False, capture_output=True)
    return [str(folder / "bin" / "safeload"), "scan"]
