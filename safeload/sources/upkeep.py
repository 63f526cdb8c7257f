"""What a user does with the store as a whole: list it, check it, make it smaller."""

from __future__ import annotations

import itertools
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from safeload.core.errors import VerificationFailed
from safeload.sources import filelock
from safeload.sources.entry import KINDS, RECORD, Kind, read_record
from safeload.sources.failures import os_failure
from safeload.sources.store import Store, remove_tree

_MEMO_DAYS = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One entry of the store, for people."""

    kind: Kind
    key: str
    path: str
    size: int
    """Bytes in its files."""
    created: int
    used: int
    """When it was opened last, in seconds since 1970."""
    in_use: bool
    about: dict[str, object]
    damaged: str = ""
    """Why it is not whole, or "": an entry without a usable record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A place where an entry is not what its record says."""

    kind: Kind
    key: str
    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What `prune` did."""

    removed: tuple[Item, ...]
    kept_in_use: tuple[Item, ...]
    freed: int
    """Bytes of entries and of leftovers of processes that ended without cleaning up."""
    leftovers: int
    """How many such directories were removed."""


def list_items(store: Store) -> tuple[Item, ...]:
    """Every entry of the store, least recently used first. Raises `SourceError` if it cannot be read."""
    items = [_item(store, kind, key) for kind, key in _entries(store)]
    return tuple(sorted((item for item in items if item is not None), key=lambda item: item.used))


def verify(store: Store) -> tuple[Difference, ...]:
    """Hash everything that the store has recorded, from the disk; return every difference.

    Nothing is removed: an entry that differs is dropped when it is opened next. Raises `SourceError` if the
    store cannot be read.
    """
    found: list[Difference] = []
    for kind, key in _entries(store):
        path = store.entry_path(kind, key)
        with filelock.shared(store.lock_path(kind, key, "use")):
            try:
                read_record(path, kind, key).check(os.path.join(path, "files"), None)
            except VerificationFailed as error:
                found += [
                    Difference(kind=kind, key=key, path=place, reason=reason)
                    for place, reason in error.mismatches.items()
                ]
            except FileNotFoundError:
                if os.path.lexists(path):
                    found.append(Difference(kind=kind, key=key, path="files", reason="it is missing"))
            except OSError as error:
                raise os_failure(error, "the store could not be read", path=path) from error
    return tuple(found)


def prune(
    store: Store, *, older_than: float | None = None, max_size: int | None = None, everything: bool = False
) -> Pruned:
    """Remove what ended processes left behind, and entries by age, by size, or all of them.

    `older_than` is in seconds since the last use; `max_size` is what entries may take in all, and the least
    recently used go first. Without either only leftovers and damaged entries go. What a live process uses always
    stays. Raises `SourceError` if the file system refuses.
    """
    freed, leftovers = _sweep(store)
    items = list_items(store)
    total = sum(item.size for item in items)
    now = time.time()
    removed: list[Item] = []
    kept: list[Item] = []
    for item in items:
        old = older_than is not None and now - item.used > older_than
        large = max_size is not None and total > max_size
        if not (everything or old or large or item.damaged):
            continue
        if store.remove(item.kind, item.key):
            removed.append(item)
            freed += item.size
            total -= item.size
        else:
            kept.append(item)
    _prune_locks(store)
    freed += _prune_memo(store, older_than=older_than, everything=everything)
    return Pruned(removed=tuple(removed), kept_in_use=tuple(kept), freed=freed, leftovers=leftovers)


def _entries(store: Store) -> Iterator[tuple[Kind, str]]:
    for kind in KINDS:
        for key in _names(store.folder(kind)):
            yield kind, key


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise os_failure(error, "the store could not be read", path=folder) from error


def _item(store: Store, kind: Kind, key: str) -> Item | None:
    path = store.entry_path(kind, key)
    about: dict[str, object] = {}
    created, damaged = 0, ""
    try:
        used = int(os.stat(path).st_mtime)
        try:
            record = read_record(path, kind, key)
            about, created = dict(record.about), record.created
            used = int(os.stat(os.path.join(path, RECORD)).st_mtime)
        except VerificationFailed as error:
            damaged = error.why
        size = _size(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise os_failure(error, "the store could not be read", path=path) from error
    in_use = filelock.is_held(store.lock_path(kind, key, "use"))
    return Item(
        kind=kind, key=key, path=path, size=size, created=created, used=used,
        in_use=in_use, about=about, damaged=damaged,
    )  # fmt: skip


def _size(path: str) -> int:
    return sum(os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(path) for name in names)


def _sweep(store: Store) -> tuple[int, int]:
    """Remove directories whose process is gone: each has a lock beside it, which nobody holds any more."""
    freed = count = 0
    for part in ("staging", "views"):
        folder = store.folder(part)
        names = _names(folder)
        for name in {name.removesuffix(".lock") for name in names}:
            lock = filelock.try_exclusive(os.path.join(folder, name + ".lock"))
            if lock is None:
                continue
            path = os.path.join(folder, name)
            try:
                if os.path.lexists(path):
                    freed += _size(path)
                    remove_tree(path)
                    count += 1
            finally:
                lock.release_and_remove()
    return freed, count


def _prune_locks(store: Store) -> None:
    folder = store.folder("locks")
    for name in _names(folder):
        lock = filelock.try_exclusive(os.path.join(folder, name))
        if lock is not None:
            lock.release_and_remove()


def _prune_memo(store: Store, *, older_than: float | None, everything: bool) -> int:
    """Forget digests and what scans found, by the age of entries, and after half a year in any case; bytes freed."""
    oldest = time.time() - min(_MEMO_DAYS * 86400, math.inf if older_than is None else older_than)
    freed = 0
    for folder, _, names in itertools.chain(*(os.walk(store.folder(part)) for part in ("memo", "scans"))):
        for name in names:
            path = os.path.join(folder, name)
            try:
                info = os.lstat(path)
                if everything or info.st_mtime < oldest:
                    os.unlink(path)
                    freed += info.st_size
            except FileNotFoundError:
                continue  # another process pruned it first
            except OSError as error:
                raise os_failure(error, "the store could not be made smaller", path=path) from error
    return freed
