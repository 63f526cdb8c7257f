"""From what a user writes to a snapshot: a path, or the id of a model on the hub. Decided once, and said."""

from __future__ import annotations

import os
from collections.abc import Mapping

from safeload.core.errors import SourceError, UsageError
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.sources.base import Snapshot
from safeload.sources.failures import quoted
from safeload.sources.hfcache import is_relative
from safeload.sources.local import local_snapshot, missing

_HUB = "hf://"


def resolve(
    reference: str | os.PathLike[str],
    *,
    revision: str | None = None,
    subfolder: str = "",
    cache_dir: str | os.PathLike[str] | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
    proxies: Mapping[str, str] | None = None,
    limits: Limits | None = None,
) -> Snapshot:
    """The snapshot that `reference` names.

    What exists as a path is that path, also if a model on the hub has the same name (as transformers decides);
    `notes` then says so. `hf://org/name` or `hf://org/name@revision` is always the hub. `subfolder` is checked
    and must exist; the snapshot is that of the whole model.

    Raises `UsageError` for arguments that contradict each other or cannot be honoured, `SourceError` if there is
    no such model, or it cannot be reached, `LimitExceeded` if it has more files than `limits.members`.
    """
    limits = limits or Limits()
    text = os.fspath(reference)
    if not isinstance(text, str) or not text:
        raise UsageError("nothing was loaded", where=repr(reference), why="a model is named by text")
    folder = _subfolder(subfolder)
    if text.startswith(_HUB):
        repository, revision = _hub_reference(text, revision)
    elif os.path.lexists(text):
        snapshot: Snapshot = local_snapshot(text, limits=limits, notes=_local_notes(text, revision))
        return _with_subfolder(snapshot, folder)
    elif isinstance(reference, str) and _is_hub_id(text):
        repository = text
    else:
        raise missing(text)
    from safeload.sources.hub import hub_snapshot

    snapshot = hub_snapshot(
        repository,
        reference=text,
        limits=limits,
        revision=revision,
        cache_dir=cache_dir,
        token=token,
        local_files_only=local_files_only,
        force_download=force_download,
        proxies=proxies,
    )
    return _with_subfolder(snapshot, folder)


def _is_hub_id(text: str) -> bool:
    from safeload.sources.hub import is_hub_id  # a local path needs none of it

    return is_hub_id(text)


def _hub_reference(text: str, revision: str | None) -> tuple[str, str | None]:
    name, at, own = text.removeprefix(_HUB).removeprefix("models/").partition("@")
    if not _is_hub_id(name) or (at and not own):
        raise UsageError(
            f"{escape(text)!r} was not loaded",
            where=escape(text),
            why="it is not `hf://name`, `hf://org/name` or `hf://org/name@revision`",
            remedy="name a directory within the model by subfolder=…",
        )
    if at and revision is not None and revision != own:
        raise UsageError(
            f"{escape(text)!r} was not loaded",
            where=escape(text),
            why=f"it names one revision, and revision={escape(str(revision))!r} another",
            remedy=f"leave one of them out: {escape(text.partition('@')[0])}",
        )
    return name, own if at else revision


def _local_notes(text: str, revision: str | None) -> tuple[str, ...]:
    notes: list[str] = []
    if not os.path.isabs(text) and _is_hub_id(text):
        notes.append(
            f"{escape(text)} is taken for the local path {escape(os.path.abspath(text))}, "
            f"not for the model of that name on the hub, which is {_HUB}{escape(text)}"
        )
    if revision is not None:
        notes.append(f"a local path has no revisions: revision={escape(str(revision))!r} was not used")
    return tuple(notes)


def _subfolder(subfolder: str) -> str:
    folder = subfolder.strip("/") if subfolder and not subfolder.startswith("/") else subfolder
    if folder and not is_relative(folder):
        raise UsageError(
            f"the subfolder {escape(subfolder)!r} was not used",
            where="subfolder",
            why="it must be a plain relative path within the model",
            remedy="subfolder='unet'",
        )
    return folder


def _with_subfolder(snapshot: Snapshot, folder: str) -> Snapshot:
    if folder and not any(path.startswith(folder + "/") for path in snapshot.listing):
        raise SourceError(
            f"{escape(snapshot.reference)} was not loaded",
            where=Location(snapshot.reference, path=folder),
            why="it has no such subfolder",
            remedy=f"safeload scan {quoted(snapshot.reference)}",
        )
    return snapshot
