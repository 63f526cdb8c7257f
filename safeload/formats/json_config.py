"""JSON files: configurations, shard indexes, tokenizers. What they hold, and what they point at.

A configuration steers which other files and programs a library uses, so every pointer in it becomes a `Reference`,
wherever it is nested. The kinds are: `code` (Python to import), `kernel` (native code to fetch), `module` (an
installed module or class by name), `callable`, `shard`, `weights`, `config`, `tokenizer`, `repository`, `base-model`
and `quantization`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from safeload.core.blob import Blob
from safeload.core.errors import LimitExceeded
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.base import Config, Format, Irregularity, Part, Reference, Text
from safeload.formats.inside import called
from safeload.formats.strict_json import parse_json, walk_json

_SUFFIXES = (".json", ".ipynb", ".webmanifest")
_LOOKS = re.compile(rb'\s*(?:\{\s*(?:"|\})|\[\s*(?:[\[{"\]\-0-9]|true|false|null))')
_PROSE = (".md", ".txt", ".py", ".jinja", ".j2", ".jsonl", ".yaml", ".yml", ".csv", ".tsv", ".html", ".js")


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
_KEYS: dict[str, tuple[str, _Targets]] = {
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
    "auto_mapping": ("module", _all),
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
    "checkpoint_path": ("weights", _all),
    "architecture": ("repository", _elsewhere),
}
_PREFIXES = ("_attn_implementation", "_experts_implementation")
"""Beginnings of keys by which configurations remember an implementation; those are kernels if they have a slash."""
_ANY = tuple(key.encode() for key in (*_KEYS, *_PREFIXES, "weight_map", "chat_template"))


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


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    if blob.size > limits.json_bytes:
        raise LimitExceeded("json_bytes", allowed=limits.json_bytes, wanted=blob.size, where=location)
    raw = blob.read_at(0, blob.size)
    document = parse_json(raw, location, limits)
    yield Config(location=location, data=document.data)
    for key in document.repeated[:100]:
        detail = f"the key {escape(key)} stands twice in one object: readers differ in which one they take"
        where = Location(location.file, location.member, None, key)
        yield Irregularity(location=where, kind="json-duplicate-key", detail=detail, two_readings=True)
    yield from _of_shapes(document.data, location)
    # Tokenizer files hold a million keys and no pointer; a key that is spelled with escapes is looked for as well.
    if b"\\u" in raw or any(key in raw for key in _ANY):
        yield from _references(document.data, location)


def _steers(key: str) -> bool:
    return key in _KEYS or key in ("weight_map", "chat_template") or key.startswith(_PREFIXES)


def _references(data: Any, location: Location) -> Iterator[Part]:
    for path, key, value in walk_json(data, _steers):
        where = Location(location.file, location.member, None, path)
        if key == "chat_template":
            yield from _templates(value, where)
            continue
        kind, targets = _KEYS.get(key) or (("shard", _all) if key == "weight_map" else ("kernel", _with_slash))
        for target in targets(value):
            yield Reference(location=where, kind=kind, target=target)


def _templates(value: Any, where: Location) -> Iterator[Part]:
    """One template, a list of named ones, or a mapping of names to them."""
    found: list[tuple[str, Any]]
    if isinstance(value, list):
        found = [
            (f"[{index}].template", item.get("template")) for index, item in enumerate(value) if isinstance(item, dict)
        ]
    elif isinstance(value, dict):
        found = [(f".{key}", item) for key, item in value.items()]
    else:
        found = [("", value)]
    for suffix, text in found:
        if isinstance(text, str):
            place = Location(where.file, where.member, None, f"{where.path}{suffix}")
            yield Text(location=place, text=text, role="chat-template")


def _of_shapes(data: Any, location: Location) -> Iterator[Part]:
    """Files whose whole shape names classes: sentence-transformers' `modules.json`, diffusers' `model_index.json`."""
    name = called(location).rpartition("/")[2]
    if isinstance(data, list):
        for index, item in enumerate(data):
            if isinstance(item, dict) and isinstance(item.get("type"), str) and "path" in item:
                where = Location(location.file, location.member, None, f"[{index}].type")
                yield Reference(location=where, kind="module", target=item["type"])
    elif isinstance(data, dict) and (name == "model_index.json" or "_diffusers_version" in data):
        for key, value in data.items():
            if isinstance(value, list) and len(value) == 2 and all(isinstance(item, str) for item in value):
                where = Location(location.file, location.member, None, key)
                kind = "code" if key == "_class_name" else "module"
                yield Reference(location=where, kind=kind, target=".".join(value))


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    lower = name.lower()
    looks = _LOOKS.match(head) is not None
    if lower.endswith(_SUFFIXES):
        return looks or head.lstrip()[:1] in (b"{", b"[", b'"')
    return looks and not lower.endswith(_PROSE) and tail.rstrip()[-1:] in (b"}", b"]")


FORMAT = Format(name="json", title="a JSON document", suffixes=_SUFFIXES, sniff=_sniff, read=_read)
