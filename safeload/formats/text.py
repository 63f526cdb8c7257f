"""Other text: vocabularies, merge rules, read-me files."""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Format, Opaque, Part, Text
from safeload.formats.inside import called
from safeload.formats.plain_text import LONGEST, is_text, read_text

_VOCABULARIES = ("vocab", "merges", "tokens", "bpe", "dict", "sentencepiece", "spm", "tokenizer", "tiktoken")


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    if blob.size > min(LONGEST, limits.text_bytes):
        yield Opaque(location=location, what="text", detail=f"{blob.size:,} bytes of text, which is not read")
        return
    role = "vocabulary" if _is_vocabulary(called(location)) else "prose"
    yield Text(location=location, text=read_text(blob, location, limits), role=role)


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
