"""What a guard costs: at start-up, and per load. `python benchmarks/guard.py`; see docs/guard.md.

Plain and guarded processes take turns, so that both see the same machine; what is told of start-up is the least of all
rounds, and of loads the median. Processor time is what the work took, whoever else wanted the processor; wall time is
told beside it for loads. A load is measured after one that fills caches, which is told by itself: it imports what
safeload reads with.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {
    "nothing": "pass",
    "standard library": "import argparse, json, logging, pickle",
    "scikit-learn": "import joblib, numpy, sklearn.linear_model",
    "torch and transformers": "import torch\nfrom transformers import AutoModel, BertModel",
}
BUILD = """
    import argparse, os, pickle, sys
    import joblib, numpy, torch
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from transformers import BertConfig, BertModel

    megabytes = int(sys.argv[1])
    torch.save({f"layer.{n}.weight": torch.randn(1024, 1024) for n in range(megabytes // 4)}, "large.pt")
    layers = max(1, megabytes // 30)
    BertModel(BertConfig(num_hidden_layers=layers)).save_pretrained("model", max_shard_size="100GB")
    features = numpy.random.default_rng(0).random((3000, 20))
    labels = (features.sum(axis=1) > 10).astype(int)
    joblib.dump(RandomForestClassifier(100, n_jobs=1).fit(features, labels), "forest.joblib")
    joblib.dump(LogisticRegression().fit(features, labels), "logistic.joblib")
    joblib.dump({"weights": numpy.random.default_rng(0).random((2000, 10_000))}, "arrays.joblib")
    with open("small.pkl", "wb") as file:
        pickle.dump({"a": [1, 2, 3], "b": "x" * 50, "c": {"k": 1.5}}, file)
    with open("rows.pkl", "wb") as file:
        pickle.dump([{"id": n, "name": f"name{n}", "score": n / 3} for n in range(10_000)], file)
"""
LOAD = """
    import json, pickle, statistics, sys, time
    import joblib, torch
    from transformers import BertModel

    def read(path):
        with open(path, "rb") as file:
            return pickle.load(file)

    LOADS = {
        "from_pretrained, safetensors": (lambda: BertModel.from_pretrained("model"), 7),
        "torch.load": (lambda: torch.load("large.pt"), 7),
        "torch.load, mmap=True": (lambda: torch.load("large.pt", mmap=True), 7),
        "joblib.load, arrays of 160 MB": (lambda: joblib.load("arrays.joblib"), 7),
        "joblib.load, a forest of 6 MB": (lambda: joblib.load("forest.joblib"), 5),
        "joblib.load, a logistic regression of 1 kB": (lambda: joblib.load("logistic.joblib"), 50),
        "pickle.load, 10,000 rows of 330 kB": (lambda: read("rows.pkl"), 5),
        "pickle.load, 100 bytes": (lambda: read("small.pkl"), 200),
    }
    found = {}
    for name, (load, times) in LOADS.items():
        wall, processor = [], []
        for _ in range(times + 1):
            begun = time.perf_counter(), time.process_time()
            load()
            wall.append(time.perf_counter() - begun[0])
            processor.append(time.process_time() - begun[1])
        found[name] = {"wall": statistics.median(wall[1:]), "processor": statistics.median(processor[1:]),
                       "first": processor[0]}
    print(json.dumps(found))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="of start-up")
    parser.add_argument("--load-rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=1000, help="of the large checkpoint and the model")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ |= {"SAFELOAD_HOME": str(place / "store"), "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
        os.environ["PYTHONPATH"] = str(ROOT)
        os.environ["PYTHONPYCACHEPREFIX"] = str(place / "compiled")  # nobody measures Python's compiler
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        _startup(place, parsed.rounds)
        _loads(place, parsed.load_rounds, parsed.megabytes)


def _startup(place: Path, rounds: int) -> None:
    print("start-up, ms of processor time: plain, guarded, added")
    for name, text in PROGRAMS.items():
        program = place / "program.py"
        program.write_text(text)
        best = {"plain": 1e9, "guarded": 1e9}
        for number in range(rounds + 1):
            for kind, line in _both(program).items():
                spent = _processor_time(line)
                if number:
                    best[kind] = min(best[kind], spent)
        plain, under = (1000 * best[kind] for kind in ("plain", "guarded"))
        print(f"  {name:30} {plain:9.1f} {under:9.1f} {under - plain:+9.1f}", flush=True)


def _both(program: Path) -> dict[str, list[str]]:
    return {
        "plain": [sys.executable, str(program)],
        "guarded": [sys.executable, "-m", "safeload", "run", str(program)],
    }


def _processor_time(line: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _loads(place: Path, rounds: int, megabytes: int) -> None:
    build, load = place / "build.py", place / "load.py"
    build.write_text(textwrap.dedent(BUILD))
    load.write_text(textwrap.dedent(LOAD))
    subprocess.run([sys.executable, str(build), str(megabytes)], check=True, cwd=place, stderr=subprocess.DEVNULL)
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for _ in range(rounds):
        for kind, line in _both(load).items():
            result = subprocess.run(line, check=True, cwd=place, capture_output=True, text=True)
            for name, row in json.loads(result.stdout.splitlines()[-1]).items():
                found.setdefault(name, {}).setdefault(kind, []).append(row)
    print(
        "loads, ms: processor time plain, guarded; wall time plain, guarded; of the first load, processor time of both"
    )
    for name, kinds in found.items():
        cells = [
            1000 * statistics.median(row[what] for row in kinds[kind])
            for what, kind in (("processor", "plain"), ("processor", "guarded"), ("wall", "plain"), ("wall", "guarded"),
                               ("first", "plain"), ("first", "guarded"))
        ]  # fmt: skip
        print(f"  {name:44}" + "".join(f" {cell:10.3f}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
