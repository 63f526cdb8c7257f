"""What a program hands over open: a file without a path of its own, a stream, a buffer.

1. A file on a disk is read by its descriptor, which is what the program opened; never by its name again.
2. A name that leads to that very file is its name: policy files and locks have their say as for a path.
3. A name that leads elsewhere, or nowhere any more, is only a claim: it can add to what is asked of the file, and take
   nothing away. So whoever puts another file under the name frees the first one from nothing. Where the system knows
   a name that does lead to the file, what is asked of that one is asked as well.
4. What has no name gets what policy files ask of everything.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from safeload.core.blob import Blob
from safeload.core.errors import SourceError
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.sources.base import Listed, Snapshot
from safeload.sources.hashers import SHA256, new_hasher
from safeload.sources.local import local_snapshot
from safeload.sources.pinned import WINDOW, PinnedFile

STREAM = "stream"
"""The kind of a snapshot whose name, if it has one, is only a claim."""


@dataclass(frozen=True, slots=True)
class Given:
    """Bytes that the caller has at hand. Who reads them sees to it that they stay."""

    blob: Blob
    name: str
    """What messages call them."""
    file: PinnedFile | None = None
    """The file that they are in, if it is one on a disk."""
    path: str = ""
    """What that file is said to be called."""

    def sha256(self) -> str:
        """The digest of the whole file; of bytes in memory, that of what there is."""
        if self.file is not None:
            return self.file.sha256()
        hasher = new_hasher(SHA256, self.blob.size)
        for offset in range(0, self.blob.size, WINDOW):
            hasher.update(memoryview(self.blob.read_at(offset, WINDOW)))
        return hasher.hexdigest()


class Handed:
    """A snapshot of one thing that was handed over. It can be named in rules and locks as far as its name goes."""

    kind = STREAM
    revision = answered = None
    notes: tuple[str, ...] = ()

    def __init__(self, given: Given) -> None:
        self.reference = given.path or given.name
        self.root = given.path
        name = os.path.basename(self.reference) or given.name
        self.listing: Mapping[str, Listed] = {name: Listed(path=name, size=given.blob.size)}

    def fetch(self, paths: Iterable[str]) -> None:
        """Everything is here."""

    def open(self, path: str) -> PinnedFile:
        """Raises `SourceError`: it is open, and has nothing beside it."""
        raise SourceError(f"{escape(path)!r} was not opened", where=Location(path), why="only its bytes were given")


def snapshots_of(given: Given, limits: Limits) -> list[Snapshot]:
    """What policy files and locks are asked about, all of it. Raises `SourceError` as `local_snapshot` does."""
    if given.file is None:
        return [Handed(given)]
    if _leads_to(given.path, given.file):
        return [local_snapshot(given.path, limits=limits)]
    known = _known_to_the_system(given.file.fileno())
    return [Handed(given), *([local_snapshot(known, limits=limits)] if _leads_to(known, given.file) else [])]


def plain_file(f: object) -> tuple[PinnedFile, int] | None:
    """The file on a disk that a file object reads, and where the object stands; `None` if only its `read` knows.

    The descriptor is a copy, to be closed. What the object has not written yet is written first.
    """
    if type(f) is io.BufferedReader or type(f) is io.BufferedRandom:
        raw: object = f.raw
    else:
        raw = f
    if type(raw) is not io.FileIO or not raw.readable() or not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
        return None
    assert isinstance(f, io.BufferedReader | io.BufferedRandom | io.FileIO)
    if type(f) is io.BufferedRandom:
        f.flush()
    return PinnedFile(os.dup(raw.fileno()), path=os.path.basename(claimed(f)) or "<file>"), f.tell()


def claimed(f: object) -> str:
    """The absolute path that a file object says it was opened by, or else the system; empty if neither does."""
    name = getattr(f, "name", None)
    if not isinstance(name, str | bytes) or not name:
        return _known_to_the_system(f.fileno())  # type: ignore[attr-defined]
    try:
        return os.path.abspath(os.fsdecode(name))
    except FileNotFoundError:  # relative to a working directory that is gone
        return ""


def _known_to_the_system(descriptor: int) -> str:
    try:
        found = os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""
    return found if found.startswith("/") else ""


def _leads_to(path: str, file: PinnedFile) -> bool:
    if not path:
        return False
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return False
    return (found.st_dev, found.st_ino) == file.identity[:2]
