"""A directory or a single file of this machine."""

from __future__ import annotations

import os
import stat

from safeload.core.errors import SourceError
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.sources.base import Listed
from safeload.sources.failures import os_failure, quoted
from safeload.sources.folder import FolderSnapshot, walk
from safeload.sources.hfcache import cached_listing, cached_snapshot, find_place


def local_snapshot(
    path: str | os.PathLike[str], *, limits: Limits | None = None, notes: tuple[str, ...] = ()
) -> FolderSnapshot:
    """The snapshot of a directory, or of one file.

    Links in `path` itself are followed: the user named it. Links beneath it may not leave it, except that a
    directory or file in a huggingface_hub cache may link to that cache's blobs, whose recorded digests are then
    known.

    Raises `SourceError` if there is nothing at `path` or it cannot be read, `LimitExceeded` if it has more than
    `limits.members` files.
    """
    limits = limits or Limits()
    reference = os.fspath(path)
    whole = os.path.abspath(reference)
    try:
        found = os.stat(whole)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            raise os_failure(error, f"{escape(reference)!r} was not read", path=whole) from error
        raise SourceError(f"{escape(reference)!r} was not read", where=Location(whole), why="no such path") from error
    if stat.S_ISDIR(found.st_mode):
        return _directory(reference, os.path.realpath(whole), limits, notes)
    return _file(reference, whole, found, limits, notes)


def _directory(reference: str, real: str, limits: Limits, notes: tuple[str, ...]) -> FolderSnapshot:
    if place := find_place(real):
        return cached_snapshot(place[0], reference=reference, limits=limits, notes=notes, within=place[1])
    return FolderSnapshot(
        reference=reference, kind="directory", root=real, anchor=real, listing=walk(real, limits=limits), notes=notes
    )


def _file(reference: str, whole: str, found: os.stat_result, limits: Limits, notes: tuple[str, ...]) -> FolderSnapshot:
    name = os.path.basename(whole)
    size = found.st_size if stat.S_ISREG(found.st_mode) else None
    # The directory is the one that was named; the file itself may be a link into a cache.
    folder = os.path.realpath(os.path.dirname(whole))
    place = find_place(os.path.join(folder, name))
    if place is not None:
        cached, inner = place
        listed = cached_listing(cached, limits=limits).get(inner)
        return FolderSnapshot(
            reference=reference,
            kind="file",
            root=whole,
            revision=cached.commit,
            notes=notes,
            listing={name: Listed(path=name, size=size, recorded=listed.recorded if listed else None)},
            anchor=cached.cache,
            base=os.path.dirname(f"{cached.base}/{inner}"),
            allowed=cached.allowed,
        )
    real = os.path.realpath(whole)
    return FolderSnapshot(
        reference=reference,
        kind="file",
        root=whole,
        notes=notes,
        listing={name: Listed(path=name, size=size)},
        anchor=os.path.dirname(real),
        names={name: os.path.basename(real)},
    )


def missing(reference: str) -> SourceError:
    """The error for a path that is not there."""
    return SourceError(
        f"{escape(reference)!r} was not read",
        where=Location(reference),
        why="there is no such file or directory, and it is not the id of a model on the hub (`name` or `org/name`)",
        remedy=f"ls -la {quoted(os.path.dirname(reference) or '.')}",
    )
