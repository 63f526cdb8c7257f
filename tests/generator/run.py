"""Make and judge many dangerous files, and say which of them were let pass.

    python -m tests.generator.run --count 20000 --seed 1

Exit code 0: each file was dangerous or undecided, nothing acted while it was read, and no marker was made.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import tempfile
import time
from pathlib import Path

from safeload.core.finding import Status
from tests import canary
from tests.generator.make import SEED, made
from tests.regressions.files import report

_CHUNK = 250


def judged(task: tuple[int, int, int, str]) -> tuple[collections.Counter[str], list[str]]:
    """Counts by status, and the recipes of files that were let pass or made something act."""
    seed, first, count, marker = task
    canary.install()
    counts: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    for number in range(first, first + count):
        file = made(number, seed, marker)
        status = report(file.data, file.name).status
        counts[str(status)] += 1
        if status not in (Status.DANGEROUS, Status.UNDECIDED):
            wrong.append(f"{status}: {file.recipe}")
        wrong += [f"{song}: {file.recipe}" for song in canary.CANARY.heard()]
    return counts, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first file")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--jobs", type=int, default=2)
    parsed = parser.parse_args()
    began = time.monotonic()
    counts: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        marker = Path(folder, "MARKER")
        end = parsed.first + parsed.count
        tasks = [
            (parsed.seed, first, min(_CHUNK, end - first), str(marker)) for first in range(parsed.first, end, _CHUNK)
        ]
        with multiprocessing.get_context("spawn").Pool(parsed.jobs) as pool:
            for some, bad in pool.imap_unordered(judged, tasks):
                counts.update(some)
                wrong += bad
        if marker.exists():
            wrong.append("a payload ran: it created the marker")
    print(f"seed {parsed.seed}: {sum(counts.values()):,} files in {time.monotonic() - began:.0f} s: {dict(counts)}")
    for line in wrong[:50]:
        print(f"  {line[:300]}")
    print(f"{len(wrong):,} of them were let pass" if wrong else "none was let pass, and nothing ran")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
