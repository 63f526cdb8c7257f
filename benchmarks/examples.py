"""transformers' own example scripts under guard: `python benchmarks/examples.py CHECKOUT`; see docs/guard.md.

CHECKOUT is a folder with transformers' `examples/`, of the version that is installed. Of the scripts named below, each
that is there is run three times on tiny models and data, which are made first: as it is, under `safeload run`, and
under `safeload run` with a poisoned model. Training scripts are then resumed from a checkpoint, as it is and poisoned.

What is compared: the weights, losses and texts that came out. Needs `datasets` (and what else the scripts import).
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
GENERATE = ["--prompt", "w1 w2", "--length", "5", "--use_cpu"]
TRAIN = ["--do_train", "--do_eval", "--num_train_epochs", "1", "--save_steps", "2", "--report_to", "none", "--use_cpu",
         "--per_device_train_batch_size", "4", "--seed", "1"]  # fmt: skip
TEXTS = ["--train_file", "{data}/text.txt", "--validation_file", "{data}/text.txt"]
ROWS = ["--train_file", "{data}/rows.csv", "--validation_file", "{data}/rows.csv"]
SCRIPTS = {
    "text-generation/run_generation_contrastive_search.py": ("causal", GENERATE),
    "text-generation/run_generation.py": ("causal", ["--model_type", "llama", *GENERATE]),
    "language-modeling/run_clm.py": ("causal", [*TRAIN, *TEXTS, "--block_size", "8"]),
    "language-modeling/run_mlm.py": ("masked", [*TRAIN, *TEXTS, "--max_seq_length", "16"]),
    "text-classification/run_glue.py": ("masked", [*TRAIN, *ROWS, "--max_seq_length", "16"]),
    "text-classification/run_classification.py": ("masked", [*TRAIN, *ROWS, "--max_seq_length", "16"]),
}
"""Script, below `examples/pytorch`: the model it wants, and its arguments."""


class Poison:
    """Pickled, it is a call that makes a file: the sign that something ran."""

    def __init__(self, marker: Path) -> None:
        self._marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({self._marker!r}, 'w').close()",)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkout", type=Path)
    parsed = parser.parse_args()
    folder = parsed.checkout.resolve() / "examples/pytorch"
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        build(place)
        rows = {script: one(folder / script, place, *wanted) for script, wanted in SCRIPTS.items()
                if (folder / script).is_file()}  # fmt: skip
    print(json.dumps(rows, indent=2))
    return int(not rows or any("FAILED" in result for row in rows.values() for result in row.values()))


def build(place: Path) -> None:
    """Tiny models with random weights, each as it should be and poisoned, and data for them."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<s>", "</s>", *(f"w{number}" for number in range(57))]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", bos_token="<s>", eos_token="</s>", model_max_length=64,
    )  # fmt: skip
    small = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
             "intermediate_size": 32, "max_position_embeddings": 64}  # fmt: skip
    torch.manual_seed(0)
    for kind, model in (
        ("causal", LlamaForCausalLM(LlamaConfig(**small))),
        ("masked", BertForMaskedLM(BertConfig(**small))),
    ):
        for folder in (place / kind, place / f"{kind}-poisoned"):
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        (place / f"{kind}-poisoned/model.safetensors").unlink()
        write_poison(place / f"{kind}-poisoned/pytorch_model.bin", place / "RAN")
    data = place / "data"
    data.mkdir()
    lines = [" ".join(f"w{(number * step) % 57}" for step in range(1, 9)) for number in range(24)]
    (data / "text.txt").write_text("".join(f"{line}\n" for line in lines))
    (data / "rows.csv").write_text("sentence,label\n" + "".join(f"{line},{len(line) % 2}\n" for line in lines))


def write_poison(path: Path, marker: Path) -> None:
    path.write_bytes(pickle.dumps({"weight": Poison(marker)}, protocol=2))


def one(script: Path, place: Path, kind: str, words: list[str]) -> dict[str, str]:
    """Run one script in every way. What came of it, in words: `FAILED` is in those that should not be."""
    trains = "--do_train" in words
    words = [word.format(data=place / "data") for word in words]
    runs = {}
    for name, guarded in (("plain", False), ("guarded", True)):
        runs[name] = _run(script, place, place / kind, words, name, trains, guarded=guarded)
    found = {"benign": _same(runs["plain"], runs["guarded"])}
    found["poisoned"] = _refused(
        _run(script, place, place / f"{kind}-poisoned", words, "poisoned", trains, guarded=True), place
    )
    if trains and not found["benign"].startswith("FAILED"):
        for name in ("resumed", "resumed-poisoned"):
            shutil.copytree(place / "out/guarded", place / f"out/{name}")
        again = [*words[: words.index("1")], "2", *words[words.index("1") + 1 :]]  # one epoch more
        result = _run(script, place, place / kind, again, "resumed", trains, guarded=True)
        ran = result["code"] == 0 and "refused" not in result["said"]
        found["resumed"] = "goes on" if ran else f"FAILED: {result['said'][-800:]}"
        for path in (place / "out/resumed-poisoned").glob("checkpoint-*/rng_state.pth"):
            write_poison(path, place / "RAN")
        result = _run(script, place, place / kind, again, "resumed-poisoned", trains, guarded=True)
        found["resumed, with a poisoned rng_state.pth"] = _refused(result, place)
    shutil.rmtree(place / "out", ignore_errors=True)
    return found


def _run(
    script: Path, place: Path, model: Path, words: list[str], name: str, trains: bool, *, guarded: bool
) -> dict[str, Any]:
    out = place / "out" / name
    line = [sys.executable, *(["-m", "safeload", "run"] if guarded else []), str(script)]
    line += ["--model_name_or_path", str(model), *words, *(["--output_dir", str(out)] if trains else [])]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(place / "home"), "TQDM_DISABLE": "1"}
    environment = {**os.environ, **offline, "PYTHONPATH": str(ROOT), "SAFELOAD_HOME": str(place / "store")}
    result = subprocess.run(line, env=environment, cwd=place, capture_output=True, text=True, check=False)
    return {"code": result.returncode, "said": result.stderr, "out": _outcome(result.stdout, out, trains)}


def _outcome(text: str, out: Path, trains: bool) -> Mapping[str, Any]:
    """What a script is run for: the texts it generated, or the weights and losses."""
    if not trains:
        return {"text": text}
    found: dict[str, Any] = {path.name: path.read_bytes() for path in out.glob("*.safetensors")}
    for path in out.glob("all_results.json"):
        found["losses"] = {key: value for key, value in json.loads(path.read_text()).items() if "loss" in key}
    return found


def _same(plain: dict[str, Any], guarded: dict[str, Any]) -> str:
    if plain["code"]:
        return f"FAILED without safeload: {plain['said'][-800:]}"
    if guarded["code"] or "refused" in guarded["said"]:
        return f"FAILED under guard: {guarded['said'][-800:]}"
    return "the same" if plain["out"] == guarded["out"] and plain["out"] else "FAILED: something else came out"


def _refused(result: dict[str, Any], place: Path) -> str:
    if (place / "RAN").exists():
        return "FAILED: the payload ran"
    said = "refused" in result["said"] and "builtins.exec" in result["said"]
    return "refused" if result["code"] and said else f"FAILED: not refused: {result['said'][-800:]}"


if __name__ == "__main__":
    sys.exit(main())
