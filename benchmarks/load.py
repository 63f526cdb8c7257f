"""How much longer a load takes with safeload: both sides in the same run, medians over rounds.

    python benchmarks/load.py [--gigabytes 1] [--rounds 5] [--json FILE]

Builds a model of the given size in a temporary directory (safetensors, and the same as a `.bin`), then measures, each
in a fresh process and alternating between the sides:

* plain `from_pretrained` of each
* the first and the second load through safeload
* hashing the same files with hashlib on all cores
* `torch.load(weights_only=True)` followed by `safetensors.torch.save_file`

Files are read once before measuring, so that the disk's cache is as warm for one side as for the other.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PLAIN = """
from transformers import AutoModel
start = clock(); AutoModel.from_pretrained(path); done(start)
"""
SAFE = """
from safeload.transformers import AutoModel
AutoModel.from_pretrained
import safeload.engine.admit
start = clock(); AutoModel.from_pretrained(path); done(start)
"""
HASH = """
import hashlib
from concurrent.futures import ThreadPoolExecutor
def digest(file):
    hasher, buffer = hashlib.sha256(), memoryview(bytearray(1 << 20))
    with open(file, "rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            hasher.update(buffer[:count])
files = sorted((os.path.join(path, name) for name in os.listdir(path)), key=os.path.getsize, reverse=True)
start = clock()
with ThreadPoolExecutor(os.cpu_count()) as pool:
    list(pool.map(digest, files))
done(start)
"""
CONVERT = """
import torch
from safetensors.torch import save_file
target = os.path.join(os.environ["SAFELOAD_HOME"], "converted.safetensors")
os.makedirs(os.environ["SAFELOAD_HOME"], exist_ok=True)
start = clock()
save_file(torch.load(os.path.join(path, "pytorch_model.bin"), weights_only=True), target)
done(start)
os.remove(target)
"""
FRAME = """
import os, sys, time, warnings
warnings.simplefilter("ignore")
os.environ["HF_HUB_OFFLINE"] = "1"
path, clock = sys.argv[1], time.perf_counter
def done(start):
    print("seconds", clock() - start)
import torch
from transformers import AutoModel as _warm_up, BertModel as _class_too
"""


def seconds(program: str, path: Path, home: Path) -> float:
    """Run one side in a fresh process; return what it measured."""
    environment = {**os.environ, "SAFELOAD_HOME": str(home), "TRANSFORMERS_VERBOSITY": "error"}
    command = [sys.executable, "-c", FRAME + program, str(path)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    for line in result.stdout.splitlines():
        if line.startswith("seconds "):
            return float(line.split()[1])
    raise SystemExit(result.stderr)


def build(folder: Path, gigabytes: float) -> tuple[Path, Path]:
    """A BERT-shaped model of about that size, as safetensors and as a zip checkpoint."""
    import torch
    from transformers import BertConfig, BertModel

    layers = max(1, round(gigabytes * 1e9 / (12 * 1024 * 1024 * 4)))
    config = BertConfig(
        vocab_size=1000, hidden_size=1024, num_hidden_layers=layers, num_attention_heads=16, intermediate_size=4096
    )
    model = BertModel(config)
    safe, pickled = folder / "safe", folder / "pickled"
    model.save_pretrained(safe, max_shard_size="100GB")
    pickled.mkdir()
    shutil.copy(safe / "config.json", pickled)
    torch.save(model.state_dict(), pickled / "pytorch_model.bin")
    return safe, pickled


def warm(folder: Path) -> int:
    size = 0
    for file in folder.iterdir():
        with open(file, "rb", buffering=0) as stream:
            while data := stream.read(1 << 24):
                size += len(data)
    return size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        safe, pickled = build(folder, options.gigabytes)
        size = warm(safe)
        rows: dict[str, list[float]] = {}

        def measure(row: str, program: str, path: Path, home: Path) -> None:
            rows.setdefault(row, []).append(seconds(program, path, home))

        for number in range(options.rounds):
            home = folder / f"home{number}"
            warm(safe)
            warm(pickled)
            measure("plain safetensors", PLAIN, safe, home)
            measure("hash safetensors", HASH, safe, home)
            measure("safeload safetensors, first", SAFE, safe, home)
            measure("safeload safetensors, second", SAFE, safe, home)
            measure("plain .bin", PLAIN, pickled, home)
            measure("torch.load + save_file", CONVERT, pickled, home)
            measure("safeload .bin, first", SAFE, pickled, home)
            measure("safeload .bin, second", SAFE, pickled, home)
            shutil.rmtree(home)
    medians = {row: statistics.median(values) for row, values in rows.items()}
    print(f"{size / 1e9:.2f} GB, {options.rounds} rounds, {platform.machine()}, {os.cpu_count()} cores; medians")
    for row, value in medians.items():
        print(f"  {row:30} {value * 1000:9.1f} ms   (from {min(rows[row]) * 1000:.1f} to {max(rows[row]) * 1000:.1f})")
    plain, hashed = medians["plain safetensors"], medians["hash safetensors"]
    first = medians["safeload .bin, first"] - medians["safeload .bin, second"]
    ratios = {
        "second load over plain, ms (at most 25)": (medians["safeload safetensors, second"] - plain) * 1000,
        "first load over plain / hashing (at most 1.15)": (medians["safeload safetensors, first"] - plain) / hashed,
        "first .bin / (torch.load + save_file) (at most 0.5)": first / medians["torch.load + save_file"],
        "second .bin / plain .bin (below 1)": medians["safeload .bin, second"] / medians["plain .bin"],
    }
    for row, value in ratios.items():
        print(f"  {row:55} {value:8.2f}")
    if options.json:
        options.json.write_text(json.dumps({"medians": medians, "ratios": ratios, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
