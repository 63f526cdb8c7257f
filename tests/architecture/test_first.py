"""Every module can be the first one that is imported: no two of them wait for each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("engine", "cli")
"""Those whose modules need each other across folders."""
SCRIPT = """
import argparse, concurrent.futures, hashlib, importlib, json, os, shutil, sys, tempfile, tomllib, urllib.request
failed = []
for name in sys.stdin.read().split():
    if (child := os.fork()) == 0:
        try:
            importlib.import_module(name)
        except ImportError as error:
            if "partially initialized" in str(error):
                os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        failed.append(name)
print(*failed)
"""


def test_every_module_can_be_imported_first() -> None:
    """A command imports what it needs when it is asked for, so any of them may be the first."""
    files = [path for package in PACKAGES for path in sorted((ROOT / "safeload" / package).rglob("*.py"))]
    names = [str(path.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__") for path in files]
    assert len(names) > 100
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=" ".join(names), capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.split() == []
