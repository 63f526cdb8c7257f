"""Compressed bytes as a `Blob`, without unpacking them anywhere.

Reading forwards costs one pass. The last bytes that were read stay at hand, so small steps back are free; a larger
one begins again, for deflated data at the nearest of a few dozen remembered places. Memory stays at a few megabytes,
however large the content is.
"""

from __future__ import annotations

import zlib
from _thread import allocate_lock
from collections.abc import Callable
from typing import Any, NamedTuple

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.names import Location
from safeload.formats.inside import Work
from safeload.formats.lz4_frame import Lz4Decompressor

_PIECE = 1 << 16
_BEHIND = 1 << 18
"""Bytes before the last read that can be read again without unpacking them again."""
_MARKS = 64
_MARK_EVERY = 4 << 20
_DICTIONARY = 256 << 20
"""Bytes that an xz stream may ask for; `xz -9` asks for 65 MiB."""


class Method(NamedTuple):
    """One way of compressing."""

    title: str
    start: Callable[[], Any]
    """Makes an object with `decompress(data, most)`, `eof` and `unused_data`."""
    keeps_input: bool
    """Whether that object keeps what it did not use yet, instead of giving it back."""
    several: bool = True
    """Whether streams may follow each other, possibly with zeros between them."""


def _bzip2() -> Any:
    import bz2  # few files need these, which import more than all of this module

    return bz2.BZ2Decompressor()


def _xz() -> Any:
    import lzma

    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_DICTIONARY)


def _lzma() -> Any:
    import lzma

    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_DICTIONARY)


def _faults() -> tuple[type[Exception], ...]:
    """What decompressors raise for damaged data."""
    import lzma

    return zlib.error, lzma.LZMAError, OSError, EOFError, ValueError


DEFLATE = Method("deflated", lambda: zlib.decompressobj(-zlib.MAX_WBITS), keeps_input=False, several=False)
ZLIB = Method("zlib", zlib.decompressobj, keeps_input=False)
GZIP = Method("gzip", lambda: zlib.decompressobj(16 + zlib.MAX_WBITS), keeps_input=False)
BZIP2 = Method("bzip2", _bzip2, keeps_input=True)
XZ = Method("xz", _xz, keeps_input=True)
LZ4 = Method("LZ4", Lz4Decompressor, keeps_input=True)
LZMA = Method("lzma", _lzma, keeps_input=True)


class _Mark(NamedTuple):
    given: int
    taken: int
    pending: bytes
    engine: Any


class Unpacking:
    """The content of compressed bytes; `size` is what the caller says or has measured.

    Raises `MalformedInput` from `read_at` where the bytes are damaged. May be used by several threads; they wait for
    each other.
    """

    def __init__(self, packed: Blob, method: Method, size: int, location: Location) -> None:
        self._packed = packed
        self._method = method
        self._size = size
        self._location = location
        self._lock = allocate_lock()
        self.work: Work | None = None
        """The account that pays for what is unpacked, each time it is."""
        self._marks: list[_Mark] = []
        self._every = _MARK_EVERY
        self.trailing = False
        """Whether bytes that are no further stream were met behind the last one."""
        self._damage = ""
        self._begin(_Mark(0, 0, b"", method.start()))

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self._size - offset))
        with self._lock:
            if not length:
                return b""
            if offset < self._given - len(self._recent):
                self._rewind(offset)
            while self._given <= offset:
                if not self._advance():
                    return b""
            first = offset - self._given + len(self._recent)
            pieces = [bytes(self._recent[first : first + length])]
            missing = length - len(pieces[0])
            while missing and (piece := self._advance()):
                pieces.append(piece[:missing])
                missing -= len(pieces[-1])
            return b"".join(pieces)

    def measure(self, most: int) -> tuple[int, MalformedInput | None]:
        """Unpack to the end, or to the first byte after `most`, and take that for the size.

        Returns the size, and why it ends there if the bytes are damaged or cut.
        """
        fault: MalformedInput | None = None
        with self._lock:
            try:
                while self._given <= most and self._advance():
                    pass
                if not self._ended and self._given <= most:
                    fault = damaged(self._method, self._location, "it ends in the middle (truncated)")
            except MalformedInput as error:
                fault = error
            self._size = self._given
        return self._size, fault

    # ── moving through the stream ───────────────────────────────────────────────────────────────────────────

    def _begin(self, mark: _Mark) -> None:
        self._given, self._taken, self._pending, self._engine = mark
        self._recent = bytearray()
        self._ended = False
        self._fresh = False
        self._damage = ""

    def _rewind(self, offset: int) -> None:
        best = max((mark for mark in self._marks if mark.given <= offset), key=lambda mark: mark.given, default=None)
        self._begin(
            _Mark(0, 0, b"", self._method.start()) if best is None else best._replace(engine=best.engine.copy())
        )

    def _advance(self) -> bytes:
        """The next piece of the content, which is also put behind what is at hand; empty at the end."""
        data = self._next()
        if self.work is not None:
            self.work.unpack(len(data), self._location)
        self._given += len(data)
        self._recent += data
        if len(self._recent) > 2 * _BEHIND:
            del self._recent[: len(self._recent) - _BEHIND]
        return data

    def _next(self) -> bytes:
        if self._damage:  # an engine that failed may give nothing when it is asked again, as at the end
            raise damaged(self._method, self._location, self._damage)
        while True:
            if self._ended and not self._engine.eof:
                return b""  # at what is no further stream
            if self._engine.eof and not self._renew():
                return b""
            source = b""
            if not self._method.keeps_input or self._engine.needs_input:
                source = self._pending or self._packed.read_at(self._taken, _PIECE)
                self._taken += 0 if self._pending else len(source)
                self._pending = b""
                if not source:
                    return b""
            if not self._method.keeps_input:
                self._remember(source)
            try:
                data: bytes = self._engine.decompress(source, _PIECE)
            except _faults() as error:
                # A ValueError says that an engine which failed before was asked again; not every Python does.
                if self._fresh:
                    self.trailing = self._ended = True
                    return b""
                self._damage = str(error) or "it is damaged"
                raise damaged(self._method, self._location, self._damage) from None
            if not self._method.keeps_input:
                self._pending = self._engine.unconsumed_tail
            self._ended = self._engine.eof
            if data:
                self._fresh = False
                return data

    def _renew(self) -> bool:
        """Begin the stream that follows the one that ended; false if there is none."""
        rest: bytes = self._engine.unused_data
        while self._method.several:
            rest = rest.lstrip(b"\0")
            if rest:
                self._pending, self._engine, self._fresh = rest, self._method.start(), True
                return True
            rest = self._packed.read_at(self._taken, _PIECE)
            self._taken += len(rest)
            if not rest:
                break
        return False

    def _remember(self, source: bytes) -> None:
        """Keep a copy of the engine now and then; with many of them, half as many twice as far apart."""
        if self._given - (self._marks[-1].given if self._marks else 0) < self._every or self._engine.eof:
            return
        self._marks.append(_Mark(self._given, self._taken, source, self._engine.copy()))
        if len(self._marks) > _MARKS:
            self._marks = self._marks[1::2]
            self._every *= 2


def damaged(method: Method, location: Location, why: str) -> MalformedInput:
    return MalformedInput(
        f"{method.title} data cannot be unpacked", where=location, why=why, remedy="fetch the file again"
    )
