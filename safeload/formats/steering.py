"""The settings by which a configuration steers a program: to code, to other files, to other repositories.

Collected from the libraries that read them; `docs/formats-pickles-and-archives.md` lists each with what it does.
JSON and YAML files are read for the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from safeload.core.names import Location
from safeload.formats.base import Part, Reference
from safeload.later import Later


def _strings(value: Any) -> Iterator[str]:
    """Every string in a small nested value: `"a"`, `["a", null]`, `{"x": "a"}`."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            stack.extend(reversed(item.values()))
        elif isinstance(item, list):
            stack.extend(reversed(item))


def _all(value: Any) -> Iterator[str]:
    yield from dict.fromkeys(_strings(value))


def _with_slash(value: Any) -> Iterator[str]:
    """Implementations that are repositories; `sdpa` and `eager` are not."""
    yield from (text for text in _all(value) if "/" in text)


def _with_dot(value: Any) -> Iterator[str]:
    """Functions named by where to import them from; `gelu_new` is not."""
    yield from (text for text in _all(value) if "." in text)


def _elsewhere(value: Any) -> Iterator[str]:
    yield from (text for text in _all(value) if text.startswith(("hf-hub:", "hf_hub:", "local-dir:", "timm/")))


def _present(value: Any) -> Iterator[str]:
    if value not in (None, False, {}, []):
        yield value if isinstance(value, str) else "on"


def _name_or_path(value: Any) -> Iterator[str]:
    """A repository named directly, or in a description of a component."""
    if isinstance(value, dict):
        value = [child for key, child in value.items() if "path" in key or "name" in key]
    yield from _all(value)


_Targets = Callable[[Any], Iterator[str]]
KEYS: dict[str, tuple[str, _Targets]] = {
    "auto_map": ("code", _all),
    "custom_pipelines": ("code", lambda value: _implementations(value)),
    "custom_generate": ("code", _all),
    "transformers_weights": ("weights", _all),
    "configuration_files": ("config", _all),
    "fast_tokenizer_files": ("tokenizer", _all),
    "attn_implementation": ("kernel", _with_slash),
    "experts_implementation": ("kernel", _with_slash),
    "kernel_config": ("kernel", _present),
    "use_kernels": ("kernel", _present),
    "base_model_name_or_path": ("base-model", _all),
    "auto_mapping": ("import", lambda value: _mapping(value)),
    "megatron_core": ("import", lambda value: (text for text in _all(value) if not text.startswith("megatron."))),
    "audio_tokenizer": ("repository", _name_or_path),
    "audio_tokenizer_name_or_path": ("repository", _all),
    "audio_tokenizer_class": ("module", _all),
    "repo_or_path": ("repository", _all),
    "repo_path": ("repository", _all),
    "class_info_file": ("repository", _all),
    "quant_method": ("quantization", _all),
    "fusion_config": ("module", lambda value: _keys(value)),
    "activation_fn": ("callable", _with_dot),
    "activation_function": ("callable", _with_dot),
    "sbert_ce_default_activation_function": ("callable", _with_dot),
    "checkpoint_path": ("weights", _all),
    "architecture": ("repository", _elsewhere),
    "_target_": ("callable", _all),
    "class_path": ("callable", _with_dot),
    "loader_module": ("import", _all),
    "target": ("callable", lambda value: _import_path(value)),
    "custom_imports": ("import", lambda value: _all(value.get("imports") if isinstance(value, dict) else value)),
    "download": ("code", lambda value: _script(value)),
    "implementation": ("callable", lambda value: _import_path(value)),
    **dict.fromkeys(("py/object", "py/type", "py/function", "py/reduce", "py/repr", "py/mod"), ("callable", _all)),
    "trust_remote_code": ("trust", lambda value: _true(value)),
}
PREFIXES = ("_attn_implementation", "_experts_implementation")
"""Beginnings of keys by which configurations remember an implementation; those are kernels if they have a slash."""
IN_YAML = (
    *(
        "custom_imports",
        "download",
        "_target_",
        "target",
        "class_path",
        "loader_module",
        "auto_map",
        "trust_remote_code",
        "chat_template",
    ),
    *("_attn_implementation", "attn_implementation", "base_model_name_or_path"),
)
"""Those that are read from YAML; the others mean something only to libraries that read JSON."""
_MENTIONED = (*KEYS, *PREFIXES, "weight_map", "chat_template")
MENTIONS = tuple(key for key in _MENTIONED if not any(one in key for one in _MENTIONED if one != key))
"""What a text holds that mentions one of these: of keys that hold each other, the shortest."""

HINTS = (
    *("..", "//", "\\\\", "/etc", "/proc", "/dev", "/root", "~/", "home", "/.", "command", "cmd", "entry"),
    *("exec", "shell", "hook", "script", "backbone", "tower", "vocoder", "draft", "assistant", "encoder"),
    *("_path", "repo", "plugin", "middleware", "callback", "handler", "class", "code", "import", "lambda"),
    *("trust", "bash", "sh ", "python", "curl", "wget", "npx", "tool", "type", "node", "eval", "func"),
    *("factory", "dangerous", "prompt", "instruct", "persona", "message", "context", "dataset", "registry"),
    *(
        "index",
        "langchain",
        "provider",
        "service",
        "hf_",
        "reward",
        "strategy",
        "loader",
        "\\u",
        "description",
    ),
)
"""Every document that points anywhere holds one of these, in small letters; the others are not looked at."""


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    else:
        yield from _all(value)


def _implementations(value: Any) -> Iterator[str]:
    """`{"task": {"impl": "file.Class", "pt": […]}}`: the class that would be imported."""
    for task in value.values() if isinstance(value, dict) else ():
        if isinstance(task, dict):
            yield from _all(task.get("impl"))


def _mapping(value: Any) -> Iterator[str]:
    """PEFT's `{"base_model_class": "Class", "parent_library": "package.module"}` as one name."""
    if isinstance(value, dict) and isinstance(value.get("parent_library"), str):
        name = value.get("base_model_class")
        yield f"{value['parent_library']}.{name}" if isinstance(name, str) else value["parent_library"]
        value = {key: child for key, child in value.items() if key not in ("base_model_class", "parent_library")}
    yield from (text for text in _all(value) if "." in text)


_PATH = Later(r"[^\W\d]\w*(?:\.[^\W\d]\w*)+", needs=(".",))


def _import_path(value: Any) -> Iterator[str]:
    """What `instantiate_from_config` would import; the word has other uses too."""
    if isinstance(value, str) and _PATH.fullmatch(value):
        yield value


def _script(value: Any) -> Iterator[str]:
    """What ultralytics executes to fetch a data set: a line for the shell, or Python. An address is only fetched."""
    if isinstance(value, str) and (value.startswith("bash ") or re.search(r"\bimport |\n|\w\(", value)):
        yield value.partition("\n")[0][:200]


def _true(value: Any) -> Iterator[str]:
    if value is True or (isinstance(value, str) and value.lower() in ("true", "yes", "on", "1")):
        yield "on"


def references_of(key: str, value: Any, where: Location) -> Iterator[Part]:
    """What the value of one of these keys points to."""
    kind, targets = KEYS.get(key) or (("shard", _all) if key == "weight_map" else ("kernel", _with_slash))
    for target in targets(value):
        yield Reference(location=where, kind=kind, target=target)


def mentions(text: str) -> bool:
    """Whether one of these keys could be in a document, if it is not spelled with escapes."""
    for mention in MENTIONS:  # noqa: SIM110 (every JSON file comes by here: a generator takes twice as long)
        if mention in text:
            return True
    return False


def steers_somewhere(small: str) -> bool:
    """Whether a document, in small letters, may point anywhere at all."""
    for hint in HINTS:  # noqa: SIM110 (as above)
        if hint in small:
            return True
    return False


def steers(key: str) -> bool:
    """Whether a key is one of these."""
    return key in KEYS or key in ("weight_map", "chat_template") or key.startswith(PREFIXES)
