"""The contract of an adapter with its library, at the oldest and the newest version that it supports.

    python -m tools.contract sentence-transformers oldest
    python -m tools.contract peft 0.19.0

Puts that one version over the packages of this interpreter, in a folder of its own below `build/contract`, and runs the
adapter's tests against it. What the library itself needs stays as it is installed, except for what is named here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "contract"
_WARNINGS = ("UserWarning", "FutureWarning", "DeprecationWarning")


@dataclass(frozen=True, slots=True)
class Contract:
    """One adapter."""

    module: str
    """Ours; it says the oldest version."""
    tests: str
    beside: tuple[str, ...] = ()
    """Packages that the library needs and `make test` does not have."""


CONTRACTS = {
    "sentence-transformers": Contract("safeload.sentence_transformers", "test_sentence_transformers.py"),
    "peft": Contract("safeload.peft", "test_peft.py"),
    "accelerate": Contract("safeload.accelerate", "test_accelerate.py"),
    "timm": Contract("safeload.timm", "test_timm.py", ("torchvision",)),
    "diffusers": Contract(
        "safeload.diffusers._surface", "test_diffusers.py", ("httpx", "httpcore", "h11", "anyio", "sniffio")
    ),
}


def version_of(library: str, asked: str) -> str:
    """What to install: the first release of the oldest series, the newest there is, or what was asked for."""
    if asked == "newest":
        return library
    if asked == "oldest":
        oldest = import_module(CONTRACTS[library].module).OLDEST
        return f"{library}=={oldest}" if oldest.count(".") > 1 else f"{library}=={oldest}.0"
    return f"{library}=={asked}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("library", choices=CONTRACTS)
    parser.add_argument("version", help="oldest, newest, or a version")
    parser.add_argument("rest", nargs="*", metavar="OPTION", help="options of pytest, after --")
    parsed = parser.parse_args()
    contract, wanted = CONTRACTS[parsed.library], version_of(parsed.library, parsed.version)
    folder = BUILD / f"{parsed.library}-{parsed.version}"
    shutil.rmtree(folder, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    subprocess.run([*pip, wanted, *contract.beside], check=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}
    # Versions of other days warn about each other.
    quiet = [option for kind in _WARNINGS for option in ("-W", f"ignore::{kind}")]
    test = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *quiet, f"tests/adapters/{contract.tests}"]
    sys.stderr.write(f"{wanted}: {' '.join(test[1:])}\n")
    return subprocess.run([*test, *parsed.rest], cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    raise SystemExit(main())
