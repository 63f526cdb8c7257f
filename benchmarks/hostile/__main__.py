"""What files that are made to be slow cost: the slowest of them, in processor seconds and megabytes for each megabyte.

    python -m benchmarks.hostile [--family pickle] [--size 1000000] [--top 20] [--json FILE]
    python -m benchmarks.hostile --sequences 2 [--part 1/8]      # every pair of opcodes
    python -m benchmarks.hostile --sequences 3 --sample 2000     # triples of them, drawn with a seed
    python -m benchmarks.hostile --growth [--family YAML]        # fragments of other formats

    python -m benchmarks.hostile --whole                         # every case at full size, also those cheap when small

Every case is made small first. The slowest by far, and those that become slower for each byte as they grow, are made
anew at full size, each in a process of its own. Exit code 1: one took more than `--most` seconds for a megabyte, or
more than `--memory` megabytes.

A busy machine is slow for everybody: beside each case a loop that is always the same is timed, and the time of the case
is divided by how much longer the loop took than at its best.

Sequences and fragments are looked at for how they grow: what takes much more than four times as long at four times the
size is made anew at four and sixteen times that. Exit code 1: one did so there as well.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.hostile import all_cases, growth, pickles
from benchmarks.hostile.case import Case
from safeload.core.blob import MemoryBlob
from safeload.core.limits import Limits
from safeload.engine.explain import explained_file
from safeload.engine.inspect import inspect

SMALL, MIDDLE = 8_000, 48_000
_FEW, _NOTHING = 3_000, 0.0006
_SUSPECT, _GROWN = 7, 6
"""Times as long that four times the bytes may take: first when both are so small that chance counts, then for sure."""
_HANGS = 120
"""Processor seconds after which a case is ended."""


def loop() -> float:
    """Processor seconds of a loop that does what reading does: look bytes up, make small objects, fill tables."""
    began = time.process_time()
    table: dict[int, list[int]] = {}
    data = bytes(range(256)) * 800
    for place, byte in enumerate(data):
        table.setdefault(byte, []).append(place)
    return time.process_time() - began


def beside() -> float:
    return sum(loop() for _ in range(3))  # some systems count processor time in steps of ten milliseconds


def measured(case: Case, size: int) -> dict[str, object]:
    """What reading, judging and explaining one file costs, in this process."""
    data = case.make(size)
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    first = beside()
    began = time.process_time()
    inspected = inspect(MemoryBlob(data), case.file, Limits())
    judged = time.process_time()
    last = beside()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    again = time.process_time()
    explained_file(inspected)
    explained = time.process_time()
    megabytes = max(size, len(data)) / 1e6  # a packed file counts as what it was made of
    return {
        "case": case.name,
        "bytes": len(data),
        "judge": (judged - began) / megabytes,
        "explain": (explained - again) / megabytes,
        "loop": (first + last) / 2,
        "memory": memory / 1024,
        "status": str(inspected.report.status),
        "rules": sorted({finding.rule for finding in inspected.report.findings}),
    }


def alone(case: Case, size: int) -> dict[str, object]:
    """The same in a process of its own, which is ended if it hangs."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_CPU, (_HANGS, _HANGS))
        with contextlib.suppress(BaseException), open(writer, "w") as out:
            out.write(json.dumps(measured(case, size)))
        os._exit(0)
    os.close(writer)
    with open(reader) as given:
        text = given.read()
    _, how = os.waitpid(child, 0)
    if not text:
        failed = {"judge": float(_HANGS), "explain": 0.0, "loop": 1.0, "memory": 0.0, "rules": []}
        return {"case": case.name, "bytes": size, "status": f"ended with {how}", **failed}
    found: dict[str, object] = json.loads(text)
    return found


def fairly(rows: list[dict[str, object]]) -> None:
    """Divide what each took by how much slower the machine was at that moment than at its best."""
    best = max(0.001, min((float(str(row["loop"])) for row in rows), default=1.0))
    for row in rows:
        if (slower := float(str(row["loop"])) / best) > 1 and row["judge"] != float(_HANGS):
            row["judge"] = float(str(row["judge"])) / slower
            row["explain"] = float(str(row["explain"])) / slower


def cost(row: dict[str, object]) -> float:
    return float(str(row["judge"]))


def memory(row: dict[str, object]) -> float:
    return float(str(row["memory"]))


def screened(cases: Iterator[Case], keep: int) -> list[Case]:
    """The cases that are worth their full size: the slowest when small, and those that grow faster than their files."""
    rows: list[tuple[float, float, Case]] = []
    for number, case in enumerate(cases):
        small = cost(measured(case, SMALL))
        middle = cost(measured(case, MIDDLE))
        rows.append((middle, middle / max(small, 0.02), case))
        if sys.stderr.isatty():
            print(f"\r{number:,} cases", end="", file=sys.stderr)
    slowest = sorted(rows, key=lambda row: -row[0])[:keep]
    growing = sorted((row for row in rows if row[1] > 1.5), key=lambda row: -row[1])[: keep // 2]
    chosen = {row[2].name: row[2] for row in (*slowest, *growing)}
    print(f"{len(rows):,} cases of {MIDDLE:,} bytes were read, and {len(chosen)} of them at full size", flush=True)
    return list(chosen.values())


def seconds(case: Case, size: int) -> float:
    data = case.make(size)
    began = time.process_time()
    inspect(MemoryBlob(data), case.file, Limits())
    return time.process_time() - began


def grown(cases: Iterator[Case], keep: int) -> int:
    """Print the cases that grow faster than their files, and the slowest of all; how many of the former there are."""
    rows: list[tuple[float, str]] = []
    growing: list[tuple[float, str]] = []
    for case in cases:
        few, more = seconds(case, _FEW), seconds(case, 4 * _FEW)
        rows.append((more / (4 * _FEW) * 1e6, case.name))
        if more > _SUSPECT * max(few, _NOTHING):
            many, most = (min(seconds(case, size) for _ in range(2)) for size in (4 * _FEW, 16 * _FEW))
            if most > _GROWN * max(many, _NOTHING):
                growing.append((most / many, case.name))
    print(f"{len(rows):,} cases; of {len(growing)} four times the bytes took much more than four times as long")
    for times, name in sorted(growing, reverse=True):
        print(f"{times:6.1f} times   {name}")
    for each, name in sorted(rows, reverse=True)[:keep]:
        print(f"{each:6.2f} s/MB at {4 * _FEW:,} bytes   {name}")
    return len(growing)


def _screening(options: argparse.Namespace) -> Iterator[Case]:
    part, parts = map(int, options.part.split("/"))
    cases = growth.cases() if options.growth else pickles.sequences(options.sequences, sample=options.sample)
    return itertools.islice((case for case in cases if case.name.startswith(options.family)), part - 1, None, parts)


def over(row: dict[str, object], options: argparse.Namespace) -> bool:
    return bool(cost(row) > options.most or memory(row) > options.memory)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", default="", help="only cases whose name begins so")
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--top", type=int, default=20, help="how many are listed")
    parser.add_argument("--most", type=float, default=1.0, help="processor seconds that judging a megabyte may take")
    parser.add_argument("--memory", type=float, default=60.0, help="megabytes that a file may take")
    parser.add_argument("--whole", action="store_true", help="measure every case at full size")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", help="measure this case, in this process, and print it as JSON")
    parser.add_argument("--sequences", type=int, help="look at so many opcodes in a row instead")
    parser.add_argument("--sample", type=int, default=0, help="draw so many of them")
    parser.add_argument("--growth", action="store_true", help="look at fragments of other formats instead")
    parser.add_argument("--part", default="1/1", help="of sequences or fragments only this part: 1/8 to 8/8")
    options = parser.parse_args()
    if options.growth or options.sequences:
        return int(grown(_screening(options), options.top) > 0)
    if options.one:
        case = next(case for case in all_cases(options.one) if case.name == options.one)
        print(json.dumps(measured(case, options.size)))
        return 0
    cases = list(all_cases(options.family))
    chosen = cases if options.whole else screened(iter(cases), 3 * options.top)
    inspect(MemoryBlob(b"[1]"), "a.json", Limits())  # what every reading needs is loaded before the first is measured
    rows = []
    for case in chosen:
        rows.append(alone(case, options.size))
        if over(rows[-1], options):  # at once, as the rest takes a while; the machine may have been busy
            print(f"{cost(rows[-1]):6.2f} s, {memory(rows[-1]):.0f} MB   {case.name}", file=sys.stderr, flush=True)
    fairly(rows)
    listed = {id(row): row for key in (cost, memory) for row in sorted(rows, key=key, reverse=True)[: options.top]}
    print(f"{'judge':>6} {'explain':>7}  {'memory':>8}   for each megabyte, in processor seconds; and MB")
    for row in listed.values():
        numbers = f"{row['judge']:6.2f} {row['explain']:7.2f} {row['memory']:6.0f} MB"
        print(f"{numbers}   {row['case']}: {row['status']} {row['rules']}")
    bad = [row for row in rows if over(row, options)]
    print(f"{len(rows):,} at {options.size:,} bytes: {len(bad)} over {options.most} s/MB or {options.memory:.0f} MB")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))
    return int(bool(bad))


if __name__ == "__main__":
    raise SystemExit(main())
