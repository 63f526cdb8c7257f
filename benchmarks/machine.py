"""How many opcodes a second the inert machine reads, against torch's weights-only unpickler on the same bytes.

    python benchmarks/machine.py [--rounds 7] [--json FILE]

Both read the `data.pkl` of a checkpoint with many small tensors, alternating in one process; garbage of one round is
collected before the next. torch's side gets one ready storage for every persistent id, so that it is not charged for
opening members. It builds tensors and ours builds a graph: that is what each is for.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import statistics
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch._weights_only_unpickler import Unpickler

from safeload.core.blob import MemoryBlob
from safeload.core.machine import read_pickle
from safeload.core.names import Location


def stream(tensors: int) -> bytes:
    """The object pickle of a state dict with that many tensors."""
    file = io.BytesIO()
    torch.save({f"model.layers.{i}.weight": torch.zeros(2) for i in range(tensors)}, file)
    with zipfile.ZipFile(file) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


def timed(work: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tensors", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data = stream(options.tensors)
    blob, location = MemoryBlob(data), Location("data.pkl")
    opcodes = read_pickle(blob, location=location).opcodes
    storage = torch.storage.TypedStorage(wrap_storage=torch.UntypedStorage(8), dtype=torch.float32, _internal=True)

    def theirs() -> object:
        unpickler = Unpickler(io.BytesIO(data))
        unpickler.persistent_load = lambda _: storage
        return unpickler.load()

    rows: dict[str, list[float]] = {"safeload": [], "torch weights_only": []}
    for _ in range(options.rounds):
        rows["safeload"].append(timed(lambda: read_pickle(blob, location=location)))
        rows["torch weights_only"].append(timed(theirs))
    print(f"{len(data):,} bytes, {opcodes:,} opcodes, {options.rounds} rounds; medians")
    rates = {name: opcodes / statistics.median(times) for name, times in rows.items()}
    for name, rate in rates.items():
        print(f"  {name:20} {rate / 1e6:6.2f} million opcodes a second")
    ratio = rates["safeload"] / rates["torch weights_only"]
    print(f"  ratio {ratio:.2f} (at least 1)")
    if options.json:
        options.json.write_text(json.dumps({"opcodes_per_second": rates, "ratio": ratio}, indent=2))


if __name__ == "__main__":
    main()
