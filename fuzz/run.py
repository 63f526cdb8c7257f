"""Fuzz the readers with atheris: every target in turn, each in a process of its own. What they share is made once.

    pip install atheris
    python -m fuzz.run --seconds 600            all targets, ten minutes together
    python -m fuzz.run --target pickle --seconds 60

A crash, a reading slower than a second for a megabyte, or memory beyond the limit ends a target, and leaves its input
in `build/fuzz/`, beside what it said. Exit code 0: there was none, and every target ran.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

FOLDER = Path("build/fuzz")
_RUNS = re.compile(r"Done (\d+) runs")
_MEMORY_MB = 700
_LONGEST = 1 << 16


def fuzz(name: str, target: Callable[[bytes], None], seconds: int) -> None:
    """Fuzz one target in this process. Does not return."""
    import atheris

    corpus = FOLDER / name
    flags = [f"-max_total_time={seconds}", f"-rss_limit_mb={_MEMORY_MB}", "-timeout=20", f"-max_len={_LONGEST}"]
    artifacts = f"-artifact_prefix={FOLDER}/{name}-"
    atheris.Setup([sys.argv[0], *flags, artifacts, "-print_final_stats=1", "-verbosity=1", str(corpus)], target)
    atheris.Fuzz()


def _alone(name: str, target: Callable[[bytes], None], seconds: int) -> tuple[bool, str]:
    """Fuzz one target in a process of its own: whether it went well, and what it said."""
    log = FOLDER / f"{name}.log"
    child = os.fork()
    if not child:
        with open(log, "wb") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        try:
            fuzz(name, target, seconds)
        finally:
            os._exit(1)
    _, how = os.waitpid(child, 0)
    return how == 0, log.read_text(errors="replace")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", help="only this one")
    parser.add_argument("--seconds", type=int, default=600, help="for all targets together")
    parsed = parser.parse_args()
    import atheris

    with atheris.instrument_imports(include=["safeload"], enable_loader_override=False):
        from fuzz.targets import TARGETS
    chosen = {name: target for name, target in TARGETS.items() if parsed.target in (None, name)}
    if not chosen:
        parser.error(f"there is no such target; there are {', '.join(TARGETS)}")
    for name, target in chosen.items():
        corpus = FOLDER / name
        corpus.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(target.seeds()):
            (corpus / f"seed-{number}").write_bytes(data[:_LONGEST])
    share, failed, total = max(1, parsed.seconds // len(chosen)), [], 0
    began = time.monotonic()
    for name, target in chosen.items():
        well, said = _alone(name, target, share)
        found = _RUNS.search(said)
        runs = int(found[1]) if found else 0
        total += runs
        print(f"{name:20} {'ok' if well and runs else 'FAILED':8} {runs:>10,} runs", flush=True)
        if not (well and runs):
            failed.append(name)
            print(said[-3_000:], flush=True)
    print(
        f"{total:,} runs of {len(chosen)} targets in {time.monotonic() - began:,.0f} s; "
        f"{'failed: ' + ', '.join(failed) if failed else 'none failed'}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
