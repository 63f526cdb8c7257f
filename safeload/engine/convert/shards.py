"""How tensors are spread over several files, what those are called, and the index that lists them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from math import prod

from safeload.core.errors import UsageError
from safeload.core.names import escape
from safeload.engine.convert.conveyor import Planned
from safeload.engine.convert.selection import Chosen
from safeload.engine.tensorfile import layout
from safeload.formats.dtypes import bits_of

DEFAULT_SIZE = 5_000_000_000
"""What huggingface_hub splits at."""
_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]?i?b?)", re.IGNORECASE)
_ENDINGS = (
    ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".tar", ".joblib", ".npz", ".npy", ".msgpack", ".h5", ".hdf5",
    ".keras", ".gz", ".bz2", ".xz", ".lzma", ".z", ".lz4", ".th", ".model", ".safetensors",
)  # fmt: skip


def size_in_bytes(value: int | str) -> int:
    """`5GB`, `500MB`, `2GiB`, or a number of bytes.

    Raises:
        UsageError: it is none of these, or not positive.
    """
    if isinstance(value, str):
        found = _SIZE.fullmatch(value.strip())
        unit = found[2].lower() if found else "?"
        value = int(float(found[1]) * _UNITS[unit]) if found and unit in _UNITS else 0
    if value < 1:
        raise UsageError("a shard size is not one", why="it is a number of bytes", remedy="--max-shard-size 5GB")
    return value


def output_stem(name: str) -> str:
    """What the output of a checkpoint file of that name is called, without `.safetensors`.

    `pytorch_model.bin` gives `model`, `x.ckpt` gives `x`.
    """
    stem = name
    while (ending := next((end for end in _ENDINGS if stem.lower().endswith(end)), "")) and len(stem) > len(ending):
        stem = stem[: -len(ending)]
    if stem == "pytorch_model" or stem.startswith(("pytorch_model.", "pytorch_model-")):
        stem = "model" + stem[len("pytorch_model") :]
    return stem


def nbytes(chosen: Chosen) -> int:
    """How many bytes a tensor takes in the output."""
    return -(-prod(chosen.view.shape) * bits_of(chosen.view.dtype) // 8)


def spread(tensors: Iterable[Chosen], most: int) -> list[list[Chosen]]:
    """The tensors of each file, in order: no file above `most` bytes, but for a tensor that is larger by itself."""
    files: list[list[Chosen]] = [[]]
    size = 0
    for chosen in tensors:
        more = nbytes(chosen)
        if files[-1] and size + more > most:
            files.append([])
            size = 0
        files[-1].append(chosen)
        size += more
    return files


def plan_files(tensors: Iterable[Chosen], stem: str, most: int, metadata: Mapping[str, str]) -> list[Planned]:
    """The files to write, with their headers.

    Raises:
        MalformedInput: names and shapes take more than readers of safetensors accept.
    """
    groups = spread(tensors, most)
    planned = []
    for number, group in enumerate(groups, 1):
        name = f"{stem}.safetensors" if len(groups) == 1 else f"{stem}-{number:05}-of-{len(groups):05}.safetensors"
        header, slots = layout({chosen.name: chosen.view for chosen in group}, metadata)
        planned.append(Planned(name=name, header=header, slots=slots))
    return planned


def index_name(stem: str) -> str:
    return f"{stem}.safetensors.index.json"


def index(planned: Iterable[Planned]) -> bytes:
    """The index of several files: where each tensor is, and how many bytes they have together."""
    weight_map = {slot.name: file.name for file in planned for slot in file.slots}
    total = sum(slot.nbytes for file in planned for slot in file.slots)
    document = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    return json.dumps(document, indent=2).encode() + b"\n"


def check_stem(stem: str) -> str:
    """A name for files. Raises `UsageError` if it cannot be one."""
    if not stem or stem in (".", "..") or "/" in stem or "\0" in stem:
        raise UsageError(f"{escape(stem)!r} is no name for a file", remedy="--into NAME.safetensors")
    return stem
