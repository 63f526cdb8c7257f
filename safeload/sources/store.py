"""Where safeload keeps what it made: admitted directories, conversions, private copies, per-process directories.

Layout, under `<root>/v1/`:

    admitted/<key>/ converted/<key>/ private/<sha256>/     entries: `record.json`, and the files in `files/`
    staging/<process>-<random>/                            what is being made; renamed into place, or removed
    views/<process>-<random>/                              directories that live as long as their process
    memo/                                                  digests of unchanged files
    locks/                                                 one file per key, locked by whoever makes or uses it

Promised: an entry appears whole or not at all; two processes that want one make it once; what a process that was
killed left behind is found by `upkeep.prune`, which never touches what a live process uses. An entry is compared
with its record each time it is opened; what differs is dropped and made again, and `notes` says so. Not promised:
anything against this user's other programs or root. Entries are not forced to disk; after a crash their bytes are
hashed again before use.
"""

from __future__ import annotations

import atexit
import errno
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from safeload.core.errors import ConfigError, SourceError, UsageError, VerificationFailed
from safeload.core.names import Location, escape
from safeload.sources import filelock
from safeload.sources.digest_memo import DigestMemo
from safeload.sources.entry import KINDS, Entry, Kind, read_record, record_of, write_record
from safeload.sources.failures import os_failure, quoted
from safeload.sources.ownership import folder_writable_by_others, writable_by_others
from safeload.sources.roots import default_root as default_root

LAYOUT = "v1"
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class Stage:
    """A directory in which one entry is being made. Write regular files below `path`, then `publish`.

    `entry` is set at once if somebody else had made it before: then there is nothing to do.
    """

    def __init__(self, store: Store, kind: Kind, key: str) -> None:
        self._store, self._kind, self._key = store, kind, key
        self._use: filelock.FileLock | None = None
        self._area: Area | None = None
        self.entry: Entry | None = None

    @property
    def path(self) -> str:
        """The directory to fill. Made when first asked for."""
        if self._area is None:
            self._area = self._store._area("staging")
            os.mkdir(os.path.join(self._area.path, "files"), 0o700)
        return os.path.join(self._area.path, "files")

    def publish(self, *, about: Mapping[str, Any] | None = None, digests: Mapping[str, str] | None = None) -> Entry:
        """Make the entry visible under its key, complete, and return it in use.

        `about` is the maker's own JSON, kept in the record. `digests` are the sha256 of files, by path, that the
        maker computed while writing them; the others are hashed here.

        Raises `SourceError` if the file system refuses; then nothing is visible.
        """
        files, store = self.path, self._store
        assert self._area is not None and self._use is not None
        final = store.entry_path(self._kind, self._key)
        try:
            record = record_of(files, self._kind, self._key, about or {}, digests or {}, store.memo)
            write_record(self._area.path, record)
            os.rename(self._area.path, final)
        except OSError as error:
            raise os_failure(error, "the store could not be written", path=final) from error
        self._area.forget()
        use, self._use = self._use, None
        self.entry = Entry(os.path.join(final, "files"), record, use)
        return self.entry

    def _close(self) -> None:
        if self._area is not None:
            self._area.close()
        if self._use is not None:
            self._use.release()


class Area:
    """A directory of this process: removed when closed, or at exit, or by `prune` once the process is gone."""

    def __init__(self, path: str, lock: filelock.FileLock) -> None:
        self.path = path
        self._lock = lock
        self._owner = os.getpid()

    def close(self) -> None:
        """Remove the directory. Twice is harmless; in a forked child nothing happens."""
        if os.getpid() == self._owner:
            if os.path.lexists(self.path):
                remove_tree(self.path)
            self.forget()
            _AREAS.discard(self)

    def forget(self) -> None:
        self._lock.release_and_remove()

    def __enter__(self) -> Area:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Store:
    """The store at `root`, made if it is not there.

    With `needed=False`, for those who only read, a store that cannot be made is one without entries, which remembers
    no digests.

    Raises `ConfigError` if it belongs to somebody else or others could write to it, `SourceError` if it is needed
    and cannot be made.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None, *, needed: bool = True) -> None:
        self.root = os.path.abspath(root) if root is not None else default_root()
        self.memo = DigestMemo(None)
        self.notes: list[str] = []
        """Entries that were dropped because they differed from their record."""
        try:
            self.root = _checked_root(self.root)
            for name in (*KINDS, "staging", "views", "memo", "locks"):
                os.makedirs(os.path.join(self._base, name), mode=0o700, exist_ok=True)
            self.memo = DigestMemo(os.path.join(self._base, "memo"))
        except OSError as error:
            if needed:
                raise _unmade(error, self._base) from error
        except SourceError:
            if needed:
                raise

    @property
    def _base(self) -> str:
        return os.path.join(self.root, LAYOUT)

    def folder(self, name: str) -> str:
        """The absolute path of one part of the layout."""
        return os.path.join(self._base, name)

    def entry_path(self, kind: Kind, key: str) -> str:
        if kind not in KINDS or not _KEY.fullmatch(key):
            raise UsageError(f"{escape(kind)}/{escape(key)} cannot name an entry of the store")
        return os.path.join(self._base, kind, key)

    def lock_path(self, kind: Kind, key: str, purpose: Literal["make", "use"]) -> str:
        return os.path.join(self._base, "locks", f"{kind}-{key}.{purpose}")

    def open(self, kind: Kind, key: str) -> Entry | None:
        """The entry, marked as in use until it is closed, or `None` if there is none that holds.

        An entry that differs from its record is dropped, and said in `notes`. Raises `SourceError` if it could
        not be read, or differs while another process uses it.
        """
        path = self.entry_path(kind, key)
        if not os.path.lexists(path):
            return None
        use = filelock.shared(self.lock_path(kind, key, "use"))
        try:
            record = read_record(path, kind, key)
            record.check(os.path.join(path, "files"), self.memo)
            os.utime(os.path.join(path, "record.json"))
        except FileNotFoundError:
            use.release()
            return None
        except VerificationFailed as error:
            use.release()
            self._drop(kind, key, error)
            return None
        except OSError as error:
            use.release()
            raise os_failure(error, "the store could not be read", path=path) from error
        except BaseException:
            use.release()
            raise
        return Entry(os.path.join(path, "files"), record, use)

    @contextmanager
    def staging(self, kind: Kind, key: str, *, on_wait: Callable[[], None] | None = None) -> Iterator[Stage]:
        """Make one entry, alone: other processes that want the same wait here, then find it made.

            with store.staging("converted", key) as stage:
                if stage.entry is None:
                    ...                       # write below stage.path
                    stage.publish(about={...})
            entry = stage.entry

        Leaving the block without publishing removes what was written. `on_wait` is called if another process
        is at it. Raises `SourceError` if the file system refuses.
        """
        path = self.entry_path(kind, key)
        with filelock.exclusive(self.lock_path(kind, key, "make"), on_wait=on_wait):
            stage = Stage(self, kind, key)
            stage.entry = self.open(kind, key)
            if stage.entry is None:
                if os.path.lexists(path):
                    self._drop(kind, key, "it has no record")
                stage._use = filelock.shared(self.lock_path(kind, key, "use"))
            try:
                yield stage
            finally:
                stage._close()

    def view(self) -> Area:
        """A new directory of this process: `path` to fill, `close()` to remove. At exit it is removed as well."""
        area = self._area("views")
        _AREAS.add(area)
        return area

    def _area(self, part: str) -> Area:
        name = f"{process_name()}-{secrets.token_hex(8)}"
        path = os.path.join(self._base, part, name)
        lock = filelock.exclusive(path + ".lock")
        try:
            os.mkdir(path, 0o700)
        except OSError as error:
            lock.release_and_remove()
            raise os_failure(error, "the store could not be written", path=path) from error
        return Area(path, lock)

    def _drop(self, kind: Kind, key: str, why: object) -> None:
        if not self.remove(kind, key):
            raise SourceError(
                f"the store's {kind} entry {key} is damaged, and another process uses it",
                where=Location(self.entry_path(kind, key)),
                why=why.why if isinstance(why, SourceError | VerificationFailed) else str(why),
                remedy="end the other process, then: safeload cache verify",
            )
        reason = why.why if isinstance(why, VerificationFailed) else str(why)
        self.notes.append(f"dropped the damaged {kind} entry {key}: {reason}")

    def remove(self, kind: Kind, key: str) -> bool:
        """Remove an entry unless somebody uses it; say whether it is gone.

        Raises `SourceError` if the file system refuses.
        """
        path = self.entry_path(kind, key)
        use = filelock.try_exclusive(self.lock_path(kind, key, "use"))
        if use is None:
            return False
        try:
            # Out of the way in one step, so that nobody ever sees half of it.
            with self._area("staging") as area:
                os.rename(path, os.path.join(area.path, "gone"))
        except FileNotFoundError:
            return True
        except OSError as error:
            raise os_failure(error, "an entry of the store could not be removed", path=path) from error
        finally:
            use.release_and_remove()
        return True


def process_name() -> str:
    """`<pid>-<start time>`: tells this process from an earlier one that had its number. For people to read."""
    try:
        with open("/proc/self/stat", "rb") as stream:
            started = stream.read().rpartition(b")")[2].split()[19].decode("ascii")
    except (OSError, IndexError):
        started = str(int(time.time()))
    return f"{os.getpid()}-{started}"


def remove_tree(path: str) -> None:
    """Remove a directory of ours, whatever is in it. Links in it are removed, never followed."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise os_failure(error, "a directory of the store could not be removed", path=path) from error


def _unmade(error: OSError, path: str) -> SourceError:
    failure = os_failure(error, "the store could not be made", path=path)
    if error.errno in (errno.EACCES, errno.EPERM):
        failure.remedy = "point SAFELOAD_HOME at a directory that you can write to"
    return failure


def _checked_root(root: str) -> str:
    try:
        os.makedirs(root, mode=0o700, exist_ok=True)
        root = os.path.realpath(root)
        found = os.lstat(root)
    except OSError as error:
        raise _unmade(error, root) from error
    why = ""
    if not stat.S_ISDIR(found.st_mode):
        why = "it is not a directory"
    elif found.st_uid != os.geteuid():
        why = f"it belongs to user {found.st_uid}, and this is user {os.geteuid()}"
    elif writable_by_others(found):
        why = f"others can write to it (mode {stat.S_IMODE(found.st_mode):04o})"
    elif folder_writable_by_others(os.path.dirname(root)):
        why = "others can rename a directory above it"
    if why:
        raise ConfigError(
            "the store was not used",
            where=Location(root),
            why=why,
            remedy=f"chmod go-w {quoted(root)}, or point SAFELOAD_HOME at a directory of your own",
        )
    return root


_AREAS: set[Area] = set()
"""Views that nobody closed yet. Their owners may be forgotten long before the process ends, and these must not be."""


@atexit.register
def _remove_views() -> None:
    for area in list(_AREAS):
        area.close()
