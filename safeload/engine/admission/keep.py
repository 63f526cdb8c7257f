"""Admitted directories that outlive the process and that nobody had to name: for `vllm serve "$(safeload admit REF)"`.

They lie beside the store, in `<root>/kept/<key>/<name>`, where `key` follows from the digests of what was admitted: an
unchanged model is written once, and compared with the record of it each time it is asked for.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from safeload import __version__
from safeload.core.digest import sha256
from safeload.core.errors import VerificationFailed
from safeload.core.names import Location, escape
from safeload.engine.admission.admitted import Admission
from safeload.engine.admit import admit
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.engine.scanning.results import own_files
from safeload.sources import filelock
from safeload.sources.entry import RECORD, read_record, record_of, write_record
from safeload.sources.failures import os_failure
from safeload.sources.store import Store, remove_tree

_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One kept directory, for people."""

    key: str
    path: str
    reference: str
    size: int
    used: int
    """When it was asked for last, in seconds since 1970."""


def keep(
    reference: str | os.PathLike[str], *, request: Request | None = None, options: Options | None = None
) -> tuple[Admission, str]:
    """Admit a model and write it where it stays; return what `admit` found, closed, and the directory.

    Raises what `admit` raises, and `VerificationFailed` if the model changed between judging and writing.
    """
    options = options or Options()
    store = Store(options.store)
    with admit(reference, request=request, options=options) as admission:
        key = _key(admission)
        folder = os.path.join(store.root, "kept", key)
        path = os.path.join(folder, _name(admission.reference))
        with filelock.exclusive(os.path.join(store.folder("locks"), f"kept-{key}.make")):
            if not _holds(store, folder, path, key):
                _write(store, folder, path, key, admission, request, options)
    return admission, path


def _key(admission: Admission) -> str:
    files = [(file.path, file.sha256, file.how, file.entry) for file in admission.files]
    base = _key(admission.base) if admission.base is not None else ""
    code = admission.code.digest if admission.code is not None else ""
    made_by = (__version__, own_files())
    return sha256(json.dumps([made_by, _name(admission.reference), files, base, code]).encode())[:32]


def _name(reference: str) -> str:
    """A directory name that says what is in it: servers show it as the model's name."""
    return _UNFIT.sub("-", os.path.basename(os.path.abspath(reference))).strip(".-")[:80] or "model"


def _holds(store: Store, folder: str, path: str, key: str) -> bool:
    """Whether the directory is there and every file of it is what it was."""
    try:
        read_record(folder, "admitted", key).check(path, store.memo)
        os.utime(os.path.join(folder, RECORD))
    except FileNotFoundError:
        return False
    except VerificationFailed as error:
        store.notes.append(f"wrote {escape(path)} again: {error.why}")
        return False
    except OSError as error:
        raise os_failure(error, "a kept directory could not be read", path=folder) from error
    return True


def _write(
    store: Store,
    folder: str,
    path: str,
    key: str,
    judged: Admission,
    request: Request | None,
    options: Options,
) -> None:
    remove_tree(folder)
    try:
        os.makedirs(folder, mode=0o700)
    except OSError as error:
        raise os_failure(error, "a kept directory could not be made", path=folder) from error
    with admit(judged.reference, request=request, options=options, into=path) as written:
        if _key(written) != key:
            remove_tree(folder)
            raise VerificationFailed(
                f"{escape(judged.reference)!r} was not written",
                mismatches={"files": "they changed while they were admitted"},
                where=Location(judged.reference),
                remedy="run it again when nothing writes there",
            )
    try:
        write_record(folder, record_of(path, "admitted", key, {"reference": judged.reference}, {}, store.memo))
    except OSError as error:
        raise os_failure(error, "a kept directory could not be recorded", path=folder) from error


def kept(store: Store) -> Iterator[Kept]:
    """Every kept directory."""
    top = os.path.join(store.root, "kept")
    for key in sorted(os.listdir(top)) if os.path.isdir(top) else ():
        folder = os.path.join(top, key)
        names = sorted(set(os.listdir(folder)) - {RECORD})
        reference = ""
        try:
            reference = str(read_record(folder, "admitted", key).about.get("reference", ""))
            used = int(os.stat(os.path.join(folder, RECORD)).st_mtime)
        except (FileNotFoundError, VerificationFailed):  # somebody was stopped while writing it
            used = int(os.stat(folder).st_mtime)
        path = os.path.join(folder, names[0]) if names else folder
        yield Kept(key=key, path=path, reference=reference, size=_size(folder), used=used)


def forget(store: Store, *, older_than: float | None, everything: bool) -> list[Kept]:
    """Remove kept directories by the time they were last asked for, or all of them; return which."""
    gone = []
    for item in list(kept(store)):
        if everything or (older_than is not None and time.time() - item.used > older_than):
            with filelock.exclusive(os.path.join(store.folder("locks"), f"kept-{item.key}.make")):
                remove_tree(os.path.join(store.root, "kept", item.key))
            gone.append(item)
    return gone


def _size(path: str) -> int:
    return sum(os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(path) for name in names)
