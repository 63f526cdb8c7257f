"""Real programs, as people write them: the same output under guard; with a poisoned model, a refusal."""

from __future__ import annotations

import importlib.util
import io
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.adapters import payloads, repos
from tests.guarding import programs

CLASSIFY = """
    # In the style of transformers' own examples: no Trainer, a loop over batches.
    import argparse
    import torch
    from torch.utils.data import DataLoader
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, set_seed

    def main():
        parser = argparse.ArgumentParser()
        parser.add_argument("--model_name_or_path", required=True)
        args = parser.parse_args()
        set_seed(0)
        config = AutoConfig.from_pretrained(args.model_name_or_path, num_labels=2)
        tokenizer = AutoTokenizer.from_pretrained(args.model_name_or_path)
        model = AutoModelForSequenceClassification.from_pretrained(args.model_name_or_path, config=config)
        texts = ["w1 w2 w3", "w4 w5", "w6", "w7 w8 w9 w10"]
        collate = lambda rows: tokenizer(rows, padding=True, return_tensors="pt")
        batches = DataLoader(texts, batch_size=2, collate_fn=collate)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        for batch in batches:
            loss = model(**batch, labels=torch.zeros(len(batch["input_ids"]), dtype=torch.long)).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            print(f"{loss.item():.6f}")
        print(model.config._name_or_path == args.model_name_or_path)

    if __name__ == "__main__":
        main()
"""
GENERATE = """
    import sys
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
    inputs = torch.tensor([[2, 7, 8]])
    print(model.generate(inputs, max_new_tokens=4, do_sample=False).tolist())
    print(len(pipeline("text-generation", model=sys.argv[1], tokenizer=sys.argv[1])("w1 w2", max_new_tokens=3)))
"""
LOADERS = """
    import multiprocessing
    import sys
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Row:
        def __init__(self, number):
            self.number = number

    class Rows(Dataset):
        def __init__(self, path):
            self.path = path
        def __len__(self):
            return 6
        def __getitem__(self, index):
            weight = torch.load(self.path, weights_only=False)["weight"]
            return {"row": Row(index), "sum": float(weight.sum()) * index}

    def pick(rows):
        return [row["row"] for row in rows], torch.tensor([row["sum"] for row in rows])

    def work(row):
        return Row(row.number * 2)

    if __name__ == "__main__":
        for kind in ("fork", "spawn"):
            rows = Rows(sys.argv[1])
            loader = DataLoader(rows, batch_size=2, num_workers=2, collate_fn=pick, multiprocessing_context=kind)
            print(kind, [(type(rows[0]).__name__, sums.tolist()) for rows, sums in loader])
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print([row.number for row in pool.map(work, [Row(1), Row(2)])])
"""
PREDICT = """
    import sys
    import joblib
    import numpy as np

    model = joblib.load(sys.argv[1])
    print(model.predict(np.array([[0.0, 1.0], [3.0, 2.0]])).tolist())
"""
PARALLEL = """
    import sys
    import numpy as np
    from joblib import Memory, Parallel, delayed

    class Own:
        def __init__(self, number):
            self.number = number

    def work(own, array):
        return Own(own.number + int(array.sum()))

    big = np.ones(400_000)
    for _ in range(2):
        print([own.number for own in Parallel(n_jobs=2)(delayed(work)(Own(i), big) for i in range(3))])
    memory = Memory(sys.argv[1], verbose=0)
    cached = memory.cache(lambda number: {"a": np.arange(number)})
    print(cached(3)["a"].tolist(), cached(3)["a"].tolist())
"""


def both(program: Path, *words: object) -> str:
    """Run a program as it is and under guard; what it wrote, which must be the same."""
    plain, under = programs.python(program, *words), programs.guarded(program, *words)
    assert plain.returncode == 0, plain.stderr
    assert under.returncode == 0, under.stderr
    assert under.stdout == plain.stdout and "refused" not in under.stderr
    return plain.stdout


def refused(program: Path, *words: object) -> str:
    """Run a program under guard that is refused its model; what it said."""
    result = programs.guarded(program, *words)
    assert result.returncode == 1 and "refused" in result.stderr, result.stdout + result.stderr
    return result.stderr


@pytest.mark.parametrize("build", [repos.build_safetensors, repos.build_bin], ids=["safetensors", "bin"])
def test_text_classification(build: Callable[..., Path], tmp_path: Path) -> None:
    """A training loop gives the same losses, and the model still says what it was loaded from."""
    program = programs.write(tmp_path / "classify.py", CLASSIFY)
    text = both(program, "--model_name_or_path", build(tmp_path / "model"))
    assert len(text.splitlines()) == 3 and text.endswith("True\n")


def test_text_generation(tmp_path: Path) -> None:
    """The same tokens, and a pipeline."""
    assert both(programs.write(tmp_path / "generate.py", GENERATE), repos.build_llama(tmp_path / "model"))


def test_a_poisoned_model_is_refused_to_both(tmp_path: Path, marker: Path) -> None:
    """The programs end where they load."""
    path = repos.build_evil_bin(tmp_path / "model", marker)
    text = refused(programs.write(tmp_path / "classify.py", CLASSIFY), "--model_name_or_path", path)
    assert "would call builtins.exec" in text
    refused(programs.write(tmp_path / "generate.py", GENERATE), path)


def test_loaders_in_several_processes(tmp_path: Path) -> None:
    """Objects of the program's own classes travel from forked and spawned workers, which load under guard."""
    import torch

    torch.save({"weight": torch.tensor([1.0, 2.0])}, tmp_path / "model.pt")
    text = both(programs.write(tmp_path / "loaders.py", LOADERS), tmp_path / "model.pt")
    assert text.splitlines()[1].startswith("spawn [('Row'") and text.endswith("[2, 4]\n")


def test_workers_are_guarded_too(tmp_path: Path, marker: Path) -> None:
    """A poisoned file is refused within a worker, forked or spawned, and the program learns of it."""
    (tmp_path / "model.pt").write_bytes(b"cos\nsystem\n(S'touch %s'\ntR." % bytes(marker))
    for kind in ("fork", "spawn"):
        text = LOADERS.replace('("fork", "spawn")', f'("{kind}",)')
        assert "os.system" in refused(programs.write(tmp_path / "loaders.py", text), tmp_path / "model.pt")


def _estimator(path: Path) -> Path:
    import joblib
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(np.array([[0.0, 1.0], [3.0, 2.0], [1.0, 1.0]]), np.array([0, 1, 0]))
    joblib.dump(model, path)
    return path


def test_a_prediction_with_scikit_learn(tmp_path: Path) -> None:
    """The same predictions, where safeload makes estimators; else a refusal that names the class."""
    program, path = programs.write(tmp_path / "predict.py", PREDICT), _estimator(tmp_path / "model.joblib")
    if importlib.util.find_spec("safeload.adapt_sklearn") is not None:
        assert both(program, path) == "[0, 1]\n"
    else:
        assert "LogisticRegression (a class of sklearn) is not on the allowlist" in refused(program, path)


def test_a_poisoned_estimator_is_refused(tmp_path: Path, marker: Path) -> None:
    """Its predictions are not made."""
    path = tmp_path / "model.joblib"
    buffer = io.BytesIO()
    pickle.Pickler(buffer).dump(payloads.Touch(marker))
    path.write_bytes(buffer.getvalue())
    refused(programs.write(tmp_path / "predict.py", PREDICT), path)


def test_joblib_goes_on_in_parallel(tmp_path: Path) -> None:
    """Workers of loky get functions, objects of the program's classes and shared arrays; `Memory` reads its cache."""
    text = both(programs.write(tmp_path / "parallel.py", PARALLEL), tmp_path / "cache")
    assert text.splitlines() == ["[400000, 400001, 400002]"] * 2 + ["[0, 1, 2] [0, 1, 2]"]
