"""Compressed pickles, as joblib writes them and people make by hand: gzip, bzip2, xz, lzma and zlib.

The content is read in place (`unpack`): what is small is kept, what is large is unpacked again whenever somebody
reads it. Compressed data that is no pickle is named and not looked into.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from safeload.core.blob import Blob, MemoryBlob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Irregularity, Opaque, Part
from safeload.formats.joblib_pickle import MARK, read_joblib
from safeload.formats.pickle_head import is_pickle
from safeload.formats.pickle_stream import read_pickles
from safeload.formats.plain_text import is_text
from safeload.formats.torch_legacy import is_legacy
from safeload.formats.torch_legacy import read as read_legacy
from safeload.formats.unpack import BZIP2, GZIP, LZMA, XZ, ZLIB, Method, Unpacking

_HEAD = 1 << 16
_IN_MEMORY = 16 << 20
"""Content up to this size is kept."""
_ALWAYS = 64 << 20
"""Content may become as large as this however small the file is."""
_ARRAYS = 10
"""Beyond that, it may expand by this part of `Limits.expansion`."""
_OPCODES_PER_BYTE = 16
_OPCODES = 50
"""A file may hold this part of `Limits.opcodes`, and a few for each of its bytes: opcodes cost memory, not arrays."""


def _reader(method: Method, name: str) -> Format:
    magic, suffixes = _MAGIC[name]

    def sniff(head: bytes, tail: bytes, size: int, file: str) -> bool:
        begins = head.startswith(magic) and (method is not LZMA or _is_lzma(head))
        return begins and not is_text(head, size)

    def read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
        yield from _read(blob, location, limits, method, name)

    return Format(
        name=name,
        title=f"{name}-compressed data",
        suffixes=suffixes,
        sniff=sniff,
        read=read,
        claims=Claims(begins=magic),
    )


def _is_lzma(head: bytes) -> bool:
    """Whether a dictionary of a size that is written, and a size that is known or left open, follow the first byte."""
    dictionary = int.from_bytes(head[1:5], "little")
    sizes = {step << power for power in range(12, 31) for step in (1, 3)}
    return dictionary in sizes and (head[5:13] == b"\xff" * 8 or head[10:13] == b"\0\0\0")


def _read(blob: Blob, location: Location, limits: Limits, method: Method, name: str) -> Iterator[Part]:
    content = Unpacking(blob, method, 0, location)
    size, fault = content.measure(_HEAD)
    head = content.read_at(0, min(size, _HEAD))
    if fault is not None and not head and method is not ZLIB:  # whose two bytes may be chance
        raise fault
    if not is_pickle(head, size if size <= _HEAD else _ALWAYS, location.file.rpartition(".")[0]):
        detail = f"{name}-compressed data, which safeload does not look into"
        yield Opaque(location=location, what=name, detail=detail)
        return
    most = max(_ALWAYS, blob.size * limits.expansion // _ARRAYS)
    size, fault = content.measure(most)
    if size > most:
        fault = LimitExceeded(
            "expansion", allowed=limits.expansion, wanted=_ARRAYS * size // max(1, blob.size), where=location
        )
    if content.trailing:
        detail = "bytes that are no compressed stream follow the compressed ones"
        yield Irregularity(location=location, kind="trailing-data", detail=detail)
    whole: Blob = MemoryBlob(content.read_at(0, size)) if size <= _IN_MEMORY else content
    opcodes = min(limits.opcodes, limits.opcodes // _OPCODES + _OPCODES_PER_BYTE * blob.size)
    inside = read_legacy if is_legacy(head) else read_joblib if MARK in head else read_pickles
    try:
        yield from inside(whole, location, replace(limits, opcodes=opcodes))
    except MalformedInput as error:
        raise fault or error from None
    if fault is not None:
        raise fault


_PICKLES = (".joblib", ".pkl", ".pickle", ".sav")
"""Names under which compressed pickles are regular."""
_MAGIC: dict[str, tuple[tuple[bytes, ...], tuple[str, ...]]] = {
    "gzip": ((b"\x1f\x8b\x08",), (".gz", ".tgz", *_PICKLES)),
    "bzip2": (tuple(b"BZh%d1AY&SY" % level for level in range(1, 10)), (".bz2", *_PICKLES)),
    "xz": ((b"\xfd7zXZ\0",), (".xz", *_PICKLES)),
    "lzma": ((b"\x5d\0\0",), (".lzma", *_PICKLES)),
    "zlib": ((b"x\x01", b"x\x5e", b"x\x9c", b"x\xda"), (".z", *_PICKLES)),
}

FORMATS = (
    _reader(GZIP, "gzip"),
    _reader(BZIP2, "bzip2"),
    _reader(XZ, "xz"),
    _reader(LZMA, "lzma"),
    _reader(ZLIB, "zlib"),
)
"""One format for each way of compressing; the registry takes them all."""
