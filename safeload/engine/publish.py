"""An admitted directory that outlives the process: real files, written whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil

from safeload.core.errors import SourceError, UsageError
from safeload.core.names import Location, escape
from safeload.engine import select
from safeload.engine.held import Held
from safeload.engine.record import AdmittedFile, Record
from safeload.sources.entry import Entry
from safeload.sources.pinned import PinnedFile, pin_file
from safeload.sources.private_copy import copy_to
from safeload.sources.store import Store

BASE = "base_model"
"""Where the base model of an adapter lies inside its directory."""


def publish(
    into: str | os.PathLike[str],
    store: Store,
    admitted: Entry,
    record: Record,
    held: Held,
    *,
    link: bool,
    base: str | os.PathLike[str] | None,
) -> str:
    """Write the admitted files to `into`; return its absolute path.

    `base`, the published base model of an adapter, is moved into the directory as `base_model`.

    Raises:
        UsageError: there is something at `into` already.
        SourceError: it could not be written; then nothing is there.
        VerificationFailed: a file changed meanwhile.
    """
    target = os.path.abspath(into)
    require_free(target)
    draft = f"{target}.{secrets.token_hex(6)}.part"
    try:
        os.makedirs(draft)
        for name in admitted.files:
            _place(pin_file(admitted.file(name)), draft, name)
        for file in record.files:
            if file.how in ("link", "converted"):
                _weights(store, held, file, draft, link=link)
        if base is not None:
            os.rename(base, os.path.join(draft, BASE))
            point_adapter(draft, os.path.join(target, BASE))
        _sync(draft)
        os.rename(draft, target)
        _sync_folder(os.path.dirname(target))
    except OSError as error:
        raise SourceError(
            "the admitted directory could not be written",
            where=Location(target),
            why=error.strerror or str(error),
            remedy="free some space, or choose another directory",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if base is not None:
            shutil.rmtree(base, ignore_errors=True)
    return target


def require_free(target: str) -> None:
    """Raise `UsageError` unless `target` does not exist or is an empty directory."""
    if os.path.lexists(target) and not (os.path.isdir(target) and not os.listdir(target)):
        raise UsageError(
            f"{escape(target)!r} is not empty",
            where=Location(target),
            why="an admitted directory holds what was admitted and nothing else",
            remedy="choose a directory that does not exist",
        )


def _weights(store: Store, held: Held, file: AdmittedFile, folder: str, *, link: bool) -> None:
    if file.how == "link":
        held.open(file.source)
        source = held.release(file.source)
    else:
        key, _, name = file.entry.partition("/")
        entry = store.open("converted", key)
        if entry is None:
            raise SourceError("a conversion is gone from the store", where=Location(file.path), remedy="try again")
        source = pin_file(entry.file(name))
        entry.close()
    if link and source.real_path:
        with source:
            os.makedirs(os.path.dirname(os.path.join(folder, file.path)), exist_ok=True)
            os.symlink(source.real_path, os.path.join(folder, file.path))
    else:
        _place(source, folder, file.path)


def _place(source: PinnedFile, folder: str, name: str) -> None:
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with source:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            copy_to(source, descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def point_adapter(folder: str, base: str | os.PathLike[str]) -> None:
    """Let the adapter in an admitted directory name its admitted base model.

    Raises:
        OSError: the directory could not be written.
    """
    path = os.path.join(folder, select.ADAPTER_CONFIG)
    with open(path, "rb") as stream:
        config = json.load(stream)
    config["base_model_name_or_path"] = os.fspath(base)
    config.pop("revision", None)
    draft = f"{path}.part"
    with open(draft, "w", encoding="utf-8") as stream:
        json.dump(config, stream, indent=2)
    os.replace(draft, path)


def _sync(folder: str) -> None:
    for top, _, _ in os.walk(folder):
        _sync_folder(top)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
