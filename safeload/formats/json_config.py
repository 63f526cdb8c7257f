"""JSON files: configurations, shard indexes, tokenizers. What they hold, and what they point at.

A configuration steers which other files and programs a library uses, so every pointer in it becomes a `Reference`,
wherever it is nested (`steering`). The kinds are: `code` (Python to import), `trust` (a switch that allows it),
`kernel` (native code to fetch), `module` (an installed module or class by name), `import` (a module by its path),
`callable`, `shard`, `weights`, `config`, `tokenizer`, `repository`, `base-model` and `quantization`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from safeload.core.blob import Blob
from safeload.core.errors import LimitExceeded
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.base import Claims, Code, Config, Format, Irregularity, Part, Reference, Template
from safeload.formats.inside import account, called
from safeload.formats.notebook import cells, is_notebook
from safeload.formats.skops_schema import MARK, schema_references
from safeload.formats.steering import mentions, references_of, steers, steers_somewhere
from safeload.formats.strict_json import parse_json, walk_json
from safeload.formats.suspects import suspect_values
from safeload.later import Later

_SUFFIXES = (".json", ".ipynb", ".webmanifest")
_LOOKS = re.compile(rb'\s*(?:\{\s*(?:"|\})|\[\s*(?:[\[{"\]\-0-9]|true|false|null))')
_LIVELY = ("package.json", "tasks.json", "devcontainer.json")
_LIFECYCLE = Later(
    rb'"(?:pre|post)?(?:install|prepare|pack)"\s*:\s*"|"runOn"\s*:\s*"folderOpen"'
    rb'|"(?:postCreate|postStart|postAttach|initialize|onCreate|updateContent)Command"\s*:'
)
"""Commands that installing a package, or opening a folder in an editor, runs."""
_PROSE = (".md", ".txt", ".py", ".jinja", ".j2", ".jsonl", ".yaml", ".yml", ".csv", ".tsv", ".html", ".js")
_TABLES = Later(rb"\s*\[\[\s*(?!(?:true|false|null|NaN|Infinity)\b)[A-Za-z_]", needs=(b"[[",))
"""A table of TOML, as lists of locked packages begin."""


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    if blob.size > limits.json_bytes:
        raise LimitExceeded("json_bytes", allowed=limits.json_bytes, wanted=blob.size, where=location)
    account(limits, blob).work.parse(blob.size, location)
    raw = blob.read_at(0, blob.size)
    document = parse_json(raw, location, limits)
    yield Config(location=location, data=document.data)
    for key in document.repeated[:100]:
        detail = f"the key {escape(key)} stands twice in one object: readers differ in which one they take"
        where = Location(location.file, location.member, None, key)
        yield Irregularity(location=where, kind="json-duplicate-key", detail=detail, two_readings=True)
    yield from _of_shapes(document.data, location)
    known: set[str] = set()
    text = document.text  # in which anything is found far faster than in bytes
    if is_notebook(document.data):
        yield from cells(document.data, location)
    elif steers_somewhere(text.lower()):
        from safeload.formats.pointers import of_json

        yield from of_json(document.data, location)
    escaped = "\\u" in text
    if MARK in text or (escaped and isinstance(document.data, dict) and "__loader__" in document.data):
        yield from schema_references(document.data, location)
    # Tokenizer files hold a million keys and no pointer; a key that is spelled with escapes is looked for as well.
    if escaped or mentions(text):
        for part in _references(document.data, location):
            if isinstance(part, Template):
                known.add(part.text)
            yield part
    if values := [value for value in suspect_values(document.data) if value not in known]:
        from safeload.formats.within_text import of_values

        yield from of_values(values, location, limits)
    if escaped or "class_name" in text:
        yield from _keras(document.data, location, limits)
    if called(location).rpartition("/")[2].lower() in _LIVELY and _LIFECYCLE.search(raw):
        yield Code(location=location, language="set-up", source=raw)


def _references(data: Any, location: Location) -> Iterator[Part]:
    for path, key, value in walk_json(data, steers):
        where = Location(location.file, location.member, None, path)
        if key == "chat_template":
            yield from _templates(value, where)
            continue
        yield from references_of(key, value, where)


def _keras(data: Any, location: Location, limits: Limits) -> Iterator[Part]:
    """What a model would make that Keras wrote as JSON: `model.to_json()`, or a `.keras` file that was unpacked."""
    described = data if _makes(data) else [value for _, _, value in walk_json(data, lambda key: True) if _makes(value)]
    if described:
        from safeload.formats.keras_objects import objects

        yield from (part for part in objects(described, location, limits) if not isinstance(part, Config))


def _makes(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("class_name"), str) and "config" in value


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
            yield Template(location=place, text=text)


def _of_shapes(data: Any, location: Location) -> Iterator[Part]:
    """Files whose whole shape names classes: sentence-transformers' `modules.json`, diffusers' `model_index.json`."""
    name = called(location).rpartition("/")[2]
    if isinstance(data, list):
        for index, item in enumerate(data):
            if isinstance(item, dict) and isinstance(item.get("type"), str) and "path" in item:
                where = Location(location.file, location.member, None, f"[{index}].type")
                yield Reference(location=where, kind="module", target=item["type"])
                if isinstance(item["path"], str):
                    where = Location(location.file, location.member, None, f"[{index}].path")
                    yield Reference(location=where, kind="file", target=item["path"])
    elif isinstance(data, dict) and isinstance(data.get("class"), str) and "uid" in data:  # Spark imports the class
        if not data["class"].startswith("org.apache.spark."):
            where = Location(location.file, location.member, None, "class")
            yield Reference(location=where, kind="module", target=data["class"])
    elif isinstance(data, dict) and (name == "model_index.json" or "_diffusers_version" in data):
        for key, value in data.items():
            if isinstance(value, list) and len(value) == 2 and all(isinstance(item, str) for item in value):
                where = Location(location.file, location.member, None, key)
                yield Reference(location=where, kind="file", target=key)  # the folder of the component
                kind = "code" if key == "_class_name" else "module"
                yield Reference(location=where, kind=kind, target=".".join(value))


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    lower = name.lower()
    looks = _LOOKS.match(head) is not None
    if lower.endswith(_SUFFIXES):
        return looks or head.lstrip()[:1] in (b"{", b"[", b'"')
    return looks and not _TABLES.match(head) and not lower.endswith(_PROSE) and tail.rstrip()[-1:] in (b"}", b"]")


_CLAIMS = Claims(first=b'{["' + b" \t\n\r\v\f")

FORMAT = Format(name="json", title="a JSON document", suffixes=_SUFFIXES, sniff=_sniff, read=_read, claims=_CLAIMS)
