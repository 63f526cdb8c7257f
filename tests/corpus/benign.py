"""What real libraries write: several hundred files, made by the libraries themselves while the tests run.

    python -m tests.corpus.benign DIRECTORY     writes them all

Each maker is a function that yields names and bytes. Nothing here is hostile, and nothing may be called dangerous.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import io
import json
import pickle
import random
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import joblib
import numpy
import torch
from torch import nn

Files = Iterator[tuple[str, bytes]]


def _saved(value: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def _dumped(value: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(value, buffer, **options)
    return buffer.getvalue()


# ── torch ───────────────────────────────────────────────────────────────────────────────────────────────────────

LAYERS: tuple[Callable[[], nn.Module], ...] = (
    lambda: nn.Linear(2, 3),
    lambda: nn.Conv1d(1, 2, 3),
    lambda: nn.Conv3d(1, 2, 3),
    lambda: nn.ConvTranspose2d(1, 2, 3),
    lambda: nn.BatchNorm1d(2),
    lambda: nn.LayerNorm(2),
    lambda: nn.GroupNorm(1, 2),
    lambda: nn.Embedding(3, 2),
    lambda: nn.EmbeddingBag(3, 2),
    lambda: nn.LSTM(2, 2, bidirectional=True),
    lambda: nn.GRU(2, 2),
    lambda: nn.MultiheadAttention(4, 2),
    lambda: nn.TransformerDecoderLayer(4, 2),
    lambda: nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.ModuleList([nn.PReLU()])}),
    lambda: nn.ParameterDict({"a": nn.Parameter(torch.ones(1))}),
    lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
    lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2)),
)
OPTIMISERS = (
    *("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD"),
    *("LBFGS", "Adafactor"),
)
SCHEDULES: tuple[Callable[[Any], Any], ...] = (
    lambda opt: torch.optim.lr_scheduler.StepLR(opt, 3),
    lambda opt: torch.optim.lr_scheduler.MultiStepLR(opt, [1, 2]),
    lambda opt: torch.optim.lr_scheduler.ExponentialLR(opt, 0.9),
    lambda opt: torch.optim.lr_scheduler.ReduceLROnPlateau(opt),
    lambda opt: torch.optim.lr_scheduler.OneCycleLR(opt, 0.1, total_steps=10),
    lambda opt: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(opt, 3),
    lambda opt: torch.optim.lr_scheduler.LinearLR(opt),
)
KINDS = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8),
    *(torch.uint8, torch.bool, torch.complex64, torch.complex128, torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16),
)


def state_dicts() -> Files:
    for number, make in enumerate(LAYERS):
        state = make().state_dict()
        yield f"layer-{number}.pt", _saved(state)
        yield f"layer-{number}-legacy.pth", _saved(state, _use_new_zipfile_serialization=False)
        yield f"layer-{number}.pkl", pickle.dumps(state)


def whole_modules() -> Files:
    for number, make in enumerate(LAYERS[:15]):
        yield f"module-{number}.pt", _saved(make())
        yield f"module-{number}-legacy.pt", _saved(make(), _use_new_zipfile_serialization=False)


def optimisers() -> Files:
    for name in OPTIMISERS:
        model = nn.Linear(2, 2)
        optimiser = getattr(torch.optim, name)(model.parameters())
        model(torch.ones(1, 2)).sum().backward()
        optimiser.step(lambda: 0.0) if name == "LBFGS" else optimiser.step()
        yield f"optimizer-{name}.pt", _saved(optimiser.state_dict())
        yield f"optimizer-{name}.bin", _saved({"optimizer": optimiser.state_dict(), "epoch": 3, "args": {"lr": 0.1}})
    for number, make in enumerate(SCHEDULES):
        schedule = make(torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1))
        yield f"scheduler-{number}.pt", _saved(schedule.state_dict())


def element_types() -> Files:
    for kind in KINDS:
        name = str(kind).rpartition(".")[2]
        yield f"{name}.pt", _saved({"x": torch.zeros(3, dtype=kind), "view": torch.zeros(4, 4, dtype=kind).t()[1:]})
        yield f"{name}-legacy.bin", _saved([torch.zeros(2, dtype=kind)], _use_new_zipfile_serialization=False)


def lightning_like() -> Files:
    """The layout of Lightning's checkpoints, without its classes."""
    model = nn.Linear(2, 2)
    for version in ("1.9.5", "2.5.0"):
        checkpoint = {
            "epoch": 1,
            "global_step": 100,
            "pytorch-lightning_version": version,
            "state_dict": model.state_dict(),
            "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 2, "completed": 1}}}},
            "callbacks": {
                "ModelCheckpoint{'monitor': 'val_loss', 'mode': 'min'}": {
                    "best_model_path": PurePosixPath("checkpoints/epoch=1.ckpt"),
                    "best_k_models": {"checkpoints/epoch=1.ckpt": torch.tensor(0.5)},
                    "kth_value": torch.tensor(float("inf")),
                }
            },
            "optimizer_states": [torch.optim.Adam(model.parameters()).state_dict()],
            "lr_schedulers": [{"last_epoch": 1, "_last_lr": [0.1]}],
            "hyper_parameters": collections.OrderedDict(lr=0.1, layers=(1, 2), path=PurePosixPath("data")),
            "hparams_name": "kwargs",
        }
        for legacy in (True, False):
            data = _saved(checkpoint, _use_new_zipfile_serialization=legacy)
            yield f"lightning-{version}-{legacy}.ckpt", data


def torchscript() -> Files:
    for number, make in enumerate(LAYERS[:4]):
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.script(make()), buffer)
        yield f"script-{number}.pt", buffer.getvalue()


# ── numpy, joblib, pickle ───────────────────────────────────────────────────────────────────────────────────────


def arrays() -> Files:
    codes = ("<f8", "<f4", "<f2", ">f4", "<i8", "<i2", "|u1", "|b1", "<c16", "<U5", "|S3", "<M8[s]", "<m8[ms]", "O")
    for code in codes:
        array = numpy.zeros((2, 3), dtype=code)
        out = io.BytesIO()
        numpy.save(out, array)
        name = code.strip("<>|").replace("[", "-").rstrip("]")
        yield f"{name}{'-big' if code[0] == '>' else ''}.npy", out.getvalue()
        yield f"{name}-fortran.joblib", _dumped(numpy.asfortranarray(array))
        yield f"array-{name}.pkl", pickle.dumps(array, 2 + len(name) % 4)
    for number, save in enumerate((numpy.savez, numpy.savez_compressed)):
        out = io.BytesIO()
        save(out, a=numpy.arange(3), b=numpy.ones((2, 2)), words=numpy.array(["x"], dtype=object))
        yield f"arrays-{number}.npz", out.getvalue()
    structured = numpy.zeros(2, dtype=[("a", "<i4"), ("b", "<f8", (2,))])
    yield "structured.pkl", pickle.dumps(structured)
    yield "masked.pkl", pickle.dumps(numpy.ma.masked_array([1, 2], [True, False]))
    generators = (numpy.random.PCG64, numpy.random.MT19937, numpy.random.Philox, numpy.random.SFC64)
    for source in generators:
        yield f"random-{source.__name__}.pkl", pickle.dumps(numpy.random.Generator(source(1)))
    yield "random-state.pkl", pickle.dumps(numpy.random.RandomState(1))


def packed() -> Files:
    value = {"weights": numpy.arange(100.0), "names": ["a", "b"], "nested": {"x": numpy.ones(3, "f4")}}
    for how in ("zlib", "gzip", "bz2", "xz", "lzma"):
        for level in (1, 3, 9):
            yield f"model-{how}-{level}.joblib", _dumped(value, compress=(how, level))
    for protocol in range(6):
        yield f"model-{protocol}.joblib", _dumped(value, protocol=protocol)


@dataclasses.dataclass
class Settings:
    """A class of the program that made the file."""

    lr: float = 0.1
    tags: list[str] = dataclasses.field(default_factory=list)


def plain_pickles() -> Files:
    values: dict[str, object] = {
        "containers": [1, 2.5, "x", b"y", None, True, {1: (2, {3}), "s": frozenset([4])}, bytearray(b"z"), 1 << 200],
        "collections": (collections.OrderedDict(a=1), collections.Counter("aab"), collections.deque([1], 3)),
        "moments": [
            datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
            datetime.timedelta(1),
            datetime.date(2026, 1, 2),
        ],
        "numbers": [Decimal("1.5"), complex(1, 2), numpy.float32(1), numpy.int64(2), float("nan")],
        "paths": [PurePosixPath("a/b"), Path("c")],
        "settings": Settings(),
        "random": random.Random(1).getstate(),
        "vocabulary": {f"word-{number}": number for number in range(2_000)},
        "cycle": _cycle(),
        "words that look like commands": {
            "eval": 1,
            "os.system": 2,
            "rm -rf /": 3,
            "https://example.org": 4,
            "import os": 5,
        },
    }
    for name, value in values.items():
        for protocol in range(6):
            yield f"{name}-{protocol}.pkl", pickle.dumps(value, protocol)


def _cycle() -> list[Any]:
    made: list[Any] = [1]
    made.append(made)
    return made


# ── scikit-learn ────────────────────────────────────────────────────────────────────────────────────────────────


def estimators() -> Files:
    """Every third estimator of scikit-learn that can be fitted to a small table, by pickle and by joblib."""
    from sklearn.utils import all_estimators

    inputs = numpy.random.RandomState(0).rand(12, 3)
    labels = (inputs[:, 0] > 0.5).astype(int)
    for number, (name, kind) in enumerate(all_estimators()):
        if number % 3:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made = kind().fit(inputs, labels)
                yield f"{name}.pkl", pickle.dumps(made, 2 + number % 4)
                yield f"{name}.joblib", _dumped(made, compress=number % 2 * 3)
        except (TypeError, ValueError, AttributeError, IndexError):
            continue  # one that needs other arguments or data


# ── transformers and safetensors ────────────────────────────────────────────────────────────────────────────────

SMALL = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 16,
    "max_position_embeddings": 16,
}


def pretrained() -> Files:
    """Small models of several families, as `save_pretrained` writes them and as `torch.save` does."""
    from transformers import AutoModel, BertConfig, LlamaConfig, MistralConfig, Qwen2Config, RobertaConfig

    for config in (BertConfig, LlamaConfig, MistralConfig, Qwen2Config, RobertaConfig):
        model = AutoModel.from_config(config(**SMALL))
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            for path in sorted(Path(folder).iterdir()):
                yield f"{config.__name__}/{path.name}", path.read_bytes()
        yield f"{config.__name__}/pytorch_model.bin", _saved(model.state_dict())
        yield f"{config.__name__}/whole.bin", _saved(model)


def safetensors_files() -> Files:
    from safetensors.torch import save

    for kind in KINDS[:11]:
        yield f"{str(kind).rpartition('.')[2]}.safetensors", save({"x": torch.zeros(2, dtype=kind)}, {"format": "pt"})


def documents() -> Files:
    yield (
        "config.json",
        json.dumps({"model_type": "bert", "architectures": ["BertModel"], "torch_dtype": "float32"}).encode(),
    )
    yield "tokenizer_config.json", json.dumps({"tokenizer_class": "BertTokenizer", "model_max_length": 512}).encode()
    yield "vocab.txt", b"[PAD]\n[UNK]\neval\nexec\nos\nsystem\n"
    yield "README.md", b"# A model\n\n```python\nimport torch\nmodel = torch.load('x')\n```\n"
    yield "merges.txt", b"#version: 0.2\na b\nc d\n"


MAKERS: dict[str, Callable[[], Files]] = {
    "state-dicts": state_dicts,
    "whole-modules": whole_modules,
    "optimisers": optimisers,
    "element-types": element_types,
    "lightning-like": lightning_like,
    "torchscript": torchscript,
    "arrays": arrays,
    "packed": packed,
    "plain-pickles": plain_pickles,
    "estimators": estimators,
    "pretrained": pretrained,
    "safetensors": safetensors_files,
    "documents": documents,
}


def build(into: Path) -> int:
    """Write every file below `into`, in a folder for each maker."""
    count = 0
    for maker, make in MAKERS.items():
        for name, data in make():
            path = into / maker / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            count += 1
    return count


if __name__ == "__main__":
    print(f"{build(Path(sys.argv[1])):,} files written")
