"""Which model it is: the names that rules know it by, and the entry of a lock that is about it.

A model is named by what it resolved to, never by what was asked for: the hub's own name for it, or its path without
links. Of a lock's entries, the one of its revision is meant, or of the word for that revision; if two could be, nobody
guesses.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from safeload.core.errors import ConfigError
from safeload.core.names import Location, escape
from safeload.engine.handed import STREAM
from safeload.engine.options import Options
from safeload.sources.base import Snapshot
from safeload.sources.hfcache import Place, default_cache, find_place
from safeload.trust import layers

if TYPE_CHECKING:
    from safeload.trust.lockfile import Lock, LockedModel


def targets(snapshot: Snapshot) -> tuple[tuple[str, ...], ...]:
    """A model's names for rules: the hub's own name for it in small letters, or `path:/…`.

    Names in one group are the same thing: a file has that of its directory as well. Of each group a rule is asked: a
    directory that stands before a model of its name on the hub must do for either.
    """
    if snapshot.kind == STREAM:
        # Without a name no rule is about it; what is only claimed to be its name is asked as well.
        return (*(_targets_of_path(snapshot) if snapshot.root else ()), ())
    if snapshot.kind in ("hub", "cache"):
        found = find_place(os.path.realpath(snapshot.reference)) if snapshot.kind == "cache" else None
        return (((snapshot.answered or snapshot.root).lower(),), *_as_path(found and found[0], snapshot.reference))
    return _targets_of_path(snapshot)


def by_link(snapshot: Snapshot) -> tuple[str, ...]:
    """The path by which a model of this machine was named, if that leads through links to where it is.

    A rule that is about this path is about whatever the links lead to. Without one, the path says nothing.
    """
    if snapshot.kind not in ("directory", "file", "cache") or snapshot.reference.startswith("hf://"):
        return ()
    path = os.path.abspath(snapshot.reference)
    if not os.path.lexists(path) or os.path.realpath(path) == path:
        return ()
    return (f"path:{path}",) if os.path.isdir(path) else (f"path:{path}", f"path:{os.path.dirname(path)}")


def _as_path(place: Place | None, path: str) -> tuple[tuple[str, ...], ...]:
    """The name as a path of what was named by one, in a folder that looks like the hub's cache and is not this user's.

    Anybody can make such folders: that one says `models--acme--demo` makes nothing of acme.
    """
    if place is None or place.cache == os.path.realpath(default_cache()):
        return ()
    real = os.path.realpath(path)
    return ((f"path:{real}",) if os.path.isdir(real) else (f"path:{real}", f"path:{os.path.dirname(real)}"),)


def _targets_of_path(snapshot: Snapshot) -> tuple[tuple[str, ...], ...]:
    if place := _place_of_file(snapshot):
        return ((place[0].repository.lower(),), *_as_path(place[0], snapshot.root))
    real = os.path.realpath(snapshot.root)
    named = (f"path:{real}", f"path:{os.path.dirname(real)}") if snapshot.kind != "directory" else (f"path:{real}",)
    from safeload.sources.hub import is_hub_id

    return (named, (snapshot.reference.lower(),)) if is_hub_id(snapshot.reference) else (named,)


def _place_of_file(snapshot: Snapshot) -> tuple[Place, str] | None:
    """Where in the hub's cache a single file lies, and its path in the model."""
    if snapshot.kind not in ("file", STREAM):
        return None
    folder, name = os.path.split(snapshot.root)
    return find_place(os.path.join(os.path.realpath(folder), name))


def entry_for(lock: Lock, snapshot: Snapshot, asked: str | None) -> LockedModel | None:
    """The entry of a lock that is about this model; of a directory or file within one, the part that is about it.

    Raises:
        ConfigError: there are several, and nothing says which one is meant; or the lock names one directory twice, or
            the one that it lies in.
    """
    if snapshot.kind in ("hub", "cache"):
        entry = _choose(lock, snapshot.root, asked, snapshot.revision)
        found = find_place(os.path.realpath(snapshot.reference)) if snapshot.kind == "cache" else None
        return _part(entry, found[1]) if entry is not None and found is not None and found[1] else entry
    if snapshot.kind == STREAM and not snapshot.root:
        return None
    if place := _place_of_file(snapshot):
        entry = _choose(lock, place[0].repository, asked, place[0].commit)
        return None if entry is None else _part(entry, place[1])
    root = os.path.realpath(snapshot.root)
    if exact := directory_entry(lock, root):
        return exact
    around = [(base, model) for base, model in _directories(lock) if root.startswith(base.rstrip("/") + "/")]
    if not around:
        return None
    base, model = max(around, key=lambda one: len(one[0]))
    return _part(model, os.path.relpath(root, base))


def directory_entry(lock: Lock, root: str) -> LockedModel | None:
    """The entry of exactly this directory, by its path without links. Raises `ConfigError` as `entry_for` does."""
    return dict(_directories(lock)).get(root)


def _directories(lock: Lock) -> Iterator[tuple[str, LockedModel]]:
    """Every directory that a lock names, by its path without links.

    Raises:
        ConfigError: it names one twice, or the one that it lies in itself: whoever made that could have made the lock.
    """
    folder = os.path.realpath(os.path.dirname(lock.path))
    seen: dict[str, str] = {}
    for model in lock.models:
        if model.hub:
            continue
        base = os.path.realpath(os.path.join(folder, model.id))
        if base in seen:
            raise _unusable(lock, f"{escape(seen[base])} and {escape(model.id)} are one directory", model.id)
        if f"{folder}/".startswith(base.rstrip("/") + "/"):
            raise _unusable(lock, "it lies in the directory that it names", model.id)
        seen[base] = model.id
        yield base, model


def _unusable(lock: Lock, why: str, id: str) -> ConfigError:
    return ConfigError(
        f"{escape(lock.path)} was not used",
        where=Location(lock.path),
        why=why,
        remedy=f"remove it or move it, then: safeload lock {escape(id)}",
    )


def _part(entry: LockedModel, inner: str) -> LockedModel:
    """What an entry says of one directory of the model, or of one file, under the names they have for themselves."""
    names = {
        file.path: os.path.basename(file.path) if file.path == inner else file.path.removeprefix(inner + "/")
        for file in entry.files
        if file.path == inner or file.path.startswith(inner + "/")
    }
    return replace(
        entry,
        files=tuple(replace(file, path=names[file.path]) for file in entry.files if file.path in names),
        signatures=tuple(
            replace(one, covers=frozenset(names[path] for path in one.covers if path in names))
            for one in entry.signatures
        ),
    )


def _choose(lock: Lock, id: str, asked: str | None, revision: str | None = None) -> LockedModel | None:
    """Of the entries of a model, the one that this revision, or the word for it, stands for."""
    found = [model for model in lock.of(id) if model.hub]
    for wanted in (
        [model for model in found if asked is not None and model.requested == asked],
        [model for model in found if model.revision in (revision, asked)],
        [model for model in found if asked is None and model.requested == "main"],
        found,
    ):
        if len(wanted) == 1:
            return wanted[0]
    if not found:
        return None
    raise ConfigError(
        f"{escape(lock.path)} does not say which revision of {escape(id)} is meant",
        where=Location(lock.path),
        why=f"it holds {', '.join(escape(model.requested or model.revision) for model in found)}",
        remedy=f"revision={escape(found[0].requested or found[0].revision)!r}",
    )


def locked_revision(reference: str, revision: str | None, options: Options) -> str | None:
    """The commit that a lock names for a model on the hub that is asked for without a revision; else `None`.

    Raises:
        ConfigError: a lock cannot be read or used, or two of them name different commits.
    """
    from safeload.sources.hub import is_hub_id

    id = reference.removeprefix("hf://").removeprefix("models/")
    if revision not in (None, "main") or not is_hub_id(id) or (id == reference and os.path.lexists(reference)):
        return None
    commits: dict[str, str] = {}
    for lock in layers.locks(None if options.lock is None else os.fspath(options.lock)):
        entry = _choose(lock, id, revision)
        if entry is not None and (revision is None or entry.requested == revision):
            commits[entry.revision] = lock.path
    if len(commits) > 1:
        raise ConfigError(
            f"{escape(id)} was not loaded",
            where=", ".join(map(escape, commits.values())),
            why="two locks name different revisions of it",
            remedy="lock it anew, or leave one of the locks out",
        )
    return next(iter(commits), None)
