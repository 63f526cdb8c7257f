"""Which files of a folder are new or changed, and have come to rest. Only looks at names and times; reads nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from safeload.core.errors import SourceError
from safeload.core.names import Location
from safeload.sources.failures import os_failure

UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".incomplete", ".aria2", ".tmp")
"""Names that download programs give to what they have not finished. Such a file counts once it gets its real name."""
_DEEPEST = 64
_MOST = 1_000_000

_Looks = tuple[int, int, int, int]


@dataclass(slots=True)
class Watcher:
    """Looks at a folder again and again. What was there at the first look is not new.

    Links are not followed, and folders nested deeper than 64 are not entered.

    Raises:
        SourceError: the folder is none, cannot be listed, or has more than a million files.
    """

    folder: str
    settle: float = 2.0
    """Seconds for which a file must not have changed."""
    _known: dict[str, _Looks] = field(default_factory=dict)
    _moving: dict[str, tuple[_Looks, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._known = dict(self._listed())

    @property
    def before(self) -> int:
        """How many files are known."""
        return len(self._known)

    def look(self, now: float) -> list[str]:
        """The paths that are new or changed and have been at rest long enough, in order of name; each once.

        `now` is any clock that does not go backwards.
        """
        ready: list[str] = []
        here = dict(self._listed())
        for path, looks in here.items():
            if self._known.get(path) == looks:
                self._moving.pop(path, None)
                continue
            before, since = self._moving.get(path, (None, now))
            if before != looks:
                self._moving[path] = (looks, now)
            elif now - since >= self.settle:
                del self._moving[path]
                self._known[path] = looks
                ready.append(path)
        for gone in [path for path in self._moving if path not in here]:
            del self._moving[gone]
        for gone in [path for path in self._known if path not in here]:
            del self._known[gone]
        return sorted(ready)

    def _listed(self) -> Iterator[tuple[str, _Looks]]:
        waiting, count = [(self.folder, 0)], 0
        while waiting:
            folder, depth = waiting.pop()
            try:
                entries = list(os.scandir(folder))
            except OSError as error:
                if depth:  # it went away, or is not ours to look at: what is in it was never new
                    continue
                raise os_failure(error, "the folder is not watched", path=folder) from error
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if depth < _DEEPEST:
                        waiting.append((entry.path, depth + 1))
                    continue
                if entry.name.lower().endswith(UNFINISHED):
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError:  # it went away between listing and looking
                    continue
                if stat.S_ISREG(found.st_mode):
                    count += 1
                    if count > _MOST:
                        raise SourceError(
                            "the folder is not watched", where=Location(self.folder), why=f"more than {_MOST:,} files"
                        )
                    yield entry.path, (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
