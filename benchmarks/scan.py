"""How long scanning takes, and how much memory: safeload and the other scanners, in the same run, in turns.

    python benchmarks/scan.py [--rounds 5] [--gigabytes 1] [--files 2000] [--only small many …] [--json FILE]

Every scanner is the current release from PyPI in an environment of its own (`benchmarks/peers.py`); safeload is this
checkout, installed as a wheel. Measured is the whole process, from its start to its end, with what the kernel says was
its peak memory; output goes nowhere, and nothing is remembered from one run to the next. Processor time is what all of
a scanner's processes used: on a busy machine it is the steadier number. Targets:

* `small`     a torch checkpoint of 10 kB: the time to start
* `zip`       a torch checkpoint of one gigabyte in 200 tensors
* `legacy`    the same in torch's format from before 1.6
* `many`      2,000 small files: a third each torch checkpoints, pickles and configurations
* `sharded`   a repository of 8 GB in eight shards (safetensors and pickles; sparse, so it takes no disk)
* `remote`    the gigabyte over HTTP on the loopback interface; only safeload reads ranges, so it is alone here

Weights are zeros: no scanner here looks at them.
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
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peers import PEERS, install, ours

BUILD = """
import json, os, pickle, struct, sys, torch
folder, gigabytes, files = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
torch.save({"a": torch.zeros(50, 50)}, f"{folder}/small.pt")
state = {f"layer.{i}.weight": torch.zeros(int(gigabytes * 1_342_177)) for i in range(200)}
torch.save(state, f"{folder}/zip.pt")
torch.save(state, f"{folder}/legacy.pt", _use_new_zipfile_serialization=False)
os.mkdir(f"{folder}/many")
for i in range(files):
    path = f"{folder}/many/{i:04}"
    if i % 3 == 0:
        torch.save({"weight": torch.zeros(10, 10), "step": i}, path + ".pt")
    elif i % 3 == 1:
        with open(path + ".pkl", "wb") as stream:
            pickle.dump({"step": i, "names": ["a", "b"], "losses": [0.5] * 20}, stream)
    else:
        with open(path + ".json", "w") as stream:
            json.dump({"model_type": "bert", "hidden_size": i, "layers": list(range(20))}, stream)
os.mkdir(f"{folder}/sharded")
for shard in range(1, 9):
    count = 1 << 30
    header = {f"layer.{shard}.weight": {"dtype": "F16", "shape": [count // 2], "data_offsets": [0, count]}}
    text = json.dumps(header).encode()
    with open(f"{folder}/sharded/model-{shard:05}-of-00008.safetensors", "wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        stream.truncate(8 + len(text) + count)
weight_map = {f"layer.{shard}.weight": f"model-{shard:05}-of-00008.safetensors" for shard in range(1, 9)}
json.dump({"metadata": {}, "weight_map": weight_map}, open(f"{folder}/sharded/model.safetensors.index.json", "w"))
json.dump({"model_type": "bert"}, open(f"{folder}/sharded/config.json", "w"))
torch.save({"optimizer": torch.zeros(100)}, f"{folder}/sharded/training_args.bin")
"""
TARGETS = {"small": "small.pt", "zip": "zip.pt", "legacy": "legacy.pt", "many": "many", "sharded": "sharded"}


Row = tuple[float, float, float, int]
"""Seconds, seconds of processor time, megabytes, exit code."""
LAUNCH = """
import os, sys, time
nothing = os.open(os.devnull, os.O_RDWR)
start = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[
    (os.POSIX_SPAWN_DUP2, nothing, 1), (os.POSIX_SPAWN_DUP2, nothing, 2)])
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000, status >> 8)
"""
"""A process of its own, because a program's peak memory is at least that of whoever started it."""


def measure(command: list[str], folder: Path) -> Row:
    """Run one command in a folder, where some scanners leave their results, and say what it took."""
    launch = [sys.executable, "-I", "-S", "-c", LAUNCH, *command]
    done = subprocess.run(launch, capture_output=True, check=True, cwd=folder)
    seconds, processor, megabytes, code = done.stdout.split()
    return float(seconds), float(processor), float(megabytes), int(code)


class _Ranges(BaseHTTPRequestHandler):
    """Serves one file by byte ranges, and counts what it sends."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 17
    file: Path
    sent = 0

    def do_GET(self) -> None:
        size = self.file.stat().st_size
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last) + 1, size)
        self.send_response(206)
        for name, value in (("Content-Length", stop - start), ("Content-Range", f"bytes {start}-{stop - 1}/{size}")):
            self.send_header(name, str(value))
        self.send_header("ETag", '"one"')
        self.end_headers()
        with open(self.file, "rb") as stream:
            stream.seek(start)
            self.wfile.write(stream.read(stop - start))
        type(self).sent += stop - start

    def log_message(self, *_: Any) -> None:
        """Silent."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--only", nargs="+", choices=[*TARGETS, "remote"], default=[*TARGETS, "remote"])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()

    scan = ours()
    tools: dict[str, Any] = {
        "safeload": lambda path: [*scan, "--no-cache", str(path)],
        "safeload, one worker": lambda path: [*scan, "--no-cache", "--workers", "1", str(path)],
    }
    for peer in PEERS:
        if why := install(peer):
            print(f"{peer.name} is left out: {why}")
        else:
            tools[f"{peer.name} {peer.version}"] = peer.on
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, medians of {asked.rounds}\n")

    results: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-c", BUILD, name, str(asked.gigabytes), str(asked.files)], check=True)
        for target in asked.only:
            if target == "remote":
                results[target] = _remote(folder / "zip.pt", scan, asked.rounds)
            else:
                results[target] = _target(folder / TARGETS[target], tools, asked.rounds)
            _print(target, results[target])
    if asked.json is not None:
        asked.json.write_text(json.dumps(results, indent=1) + "\n")


def _target(path: Path, tools: dict[str, Any], rounds: int) -> dict[str, dict[str, float]]:
    measured: dict[str, list[Row]] = {name: [] for name in tools}
    for command in tools.values():
        measure(command(path), path.parent)  # once for the disk's cache and for compiled files
    for _ in range(rounds):
        for name, command in tools.items():
            measured[name].append(measure(command(path), path.parent))
    return {name: _median(rows) for name, rows in measured.items()}


def _median(rows: list[Row]) -> dict[str, float]:
    seconds, processor, megabytes, codes = zip(*rows, strict=True)
    median = {"seconds": statistics.median(seconds), "processor": statistics.median(processor)}
    return {**median, "megabytes": max(megabytes), "code": codes[-1]}


def _remote(path: Path, scan: list[str], rounds: int) -> dict[str, dict[str, float]]:
    handler = type("Handler", (_Ranges,), {"file": path})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    command = [*scan, f"http://127.0.0.1:{server.server_address[1]}/model.pt"]
    rows = [measure(command, path.parent) for _ in range(rounds)]
    server.shutdown()
    server.server_close()
    share = handler.sent / rounds / path.stat().st_size  # type: ignore[attr-defined]
    return {"safeload": {**_median(rows), "percent of the bytes": 100 * share}}


def _print(target: str, rows: dict[str, dict[str, float]]) -> None:
    print(f"{target}\n")
    print("| | median | processor | peak memory | exit code |\n|---|---|---|---|---|")
    for name, row in rows.items():
        times = f"{row['seconds'] * 1000:.0f} ms | {row['processor'] * 1000:.0f} ms"
        print(f"| {name} | {times} | {row['megabytes']:.0f} MB | {row['code']:.0f} |", flush=True)
    for row in rows.values():
        if "percent of the bytes" in row:
            print(f"\n{row['percent of the bytes']:.3f} % of the bytes were read")
    print()


if __name__ == "__main__":
    main()
