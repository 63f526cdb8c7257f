"""Handing an admission over to a loader: a directory that holds the judged bytes and nothing else.

The directory belongs to this process. Small files and conversions are links into the store; weights that were
judged as they are become, by `integrity`, a reflink or private copy in the store, or a link to the very descriptor
that was judged (`/proc/<pid>/fd/<n>`), which worker processes of the same user can open as well.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable

from safeload.core.errors import SourceError, VerificationFailed
from safeload.core.names import Location, escape
from safeload.engine.admission.record import AdmittedFile
from safeload.engine.options import Integrity
from safeload.sources.entry import Entry
from safeload.sources.pinned import Lease, PinnedFile
from safeload.sources.private_copy import can_reflink, private_copy, private_file
from safeload.sources.store import Store


class Resources:
    """What a handed-over directory keeps open; closed together, in reverse order."""

    def __init__(self) -> None:
        self._closers: list[Callable[[], None]] = []

    def add(self, closer: Callable[[], None]) -> None:
        self._closers.append(closer)

    def close(self) -> None:
        while True:
            try:
                closer = self._closers.pop()
            except IndexError:  # all are closed, here or by another thread
                return
            closer()


def pinned_path(store: Store, file: PinnedFile, digest: str, integrity: Integrity, resources: Resources) -> str:
    """A path to exactly the judged bytes of `file`, which `resources` keeps good. Takes the file over.

    Raises:
        SourceError: `pinned` was asked for, and others could write the file or this system cannot pin.
        VerificationFailed: the file changed since it was judged.
    """
    resources.add(file.close)
    if integrity == "pinned" or (integrity == "auto" and not _can_share(store, file)):
        obstacle = _obstacle(file)
        if not obstacle:
            return file.proc_path()
        if integrity == "pinned":
            raise SourceError(
                f"{escape(file.path)!r} could not be pinned",
                where=Location(file.path),
                why=obstacle,
                remedy="Options(integrity='private')",
            )
    entry = private_copy(store, file, digest)
    resources.add(entry.close)
    file.close()
    return private_file(entry)


def _can_share(store: Store, file: PinnedFile) -> bool:
    """Whether a private copy costs nothing, because the file system copies by reference."""
    folder = store.folder("staging")
    return os.stat(folder).st_dev == file.identity.dev and _reflinks(folder)


@functools.cache
def _reflinks(folder: str) -> bool:
    return can_reflink(folder)


def _obstacle(file: PinnedFile) -> str:
    """Why a link to the descriptor would not be enough; empty if it is."""
    if not os.path.exists(file.proc_path()):
        return "this system has no /proc"
    if not file.exclusive:
        return "others can write the file or rename a directory above it"
    with file.lease() as answer:
        file.verify_unchanged()
        return "a program has it open for writing" if answer is Lease.WRITER else ""


def hand_over(
    store: Store,
    admitted: Entry,
    files: Iterable[AdmittedFile],
    pinned: Callable[[AdmittedFile], str],
    resources: Resources,
) -> str:
    """Make the directory for this process; return its absolute path.

    Raises:
        SourceError: the store could not be written, or a conversion is gone from it.
    """
    view = store.view()
    resources.add(view.close)
    try:
        linked: set[str] = set()
        for file in files:
            if file.how in ("link", "converted"):
                linked.add(file.path)
                _link(view.path, file.path, pinned(file) if file.how == "link" else _converted(store, file, resources))
        for name in admitted.files:
            if name not in linked:
                _link(view.path, name, admitted.file(name))
    except OSError as error:
        raise SourceError("an admitted directory could not be made", why=error.strerror or str(error)) from error
    return view.path


def _link(folder: str, name: str, target: str) -> None:
    path = os.path.join(folder, name)
    if "/" in name:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(target, path)


def _converted(store: Store, file: AdmittedFile, resources: Resources) -> str:
    key, _, name = file.entry.partition("/")
    entry = store.open("converted", key)
    if entry is None:
        raise VerificationFailed(
            "a conversion is gone from the store", mismatches={file.path: "it was removed"}, where=Location(file.path)
        )
    resources.add(entry.close)
    return entry.file(name)
