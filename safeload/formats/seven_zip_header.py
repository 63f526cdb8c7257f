"""The directory of a 7-Zip archive: streams, how each is packed, and the files in each."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.unpack import Method

SIGNATURE = b"7z\xbc\xaf\x27\x1c"
_END, _HEADER, _STREAMS, _FILES, _PACK, _UNPACK, _SUB = 0, 1, 4, 5, 6, 7, 8
_SIZE, _CRC, _FOLDER, _UNPACK_SIZE, _COUNTS, _EMPTY, _NAMES, _ENCODED = 9, 10, 11, 12, 13, 14, 17, 23
_PROPERTIES, _EXTRA_STREAMS = 2, 3
_CODERS = 8
_DICTIONARY = 256 << 20
_FILTERS = {
    b"\x03": lzma.FILTER_DELTA,
    b"\x04": lzma.FILTER_X86,
    b"\x03\x03\x01\x03": lzma.FILTER_X86,
    b"\x03\x03\x02\x05": lzma.FILTER_POWERPC,
    b"\x03\x03\x04\x01": lzma.FILTER_IA64,
    b"\x03\x03\x05\x01": lzma.FILTER_ARM,
    b"\x03\x03\x07\x01": lzma.FILTER_ARMTHUMB,
    b"\x03\x03\x08\x05": lzma.FILTER_SPARC,
}


@dataclass(slots=True)
class Folder:
    """One packed stream: its coders, from the one that gives the files on, and the files that it holds."""

    coders: list[tuple[bytes, bytes]]
    order: list[int]
    """Where each of them stands in the directory. Empty where they are no line: such a stream is not read."""
    count: int
    start: int = 0
    packed: int = 0
    sizes: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        return self.sizes[self.order[0]] if self.order else 0


@dataclass(slots=True)
class Listing:
    folders: list[Folder] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    """Of the files that have content, in the order of the streams."""


def damaged(location: Location, why: str) -> MalformedInput:
    return MalformedInput("a 7-Zip archive cannot be read", where=location, why=why, remedy="fetch the file again")


class _Bytes:
    def __init__(self, data: bytes, location: Location, limits: Limits) -> None:
        self.data, self.location, self.limits, self.at = data, location, limits, 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise damaged(self.location, "its directory ends early")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        """A number of up to eight bytes: as many of the first byte's highest bits are set as bytes follow."""
        first, mask, value = self.byte(), 0x80, 0
        for index in range(8):
            if not first & mask:
                return value | (first & (mask - 1)) << (8 * index)
            value |= self.byte() << (8 * index)
            mask >>= 1
        return value

    def count(self) -> int:
        value = self.number()
        if value > self.limits.members:
            raise LimitExceeded("members", allowed=self.limits.members, wanted=value, where=self.location)
        return value

    def bits(self, count: int) -> list[bool]:
        data = self.take((count + 7) // 8)
        return [bool(data[index // 8] & 0x80 >> index % 8) for index in range(count)]

    def defined(self, count: int) -> list[bool]:
        return [True] * count if self.byte() else self.bits(count)


def listing(data: bytes, location: Location, limits: Limits) -> Listing:
    """What a directory lists.

    Raises:
        MalformedInput: it is cut, or holds what the format has not.
        LimitExceeded: it lists more than `Limits.members`.
    """
    source, found = _Bytes(data, location, limits), Listing()
    kind = source.byte()
    if kind == _ENCODED:
        _streams(source, found)
        return found
    if kind != _HEADER:
        raise damaged(location, "it has no directory where it says")
    while (kind := source.byte()) != _END:
        if kind == _PROPERTIES:
            while source.byte() != _END:
                source.take(source.number())
        elif kind in (_STREAMS, _EXTRA_STREAMS):
            _streams(source, found)
        elif kind == _FILES:
            _names(source, found)
        else:
            raise damaged(location, f"its directory has a part of the unknown kind {kind}")
    return found


def _streams(source: _Bytes, found: Listing) -> None:
    position, sizes = 0, list[int]()
    while (kind := source.byte()) != _END:
        if kind == _PACK:
            position = source.number()
            sizes = _packed(source)
        elif kind == _UNPACK:
            _folders(source, found)
        elif kind == _SUB:
            _files(source, found)
        else:
            raise damaged(source.location, f"its streams have a part of the unknown kind {kind}")
    start = 32 + position
    for folder, size in zip(found.folders, sizes, strict=False):
        folder.start, folder.packed = start, size
        start += size
        folder.files = folder.files or [folder.size]
    if len(sizes) != len(found.folders):
        raise damaged(source.location, "a stream is packed in several parts, which safeload does not unpack")


def _packed(source: _Bytes) -> list[int]:
    count, sizes = source.count(), list[int]()
    while (kind := source.byte()) != _END:
        if kind == _SIZE:
            sizes = [source.number() for _ in range(count)]
        elif kind == _CRC:
            source.take(4 * sum(source.defined(count)))
        else:
            raise damaged(source.location, "the sizes of its streams cannot be read")
    return sizes


def _folders(source: _Bytes, found: Listing) -> None:
    if source.byte() != _FOLDER:
        raise damaged(source.location, "its streams are not described")
    count = source.count()
    if source.byte():
        raise damaged(source.location, "its streams are described elsewhere")
    found.folders = [_folder(source) for _ in range(count)]
    if source.byte() != _UNPACK_SIZE:
        raise damaged(source.location, "the sizes of its streams are not said")
    for folder in found.folders:
        folder.sizes = [source.number() for _ in range(folder.count)]
    while (kind := source.byte()) != _END:
        if kind != _CRC:
            raise damaged(source.location, "the checksums of its streams cannot be read")
        source.take(4 * sum(source.defined(count)))


def _folder(source: _Bytes) -> Folder:
    count = source.number()
    if not 1 <= count <= _CODERS:
        raise damaged(source.location, f"a stream has {count:,} coders")
    coders, simple = list[tuple[bytes, bytes]](), True
    inputs = 0
    for _ in range(count):
        flags = source.byte()
        identity = source.take(flags & 0x0F)
        pair = (source.number(), source.number()) if flags & 0x10 else (1, 1)
        simple = simple and pair == (1, 1)
        inputs += min(pair[0], _CODERS)
        coders.append((identity, source.take(source.number()) if flags & 0x20 else b""))
    pairs = [(source.number(), source.number()) for _ in range(count - 1)]
    if inputs - len(pairs) > 1:
        for _ in range(inputs - len(pairs)):
            source.number()
    order = _order(count, pairs) if simple else []
    return Folder([coders[index] for index in order], order, count)


def _order(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    """The coders from the one that gives the files to the one that takes the packed stream; empty if they are no line.

    A pair says which coder's input is which other one's output.
    """
    given = dict(pairs)
    line = [index for index in range(count) if index not in given.values()][:1]
    while line and line[-1] in given and len(line) <= count:
        line.append(given[line[-1]])
    return line if sorted(line) == list(range(count)) else []


def _files(source: _Bytes, found: Listing) -> None:
    counts = [1] * len(found.folders)
    kind = source.byte()
    if kind == _COUNTS:
        counts = [source.count() for _ in found.folders]
        if sum(counts) > source.limits.members:
            raise LimitExceeded("members", allowed=source.limits.members, wanted=sum(counts), where=source.location)
        kind = source.byte()
    for folder, count in zip(found.folders, counts, strict=True):
        sizes = [source.number() for _ in range(count - 1)] if kind == _SIZE else []
        last = folder.size - sum(sizes) if folder.order else 0
        if count and (last < 0 or len(sizes) != count - 1):
            raise damaged(source.location, "the files of a stream are longer than it")
        folder.files = [*sizes, last] if count else []
    while kind != _END:
        if kind == _CRC:
            source.at = _skip_digests(source, counts)
        elif kind != _SIZE:
            raise damaged(source.location, f"its files have a part of the unknown kind {kind}")
        kind = source.byte()


def _skip_digests(source: _Bytes, counts: list[int]) -> int:
    """The offset behind checksums. Streams of one file may have theirs said already, so their number is not sure."""
    at = source.at
    for total in (sum(counts), sum(count for count in counts if count != 1)):
        source.at = at
        try:
            source.take(4 * sum(source.defined(total)))
        except MalformedInput:
            continue  # then with the other number; if neither fits, it is damaged
        if source.data[source.at : source.at + 1] == b"\0":
            return source.at
    raise damaged(source.location, "the checksums of its files cannot be read")


def _names(source: _Bytes, found: Listing) -> None:
    count = source.count()
    names, empty = list[str](), [False] * count
    while (kind := source.byte()) != _END:
        size = source.number()
        content = _Bytes(source.take(size), source.location, source.limits)
        if kind == _EMPTY:
            empty = content.bits(count)
        elif kind == _NAMES:
            if content.byte():
                raise damaged(source.location, "the names of its files are elsewhere")
            names = content.data[1 : len(content.data) // 2 * 2 + 1].decode("utf-16-le", "replace").split("\0")[:count]
    found.names = [name for name, nothing in zip(names, empty, strict=False) if not nothing]


# ── methods ─────────────────────────────────────────────────────────────────────────────────────────────────────


def method_of(folder: Folder, location: Location) -> Method | None:
    """How to unpack a stream; `None` for one that is only copied.

    Raises:
        MalformedInput: it is encrypted, or packed by a method that is not supported.
    """
    chain = [coder for coder in folder.coders if coder[0] != b"\0"]
    if not folder.order:
        raise damaged(location, "a stream is packed in several parts, which safeload does not unpack")
    if any(identity.startswith(b"\x06\xf1\x07") for identity, _ in chain):
        raise damaged(location, "it is encrypted")
    if not chain:
        return None
    if len(chain) == 1 and chain[0][0] == b"\x04\x02\x02":
        return Method("7-Zip", bz2.BZ2Decompressor, keeps_input=True)
    if len(chain) == 1 and chain[0][0] == b"\x04\x01\x08":
        return Method("7-Zip", lambda: zlib.decompressobj(-zlib.MAX_WBITS), keeps_input=False, several=False)
    filters = [_filter(identity, properties, location) for identity, properties in chain]
    return Method("7-Zip", _start(filters, location), keeps_input=True, several=False)


def _start(filters: list[dict[str, Any]], location: Location) -> Callable[[], Any]:
    def start() -> Any:
        try:
            return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
        except (lzma.LZMAError, ValueError, TypeError, MemoryError):
            raise damaged(location, "its coders do not fit together") from None

    return start


def _filter(identity: bytes, properties: bytes, location: Location) -> dict[str, Any]:
    if identity == b"\x21" and len(properties) == 1 and properties[0] <= 40:
        size = (2 | properties[0] & 1) << (properties[0] // 2 + 11) if properties[0] < 40 else 0xFFFFFFFF
        return {"id": lzma.FILTER_LZMA2, "dict_size": _checked(size, location)}
    if identity == b"\x03\x01\x01" and len(properties) == 5 and properties[0] < 9 * 5 * 5:
        rest, lc = divmod(properties[0], 9)
        pb, lp = divmod(rest, 5)
        size = _checked(max(4096, int.from_bytes(properties[1:], "little")), location)
        return {"id": lzma.FILTER_LZMA1, "dict_size": size, "lc": lc, "lp": lp, "pb": pb}
    if identity == b"\x03" and len(properties) == 1:
        return {"id": lzma.FILTER_DELTA, "dist": properties[0] + 1}
    if identity in _FILTERS and not properties:
        return {"id": _FILTERS[identity]}
    raise damaged(location, f"the method {escape(identity.hex())} is not supported")


def _checked(size: int, location: Location) -> int:
    if size > _DICTIONARY:
        raise damaged(location, f"it asks for a dictionary of {size:,} bytes")
    return size
