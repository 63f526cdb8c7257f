"""Fuzz the readers with atheris: every target in turn, each in a process of its own.

    pip install atheris
    python -m fuzz.run --seconds 600            all targets, ten minutes together
    python -m fuzz.run --target pickle --seconds 60

A crash, a reading slower than a second for a megabyte, or memory beyond the limit ends a target, and leaves its input
in `build/fuzz/`. Exit code 0: there was none.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path("build/fuzz")
_RUNS = re.compile(r"Done (\d+) runs")
_MEMORY_MB = 700
_LONGEST = 1 << 16


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process. Does not return."""
    import atheris

    with atheris.instrument_imports(include=["safeload"], enable_loader_override=False):
        from fuzz.targets import TARGETS
    corpus = FOLDER / name
    corpus.mkdir(parents=True, exist_ok=True)
    target = TARGETS[name]
    for number, data in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(data[:_LONGEST])
    flags = [f"-max_total_time={seconds}", f"-rss_limit_mb={_MEMORY_MB}", "-timeout=20", f"-max_len={_LONGEST}"]
    artifacts = f"-artifact_prefix={FOLDER}/{name}-"
    atheris.Setup([sys.argv[0], *flags, artifacts, "-print_final_stats=1", "-verbosity=1", str(corpus)], target)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", help="one target, in this process")
    parser.add_argument("--seconds", type=int, default=600, help="for all targets together")
    parsed = parser.parse_args()
    if parsed.target:
        fuzz(parsed.target, parsed.seconds)
        return 0
    from fuzz.targets import TARGETS

    share, failed, total = max(1, parsed.seconds // len(TARGETS)), [], 0
    for name in TARGETS:
        command = [sys.executable, "-m", "fuzz.run", "--target", name, "--seconds", str(share)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        found = _RUNS.search(done.stderr)
        runs = int(found[1]) if found else 0
        total += runs
        print(f"{name:14} {'FAILED' if done.returncode else 'ok':8} {runs:>10,} runs", flush=True)
        if done.returncode:
            failed.append(name)
            print(done.stderr[-3_000:], flush=True)
    print(
        f"{total:,} runs in {share * len(TARGETS):,} s; {'failed: ' + ', '.join(failed) if failed else 'none failed'}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
