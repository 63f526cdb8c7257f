"""How long converting takes, and how much memory: safeload, torch with safetensors, and `cp` as the floor.

    python benchmarks/convert.py [--gigabytes 1 4] [--rounds 5] [--kinds zip legacy] [--shards 1 8] [--json FILE]

Builds checkpoints in a temporary directory, then measures, each in a fresh process, in turns, from its start to its
end, with what the kernel says was its peak memory:

* `safeload convert`, which hashes source and output, forces the output to disk and reads it back
* the same with `--json`, which hashes every tensor, too
* `torch.load(weights_only=True, mmap=True)` followed by `safetensors.torch.save_file`, which does none of that
* `cp`, and sha256 of the same bytes in one thread; the floor is `cp` and two of these passes on all processors

Beside the time that passes it shows the time that processors worked: on a machine with other work only that one is
steady, since safeload keeps two processors busy and the others one.

Every file is read once before measuring, so that the disk's cache is as warm for one side as for the other. Eight
shards are converted by their index; torch converts them one after the other in one process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

BUILD = """
import json, sys, torch
folder, count, shards, legacy = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "legacy"
weight_map = {}
for shard in range(shards):
    name = "pytorch_model.bin" if shards == 1 else f"pytorch_model-{shard + 1:05}-of-{shards:05}.bin"
    state = {f"layer.{i}.weight": torch.randn(1024, 1024) for i in range(shard, count, shards)}
    weight_map |= dict.fromkeys(state, name)
    torch.save(state, f"{folder}/{name}", _use_new_zipfile_serialization=not legacy)
if shards > 1:
    json.dump({"metadata": {}, "weight_map": weight_map}, open(f"{folder}/pytorch_model.bin.index.json", "w"))
"""
TORCH = """
import glob, sys, torch
from safetensors.torch import save_file
for number, path in enumerate(sorted(glob.glob(sys.argv[1] + "/*.bin"))):
    mapped = sys.argv[3] == "zip"
    save_file(torch.load(path, weights_only=True, mmap=mapped), f"{sys.argv[2]}/{number}.safetensors")
"""
HASH = """
import glob, hashlib, sys
for path in glob.glob(sys.argv[1] + "/*.bin"):
    with open(path, "rb") as stream:
        hashlib.file_digest(stream, "sha256")
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took: seconds, seconds of processors, megabytes at its peak."""

    seconds: float
    work: float
    size: float

    def __str__(self) -> str:
        return f"{self.seconds:5.2f} s ({self.work:5.2f} s) {self.size:4.0f} MB"


def measure(command: list[str]) -> Cost:
    """What one process costs. Ends the program, with what the process said, if it fails."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            told = said.read().decode(errors="replace")
            raise SystemExit(f"code {process.returncode}: {' '.join(command)}\n{told}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def sides(source: Path, out: Path, kind: str, most: int) -> dict[str, list[str]]:
    """The command of each side."""
    files = sorted(map(str, source.glob("*.bin")))
    target = files[0] if len(files) == 1 else str(source / "pytorch_model.bin.index.json")
    convert = [sys.executable, "-m", "safeload", "convert", target, "--into", str(out)]
    convert += ["--max-shard-size", str(most)]
    return {
        "safeload": convert,
        "--json": [*convert, "--json"],
        "torch": [sys.executable, "-c", TORCH, str(source), str(out), kind],
        "cp": ["cp", *files, str(out)],
        "sha256": [sys.executable, "-c", HASH, str(source)],
    }


def run(gigabytes: float, kind: str, shards: int, rounds: int) -> dict[str, Cost]:
    """Medians by side; of memory the largest."""
    found: dict[str, list[Cost]] = {}
    with tempfile.TemporaryDirectory() as name:
        source = Path(name, "source")
        source.mkdir()
        count = max(shards, round(gigabytes * 1e9 / (1024 * 1024 * 4)))
        subprocess.run([sys.executable, "-c", BUILD, str(source), str(count), str(shards), kind], check=True)
        most = -(-count // shards) * 4 * 1024 * 1024
        for _ in range(rounds):
            for side in ("safeload", "--json", "torch", "cp", "sha256"):
                with tempfile.TemporaryDirectory(dir=name) as out:
                    subprocess.run(["cat", *map(str, source.iterdir())], stdout=subprocess.DEVNULL, check=True)
                    os.sync()
                    found.setdefault(side, []).append(measure(sides(source, Path(out), kind, most)[side]))
    return {
        side: Cost(
            statistics.median(one.seconds for one in all_),
            statistics.median(one.work for one in all_),
            max(one.size for one in all_),
        )
        for side, all_ in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1.0, 4.0])
    parser.add_argument("--kinds", nargs="+", default=["zip", "legacy"])
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    rows = []
    for gigabytes in options.gigabytes:
        for kind in options.kinds:
            for shards in options.shards:
                found = run(gigabytes, kind, shards, options.rounds)
                ours, theirs = found["safeload"], found["torch"]
                floor = found["cp"].seconds + 2 * found["sha256"].seconds / (os.cpu_count() or 1)
                print(f"{gigabytes:g} GB {kind:6} {shards} files: {'; '.join(f'{k} {v}' for k, v in found.items())}")
                print(
                    f"    {ours.seconds / theirs.seconds:.2f} of torch, {ours.seconds / floor:.2f} of the floor;",
                    end="",
                )
                print(f" work: {ours.work / theirs.work:.2f} of torch")
                sides_ = {side: asdict(cost) for side, cost in found.items()}
                row = {"gigabytes": gigabytes, "kind": kind, "shards": shards, "sides": sides_}
                sys.stdout.flush()
                rows.append(row)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
