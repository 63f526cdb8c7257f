"""Writes docs/common-checkpoints.md: the checkpoints that people most often fail to load, and what to do about each.

    python -m tests.docs.common_checkpoints

Each is built here as its library builds it, with stand-ins for classes that are not installed. What torch and safeload
say on the page is what they say of these files; the code on the page is run on them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pathlib
import re
import tempfile
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import nn

from safeload.core.errors import SafeloadError
from tests.corpus.replay import Reduced, Stage
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "common-checkpoints.md"


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of checkpoint."""

    title: str
    file: str
    about: str
    build: Callable[[Stage], object]
    """The value to save; or the bytes of the file."""
    code: str
    """What to do, in one round. Runs with `safe_torch` and `torch` in a directory that holds the file."""
    strict: bool = False
    """Whether what the page shows is the refusal of `unknown="refuse"`."""
    after: str = ""


def _weights() -> OrderedDict[str, torch.Tensor]:
    return OrderedDict(weight=torch.arange(6.0).view(2, 3), bias=torch.zeros(2))


def _yolo(stage: Stage) -> object:
    model: Any = stage.stand_in("ultralytics.nn.tasks.DetectionModel", nn.Module)()
    conv: Any = stage.stand_in("ultralytics.nn.modules.conv.Conv", nn.Module)()
    conv.conv, conv.bn, conv.act = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.SiLU()
    model.model, model.names, model.stride = nn.Sequential(conv), {0: "person"}, torch.tensor([8.0])
    arguments = Reduced(stage.stand_in("ultralytics.utils.IterableSimpleNamespace"), (), {"imgsz": 640})
    return {"epoch": -1, "model": model.half(), "train_args": arguments, "date": "2024-01-01", "version": "8.1.0"}


def _pyannote(stage: Stage) -> object:
    task = "pyannote.audio.core.task"
    problem = Reduced(stage.stand_in(f"{task}.Problem"), (2,))
    resolution = Reduced(stage.stand_in(f"{task}.Resolution"), (1,))
    specifications = stage.instance(
        f"{task}.Specifications", problem=problem, resolution=resolution, duration=10.0, classes=["speaker"]
    )
    return {
        "state_dict": _weights(),
        "pytorch-lightning_version": "1.8.0",
        "pyannote.audio": {"specifications": specifications, "versions": {"torch": torch.__version__}},
    }


def _whisperx(stage: Stage) -> object:
    metadata = stage.instance("omegaconf.base.ContainerMetadata", ref_type=list, optional=True, key=None)
    node = stage.instance("omegaconf.nodes.AnyNode", _metadata=None, _val=0.5)
    content = stage.instance("omegaconf.listconfig.ListConfig", _metadata=metadata, _content=[node], _parent=None)
    return {"state_dict": _weights(), "hyper_parameters": {"thresholds": content}}


def _xtts(stage: Stage) -> object:
    data = stage.instance("TTS.config.shared_configs.BaseDatasetConfig", name="", path="")
    audio = stage.instance("TTS.tts.models.xtts.XttsAudioConfig", sample_rate=22050, output_sample_rate=24000)
    config = stage.instance("TTS.tts.configs.xtts_config.XttsConfig", model="xtts", audio=audio, datasets=[data])
    return {"model": _weights(), "config": config}


def _fairseq(stage: Stage) -> object:
    words = stage.instance("fairseq.data.dictionary.Dictionary", symbols=["<s>"], count=[1], indices={"<s>": 0})
    return {
        "args": None,
        "cfg": {"task": {"sample_rate": 16000}},
        "task_state": {"target_dictionary": words},
        "model": _weights(),
    }


def _lightning(stage: Stage) -> object:
    callback = stage.stand_in("pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint")
    return {
        "state_dict": _weights(),
        "epoch": 3,
        "callbacks": {callback: {"best_model_path": pathlib.PosixPath("best.ckpt")}},
        "hyper_parameters": stage.stand_in("lightning.fabric.utilities.data.AttributeDict", dict)(learning_rate=0.001),
    }


def _numpy(stage: Stage) -> object:
    random = numpy.random.RandomState(0).get_state()
    return {"model": _weights(), "best_score": numpy.float64(0.75), "random": random}


def _namespace(stage: Stage) -> object:
    return {"model": _weights(), "args": argparse.Namespace(lr=0.1, epochs=3)}


def _arguments(stage: Stage) -> object:
    strategy = Reduced(stage.stand_in("transformers.trainer_utils.IntervalStrategy"), ("steps",))
    kind = "transformers.training_args.TrainingArguments"
    return stage.instance(kind, output_dir="out", learning_rate=5e-5, save_strategy=strategy)


def _own(stage: Stage) -> object:
    config = stage.instance("__main__.Config", hidden=8)
    tokenizer = stage.instance("my_project.text.Tokenizer", words={"a": 0})
    return {"model": _weights(), "config": config, "tokenizer": tokenizer}


def _script(stage: Stage) -> object:
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(nn.Linear(3, 2), torch.ones(1, 3)), out)
    return out.getvalue()


_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1024\n"
_LOADS = "checkpoint = safe_torch.load({file!r})"

CASES = (
    Case(
        title="YOLO",
        file="yolo11n.pt",
        about="ultralytics saves whole modules. Their classes are not imported: the model comes back as a record, and "
        "its tensors under the names that `state_dict()` would give them.",
        build=_yolo,
        code='checkpoint = safe_torch.load("yolo11n.pt")\n'
        "weights = safe_torch.state_dict_of('yolo11n.pt')  # model.model.0.conv.weight, …\n"
        'names = checkpoint["model"].attributes["names"]',
        after="With ultralytics installed: build the model from its YAML file, and load these tensors with "
        "`load_state_dict`, without the `model.` in front.",
    ),
    Case(
        title="pyannote",
        file="segmentation.ckpt",
        about="Speaker models name four classes in turn, so that allowing them one by one takes four rounds.",
        build=_pyannote,
        code='state = safe_torch.load("segmentation.ckpt")["state_dict"]',
    ),
    Case(
        title="whisperX and other users of omegaconf",
        file="vad.bin",
        about="A configuration tree is pickled beside the weights.",
        build=_whisperx,
        code='state = safe_torch.load("vad.bin")["state_dict"]',
    ),
    Case(
        title="XTTS",
        file="model.pth",
        about="Coqui's checkpoints hold their configuration as objects.",
        build=_xtts,
        code='checkpoint = safe_torch.load("model.pth")\n'
        'state = checkpoint["model"]\n'
        'rate = checkpoint["config"].attributes["audio"].attributes["sample_rate"]',
    ),
    Case(
        title="fairseq, HuBERT, RVC",
        file="hubert_base.pt",
        about="The task's dictionary of symbols is an object.",
        build=_fairseq,
        code='checkpoint = safe_torch.load("hubert_base.pt")\n'
        'state = checkpoint["model"]\n'
        'symbols = checkpoint["task_state"]["target_dictionary"].attributes["symbols"]',
    ),
    Case(
        title="Lightning",
        file="epoch=3.ckpt",
        about="Callbacks are keyed by their classes, and hyperparameters are a dictionary of Lightning's own. Paths "
        "come back as `PurePosixPath`.",
        build=_lightning,
        code='checkpoint = safe_torch.load("epoch=3.ckpt")\n'
        'state = checkpoint["state_dict"]\n'
        'rate = dict(checkpoint["hyper_parameters"].pairs)["learning_rate"]',
    ),
    Case(
        title="numpy scalars and random states",
        file="checkpoint.pth",
        about="A score that numpy computed, or the state of a random generator, is enough for torch to refuse a file.",
        build=_numpy,
        code='checkpoint = safe_torch.load("checkpoint.pth")\nscore = checkpoint["best_score"] + 0.25',
    ),
    Case(
        title="argparse",
        file="last.pth",
        about="The arguments of the training script.",
        build=_namespace,
        code='checkpoint = safe_torch.load("last.pth")\nrate = checkpoint["args"].lr',
    ),
    Case(
        title="training_args.bin",
        file="training_args.bin",
        about="What transformers' Trainer leaves beside its weights. It holds settings and no tensors.",
        build=_arguments,
        code='settings = safe_torch.load("training_args.bin").attributes\nrate = settings["learning_rate"]',
    ),
    Case(
        title="Classes of the script that wrote the file",
        file="mine.pt",
        about="Nobody can vouch for these. They load as records like any other; who wants to know of each asks for a "
        "refusal, which names all at once, and the argument that lets exactly these pass.",
        build=_own,
        code="checkpoint = safe_torch.load('mine.pt', unknown='refuse', "
        "inert=['__main__.Config', 'my_project.text.Tokenizer'])\n"
        'words = checkpoint["tokenizer"].attributes["words"]',
        strict=True,
    ),
    Case(
        title="TorchScript",
        file="scripted.pt",
        about="A program with weights, under the usual name of a checkpoint.",
        build=_script,
        code="weights = safe_torch.state_dict_of('scripted.pt')",
    ),
    Case(
        title="A Git LFS pointer instead of the file",
        file="pytorch_model.bin",
        about="No matter of safety: the file is not there.",
        build=lambda stage: _POINTER,
        code="",
    ),
    Case(
        title="A web page instead of the file",
        file="model.ckpt",
        about="A login page or an error, saved under the model's name.",
        build=lambda stage: b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n",
        code="",
    ),
)


@contextlib.contextmanager
def standing_in(case: Case, folder: Path) -> Iterator[None]:
    """The directory with the file of a case, as the current one."""
    stage = Stage(frozenset({"collections.OrderedDict"}), 0)
    value = case.build(stage)
    folder.joinpath(case.file).write_bytes(value if isinstance(value, bytes) else stage.saved(value))
    with contextlib.chdir(folder):
        yield


def of_torch(case: Case) -> str:
    """The part of torch's message that people search for."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.load(case.file, weights_only=True)
    except Exception as error:  # noqa: BLE001 - whatever torch raises is what people see
        text = str(error)
        found = re.search(
            r"Unsupported (?:global: GLOBAL \S+|operand \d+)|Cannot use ``weights_only=True`` with \w+", text
        )
        return found[0] if found else text.partition("\n")[0]
    return ""


def of_safeload(case: Case) -> str:
    """What safeload says: the error, or what comes back."""
    from safeload import torch as safe_torch

    try:
        loaded = safe_torch.load(case.file, unknown="refuse" if case.strict else "record")
    except SafeloadError as error:
        return str(error)
    if not isinstance(loaded, dict):
        return repr(loaded)
    return "\n".join(f"{key}: {_short(value)}" for key, value in loaded.items())


def _short(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"tensor of {str(value.dtype).removeprefix('torch.')}, {list(value.shape)}"
    if isinstance(value, tuple) and len(value) > 4:
        return f"a tuple of {len(value)}"
    if isinstance(value, dict) and value and all(isinstance(item, torch.Tensor) for item in value.values()):
        return f"{len(value)} tensors"
    return repr(value)


def text() -> str:
    """The page."""
    parts = [_HEAD]
    with tempfile.TemporaryDirectory() as name:
        for number, case in enumerate(CASES):
            folder = Path(name, str(number))
            folder.mkdir()
            with standing_in(case, folder):
                parts += _section(case)
    return "\n".join(parts)


def _section(case: Case) -> list[str]:
    lines = [f"## {case.title}", "", *_wrapped(case.about), "", "torch says:", "", "```text", of_torch(case), "```", ""]
    call = f'`safeload.torch.load("{case.file}"' + (', unknown="refuse")`' if case.strict else ")`")
    lines += [f"{call} gives:", "", "```text", of_safeload(case), "```", ""]
    if case.code:
        lines += ["So:", "", "```text", case.code, "```", ""]
    return [*lines, *([*_wrapped(case.after), ""] if case.after else [])]


def _wrapped(line: str) -> list[str]:
    import textwrap

    return textwrap.wrap(line, width=118, break_long_words=False, break_on_hyphens=False)


_HEAD = """# Common checkpoints

The checkpoints that people most often report as not loading since torch refuses them by default, and what to do with
each, in one round. Written by `python -m tests.docs.common_checkpoints`; what torch and safeload say is what they say
of files built like the real ones, and the code is run on them. It begins with:

```text
from safeload import torch as safe_torch
```

Nothing here switches a check off. For models of transformers, none of it is needed: see
[getting started](getting-started.md).
"""


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "120")
    PAGE.write_text(text(), encoding="utf-8")
