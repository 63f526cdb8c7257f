"""Builders of tiny models that bring their own code, which works: every way in which a loader comes to run such code.

The same form as in `repos.py`. Each module notes in `RAN` that it was imported, so that a test can ask what ran.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from safeload import PolicyDenied
from tests.adapters.repos import build_llama, build_safetensors, rewrite
from tests.adapters.steering import build_adapter

RAN: list[str] = []
"""What was imported, by the name each module of `coded` gives itself."""

NOTE = "import sys\nsys.modules['tests.adapters.coded'].RAN.append({name!r})\n"
CONFIG = """from transformers import BertConfig
class Config(BertConfig):
    model_type = "madeup"
"""
MODEL = """from transformers import BertModel
from .configuration import Config
class Model(BertModel):
    config_class = Config
    def origin(self):
        return "own"
"""
NATIVE = """from transformers import BertModel
class Model(BertModel):
    def origin(self):
        return "own"
"""
TOKENIZER = """from transformers import BertTokenizer
class Tokenizer(BertTokenizer):
    def origin(self):
        return "own"
"""
PROCESSOR = """from transformers import ProcessorMixin
class Processor(ProcessorMixin):
    attributes = ["tokenizer"]
    tokenizer_class = "BertTokenizer"
    def __init__(self, tokenizer=None, **kwargs):
        super().__init__(tokenizer)
    def origin(self):
        return "own"
"""
EXTRACTOR = """from transformers import SequenceFeatureExtractor
class Extractor(SequenceFeatureExtractor):
    def __init__(self, feature_size=1, sampling_rate=16000, padding_value=0.0, **kwargs):
        super().__init__(feature_size, sampling_rate, padding_value, **kwargs)
    def origin(self):
        return "own"
"""
GENERATE = """import torch
def generate(model, input_ids, **kwargs):
    return torch.full_like(input_ids, 7)
"""
PIPE = """from transformers import Pipeline
class Pipe(Pipeline):
    def _sanitize_parameters(self, **kwargs):
        return {}, {}, {}
    def preprocess(self, text):
        return self.tokenizer(text, return_tensors="pt")
    def _forward(self, inputs):
        return self.model(**inputs)
    def postprocess(self, outputs):
        return "own"
"""


def write(directory: Path, name: str, source: str, label: str | None = None) -> None:
    """A module of code that says when it is imported."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(NOTE.format(name=label or name) + source)


def build_native(directory: Path) -> Path:
    """Code for a type that transformers has: with trust, it runs in the place of the library's."""
    build_safetensors(directory)
    write(directory, "modeling.py", NATIVE)
    rewrite(directory / "config.json", auto_map={"AutoModel": "modeling.Model"})
    return directory


def build_unknown(directory: Path) -> Path:
    """Code without which the model cannot load: its type is the author's own."""
    build_safetensors(directory)
    write(directory, "configuration.py", CONFIG)
    write(directory, "modeling.py", MODEL)
    auto_map = {"AutoConfig": "configuration.Config", "AutoModel": "modeling.Model"}
    rewrite(directory / "config.json", model_type="madeup", auto_map=auto_map)
    return directory


def build_relative(directory: Path) -> Path:
    """Relative imports of every form, and a package in a folder."""
    build_unknown(directory)
    source = "from . import blocks\nfrom .layers import attention\nfrom .layers.norm import NORM\n"
    source += "import importlib\nother = importlib.import_module('.other', __package__)\n" + MODEL
    write(directory, "modeling.py", source)
    write(directory, "blocks.py", "from .configuration import Config\n")
    write(directory, "layers/__init__.py", "")
    write(directory, "layers/attention.py", "from ..blocks import Config\n")
    write(directory, "layers/norm.py", "NORM = 1\n")
    write(directory, "other.py", "")
    return directory


def build_late(directory: Path) -> Path:
    """An import that happens when the model is first used."""
    build_unknown(directory)
    source = MODEL.replace('return "own"', "from .late import word\n        return word")
    write(directory, "modeling.py", source)
    write(directory, "late.py", 'word = "own"\n')
    return directory


def build_third_party(directory: Path) -> Path:
    """An import of an installed package, which the approval has to name."""
    build_native(directory)
    write(directory, "modeling.py", "import numpy\n" + NATIVE)
    return directory


def build_tokenizer(directory: Path) -> Path:
    """A tokenizer of the author's own."""
    build_safetensors(directory)
    write(directory, "tokenization.py", TOKENIZER)
    rewrite(
        directory / "tokenizer_config.json",
        auto_map={"AutoTokenizer": ["tokenization.Tokenizer", None]},
        tokenizer_class="Tokenizer",
    )
    return directory


def build_processor(directory: Path) -> Path:
    """A processor of the author's own."""
    build_safetensors(directory)
    write(directory, "processing.py", PROCESSOR)
    (directory / "processor_config.json").write_text(
        '{"auto_map": {"AutoProcessor": "processing.Processor"}, "processor_class": "Processor"}'
    )
    return directory


def build_extractor(directory: Path) -> Path:
    """A feature extractor of the author's own."""
    build_safetensors(directory)
    write(directory, "extraction.py", EXTRACTOR)
    (directory / "preprocessor_config.json").write_text(
        '{"auto_map": {"AutoFeatureExtractor": "extraction.Extractor"}, "feature_size": 1, "sampling_rate": 16000}'
    )
    return directory


def build_generate(directory: Path) -> Path:
    """A native Llama with a generating function of the author's own, which a load with trust puts in place."""
    build_llama(directory)
    write(directory, "custom_generate/generate.py", GENERATE)
    return directory


def build_pipeline(directory: Path) -> Path:
    """A pipeline class of the author's own."""
    build_safetensors(directory)
    write(directory, "pipe.py", PIPE)
    rewrite(directory / "config.json", custom_pipelines={"mine": {"impl": "pipe.Pipe", "pt": ["AutoModel"]}})
    return directory


def build_elsewhere(directory: Path, code: str = "acme/code") -> Path:
    """A model whose classes lie in another repository."""
    build_safetensors(directory)
    auto_map = {"AutoConfig": f"{code}--configuration.Config", "AutoModel": f"{code}--modeling.Model"}
    rewrite(directory / "config.json", model_type="madeup", auto_map=auto_map)
    return directory


def build_adapter_of_code(directory: Path) -> Path:
    """A LoRA adapter whose base model has code."""
    base = build_native(directory.parent / f"{directory.name}-base")
    return build_adapter(directory, base=base)


@dataclass(frozen=True)
class Case:
    """One way in: what is built, how it is loaded, and the files that run."""

    build: Callable[[Path], Path]
    load: Callable[[Any, str], Any]
    files: tuple[str, ...]

    def origin(self, loaded: Any) -> str:
        """What the loaded thing says of where its class came from."""
        if callable(own := getattr(loaded, "origin", None)):
            return str(own())
        return str(loaded)


def _model(guarded: Any, path: str) -> Any:
    return guarded.AutoModel.from_pretrained(path, trust_remote_code=True)


def _generate(guarded: Any, path: str) -> Any:
    import torch

    model = guarded.AutoModelForCausalLM.from_pretrained(path, trust_remote_code=True)
    made = model.generate(input_ids=torch.tensor([[2, 3]]), do_sample=False)
    return "own" if made.tolist() == [[7, 7]] else "library"


def _pipe(guarded: Any, path: str) -> Any:
    return guarded.pipeline("mine", model=path, trust_remote_code=True)("w1 w2")


CASES = {
    "native": Case(build_native, _model, ("modeling.py",)),
    "unknown": Case(build_unknown, _model, ("configuration.py", "modeling.py")),
    "relative": Case(
        build_relative,
        _model,
        (
            "blocks.py",
            "configuration.py",
            "layers/__init__.py",
            "layers/attention.py",
            "layers/norm.py",
            "modeling.py",
            "other.py",
        ),
    ),
    "late": Case(build_late, _model, ("configuration.py", "late.py", "modeling.py")),
    "third-party": Case(build_third_party, _model, ("modeling.py",)),
    "tokenizer": Case(
        build_tokenizer,
        lambda guarded, path: guarded.AutoTokenizer.from_pretrained(path, trust_remote_code=True),
        ("tokenization.py",),
    ),
    "processor": Case(
        build_processor,
        lambda guarded, path: guarded.AutoProcessor.from_pretrained(path, trust_remote_code=True),
        ("processing.py",),
    ),
    "extractor": Case(
        build_extractor,
        lambda guarded, path: guarded.AutoFeatureExtractor.from_pretrained(path, trust_remote_code=True),
        ("extraction.py",),
    ),
    "generate": Case(build_generate, _generate, ("custom_generate/generate.py",)),
    "pipeline": Case(build_pipeline, _pipe, ("pipe.py",)),
}


def refused_after_one_byte(path: Path, names: Iterable[str], load: Callable[[], object]) -> None:
    """Each of the files counts: with one byte more in it the load is refused, and the reason names the file."""
    for name in names:
        before = (path / name).read_bytes()
        (path / name).write_bytes(before + b"\n")
        with pytest.raises(PolicyDenied, match=f"{name} changed since jo read it"):
            load()
        (path / name).write_bytes(before)
