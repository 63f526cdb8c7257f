"""Formats that are told apart by their first bytes and not looked into."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Format, Opaque, Part
from safeload.formats.plain_text import is_text


class _Kind(NamedTuple):
    name: str
    title: str
    offset: int
    magic: tuple[bytes, ...]
    suffixes: tuple[str, ...] = ()
    advice: str = ""


_KINDS = (
    _Kind("hdf5", "an HDF5 file", 0, (b"\x89HDF\r\n\x1a\n",), (".h5", ".hdf5", ".keras")),
    _Kind("tflite", "a TensorFlow Lite model", 4, (b"TFL3",), (".tflite",)),
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
    _Kind("pdf", "a PDF document", 0, (b"%PDF-",), (".pdf",)),
)


def _format(kind: _Kind) -> Format:
    def sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
        return head.startswith(kind.magic, kind.offset) and not is_text(head, size)

    def read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
        detail = f"{kind.title}, which safeload does not look into{kind.advice}"
        yield Opaque(location=location, what=kind.name, detail=detail)

    return Format(name=kind.name, title=kind.title, suffixes=kind.suffixes, sniff=sniff, read=read)


def _onnx(head: bytes, tail: bytes, size: int, name: str) -> bool:
    """A protocol buffer that begins with a small version number; the format has no signature of its own."""
    plausible = head[:1] == b"\x08" and head[1:2] < b"\x20" and head[2:3] in (b"\x12", b"\x3a", b"\x42")
    return plausible and (name.lower().endswith(".onnx") or b"pytorch" in head[:64] or b"onnx" in head[:256])


def _saved_model(head: bytes, tail: bytes, size: int, name: str) -> bool:
    return head[:1] in (b"\x08", b"\x0a") and name.lower().endswith(".pb")


def _named(name: str, title: str) -> _Kind:
    return _Kind(name, title, 0, ())


_ONNX = _format(_named("onnx", "an ONNX model"))
_PB = _format(_named("tensorflow", "a TensorFlow graph"))

FORMATS = (
    *map(_format, _KINDS),
    Format(name="onnx", title=_ONNX.title, suffixes=(".onnx",), sniff=_onnx, read=_ONNX.read),
    Format(name="tensorflow", title=_PB.title, suffixes=(".pb",), sniff=_saved_model, read=_PB.read),
)
"""One format for each kind; the registry takes them all."""
