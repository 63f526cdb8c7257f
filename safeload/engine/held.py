"""The files of one snapshot that a job has open: each opened once, and read from that descriptor ever after."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from safeload.core.errors import SafeloadError
from safeload.core.limits import Limits
from safeload.engine.inspect import Inspected, inspect
from safeload.engine.scanning.looked import shown, unreadable
from safeload.sources.base import Snapshot
from safeload.sources.pinned import Identity, PinnedFile

if TYPE_CHECKING:
    from safeload.engine.audit.closure import Closure
    from safeload.sources.digest_memo import DigestMemo

_MOMENT = 0.025
"""Seconds in which the clock of a file system moves on, except where it counts whole seconds."""


class Held:
    """Opens, inspects and finally closes the files of a snapshot. A context manager.

    `open` and `inspect` raise what `Snapshot.open` raises; asking twice for a file gives the same one.
    """

    def __init__(self, snapshot: Snapshot, limits: Limits, memo: DigestMemo | None = None) -> None:
        self.snapshot = snapshot
        self.limits = limits
        self.memo = memo
        self.settled = True
        """Whether the last change of every file was over when it was opened: only then does its identity stand for
        its content."""
        self.files: dict[str, PinnedFile] = {}
        self.identities: dict[str, Identity] = {}
        """What each file was when it was opened, whether it is open still or not."""
        self.inspected: dict[str, Inspected] = {}
        self.closure: Closure | None = None
        """The code of the model, read once where a load needs it: what is approved is what runs."""

    def open(self, path: str) -> PinnedFile:
        if path not in self.files:
            file = self._opened(path)
            self.files[path], self.identities[path] = file, file.identity
            self.settled = self.settled and self.memo is not None and self.memo.settled(file)
        return self.files[path]

    def _opened(self, path: str) -> PinnedFile:
        """Open a file; one that changed a moment ago a moment later, so that a further change would show."""
        file = self.snapshot.open(path)
        if self.memo is not None and not self.memo.settled(file):
            file.close()
            time.sleep(_MOMENT)
            file = self.snapshot.open(path)
        return file

    def inspect(self, path: str) -> Inspected:
        if path not in self.inspected:
            self.inspected[path] = inspect(self.open(path), path, self.limits, shown=self.shown(path))
        return self.inspected[path]

    def shown(self, path: str) -> str:
        """What a person would call the file on a command line: its path on disk, or the model on the hub."""
        return shown(self.snapshot, path)

    def note_unreadable(self, path: str, error: SafeloadError) -> None:
        """Put a file that could not be opened or read into the report, as undecided."""
        self.inspected[path] = Inspected(report=unreadable(path, error), parts=(), formats=("unreadable",))

    def verify_unchanged(self, paths: Iterable[str]) -> None:
        """Raise `VerificationFailed` if one of these files changed since it was opened."""
        for path in paths:
            self.files[path].verify_unchanged()

    def let_go(self, path: str) -> None:
        """Close one file and keep only the report on it, so that a look at many files stays small."""
        if file := self.files.pop(path, None):
            file.close()
        if inspected := self.inspected.get(path):
            self.inspected[path] = inspected._replace(parts=())

    def drop(self, path: str) -> None:
        """Close one file and forget all about it."""
        self.let_go(path)
        self.inspected.pop(path, None)

    def release(self, path: str) -> PinnedFile:
        """Hand a file over to the caller, who closes it from now on."""
        return self.files.pop(path)

    def restart(self) -> None:
        """Close and forget everything, as if nothing had been opened."""
        self.close()
        self.identities.clear()
        self.inspected.clear()
        self.closure = None
        self.settled = True

    def close(self) -> None:
        while self.files:
            self.files.popitem()[1].close()

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
