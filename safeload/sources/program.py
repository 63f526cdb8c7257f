"""One file of Python as a reference: `path/to/pipeline.py`, or `hf://org/name/pipeline.py` with or without `@revision`.

It is what diffusers' `custom_pipeline=` names: code that belongs to no model, or that no config of its model names. The
snapshot has that file and the Python files that it may import beside it, and nothing else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from types import MappingProxyType

from safeload.core.errors import LimitExceeded, SourceError, UsageError
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.core.paths import is_safe_relative
from safeload.sources.base import Listed, Snapshot
from safeload.sources.failures import os_failure
from safeload.sources.folder import FolderSnapshot
from safeload.sources.hfcache import find_place
from safeload.sources.local import local_snapshot
from safeload.sources.resolve import resolve

_HUB = "hf://"
_PYTHON = ".py"
_DEEPEST = 8
_ENVIRONMENT = "pyvenv.cfg"
"""What lies in a directory of installed packages, which are nothing that a program brings along."""


def split(reference: str) -> tuple[str, str]:
    """The reference of what a file of Python lies in, and its path there; the reference itself and "" for all else.

    A directory that is called `x.py` is a directory.
    """
    if reference.startswith(_HUB):
        path, at, revision = reference.removeprefix(_HUB).removeprefix("models/").partition("@")
        parts = path.split("/", 2)
        if len(parts) == 3 and path.endswith(_PYTHON) and is_safe_relative(parts[2]):
            return f"{_HUB}{parts[0]}/{parts[1]}{at}{revision}", parts[2]
    elif reference.endswith(_PYTHON) and os.path.isfile(reference):
        folder, name = os.path.split(reference)
        return folder or os.curdir, name
    return reference, ""


def resolve_program(
    reference: str,
    *,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
    proxies: Mapping[str, str] | None = None,
    limits: Limits | None = None,
) -> tuple[Snapshot, str]:
    """What a reference of this form lies in, and the path of the file there.

    Raises:
        UsageError: it is no reference of this form.
        SourceError: there is no such file, or it cannot be had.
        LimitExceeded: there are too many files beside it.
    """
    outer, name = split(reference)
    limits = limits or Limits()
    if not name:
        raise UsageError(
            f"{escape(reference)!r} is no program",
            why="it is neither a file of Python here, nor hf://org/name/file.py",
            remedy="name the file",
        )
    if not outer.startswith(_HUB):
        return _local(reference, limits), name
    snapshot = resolve(
        outer,
        revision=revision,
        limits=limits,
        cache_dir=cache_dir,
        token=token,
        local_files_only=local_files_only,
        force_download=force_download,
        proxies=proxies,
    )
    if name not in snapshot.listing:
        raise SourceError(
            f"{escape(reference)!r} was not read",
            where=Location(outer, path=name),
            why="the repository has no such file",
            remedy=f"safeload scan {escape(outer)}",
        )
    return _Program(snapshot, reference), name


class _Program:
    """A snapshot under the name of one of its files."""

    def __init__(self, inner: Snapshot, reference: str) -> None:
        self.reference, self.kind, self.root = reference, inner.kind, inner.root
        self.revision, self.notes, self.answered = inner.revision, inner.notes, inner.answered
        self.listing = MappingProxyType({p: one for p, one in inner.listing.items() if p.endswith(_PYTHON)})
        self.fetch, self.open = inner.fetch, inner.open


def _local(reference: str, limits: Limits) -> Snapshot:
    """The snapshot of a local file of Python and of the Python files beside and beneath it."""
    folder, name = os.path.split(os.path.abspath(reference))
    real = os.path.realpath(folder)
    if find_place(real) is not None:
        return _Program(local_snapshot(real, limits=limits), reference)
    found = _listing(real, limits)
    if name not in found:
        raise SourceError(f"{escape(reference)!r} was not read", where=Location(reference), why="it is no regular file")
    root = os.path.join(real, name)
    return FolderSnapshot(reference=reference, kind="file", root=root, anchor=real, listing=found)


def _listing(root: str, limits: Limits) -> dict[str, Listed]:
    """The Python files beneath a directory that an import could mean: in folders that are called like modules."""
    found: dict[str, Listed] = {}
    pending = [("", 0)]
    while pending:
        prefix, depth = pending.pop()
        try:
            with os.scandir(os.path.join(root, prefix)) as entries:
                items = sorted(entries, key=lambda item: item.name)
        except OSError as error:
            if prefix:
                continue  # what cannot be listed is not there, and an import of it is missing
            raise os_failure(error, "the directory of a program was not read", path=root) from error
        if prefix and any(item.name == _ENVIRONMENT for item in items):
            continue
        for item in items:
            path = f"{prefix}{item.name}"
            if item.is_dir(follow_symlinks=False):
                if item.name.isidentifier() and depth < _DEEPEST:
                    pending.append((f"{path}/", depth + 1))
            elif item.name.endswith(_PYTHON):
                found[path] = Listed(path=path, size=_size(item))
                if len(found) > limits.members:
                    raise LimitExceeded("members", allowed=limits.members, wanted=len(found), where=Location(root))
    return dict(sorted(found.items()))


def _size(item: os.DirEntry[str]) -> int | None:
    try:
        status = item.stat()
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
