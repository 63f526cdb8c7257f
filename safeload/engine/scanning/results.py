"""What a scan found, remembered for the next scan of the same target, so that an unchanged file is not read again.

A report counts only while

1. the file's identity (device, inode, size, modification and change times) is the one that was read, and it was old
   enough then for any later write to show in its times,
2. nobody but this user and root can write the file, or rename anything on the way to it,
3. safeload's own files, what is installed beside it, and the options of the scan are the same.

One file of JSON for each target, in a folder that only this user can write; bounded in size and in number. What cannot
be read or is not exactly a report counts as nothing, and is written anew. A scan that took no time is not remembered.
"""

from __future__ import annotations

import functools
import os
import sys
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from safeload.core.finding import FileReport, Status
from safeload.core.limits import Limits
from safeload.sources.ownership import folder_writable_by_others, writable_by_others

if TYPE_CHECKING:
    from safeload.sources.pinned import Identity, PinnedFile

WORTH = 0.3
"""Seconds of reading from which a scan is remembered."""
TARGETS = 64
LARGEST = 32 << 20
"""Bytes of what is kept of one target."""


class Results:
    """The reports of earlier scans of one target.

    Args:
        root: safeload's store.
        target: what is scanned, and `options`: all else that a report depends on.
    """

    def __init__(self, root: str, target: str, *, limits: Limits, digests: Status | None) -> None:
        self._folder = os.path.join(root, "v1", "scans")
        bounds = [getattr(limits, name) for name in Limits.__annotations__]
        here = os.getcwd()
        self._asked = [here, target, bounds, None if digests is None else int(digests)]
        self._path = os.path.join(self._folder, f"{zlib.crc32(f'{here} {target}'.encode(errors='replace')):08x}.json")
        self._rows = self._read()
        self._kept: dict[str, Any] = {}
        self._pending: dict[str, tuple[Identity, int]] = {}
        self._folders: dict[str, bool] = {}
        self._seconds = 0.0

    def known(self, path: str) -> bool:
        """Whether it is worth opening a file to compare it with what is remembered."""
        return path in self._rows

    def look_up(self, path: str, file: PinnedFile) -> FileReport | None:
        """The report on these very bytes, if there is one."""
        row = self._rows.get(path)
        if not isinstance(row, list) or len(row) != 2 or row[0] != list(file.identity) or not self._exclusive(file):
            return None
        from safeload.engine.scanning.carry import unpacked

        try:
            report = unpacked(row[1])
        except (ValueError, TypeError, KeyError):
            return None
        if report.path != path or report.size != file.size:
            return None
        self._kept[path] = row
        return report

    def opened(self, path: str, file: PinnedFile) -> None:
        """Note what a file is before it is read."""
        if self._exclusive(file):
            self._pending[path] = (file.identity, time.time_ns())

    def found(self, report: FileReport) -> None:
        """Remember a report on a file that was `opened`. What could not be read is read again next time."""
        if self._seconds < WORTH or report.path not in self._pending or report.format == "unreadable":
            return
        from safeload.engine.scanning.carry import packed
        from safeload.sources.digest_memo import settled

        identity, moment = self._pending.pop(report.path)
        if settled(identity, moment):
            self._kept[report.path] = [list(identity), packed(report)]

    def spent(self, seconds: float) -> None:
        """Account for the time that reading took, before `found` is told of it."""
        self._seconds += seconds

    def save(self) -> None:
        """Write what is known now, if it is worth that. A disk that refuses costs the next scan some time."""
        if self._seconds < WORTH or not self._kept:
            return
        import json
        import secrets

        data = json.dumps({"key": self._key(), "files": self._kept}).encode()
        if len(data) > LARGEST:
            return
        draft = f"{self._path}.{secrets.token_hex(6)}"
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            if not self._ours():
                return
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as stream:
                stream.write(data)
            os.replace(draft, self._path)
            self._prune()
        except OSError:
            with suppress(OSError):
                os.unlink(draft)

    def _prune(self) -> None:
        """Leave the latest targets."""
        paths = [os.path.join(self._folder, name) for name in os.listdir(self._folder)]
        for path in sorted(paths, key=os.path.getmtime)[:-TARGETS]:
            os.unlink(path)

    def _read(self) -> dict[str, Any]:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return {}
        import json

        try:
            with open(descriptor, "rb") as stream:
                data = stream.read(LARGEST + 1)
            document = json.loads(data) if self._ours() and len(data) <= LARGEST else None
        except (OSError, ValueError, RecursionError):
            return {}
        # Through JSON, as the stored key went.
        if not isinstance(document, dict) or document.get("key") != json.loads(json.dumps(self._key())):
            return {}
        files = document.get("files")
        return files if isinstance(files, dict) else {}

    def _key(self) -> list[Any]:
        return [*self._asked, _program()]

    def _ours(self) -> bool:
        folder = os.path.realpath(self._folder)
        return not folder_writable_by_others(folder)

    def _exclusive(self, file: PinnedFile) -> bool:
        folder = os.path.dirname(file.real_path)
        if not file.real_path or writable_by_others(os.fstat(file.fileno())):
            return False
        if folder not in self._folders:
            self._folders[folder] = not folder_writable_by_others(folder)
        return self._folders[folder]


def _program() -> list[Any]:
    """What decides: safeload's own files, the interpreter, and everything that is installed."""
    rows: list[Any] = [sys.version, *own_files()]
    for folder in sys.path:
        try:
            rows.append([folder, os.stat(folder).st_mtime_ns])
        except OSError:
            continue  # nothing is imported from a folder that is not there
    return rows


@functools.lru_cache(maxsize=1)
def own_files() -> tuple[int, ...]:
    """A number for each folder of safeload's own files that decide, as they were when this process first asked.

    The version alone would not do: one that is worked on, or comes from git, keeps it. Where they are no files, as in
    a zip that Python imports from, nothing can be worked on, and it must do.
    """
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    folders = ("", "core", "formats", "rules", "allowlists", "engine", "sources")
    if not os.path.isdir(package):
        return ()
    return tuple(_state(os.path.join(package, folder)) for folder in folders)


def _state(folder: str) -> int:
    """A number that changes when a file of a folder, or of those below it, does."""
    rows = []
    with os.scandir(folder) as found:
        for item in found:
            if item.name.endswith((".py", ".toml")):
                info = item.stat()
                rows.append((item.name, info.st_size, info.st_mtime_ns))
            elif item.is_dir() and item.name != "__pycache__" and os.path.basename(folder) in ("formats", "rules"):
                rows.append((item.name, _state(item.path), 0))
    return zlib.crc32(repr(sorted(rows)).encode())
