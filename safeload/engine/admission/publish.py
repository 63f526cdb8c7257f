"""An admitted directory that outlives the process: real files, written whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from safeload.core.digest import sha256
from safeload.core.errors import SourceError, UsageError, VerificationFailed
from safeload.core.names import Location, escape
from safeload.engine.admission import select
from safeload.engine.admission.build import ACCOUNT
from safeload.engine.admission.record import AdmittedFile, Record
from safeload.engine.approved import ApprovedCode
from safeload.engine.held import Held
from safeload.engine.request import Request
from safeload.sources.entry import Entry
from safeload.sources.failures import os_failure
from safeload.sources.pinned import PinnedFile, pin_file
from safeload.sources.private_copy import copy_to
from safeload.sources.store import Store

_FOLDER = 0o755
"""Rights of the directories before the umask has its say: nobody else may put files into them, whatever that is."""
BASE = "base_model"
"""Where the base model of an adapter lies inside its directory."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a directory is written, and where it will stand in the end: that of a base model moves once more."""

    target: str
    home: str

    @classmethod
    def at(cls, into: str | os.PathLike[str]) -> Place:
        return cls(os.path.abspath(into), os.path.abspath(into))

    def for_base(self) -> Place:
        """For the base model of the adapter that comes here."""
        return Place(f"{self.target}.{secrets.token_hex(6)}.base", os.path.join(self.home, BASE))


def publish(
    place: Place,
    store: Store,
    admitted: Entry,
    record: Record,
    held: Held,
    *,
    link: bool,
    base: str | None,
    code: Mapping[str, bytes],
) -> None:
    """Write the admitted files to `place`, whole or not at all.

    `code` are the files of approved code, by name. `base`, where the base model of an adapter was published, is moved
    into the directory as `base_model`; it is gone afterwards in any case.

    Raises:
        UsageError: there is something at `place` already.
        SourceError: it could not be written; then nothing is there.
        VerificationFailed: a file changed meanwhile.
    """
    target = place.target
    draft = f"{target}.{secrets.token_hex(6)}.part"
    try:
        require_free(target)
        os.makedirs(os.path.dirname(draft), exist_ok=True)
        os.mkdir(draft, _FOLDER)
        for name, stored in admitted.files.items():
            _place(pin_file(admitted.file(name)), draft, name, stored.sha256)
        for file in record.files:
            if file.how == "link":
                held.open(file.source)
                _original(held.release(file.source), draft, file, link=link)
            elif file.how == "converted":
                _conversion(store, draft, file)
        _add_code(draft, code)
        if base is not None:
            os.rename(base, os.path.join(draft, BASE))
            point_adapter(draft, os.path.join(place.home, BASE))
        _sync(draft)
        os.rename(draft, target)
        _sync_folder(os.path.dirname(target))
    except OSError as error:
        raise os_failure(error, "the admitted directory could not be written", path=target) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if base is not None:
            shutil.rmtree(base, ignore_errors=True)


def code_of(code: ApprovedCode | None, request: Request) -> Mapping[str, bytes]:
    """The files of approved code that can lie in a directory.

    Raises:
        UsageError: some of it cannot, because nothing there would pin it; or no approval names it.
    """
    if code is None:
        raise UsageError(
            "the model was not written with its code",
            why="no approval names it, though a policy allows the load",
            remedy="approve it, or leave trust_remote_code out",
        )
    others = sorted({name.rpartition("--")[0] for name in code.sources if name not in code.own})
    if others or request.subfolder:
        why = f"its classes lie in {escape(others[0])}, and whoever reads the directory would fetch them from there"
        raise UsageError(
            f"{escape(code.reference)} was not written with its code",
            where=escape(code.reference),
            why=why if others else "a directory made of a subfolder has other places for code than the model",
            remedy="load it by safeload.transformers, or leave trust_remote_code out",
        )
    return code.own


def _add_code(folder: str, code: Mapping[str, bytes]) -> None:
    """Write code that was approved, from the bytes that were approved, and account for it."""
    if not code:
        return
    for name, source in code.items():
        _write(_made_way(folder, name), source)
    path = os.path.join(folder, ACCOUNT)
    with open(path, "rb") as stream:
        account = json.load(stream)
    os.unlink(path)
    _write(path, json.dumps(account | {"code": {name: sha256(code[name]) for name in sorted(code)}}, indent=2).encode())


def _write(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with open(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(descriptor)


def require_free(target: str) -> None:
    """Raise `UsageError` unless `target` does not exist or is an empty directory."""
    try:
        free = not os.path.lexists(target) or (
            os.path.isdir(target) and not os.path.islink(target) and not os.listdir(target)
        )
    except OSError as error:
        raise os_failure(error, "the admitted directory could not be written", path=target) from error
    if not free:
        raise UsageError(
            f"{escape(target)!r} is not empty",
            where=Location(target),
            why="an admitted directory holds what was admitted and nothing else",
            remedy="choose a directory that does not exist",
        )


def _original(source: PinnedFile, folder: str, file: AdmittedFile, *, link: bool) -> None:
    """Weights that were judged as they are: copied, or pointed at where they lie."""
    if not link:
        _place(source, folder, file.path, file.sha256)
        return
    with source:
        source.verify_unchanged()
        os.symlink(source.real_path, _made_way(folder, file.path))


def _conversion(store: Store, folder: str, file: AdmittedFile) -> None:
    """Converted weights are copied in any case: what the store holds goes when it is pruned."""
    key, _, name = file.entry.partition("/")
    entry = store.open("converted", key)
    if entry is None:
        raise SourceError("a conversion is gone from the store", where=Location(file.path), remedy="try again")
    with entry:
        _place(pin_file(entry.file(name)), folder, file.path, entry.files[name].sha256)


def _place(source: PinnedFile, folder: str, name: str, digest: str) -> None:
    """Copy one file, and compare what was copied with what was judged."""
    with source:
        descriptor = os.open(_made_way(folder, name), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            found = copy_to(source, descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    if found != digest:
        raise VerificationFailed(
            f"{escape(name)!r} changed before it was copied",
            mismatches={escape(name): f"its sha256 is {found}, and {digest} was judged"},
            where=Location(source.path),
            remedy="find who writes it, then admit again",
        )


def _made_way(folder: str, name: str) -> str:
    *above, last = name.split("/")
    for part in above:
        folder = os.path.join(folder, part)
        with suppress(FileExistsError):
            os.mkdir(folder, _FOLDER)
    return os.path.join(folder, last)


def point_adapter(folder: str, base: str | os.PathLike[str]) -> None:
    """Let the adapter in an admitted directory name its admitted base model.

    Raises:
        SourceError: the directory could not be written.
    """
    path = os.path.join(folder, select.ADAPTER_CONFIG)
    draft = f"{path}.part"
    try:
        with open(path, "rb") as stream:
            config = json.load(stream)
        config["base_model_name_or_path"] = os.fspath(base)
        config.pop("revision", None)
        with open(draft, "w", encoding="utf-8") as text:
            json.dump(config, text, indent=2)
        os.replace(draft, path)
    except OSError as error:
        raise os_failure(error, "an adapter could not be pointed at its base model", path=path) from error


def _sync(folder: str) -> None:
    for top, _, _ in os.walk(folder):
        _sync_folder(top)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
