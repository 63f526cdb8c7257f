"""YAML files: training and model configurations, `MLmodel`, conda environments. What they point to, and their tags."""

from __future__ import annotations

import re
from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Part, Reference, Template, Text
from safeload.formats.inside import Overdrawn, called
from safeload.formats.plain_text import is_text, read_text
from safeload.formats.requirements import dependencies
from safeload.formats.steering import IN_YAML, references_of, steers_somewhere
from safeload.formats.suspects import suspect_text
from safeload.formats.yaml_scan import scan

_SUFFIXES = (".yaml", ".yml", ".hparams")
_NAMES = ("mlmodel",)
_ENVIRONMENT = re.compile(r"(?:conda|environment|python_env|env)[\w.-]*\.ya?ml", re.IGNORECASE)
_MODULES = re.compile(r"!(new|apply|applyref|name|module):(.*)", re.DOTALL)
"""HyperPyYAML: makes, calls or imports what the tag names."""
_KINDS = {"new": "module", "apply": "callable", "applyref": "callable", "name": "callable", "module": "import"}
_BEGIN = re.compile(r"(?:%YAML|%TAG)[ \t]")


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    text = read_text(blob, location, limits)
    yield Text(location=location, text=text, role="prose")
    name = called(location).rpartition("/")[2]
    if _ENVIRONMENT.fullmatch(name):
        yield from dependencies(text, location)
    ascii = text.isascii()
    known: list[str] = []
    for found in scan(text, (*IN_YAML, *(("code",) if name.lower() in _NAMES else ()))):
        where = Location(location.file, location.member, found.offset if ascii else None, found.key or None)
        if not found.key:
            yield Reference(location=where, kind="yaml-tag", target=found.value)
            if made := _MODULES.fullmatch(found.value):
                yield Reference(location=where, kind=_KINDS[made[1]], target=made[2])
        elif found.key == "code":
            if found.value not in ("null", "~", ""):
                yield Reference(location=where, kind="code", target=found.value)
        elif found.key == "chat_template":
            yield Template(location=where, text=found.value)
            known.append(found.value)
        else:
            yield from references_of(found.key, found.value, where)
    if suspect_text(text, prose=False):
        from safeload.formats.within_text import of_text

        for template in known[:10]:  # each is judged where it stands
            text = text.replace(template, " ")
        yield from of_text(text, location, limits, prose=False)
    yield from settings_in(text, location, model=name.lower() in _NAMES)


_LINKS = ("uri", "source", "artifact_path", "source_path", "signature", "schema")
"""Settings of an `MLmodel` that say where it came from; whoever loads it joins every other path to its folder."""
_PATH = re.compile(r"[^\s:{}\"']*[/\\][^\s{}\"']*|\.\.")


def settings_in(text: str, location: Location, *, model: bool = False) -> Iterator[Part]:
    """What the settings of a text of lines point to. Paths of a `model` are joined to its folder by what loads it."""
    if not model and not steers_somewhere(text.lower()):
        return
    from safeload.formats.pointers import of_settings
    from safeload.formats.settings import of_lines

    settings = list(of_lines(text))
    for found in settings if model else ():
        if found.key not in _LINKS and not found.key.endswith("_uri") and _PATH.fullmatch(found.value):
            where = Location(location.file, location.member, found.offset, found.path)
            yield Reference(location=where, kind="file", target=found.value)
        elif found.key == "model_code_path":
            yield Reference(location=location, kind="code", target=found.value)
    yield from of_settings(settings, location)


_SETTING = re.compile(
    r"^[ \t\-]{0,80}[\"']?(_target_|class_path|loader_module|auto_map)[\"']?[ \t]{0,80}[:=][ \t]{0,80}"
    r"[\"']?([\w.:/\-]{3,200})",
    re.MULTILINE,
)
_SETTINGS = 10_000
"""Different settings of one text that are told."""
_PYTHON = "tag:yaml.org,2002:python/"


def steering_in(text: str, location: Location) -> Iterator[Part]:
    """Settings and Python's tags in a text of another name: any reader can be given any file."""
    told: set[tuple[str, str]] = set()
    for found in _SETTING.finditer(text):
        if (setting := (found[1], found[2])) not in told:
            told.add(setting)
            if len(told) > _SETTINGS:
                raise Overdrawn("nodes", f"it has more than {_SETTINGS:,} settings that steer programs", location)
            yield from references_of(*setting, Location(location.file, location.member, None, found[1]))
    if "!!python/" in text or _PYTHON in text:
        for tag in scan(text, ()):
            if tag.value.startswith(_PYTHON):
                yield Reference(location=location, kind="yaml-tag", target=tag.value)


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    lower = name.lower()
    named = lower.endswith(_SUFFIXES) or lower in _NAMES
    return is_text(head, size) and (named or _BEGIN.match(head[:80].decode("utf-8", "replace")) is not None)


_CLAIMS = Claims(begins=(b"%YAML", b"%TAG"), named=(*_SUFFIXES, *_NAMES))

FORMAT = Format(name="yaml", title="a YAML document", suffixes=_SUFFIXES, sniff=_sniff, read=_read, claims=_CLAIMS)
