"""The chat templates of a model: each with its digest, whether it is a known one, what was found, and what differs.

A template is known if its text is one that a publisher is known to ship (`known_templates.toml`, digests only). That
says whose it is, not what it does; and a template that is not known is usually somebody's honest own.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import os
import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from safeload.core.errors import SafeloadError, UsageError
from safeload.core.finding import Finding, Status
from safeload.core.names import Location, escape
from safeload.engine.held import Held
from safeload.engine.inspect import Inspected
from safeload.engine.options import Options
from safeload.engine.reach import reach
from safeload.engine.request import Request
from safeload.engine.scanning.looked import unreadable
from safeload.formats.base import Config, Part
from safeload.formats.base import Template as TemplatePart
from safeload.sources.base import Snapshot

_SUFFIXES = (".jinja", ".jinja2", ".j2", ".json", ".yaml", ".yml", ".gguf")
_NOT_CONFIGS = ("tokenizer.json", "vocab.json", "added_tokens.json")
_LISTED = re.compile(r"chat_template\[([0-9]+)\]\.template\Z")
_FETCHED = 16 << 20
"""Bytes of a file on the hub that is fetched to look for templates: a GGUF model is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A template that publishers are known to ship."""

    name: str
    types: tuple[str, ...]
    """The model types it is for."""
    sha256: str
    source: str
    """Where the digest was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One template of a model."""

    location: Location
    name: str
    """What programs ask for it by: `default`, `tool_use`, …"""
    text: str
    sha256: str
    known: tuple[Known, ...]
    findings: tuple[Finding, ...]

    @property
    def status(self) -> Status:
        return max((finding.status for finding in self.findings), default=Status.SAFE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All templates of a model."""

    reference: str
    model_type: str
    templates: tuple[Template, ...]
    skipped: tuple[str, ...] = ()
    """Files that may hold templates and were not looked into."""
    faults: tuple[Finding, ...] = ()
    """Files that could not be read, which may hold templates."""

    @property
    def expected(self) -> tuple[Known, ...]:
        """The known templates of models of this type."""
        return tuple(one for one in known_templates() if self.model_type in one.types)

    @property
    def status(self) -> Status:
        """The worst of all."""
        statuses = [one.status for one in self.templates] + [one.status for one in self.faults]
        return max(statuses, default=Status.SAFE)


def digest_of(text: str) -> str:
    """The sha256 of a template's text: line ends as `\\n`, none at its end, because files and JSON differ in those."""
    return hashlib.sha256(text.replace("\r\n", "\n").rstrip("\n").encode("utf-8", "surrogatepass")).hexdigest()


@functools.cache
def known_templates() -> tuple[Known, ...]:
    """Every template that is known."""
    data = tomllib.loads(Path(__file__).with_name("known_templates.toml").read_text("utf-8"))
    return tuple(
        Known(name=one["name"], types=tuple(one["types"]), sha256=one["sha256"], source=one["source"])
        for one in data["template"]
    )


def find_templates(
    target: str | os.PathLike[str], *, options: Options | None = None, request: Request | None = None
) -> Found:
    """Every chat template of a model, read and judged, and none rendered.

    Looked into are configs, template files and, in a local model, GGUF files. Templates in files of other names are
    found by `scan`. With `request.subfolder`, only what lies in that folder, as a load of it would.

    Raises:
        SourceError: the model could not be found or fetched.
    """
    options, request = options or Options(), request or Request()
    folder = request.subfolder
    snapshot = reach(
        os.fspath(target), request.access, revision=request.revision, subfolder=folder, limits=options.limits
    )
    paths, skipped = _candidates(snapshot, folder)
    snapshot.fetch(paths)
    templates: list[Template] = []
    faults: list[Finding] = []
    model_type = ""
    with Held(snapshot, options.limits) as held:
        for path in paths:
            try:
                inspected = held.inspect(path)
            except SafeloadError as error:
                faults += unreadable(path, error).findings
                continue
            templates += _of(inspected)
            faults += [one for one in inspected.report.findings if one.status is Status.UNDECIDED and not _own(one)]
            if path == posixpath.join(folder, "config.json"):
                model_type = _model_type(inspected.parts)
            held.let_go(path)
    return Found(
        reference=snapshot.reference,
        model_type=model_type,
        templates=tuple(templates),
        skipped=tuple(skipped),
        faults=tuple(faults),
    )


def _candidates(snapshot: Snapshot, folder: str) -> tuple[list[str], list[str]]:
    """What to look into, in a folder if one is named, and what not because it would have to be fetched first."""
    if snapshot.kind == "file":
        return list(snapshot.listing), []
    inside = (path for path in sorted(snapshot.listing) if not folder or path.startswith(f"{folder}/"))
    named = [path for path in inside if path.lower().endswith(_SUFFIXES)]
    named = [path for path in named if not path.endswith((*_NOT_CONFIGS, ".index.json"))]
    far = [path for path in named if snapshot.kind == "hub" and (snapshot.listing[path].size or 0) > _FETCHED]
    return [path for path in named if path not in far], far


def _of(inspected: Inspected) -> Iterator[Template]:
    for part in inspected.parts:
        if isinstance(part, TemplatePart):
            digest = digest_of(part.text)
            yield Template(
                location=part.location,
                name=_name(part.location, inspected.parts),
                text=part.text,
                sha256=digest,
                known=tuple(one for one in known_templates() if one.sha256 == digest),
                findings=tuple(one for one in inspected.report.findings if _own(one) and _same(one, part.location)),
            )


def _own(finding: Finding) -> bool:
    return finding.rule.startswith("template-")


def _same(finding: Finding, place: Location) -> bool:
    here = finding.location
    return (here.file, here.member, here.path) == (place.file, place.member, place.path)


def _name(place: Location, parts: tuple[Part, ...]) -> str:
    """The name that a program asks for a template by."""
    path = place.path or ""
    if found := _LISTED.search(path):
        for part in parts:
            listed = (
                part.data.get("chat_template") if isinstance(part, Config) and isinstance(part.data, dict) else None
            )
            one = listed[int(found[1])] if isinstance(listed, list) and int(found[1]) < len(listed) else None
            if isinstance(one, dict) and isinstance(one.get("name"), str):
                return str(one["name"])
    if not path:
        stem = place.file.rpartition("/")[2].rpartition(".")[0]
        return "default" if stem == "chat_template" or "additional_chat_templates/" not in place.file else stem
    return path.rpartition("chat_template")[2].strip(".") or "default"


def _model_type(parts: tuple[Part, ...]) -> str:
    for part in parts:
        if isinstance(part, Config) and isinstance(part.data, dict) and isinstance(part.data.get("model_type"), str):
            return str(part.data["model_type"])
    return ""


def differences(old: Found, new: Found) -> Mapping[str, tuple[str, ...]]:
    """What differs between templates of the same name: a unified diff by name; nothing for those that are the same.

    If there is one old template only, every new one is compared with it.

    Raises:
        UsageError: there is nothing to compare with.
    """
    if not old.templates:
        raise UsageError(
            f"nothing was compared with {escape(old.reference)!r}",
            where=escape(old.reference),
            why="it holds no chat template",
            remedy="--against FILE, with a template that you trust",
        )
    known = {one.name: one for one in reversed(old.templates)}
    found: dict[str, tuple[str, ...]] = {}
    for one in new.templates:
        other = known.get(one.name) or (old.templates[0] if len(known) == 1 else None)
        if other is None or other.sha256 != one.sha256:
            before = other.text.splitlines() if other else []
            lines = difflib.unified_diff(before, one.text.splitlines(), "trusted", str(one.location), lineterm="", n=2)
            found[str(one.location)] = tuple(lines)
    return found
