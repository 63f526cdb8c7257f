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
CARD = "README.md"
PARTS_HOLDERS = ("modules.json", "model_index.json")
"""What says that a model is made of parts, and of which."""

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
_FAMILIES = (("model", "pytorch_model"), ("diffusion_pytorch_model", "diffusion_pytorch_model"))
"""What weights are called as safetensors and as a pickle: by transformers, and by diffusers."""
_SIDE_WEIGHTS = ("head.safetensors", "readout.safetensors", "adapter.*.safetensors", "adapter.*.bin")
"""Weights that some architectures load beside the model's own, or later."""


def under(subfolder: str, names: Iterable[str]) -> dict[str, str]:
    """The listed paths inside `subfolder`, by their name relative to it."""
    prefix = posixpath.normpath(subfolder) + "/" if subfolder not in ("", ".") else ""
    return {path[len(prefix) :]: path for path in names if path.startswith(prefix)}


def small_files(names: Iterable[str], request: Request) -> list[str]:
    """The configs, templates and tokenizer files that a load of this purpose may read, of `names`."""
    wanted: tuple[str, ...]
    if request.purpose in ("generate", "code"):
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
    candidates = _candidates(*_FAMILIES[0], request.variant, request)
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


def part_files(names: Iterable[str]) -> list[str]:
    """The configs and tokenizer files in the folder of one part of a model. A part is not made of parts itself."""
    never = (*_NEVER, *PARTS_HOLDERS)
    return sorted(name for name in names if _matches(name, _SMALL_FILES) and not _matches(name, never))


def part_weights(names: Mapping[str, str] | set[str], request: Request, *, falls_back: bool) -> list[str]:
    """The weights or indexes in the folder of one part: of each library that may read it, the one it would begin with.

    `falls_back`: a part that has none of the variant is loaded without it.
    """
    variants = (request.variant, None) if falls_back else (request.variant,)
    found = (
        next((name for variant in variants for name in _candidates(*family, variant, request) if name in names), None)
        for family in _FAMILIES
    )
    adapter = adapter_entry(names) if ADAPTER_CONFIG in names else None
    return [name for name in (*found, adapter) if name is not None]


def _candidates(safe: str, pickled: str, variant: str | None, request: Request) -> list[str]:
    """Names of weights, best first."""
    safe_names = [with_variant(f"{safe}.{end}", variant) for end in ("safetensors", "safetensors.index.json")]
    pickled_names = [with_variant(f"{pickled}.{end}", variant) for end in ("bin", "bin.index.json")]
    return [
        *(safe_names if request.use_safetensors is not False else ()),
        *(pickled_names if not request.use_safetensors else ()),
    ]


def asked_weights(names: Mapping[str, str] | set[str], request: Request) -> str | None:
    """The first of the names that the request itself gives for weights, in the variant it asks for."""
    for name in request.weights:
        pickled = not name.endswith((".safetensors", ".safetensors.index.json"))
        if request.use_safetensors is not None and request.use_safetensors is pickled:
            continue
        if (chosen := with_variant(name, request.variant)) in names:
            return chosen
    return None


def admitted_stem(entry: str) -> str:
    """The name that weights have where they are admitted, without its suffix: as safetensors, and of no variant."""
    stem = posixpath.basename(entry).split(".", 1)[0]
    return "model" if stem == "pytorch_model" else stem


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
