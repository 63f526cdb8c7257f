"""Other text: vocabularies, merge rules, read-me files."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Format, Opaque, Part, Reference, Text
from safeload.formats.inside import called
from safeload.formats.plain_text import LONGEST, is_text, read_text
from safeload.formats.suspects import steers_in, suspect_text

_WRITTEN = (".md", ".rst", ".csv", ".tsv", ".tex", ".log", ".bib", "license", "notice")
"""Names of texts that people read, or that hold rows of data."""
_MOST = 20
_ATTRIBUTE = re.compile(r"([\w:.\-]{1,80})\s{0,8}=\s{0,8}\"([^\"<>]{1,4000})\"")
_HTML = re.compile(r"<\s*(?:!doctype html|html|svg|rdf)\b|xhtml", re.IGNORECASE)
_PAGE, _HEAD = 1 << 20, 2_000
_NAMED = ("cmd_flags.txt",)
"""Settings by the name of a document."""
_FORMULA = re.compile(
    r"(?im)(?:^|[,;\t])[\"']?[=+@-]\s{0,8}(?:cmd|powershell|mshta|rundll32|dde|hyperlink|webservice|importxml)"
    r"\s{0,8}[|(][^\n]{0,200}"
)
"""A cell of a table that a spreadsheet calculates by starting a program, or by asking another machine."""
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
        if called(location).lower().endswith((".csv", ".tsv")):
            for found in itertools.islice(_FORMULA.finditer(text), _MOST):
                yield Reference(location=location, kind="command", target=found[0].lstrip(",;\t"))
        if _is_settings(called(location)):
            from safeload.formats.yaml_config import settings_in

            yield from settings_in(text, location)
        if text.lstrip("\ufeff \t\r\n").startswith("<"):
            from safeload.formats.pmml import active_xml

            yield from active_xml(text, location, model=False)
            yield from _attributes(text, location)


def _attributes(text: str, location: Location) -> Iterator[Part]:
    """What the attributes of a document of tags point to; links of pages are for people."""
    if len(text) > _PAGE or _HTML.search(text[:_HEAD]):
        return
    from safeload.formats.pointers import of_settings
    from safeload.formats.settings import Setting

    found = itertools.islice(_ATTRIBUTE.finditer(text), 10_000)
    yield from of_settings((Setting(one[1], one[2]) for one in found), location)


def _is_settings(file: str) -> bool:
    """Whether a text holds settings, line by line: what is no document, nor rows of data, by its name."""
    name = file.rpartition("/")[2]
    if "." not in name.strip("."):
        return name.startswith(".") or not name.isupper()  # LICENSE and METADATA are documents
    return not name.lower().endswith((*_WRITTEN, ".txt", ".jsonl", "ignore")) or name.lower() in _NAMED


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
