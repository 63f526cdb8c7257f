"""Formats that are told apart by their first bytes and not looked into."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Opaque, Part
from safeload.formats.plain_text import is_text


class _Kind(NamedTuple):
    name: str
    title: str
    offset: int
    magic: tuple[bytes, ...]
    suffixes: tuple[str, ...] = ()
    advice: str = ""
    textual: bool = False
    """Whether a file of nothing but text is one as well: its first bytes are no words."""


_KINDS = (
    _Kind("tensorrt", "a TensorRT engine", 0, (b"ptrt", b"ftrt"), (".engine", ".plan", ".trt")),
    _Kind("cntk", "a CNTK model", 0, (b"B\0C\0N\0\0\0",), (".cntk",)),
    _Kind("mxnet", "parameters of MXNet", 0, (b"\x12\x01" + bytes(14),), (".params",)),
    _Kind("torch7", "an object of Torch for Lua", 0, (b"\4\0\0\0\1\0\0\0\3\0\0\0V 1",), (".t7",)),
    _Kind("split-zip", "the first part of a split zip archive", 0, (b"PK\7\x08PK\3\4", b"PK00PK\3\4"), (".z01",)),
    _Kind("rar", "a RAR archive", 0, (b"Rar!\x1a\x07",), (".rar",)),
    _Kind("parquet", "a Parquet file", 0, (b"PAR1",), (".parquet",)),
    _Kind("arrow", "an Arrow file", 0, (b"ARROW1",), (".arrow", ".feather")),
    _Kind("sqlite", "an SQLite database", 0, (b"SQLite format 3\0",), (".db", ".sqlite")),
    _Kind("ggml", "a model of llama.cpp from before GGUF", 0, (b"lmgg", b"tjgg", b"fmgg", b"algg"), ()),
    _Kind("image", "an image", 0, (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8"), (".png", ".jpg", ".jpeg", ".gif")),
    _Kind(
        "media", "sound or video", 0, (b"RIFF", b"OggS", b"fLaC", b"ID3"), (".wav", ".ogg", ".flac", ".mp3", ".webp")
    ),
    _Kind("media", "sound or video", 4, (b"ftyp",), (".mp4", ".m4a", ".mov")),
    _Kind("pdf", "a PDF document", 0, (b"%PDF-",), (".pdf",), textual=True),
    _Kind("postscript", "a PostScript program", 0, (b"%!PS", b"\xc5\xd0\xd3\xc6"), (".ps", ".eps"), textual=True),
    _Kind("rtf", "a rich text document", 0, (b"{\\rtf",), (".rtf",), textual=True),
)


def _format(kind: _Kind) -> Format:
    def sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
        return head.startswith(kind.magic, kind.offset) and (kind.textual or not is_text(head, size))

    def read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
        detail = f"{kind.title}, which safeload does not look into{kind.advice}"
        yield Opaque(location=location, what=kind.name, detail=detail)

    claims = Claims(at=tuple((kind.offset, magic) for magic in kind.magic))
    return Format(name=kind.name, title=kind.title, suffixes=kind.suffixes, sniff=sniff, read=read, claims=claims)


FORMATS = tuple(map(_format, _KINDS))
"""One format for each kind; the registry takes them all."""
