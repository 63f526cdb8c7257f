"""How long converting takes, and how much memory: safeload, torch with safetensors, and `cp` as the floor.

    python benchmarks/convert.py [--gigabytes 1 4] [--rounds 5] [--kinds zip legacy] [--shards 1 8] [--json FILE]

Builds checkpoints in a temporary directory, then measures, each in a fresh process, in turns, from its start to its
end, with what the kernel says was its peak memory:

* `safeload convert`, which hashes source, tensors and output, forces the output to disk and reads it back
* `torch.load(weights_only=True, mmap=True)` followed by `safetensors.torch.save_file`, which does none of that
* `cp`, and sha256 of the same bytes in one thread, as floors

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


def measure(command: list[str]) -> tuple[float, float]:
    """`(seconds, megabytes)` of one process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"code {process.returncode}: {' '.join(command)}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def sides(source: Path, out: Path, kind: str, most: int) -> dict[str, list[str]]:
    """The command of each side."""
    files = sorted(map(str, source.glob("*.bin")))
    target = files[0] if len(files) == 1 else str(source / "pytorch_model.bin.index.json")
    convert = [sys.executable, "-m", "safeload", "convert", target, "--into", str(out)]
    return {
        "safeload": [*convert, "--max-shard-size", str(most)],
        "torch": [sys.executable, "-c", TORCH, str(source), str(out), kind],
        "cp": ["cp", *files, str(out)],
        "sha256": [sys.executable, "-c", HASH, str(source)],
    }


def run(gigabytes: float, kind: str, shards: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Median seconds and largest megabytes by side."""
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        source = Path(name, "source")
        source.mkdir()
        count = max(shards, round(gigabytes * 1e9 / (1024 * 1024 * 4)))
        subprocess.run([sys.executable, "-c", BUILD, str(source), str(count), str(shards), kind], check=True)
        most = -(-count // shards) * 4 * 1024 * 1024
        for _ in range(rounds):
            for side in ("safeload", "torch", "cp", "sha256"):
                with tempfile.TemporaryDirectory(dir=name) as out:
                    subprocess.run(["cat", *map(str, source.iterdir())], stdout=subprocess.DEVNULL, check=True)
                    os.sync()
                    found.setdefault(side, []).append(measure(sides(source, Path(out), kind, most)[side]))
    return {
        side: (statistics.median(seconds for seconds, _ in all_), max(size for _, size in all_))
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
                ours, theirs, floor = found["safeload"][0], found["torch"][0], found["cp"][0]
                cells = "  ".join(f"{side} {seconds:5.2f} s {size:5.0f} MB" for side, (seconds, size) in found.items())
                row = {"gigabytes": gigabytes, "kind": kind, "shards": shards, "sides": found}
                ratios = f"{ours / theirs:.2f} of torch, {ours / floor:.1f} of cp"
                print(f"{gigabytes:g} GB {kind:6} {shards} files: {cells}: {ratios}")
                sys.stdout.flush()
                rows.append(row)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
