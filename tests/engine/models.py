"""Model directories that take a millisecond to build: a few numbers, a config, and whatever a test is about."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from safeload.core.limits import Limits
from safeload.engine.admission.plan import Plan, make_plan
from safeload.engine.held import Held
from safeload.engine.request import Request
from safeload.sources.local import local_snapshot
from tests.engine.checkpoints import saved

State = dict[str, torch.Tensor]

CONFIG = {"model_type": "bert", "hidden_size": 4, "dtype": "float32"}
STATE: State = {
    "embed.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "head.bias": torch.tensor([1.5, -2.0]),
}


def write(path: Path, content: Any) -> Path:
    """Write bytes, text, or anything else as JSON; make the directories above."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        content = content.encode()
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def write_all(folder: Path, files: dict[str, Any]) -> Path:
    """A directory with these files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write(folder / name, content)
    return folder


def safe(state: State | None = None) -> bytes:
    """A safetensors file."""
    return save(STATE if state is None else state, metadata={"format": "pt"})


def pickled(state: Any = None) -> bytes:
    """A `.bin` file."""
    return saved(STATE if state is None else state)


def index(**weight_map: str) -> dict[str, Any]:
    """A shard index; `__` in a name stands for a dot."""
    return {
        "metadata": {"total_size": 1},
        "weight_map": {key.replace("__", "."): value for key, value in weight_map.items()},
    }


def model(folder: Path, *, pickle: bool = False, state: Any = None, **config: Any) -> Path:
    """A model: a config, weights in one file, a vocabulary."""
    weights = {"pytorch_model.bin": pickled(state)} if pickle else {"model.safetensors": safe(state)}
    return write_all(folder, {"config.json": CONFIG | config, "vocab.txt": "[PAD]\nw\n", **weights})


def sharded(folder: Path, *, pickle: bool = False) -> Path:
    """A model in two shards."""
    suffix, whole, make = ("bin", "pytorch_model", pickled) if pickle else ("safetensors", "model", safe)
    shards = {f"{whole}-0000{i}-of-00002.{suffix}": {name: STATE[name]} for i, name in enumerate(STATE, 1)}
    weight_map = {key: name for name, state in shards.items() for key in state}
    files: dict[str, Any] = {name: make(state) for name, state in shards.items()}
    listing = {"metadata": {}, "weight_map": weight_map}
    return write_all(folder, {"config.json": CONFIG, f"{whole}.{suffix}.index.json": listing, **files})


def age(path: Path) -> Path:
    """Wait until nothing below `path` changed a moment ago, as with files in real life."""
    paths = [path, *path.rglob("*")] if path.is_dir() else [path]
    newest = max(os.lstat(item).st_ctime_ns for item in paths)
    time.sleep(max(0.0, newest / 1e9 + 0.05 - time.time()))
    return path


def plan_of(path: Path, request: Request | None = None, limits: Limits | None = None) -> Plan:
    """What one load of a local model would read."""
    limits = limits or Limits()
    with Held(local_snapshot(path, limits=limits), limits) as held:
        return make_plan(held, request or Request(purpose="model"))


def files_below(path: Path) -> set[str]:
    """Every path below a directory that is no directory, links included."""
    return {item.relative_to(path).as_posix() for item in path.rglob("*") if item.is_symlink() or not item.is_dir()}
