"""Compressed files: gzip, bzip2, xz, lzma, lz4 and zlib, and with an extra zstd.

The content is read in place (`unpack`): what is small is kept, what is large is unpacked again whenever somebody
reads it. A compressed pickle, as joblib writes them, is read as the pickle would be; other content like a file
within an archive, whatever it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob, MemoryBlob
from safeload.core.errors import LimitExceeded, MalformedInput, UsageError
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Irregularity, Member, Opaque, Part
from safeload.formats.inside import Inner, account, called, member_of, modest, read_inside
from safeload.formats.joblib_pickle import read_joblib
from safeload.formats.lz4_frame import MAGIC as LZ4_MAGIC
from safeload.formats.overlap import independent
from safeload.formats.pickle_file import read_pickle_file
from safeload.formats.pickle_head import JOBLIB, is_legacy, is_pickle
from safeload.formats.plain_text import is_text
from safeload.formats.torch_legacy import read as read_legacy
from safeload.formats.unpack import BZIP2, GZIP, LZ4, LZMA, XZ, ZLIB, Method, Unpacking
from safeload.formats.unpack_extra import ZSTD

_HEAD = 1 << 16
_IN_MEMORY = 16 << 20
"""Content up to this size is kept."""
_ALWAYS = 64 << 20
"""Content may become as large as this however small the file is."""
_ARRAYS = 10
"""Beyond that, it may expand by this part of `Limits.expansion`."""


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
    try:
        content = Unpacking(blob, method, 0, location)
    except UsageError as error:
        raise MalformedInput(error.what, where=location, why=error.why, remedy=error.remedy) from None
    size, fault = content.measure(_HEAD)
    head = content.read_at(0, min(size, _HEAD))
    if fault is not None and not head and method is not ZLIB:  # whose two bytes may be chance
        raise fault
    inner = called(location).rpartition("/")[2].rpartition(".")[0]
    if not is_pickle(head, size if size <= _HEAD else _ALWAYS, inner):
        if fault is not None and not head:
            yield Opaque(location=location, what=name, detail=f"it begins like {name}-compressed data, and is none")
            return
        yield from _file(content, inner, location, account(limits, blob), blob.size)
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
    if fault is None and _is_more(whole, inner, location, limits):
        yield from read_inside(whole, member_of(location, inner or "content"), modest(limits, blob.size))
        return
    inside = read_legacy if is_legacy(head) else read_joblib if JOBLIB in head else read_pickle_file
    try:
        yield from inside(whole, location, modest(limits, blob.size))
    except MalformedInput as error:
        raise fault or error from None
    if fault is not None:
        raise fault


def _is_more(content: Blob, name: str, location: Location, limits: Limits) -> bool:
    """Whether content that begins like a pickle is of another format as well, which some reader would go by."""
    from safeload.formats import identify  # the registry, which finds this module

    return len(independent(identify(content, name), content, location, limits)) > 1


def _file(content: Unpacking, name: str, location: Location, limits: Inner, packed: int) -> Iterator[Part]:
    """Content that is no pickle, read in whatever format it is."""
    content.work = limits.work
    size, fault = content.measure(limits.work.unpacked)
    if content.trailing:
        detail = "bytes that are no compressed stream follow the compressed ones"
        yield Irregularity(location=location, kind="trailing-data", detail=detail)
    whole: Blob = MemoryBlob(content.read_at(0, size)) if size <= _IN_MEMORY else content
    name = f"{name}.tar" if called(location).lower().endswith(".tgz") else name
    place = member_of(location, name or "content")
    yield Member(location=place, name=place.member or name, size=size, read=True)
    try:
        yield from read_inside(whole, place, modest(limits, packed))
    except MalformedInput as error:
        raise fault or error from None
    if fault is not None:
        raise fault


_PICKLES = (".joblib", ".pkl", ".pickle", ".sav")
"""Names under which compressed pickles are regular."""
_R = (".rds", ".rda", ".rdata")
_MAGIC: dict[str, tuple[tuple[bytes, ...], tuple[str, ...]]] = {
    "gzip": ((b"\x1f\x8b\x08",), (".gz", ".tgz", ".nemo", *_R, *_PICKLES)),
    "bzip2": (tuple(b"BZh%d1AY&SY" % level for level in range(1, 10)), (".bz2", *_R, *_PICKLES)),
    "xz": ((b"\xfd7zXZ\0",), (".xz", *_R, *_PICKLES)),
    "lzma": ((b"\x5d\0\0",), (".lzma", *_PICKLES)),
    "lz4": ((LZ4_MAGIC,), (".lz4", *_PICKLES)),
    "zstd": ((b"\x28\xb5\x2f\xfd",), (".zst", ".zstd", *_PICKLES)),
    "zlib": ((b"x\x01", b"x\x5e", b"x\x9c", b"x\xda"), (".z", *_PICKLES)),
}

FORMATS = (
    _reader(GZIP, "gzip"),
    _reader(BZIP2, "bzip2"),
    _reader(XZ, "xz"),
    _reader(LZMA, "lzma"),
    _reader(LZ4, "lz4"),
    _reader(ZLIB, "zlib"),
    _reader(ZSTD, "zstd"),
)
"""One format for each way of compressing; the registry takes them all."""
