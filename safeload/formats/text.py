"""Other text: vocabularies, merge rules, read-me files."""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Format, Opaque, Part, Text
from safeload.formats.inside import called
from safeload.formats.plain_text import LONGEST, is_text, read_text
from safeload.formats.suspects import steers_in, suspect_text

_WRITTEN = (".md", ".rst", ".csv", ".tsv", ".tex", ".log", ".bib", "license", "notice")
"""Names of texts that people read, or that hold rows of data."""
_SETTINGS = (".toml", ".ini", ".cfg", ".conf", ".properties", ".env", ".hcl", ".tf", ".config", ".rc", ".dvc", ".lock")
"""Names of texts that hold settings, line by line; so do those that begin with a dot."""
_NAMED = ("procfile", "crontab", "brewfile", "caddyfile", "tiltfile", "earthfile", "env", "cmd_flags.txt", "llamafile")
_VOCABULARIES = ("vocab", "merges", "tokens", "bpe", "dict", "sentencepiece", "spm", "tokenizer", "tiktoken")


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    if blob.size > min(LONGEST, limits.text_bytes):
        yield Opaque(location=location, what="text", detail=f"{blob.size:,} bytes of text, which is not read")
        return
    role = "vocabulary" if _is_vocabulary(called(location)) else "prose"
    text = read_text(blob, location, limits)
    yield Text(location=location, text=text, role=role)
    if role == "prose":
        prose = called(location).lower().endswith(_WRITTEN)
        if suspect_text(text, prose=prose):
            from safeload.formats.within_text import of_text

            yield from of_text(text, location, limits, prose=prose)
        if not prose and steers_in(text):
            from safeload.formats.yaml_config import steering_in

            yield from steering_in(text, location)
        if _is_settings(called(location)):
            from safeload.formats.yaml_config import settings_in

            yield from settings_in(text, location)
        if text.lstrip("\ufeff \t\r\n").startswith("<"):
            from safeload.formats.pmml import active_xml

            yield from active_xml(text, location, model=False)


def _is_settings(file: str) -> bool:
    name = file.rpartition("/")[2].lower()
    return (name.startswith(".") and not name.endswith("ignore")) or name.endswith(_SETTINGS) or name in _NAMED


def _is_vocabulary(file: str) -> bool:
    name = file.rpartition("/")[2].lower()
    return name.startswith(_VOCABULARIES) or name.endswith((".tiktoken", ".bpe", ".vocab"))


FORMAT = Format(
    name="text",
    title="a text file",
    suffixes=(".txt", ".md", ".tiktoken", ".vocab", ".bpe", ".csv", ".tsv", ".jsonl", ".toml"),
    sniff=lambda head, tail, size, name: is_text(head, size, controls=_is_vocabulary(name)),
    read=_read,
    fallback=True,
)
