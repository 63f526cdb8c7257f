"""What a guard costs: at start-up, and per load. `python benchmarks/guard.py`; see docs/guard.md.

Each pair is measured by turns, so that both see the same machine; the least of all rounds counts, which is what the
work takes when nobody else wants the processor. Start-up is processor time of whole processes. Loads are wall time, in
one process per kind, of `from_pretrained` of a BERT with random weights, after one load that fills caches.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {
    "nothing": "pass",
    "torch and transformers": "import torch\nfrom transformers import AutoModel, BertModel",
}
LOAD = """
    import sys, time
    kind, path, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if kind == "adapter":
        from safeload.transformers import BertModel
    else:
        from transformers import BertModel
    best = None
    for number in range(rounds + 1):
        begun = time.perf_counter()
        BertModel.from_pretrained(path)
        spent = time.perf_counter() - begun
        if number:
            best = spent if best is None else min(best, spent)
    print(best)
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--layers", type=int, default=12, help="of the BERT: 12 is 440 MB")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ |= {"SAFELOAD_HOME": str(place / "store"), "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
        os.environ["PYTHONPATH"] = str(ROOT)
        result = {"startup_ms": _startup(place, parsed.rounds), "load_s": _loads(place, parsed.rounds, parsed.layers)}
    print(json.dumps(result, indent=2))


def _startup(place: Path, rounds: int) -> dict[str, dict[str, float]]:
    found = {}
    for name, text in PROGRAMS.items():
        program = place / "program.py"
        program.write_text(text)
        plain, under = [sys.executable, str(program)], [sys.executable, "-m", "safeload", "run", str(program)]
        best = {"plain": 1e9, "guarded": 1e9}
        for _ in range(rounds):
            for kind, line in (("plain", plain), ("guarded", under)):
                best[kind] = min(best[kind], _processor_time(line))
        best["added"] = best["guarded"] - best["plain"]
        found[name] = {kind: round(1000 * seconds, 1) for kind, seconds in best.items()}
    return found


def _processor_time(line: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _loads(place: Path, rounds: int, layers: int) -> dict[str, float]:
    make = f"""
        from transformers import BertConfig, BertModel
        BertModel(BertConfig(num_hidden_layers={layers})).save_pretrained({str(place / "model")!r})
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(make)], check=True, stderr=subprocess.DEVNULL)
    program = place / "load.py"
    program.write_text(textwrap.dedent(LOAD))
    plain = [sys.executable, str(program)]
    under = [sys.executable, "-m", "safeload", "run", str(program)]
    best: dict[str, float] = {}
    for _ in range(3):
        for kind, line in (("plain", plain), ("adapter", plain), ("guarded", under)):
            words = [*line, kind, str(place / "model"), str(rounds)]
            spent = float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
            best[kind] = min(best.get(kind, spent), spent)
    return {kind: round(seconds, 4) for kind, seconds in best.items()}


if __name__ == "__main__":
    main()
