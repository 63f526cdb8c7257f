"""Configs as they are handed over: every second door closed, and each change said.

A local directory can still point elsewhere: code in `auto_map`, kernels in `attn_implementation`, other files in
`configuration_files`, other repositories in half a dozen keys. What cannot be resolved inside the admitted directory
is removed; nothing here is fetched.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from safeload.core.names import escape
from safeload.core.paths import is_safe_relative
from safeload.formats.pointers import outside

_NO_CODE = "it asks for code from the model"
_NO_KERNEL = "it names native code in a repository"
_NO_ELSEWHERE = "it points into another repository"
_NO_OVERRIDE = "only the caller may set it"

_REMOVED: Mapping[str, str] = {
    "auto_map": _NO_CODE,
    "custom_pipelines": _NO_CODE,
    "custom_generate": _NO_CODE,
    "fusion_config": "it replaces parts of the model's class",
    "use_kernels": _NO_KERNEL,
    "kernel_config": _NO_KERNEL,
    "allow_all_kernels": _NO_KERNEL,
    "trust_remote_code": _NO_OVERRIDE,
    "code_revision": _NO_OVERRIDE,
    "weights_only": _NO_OVERRIDE,
    "use_safetensors": _NO_OVERRIDE,
    "_commit_hash": _NO_OVERRIDE,
    "_adapter_model_path": _NO_ELSEWHERE,
    "adapter_kwargs": _NO_ELSEWHERE,
    "gguf_file": _NO_OVERRIDE,
    "cache_dir": _NO_OVERRIDE,
    "offload_folder": _NO_OVERRIDE,
    "transformers_weights": "the weights it names were admitted in its place",
    "weight_map": "the weights were listed anew",
    "checkpoint_path": "it names weights that were not admitted",
    "audio_tokenizer": _NO_ELSEWHERE,
    "audio_tokenizer_class": _NO_ELSEWHERE,
    "audio_tokenizer_name_or_path": _NO_ELSEWHERE,
    "megatron_config": "it names a module to import",
    "prompt_tuning_init_state_dict_path": "it names weights that were not admitted",
    "cache_file": "it names a file that was not admitted",
    "covariance_file": "it names a file that was not admitted",
    "tokenizer_name_or_path": _NO_ELSEWHERE,
    "tokenizer_kwargs": "it is about a tokenizer that is not handed over",
    "repo_path": _NO_ELSEWHERE,
    "repo_or_path": _NO_ELSEWHERE,
}
_COMPONENT = "pretrained_model_name_or_path"
"""Where a modular pipeline finds one of its components, when somebody asks for it."""
_NO_OUTSIDE = "it leads out of the model"
_INDEXES = ("index_path", "passages_path")
"""Where RAG looks for its passages, from wherever the program was started; the old format of them is a pickle."""
_FEW = 100
"""Texts in a list that may be paths; longer lists are words."""
_NAME_CODE = ("auto_map", "custom_pipelines")
_IMPLEMENTATION = re.compile(r"_?(?:attn|experts)_implementation(?:_\w+)?\Z")
_BUILT_IN = re.compile(r"[A-Za-z0-9_|]*\Z")
_FILE_LISTS = ("configuration_files", "fast_tokenizer_files")
_ARCHITECTURES = ("architecture", "backbone")
_NOT_BUILT_IN = re.compile(r"(?:hf[-_]hub|local[-_]dir):")
"""How timm is told to look for an architecture elsewhere than in itself."""
_FUNCTIONS = ("activation_fn", "activation_function", "sbert_ce_default_activation_function")
_TORCH_LAYER = re.compile(r"torch\.nn\.(?:modules\.\w+\.)?[A-Z]\w*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that differs between a config and its admitted form."""

    file: str
    path: str
    """JSON path of the entry."""
    value: str
    """What stood there, shortened and escaped."""
    why: str

    def __str__(self) -> str:
        return f"{escape(self.file)} » {escape(self.path)} ({self.value}) left out: {self.why}"


@dataclass(slots=True)
class Rewritten:
    """A config in its admitted form."""

    data: Any
    changes: list[Change] = field(default_factory=list)
    attention_removed: bool = False


def rewrite(
    file: str, data: Any, available: Callable[[str], bool], *, code: bool = False, late: bool = True
) -> Rewritten:
    """Close every door in a parsed JSON document, in place, at any depth.

    Args:
        file: its name, for the record of changes.
        data: the document as it was judged; it is modified.
        available: whether a file of that name will stand in the admitted directory.
        code: `auto_map` and `custom_pipelines` stay, for a load that may ask for approved code by them.
        late: the components of modular pipelines stay, for a caller that admits each when it is loaded.
    """
    result = Rewritten(data)

    def objection(key: str, value: Any) -> str:
        if key == _COMPONENT and isinstance(value, str):
            return _NO_ELSEWHERE if value and not late else ""
        return _objection(key, value, available)

    pending: list[tuple[_Step | None, Any]] = [(None, data)]
    while pending:
        above, node = pending.pop()
        if isinstance(node, dict):
            doors = [key for key, value in node.items() if objection(key, value)]
            for key in [key for key in doors if not (code and key in _NAME_CODE)]:
                why, path = objection(key, node[key]), _spell((above, f".{key}"))
                result.changes.append(Change(file=file, path=path, value=_short(node[key]), why=why))
                result.attention_removed |= why == _NO_KERNEL and bool(_IMPLEMENTATION.match(key))
                _close(node, key, available)
            pending.extend(((above, f".{key}"), item) for key, item in node.items() if isinstance(item, (dict, list)))
        elif isinstance(node, list):
            pending.extend(((above, f"[{i}]"), item) for i, item in enumerate(node) if isinstance(item, (dict, list)))
    return result


_Step = tuple["_Step | None", str]


def _spell(step: _Step | None) -> str:
    """The JSON path of a place. Spelled only for what is said: a tokenizer has a million places."""
    steps: list[str] = []
    while step is not None:
        step, name = step
        steps.append(name)
    return "".join(reversed(steps)).removeprefix(".")


def _objection(key: str, value: Any, available: Callable[[str], bool]) -> str:
    """Why an entry cannot stay as it is; empty if it can."""
    if key in _REMOVED:
        return "" if _says_nothing(value, _REMOVED[key]) else _REMOVED[key]
    if _IMPLEMENTATION.match(key):
        values = value.values() if isinstance(value, dict) else (value,)
        return "" if all(_is_built_in(item) for item in values) else _NO_KERNEL
    if key in _FILE_LISTS:
        return "" if isinstance(value, list) and all(_may_name(item, available) for item in value) else (
            "it names files that are not handed over"
        )  # fmt: skip
    if key == "auto_mapping" and isinstance(value, dict):
        library = str(value.get("parent_library") or "transformers").split(".")[0]
        return "" if library in ("transformers", "peft") else _NO_CODE
    if key == "adapters" and isinstance(value, dict) and any(isinstance(item, str) for item in value.values()):
        return _NO_ELSEWHERE
    if isinstance(value, list) and 0 < len(value) <= _FEW and all(isinstance(item, str) for item in value):
        return _NO_OUTSIDE if any(outside(key, item) for item in value) else ""
    if not isinstance(value, str):
        return ""
    if key == "prompt_tuning_init" and value == "TEXT":
        return "its words are in the weights already, and the tokenizer for them is not handed over"
    if key == "shadow_model" and value != "mirror":
        return _NO_ELSEWHERE
    if key.endswith("_file") and value and not is_safe_relative(value):
        return "it is a path outside the model"
    if key in _ARCHITECTURES and _NOT_BUILT_IN.match(value):
        return _NO_ELSEWHERE
    if key in _FUNCTIONS and "." in value and not _TORCH_LAYER.match(value):
        return "it names a function to import"
    if key in _INDEXES and value:
        return _NO_OUTSIDE
    return _NO_OUTSIDE if outside(key, value) else ""


def _says_nothing(value: Any, why: str) -> bool:
    """Whether an entry has no effect. A number names nothing; it stands where a vocabulary has such a token."""
    if value is False:
        return why != _NO_OVERRIDE
    if type(value) in (int, float):
        return why != _NO_KERNEL
    return value is None or value in ("", {}, [])


def _close(node: dict[str, Any], key: str, available: Callable[[str], bool]) -> None:
    """Take out of an entry what cannot stay: the bad members of a list of files, else the whole entry."""
    if key in _FILE_LISTS and isinstance(node[key], list):
        node[key] = [item for item in node[key] if _may_name(item, available)]
        if node[key]:
            return
    del node[key]


def _is_built_in(value: Any) -> bool:
    return value is None or isinstance(value, bool | int) or (isinstance(value, str) and bool(_BUILT_IN.match(value)))


def _may_name(value: Any, available: Callable[[str], bool]) -> bool:
    return isinstance(value, str) and is_safe_relative(value) and "/" not in value and available(value)


def _short(value: Any) -> str:
    return escape(value if isinstance(value, str) else reprlib.repr(value), 80)
