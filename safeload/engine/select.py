"""Which files of a snapshot one load reads: the order in which transformers looks for them, made explicit.

The order follows `modeling_utils._get_resolved_checkpoint_files` of transformers 5: a file that the config names,
`model.safetensors`, its index, `pytorch_model.bin`, its index. Nothing here opens a file.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from safeload.core.errors import MalformedInput
from safeload.core.names import Location
from safeload.core.paths import bare_name, safe_relative
from safeload.engine.request import Request

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"

_CONFIG_FILES = ("config.json", "config.*.json", "adapter_config.json", "params.json")
_MODEL_FILES = (*_CONFIG_FILES, "generation_config.json", "decision_template.jinja", "quantize_config.json")
_SMALL_FILES = (
    "*.json", "*.jinja", "*.txt", "*.model", "*.model.*", "*.spm", "*.bpe", "*.vocab", "*.tiktoken", "*.codes",
    "vocab", "merges", "additional_chat_templates/*.jinja",
    "*tokenizer*/*.json", "*tokenizer*/*.txt", "*tokenizer*/*.model", "*tokenizer*/*.jinja",
)  # fmt: skip
_NEVER = (
    "*.index.json",
    "*.index.*.json",
    "*/*.index.json",
    "*/*.index.*.json",
    "audio_tokenizer_config.json",
    "trainer_state.json",
    "admission.json",
    "README*",
    "LICENSE*",
    "requirements*.txt",
)
_EVERYTHING = (*_SMALL_FILES, "*/*.json", "*/*.txt", "*/*.jinja")
_SIDE_WEIGHTS = ("head.safetensors", "readout.safetensors", "adapter.*.safetensors", "adapter.*.bin")
"""Weights that some architectures load beside the model's own, or later."""


def under(subfolder: str, names: Iterable[str]) -> dict[str, str]:
    """The listed paths inside `subfolder`, by their name relative to it."""
    prefix = posixpath.normpath(subfolder) + "/" if subfolder not in ("", ".") else ""
    return {path[len(prefix) :]: path for path in names if path.startswith(prefix)}


def small_files(names: Iterable[str], request: Request) -> list[str]:
    """The configs, templates and tokenizer files that a load of this purpose may read, of `names`."""
    wanted: tuple[str, ...]
    if request.purpose == "generate":
        return []
    if request.purpose == "config":
        wanted = _CONFIG_FILES
    elif request.purpose == "adapter":
        wanted = (ADAPTER_CONFIG,)
    elif request.purpose in ("model", "generation"):
        wanted = _MODEL_FILES
    elif request.purpose == "everything":
        wanted = _EVERYTHING
    else:
        wanted = _SMALL_FILES
    return sorted(name for name in names if _matches(name, wanted) and not _matches(name, _NEVER))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name fits one of the patterns; `*` in a pattern does not cross a directory."""
    return any(name.count("/") == pattern.count("/") and fnmatchcase(name, pattern) for pattern in patterns)


def with_variant(name: str, variant: str | None) -> str:
    """`model.safetensors` → `model.fp16.safetensors`; an index keeps `.json` last."""
    if not variant:
        return name
    stem, suffix = name.rsplit(".", 1)
    return f"{stem}.{variant}.{suffix}"


def weights_entry(names: Mapping[str, str] | set[str], config: Mapping[str, Any], request: Request) -> str | None:
    """The file that the library would begin with: a checkpoint or an index; `None` if there is none.

    Raises:
        MalformedInput: the config names a file outside the model's directory.
    """
    explicit = config.get("transformers_weights")
    if isinstance(explicit, str) and not request.gguf_file:
        return safe_relative(explicit, location=Location(CONFIG, path="transformers_weights"))
    if request.gguf_file:
        return posixpath.normpath(request.gguf_file)
    safe = [with_variant(name, request.variant) for name in ("model.safetensors", "model.safetensors.index.json")]
    pickled = [with_variant(name, request.variant) for name in ("pytorch_model.bin", "pytorch_model.bin.index.json")]
    candidates = [
        *(safe if request.use_safetensors is not False else ()),
        *(pickled if not request.use_safetensors else ()),
    ]
    return next((name for name in candidates if name in names), None)


def adapter_entry(names: Mapping[str, str] | set[str]) -> str | None:
    """The adapter's weights, safetensors first."""
    return next((name for name in ("adapter_model.safetensors", "adapter_model.bin") if name in names), None)


def side_weights(names: Iterable[str], *, fetched: bool) -> list[str]:
    """Further weight files that belong to the model. From the hub only the small fixed set; a folder's are all here."""
    patterns = _SIDE_WEIGHTS if fetched else _SIDE_WEIGHTS[:2]
    return sorted(name for name in names if _matches(name, patterns))


def gguf_files(names: Iterable[str]) -> list[str]:
    """The GGUF files beside the config, which a loader asks for by name."""
    return sorted(name for name in names if name.lower().endswith(".gguf") and "/" not in name)


def is_index(name: str) -> bool:
    return name.endswith(".json")


def shards(index: Any, where: Location) -> list[str]:
    """The files that a shard index names, each once, in order.

    Raises:
        MalformedInput: the index is not one, or names anything but files beside it.
    """
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise MalformedInput("a shard index cannot be used", where=where, why="it has no weight_map of file names")
    if not weight_map:
        raise MalformedInput("a shard index cannot be used", where=where, why="its weight_map names no file")
    return [
        bare_name(name, location=Location(where.file, path="weight_map")) for name in sorted(set(weight_map.values()))
    ]
