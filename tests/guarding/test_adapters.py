"""Libraries around transformers, under guard: through their adapter where safeload has one, else refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapters import payloads, repos
from tests.guarding import programs

PROGRAM = """
    import sys
    import accelerate, peft, torch, transformers
    from huggingface_hub import PyTorchModelHubMixin
    from sentence_transformers import SentenceTransformer
    from safeload.core.errors import SafeloadError

    base, adapter, sentences, net, evil, evil_sentences = sys.argv[1:]

    class Net(torch.nn.Module, PyTorchModelHubMixin):
        def __init__(self, size=2):
            super().__init__()
            self.layer = torch.nn.Linear(size, size)

    class Mine(SentenceTransformer):
        pass

    fresh = lambda: transformers.BertModel.from_pretrained(base)
    loads = {
        "peft": lambda: peft.PeftModel.from_pretrained(fresh(), adapter),
        "accelerate": lambda: accelerate.load_checkpoint_in_model(fresh(), base),
        "sentence_transformers": lambda: SentenceTransformer(sentences, device="cpu"),
        "sentence_transformers subclass": lambda: Mine(sentences, device="cpu"),
        "huggingface_hub": lambda: Net.from_pretrained(net),
        "evil accelerate": lambda: accelerate.load_checkpoint_in_model(fresh(), evil),
        "evil sentence_transformers": lambda: SentenceTransformer(evil_sentences, device="cpu"),
    }
    for name, load in loads.items():
        try:
            print(name, "|", type(load()).__name__)
        except SafeloadError as error:
            print(name, "|", type(error).__name__, "|", "this version of safeload has no" in str(error))
"""
BUILD = """
    import sys
    import peft, torch, transformers
    from huggingface_hub import PyTorchModelHubMixin
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    base, adapter, sentences, net = sys.argv[1:5]

    class Net(torch.nn.Module, PyTorchModelHubMixin):
        def __init__(self, size=2):
            super().__init__()
            self.layer = torch.nn.Linear(size, size)

    model = transformers.BertModel.from_pretrained(base)
    peft.get_peft_model(model, peft.LoraConfig(target_modules=["query"])).save_pretrained(adapter)
    SentenceTransformer(modules=[Transformer(base), Pooling(16)], device="cpu").save(sentences)
    Net().save_pretrained(net)
"""
WANTED = {
    "peft": ("safeload.peft.PeftModel", "PeftModel"),
    "accelerate": ("safeload.accelerate.load_checkpoint_in_model", "NoneType"),
    "sentence_transformers": ("safeload.sentence_transformers.SentenceTransformer", "SentenceTransformer"),
    "sentence_transformers subclass": ("safeload.sentence_transformers.SentenceTransformer", "Mine"),
    "huggingface_hub": ("safeload.huggingface_hub.PyTorchModelHubMixin", "Net"),
}


@pytest.mark.slow
def test_each_goes_through_its_adapter(tmp_path: Path, marker: Path) -> None:
    """A benign model loads as the library's own class, users' subclasses included; a poisoned one is refused. Without
    an adapter both are refused, and the message says that it is for want of one."""
    base, evil = repos.build_safetensors(tmp_path / "base"), repos.build_evil_bin(tmp_path / "evil", marker)
    folders = [base, *(tmp_path / name for name in ("adapter", "sentences", "net"))]
    built = programs.python(programs.write(tmp_path / "build.py", BUILD), *folders)
    assert built.returncode == 0, built.stderr
    poisoned = tmp_path / "poisoned"
    programs.python("-c", f"import shutil; shutil.copytree({str(folders[2])!r}, {str(poisoned)!r})")
    (weights,) = poisoned.glob("model.safetensors")
    weights.unlink()
    (poisoned / "pytorch_model.bin").write_bytes(b"\x80\x02" + payloads.snippet(marker) + b"N.")
    result = programs.guarded(programs.write(tmp_path / "app.py", PROGRAM), *folders, evil, poisoned)
    assert result.returncode == 0, result.stderr
    rows = dict(line.split(" | ", 1) for line in result.stdout.splitlines() if " | " in line)
    assert len(rows) == 7, result.stdout
    for name, (ours, kind) in WANTED.items():
        assert rows[name] == (kind if programs.has(ours) else "PolicyDenied | True"), name
    for name in ("accelerate", "sentence_transformers"):
        assert rows[f"evil {name}"] == f"PolicyDenied | {not programs.has(WANTED[name][0])}"
