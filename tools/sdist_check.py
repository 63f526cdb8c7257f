"""Is the source archive the whole project, and nothing else?

    python -m tools.sdist_check dist/safeload-*.tar.gz

Every file that git tracks is in it as it is here, and beside them only `PKG-INFO`. Where there is no git (the archive,
unpacked) that cannot be said, and it fails. Raises nothing; the exit code is 0 or 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MADE = {"PKG-INFO"}
"""What the build adds."""


def faults(archive: Path) -> list[str]:
    """What is missing, different, or more than there should be, a line each."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    tracked = {name for name in listed.split("\0") if name}
    found: list[str] = []
    held = set()
    with tarfile.open(archive) as opened:
        for member in opened:
            top, _, name = member.name.partition("/")
            if not member.isfile() or f"{top}.tar.gz" != archive.name:
                found.append(f"{member.name} is no file of {archive.name}")
                continue
            held.add(name)
            content = opened.extractfile(member)
            if name in tracked and (content is None or content.read() != (ROOT / name).read_bytes()):
                found.append(f"{name} is not as it is here")
            if name in tracked and bool(member.mode & 0o100) != bool((ROOT / name).stat().st_mode & 0o100):
                found.append(f"{name} has another mode")
    found += [f"{name} is missing" for name in sorted(tracked - held)]
    return found + [f"{name} is no file of the project" for name in sorted(held - tracked - MADE)]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("archive", type=Path)
    wrong = faults(parser.parse_args().archive)
    for line in wrong or ["the source archive is the whole project"]:
        sys.stdout.write(f"{line}\n")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
