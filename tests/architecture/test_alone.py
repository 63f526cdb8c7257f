"""No module needs another one to have been imported before: a process that was started begins with any of them."""

from __future__ import annotations

import subprocess
import sys

from tests.architecture.source import sources

RINGS = ("core", "formats", "rules", "trust", "sources", "engine", "reporters", "cli")
PROGRAM = """
import importlib, os, sys
for name in sys.argv[1:]:
    if os.fork() == 0:
        try:
            importlib.import_module(name)
        except ImportError as error:
            print(f"{name}: {error}", flush=True)
        os._exit(0)
    os.wait()
"""


def test_every_module_can_be_imported_first() -> None:
    """Each module of the rings, in a process that has imported nothing of ours, comes without a circle."""
    names = [source.module for source in sources() if source.ring in RINGS]
    assert len(names) > 300
    done = subprocess.run([sys.executable, "-c", PROGRAM, *names], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
