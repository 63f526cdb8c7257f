"""Small builders that the tests of sources share."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from safeload.sources.contain import open_beneath
from safeload.sources.pinned import PinnedFile

COMMIT = "0123456789abcdef0123456789abcdef01234567"


ROOT = Path(__file__).parents[2]


def spawn(program: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Run a program with this interpreter and this package, with its output readable as text."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([sys.executable, "-c", program, *arguments], env=environment, text=True, **options)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\x00" % len(data) + data).hexdigest()


def age(path: Path, seconds: float = 0.05) -> None:
    """Wait until the last change of `path` is older than the clock's tick, as files in real life are."""
    wait = os.stat(path).st_ctime_ns / 1e9 + seconds - time.time()
    if wait > 0:
        time.sleep(wait)


def open_in(folder: Path, name: str) -> PinnedFile:
    descriptor, resolved = open_beneath(str(folder), name, allowed=lambda _: True)
    return PinnedFile(descriptor, path=name, real_path=str(folder / resolved))


def cache_repository(cache: Path, files: dict[str, bytes], *, name: str = "org/name", commit: str = COMMIT) -> Path:
    """A repository in a huggingface_hub cache, as its client writes it; large files are those not in JSON."""
    repository = cache / "--".join(("models", *name.split("/")))
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "blobs").mkdir()
    for path, data in files.items():
        digest = git_sha1(data) if path.endswith((".json", ".txt")) else sha256(data)
        (repository / "blobs" / digest).write_bytes(data)
        link = repository / "snapshots" / commit / path
        link.parent.mkdir(parents=True, exist_ok=True)
        up = "../" * (2 + path.count("/"))
        link.symlink_to(f"{up}blobs/{digest}")
    return repository / "snapshots" / commit
