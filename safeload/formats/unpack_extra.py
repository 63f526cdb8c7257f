"""zstd, which the standard library cannot unpack: by the library of the extra `formats`.

It is imported when a file of its kind is read, and only decompresses: nothing in it runs what it unpacks. Where it is
missing, its files are undecided, and their remedy says what to install.
"""

from __future__ import annotations

from typing import Any

from safeload.core.errors import UsageError
from safeload.formats.unpack import Method

INSTALL = "pip install 'safeload[formats]'"
_WINDOW = 1 << 27
"""Bytes that a zstd stream may refer back to; `zstd --ultra -22` asks for as many."""
_STEP = 1 << 10
"""Bytes that are given to zstd at once: four of them may become 128 KiB."""


def _zstd() -> Any:
    try:
        import zstandard
    except ImportError:
        raise _missing("zstandard") from None
    return _Zstd(zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj(), zstandard.ZstdError)


def _missing(library: str) -> UsageError:
    return UsageError("a compressed file cannot be read", why=f"{library} is not installed", remedy=INSTALL)


class _Zstd:
    """zstd's engine with bounded steps: it has no way to ask for a part of what its input becomes."""

    def __init__(self, engine: Any, error: type[Exception]) -> None:
        self._engine = engine
        self._error = error
        self._given = memoryview(b"")
        self._made = memoryview(b"")

    def decompress(self, data: bytes, most: int) -> bytes:
        if data:
            self._given = memoryview(bytes(self._given) + data)
        while not self._made and self._given and not self._engine.eof:
            step, self._given = bytes(self._given[:_STEP]), self._given[_STEP:]
            try:
                self._made = memoryview(self._engine.decompress(step))
            except self._error as error:
                raise EOFError(str(error)) from None
        made, self._made = bytes(self._made[:most]), self._made[most:]
        return made

    @property
    def eof(self) -> bool:
        return bool(self._engine.eof) and not self._made

    @property
    def needs_input(self) -> bool:
        return not self._made and not self._given and not self._engine.eof

    @property
    def unused_data(self) -> bytes:
        return bytes(self._engine.unused_data) + bytes(self._given)


ZSTD = Method("zstd", _zstd, keeps_input=True)
