"""A snapshot of which some files are to be as if they were not there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from safeload.core.errors import SourceError
from safeload.core.names import Location, escape
from safeload.sources.base import Listed, Snapshot
from safeload.sources.pinned import PinnedFile


class Restricted:
    """A snapshot with fewer files."""

    def __init__(self, inner: Snapshot, listing: Mapping[str, Listed]) -> None:
        self._inner, self.listing = inner, listing
        self.reference, self.kind, self.root = inner.reference, inner.kind, inner.root
        self.revision, self.notes, self.answered = inner.revision, inner.notes, inner.answered

    def fetch(self, paths: Iterable[str]) -> None:
        wanted = list(paths)
        self._refuse(wanted)
        self._inner.fetch(wanted)

    def open(self, path: str) -> PinnedFile:
        self._refuse([path])
        return self._inner.open(path)

    def _refuse(self, paths: list[str]) -> None:
        for path in paths:
            if path not in self.listing:
                raise SourceError(
                    f"{escape(path)!r} was not opened",
                    where=Location(path),
                    why="the lock does not name it, and the policy hides what no lock names",
                    remedy=f"safeload lock {escape(self.reference)} --upgrade",
                )
