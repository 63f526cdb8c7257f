"""One file that arrives on a stream, such as standard input: spooled to a file without a name, then as any other."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import BinaryIO

from safeload.core.errors import SourceError, UsageError
from safeload.core.names import Location, escape
from safeload.sources.base import Listed
from safeload.sources.failures import os_failure
from safeload.sources.pinned import WINDOW, PinnedFile

MOST = 1 << 36
"""Bytes that are taken from a stream at most: 64 GiB."""


class StreamSnapshot:
    """A `Snapshot` of one file. Close it, or use it as a context manager.

    The bytes lie in a temporary file that has no name, so that nobody finds and changes it between reading and
    judging; it takes disk space in `$TMPDIR` until it is closed.

    Args:
        stream: is read to its end.
        name: what the file is called; formats that are known by name alone need it.
        most: bytes that are taken at most.

    Raises:
        UsageError: the name is no plain file name.
        SourceError: the stream cannot be read, is longer than `most`, or there is no space for it.
    """

    kind = "file"
    revision = None
    answered = None
    notes: tuple[str, ...] = ()

    def __init__(self, stream: BinaryIO, *, name: str = "stdin", most: int = MOST) -> None:
        if not name or "/" in name or "\0" in name or name in (".", ".."):
            raise UsageError(
                f"standard input cannot be called {escape(name)!r}",
                why="it takes a file name without folders",
                remedy="--stdin-name model.bin",
            )
        self.reference = name
        self.root = "-"
        self._name = name
        self._most = most
        try:
            self._file = tempfile.TemporaryFile(prefix="safeload-")  # noqa: SIM115 - lives as long as the snapshot
        except OSError as error:
            raise os_failure(error, "standard input was not read", path=_place()) from error
        try:
            size = self._spool(stream)
        except BaseException:
            self._file.close()
            raise
        self.listing: Mapping[str, Listed] = {name: Listed(path=name, size=size)}

    def _spool(self, stream: BinaryIO) -> int:
        size = 0
        try:
            while data := stream.read(WINDOW):
                size += len(data)
                if size > self._most:
                    raise SourceError(
                        "standard input was not read to its end",
                        where=Location("-"),
                        why=f"it is longer than {self._most:,} bytes",
                        remedy="write it to a file, and scan that",
                    )
                self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise os_failure(error, "standard input was not read to its end", path=_place()) from error
        return size

    def fetch(self, paths: Iterable[str]) -> None:
        """Nothing to do: the file is here."""

    def open(self, path: str) -> PinnedFile:
        """The file, by its one name. Raises `SourceError` for any other, and after closing."""
        if path != self._name or self._file.closed:
            raise SourceError(f"{escape(path)!r} was not read", where=Location(path), why="there is no such file")
        return PinnedFile(os.dup(self._file.fileno()), path=path)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> StreamSnapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _place() -> str:
    """Where temporary files lie, or would: looking for such a place is what may have failed."""
    return tempfile.tempdir or os.environ.get("TMPDIR") or "/tmp"
