"""Ollama's `Modelfile`: what a model is made from, and what it is told before every conversation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Part, Reference, Text
from safeload.formats.inside import Overdrawn
from safeload.formats.plain_text import is_text, read_text

_INSTRUCTION = re.compile(
    r"(?im)^[ \t]*(FROM|ADAPTER|SYSTEM|TEMPLATE|MESSAGE[ \t]+\w+)[ \t]+"
    r"(?:\"\"\"((?:[^\"]|\"(?!\"\"))*+)(?:\"\"\"|\Z)|\"([^\"\n]*+)\"?|([^\n]*+))"
)
_HERE = re.compile(r"(?:\./)?[\w.\-]+(?:/[\w.\-]+)*\.(?:gguf|safetensors|bin)|\.?/?\.?")
"""A file of the folder itself, or the folder."""
_PLACE = re.compile(r"[/~\\]|\.\.|[A-Za-z]:[\\/]")
_MOST = 1_000


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    text = read_text(blob, location, limits)
    yield Text(location=location, text=text, role="settings")
    for number, found in enumerate(_INSTRUCTION.finditer(text)):
        if number == _MOST:
            raise Overdrawn("nodes", f"it has more than {_MOST:,} instructions", location)
        word = found[1].split()[0].upper()
        value = (found[2] or found[3] or found[4] or "").strip()
        where = Location(location.file, location.member, found.start() if text.isascii() else None, word)
        if word not in ("FROM", "ADAPTER"):
            yield Text(location=where, text=value, role="prompt")
        elif _PLACE.match(value):
            yield Reference(location=where, kind="outside", target=value)
        elif value and not _HERE.fullmatch(value):
            yield Reference(location=where, kind="repository", target=value)


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    return is_text(head, size) and re.search(rb"(?im)^[ \t]*FROM[ \t]+\S", head) is not None


FORMAT = Format(
    name="modelfile",
    title="a Modelfile of Ollama",
    suffixes=(".modelfile",),
    sniff=_sniff,
    read=_read,
    claims=Claims(named=("modelfile",)),
)
