"""Recognising a model that was admitted before and has not changed since.

A record counts only while every file it was made from is the same inode with the same size and times, nobody else
can write any of them, no file came or went, and the conversions are still in the store; and only for the safeload that
made it, to the last rule and allowlist: what another one finds in the same bytes may differ.
"""

from __future__ import annotations

import dataclasses
import json

from safeload.core.digest import sha256
from safeload.core.errors import SafeloadError
from safeload.engine.admission.build import CONVERTER
from safeload.engine.admission.record import Record, from_json
from safeload.engine.held import Held
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.engine.scanning.results import own_files
from safeload.sources.base import Snapshot
from safeload.sources.entry import Entry
from safeload.sources.store import Store

_LAYOUT = 2
"""Changes whenever the same model would be admitted differently; 2: configs may name approved code."""


def key_of(snapshot: Snapshot, request: Request, options: Options, *, hides: bool = False) -> str:
    """A name for everything that decides what an admission makes, except the content of the files.

    `hides`: some files are left out because no lock names them.
    """
    asked = {
        field.name: getattr(request, field.name)
        for field in dataclasses.fields(request)
        if field.name not in ("access", "adapter", "native_types")
    }
    asked["adapter"] = bool(request.adapter)
    native = sha256(json.dumps(sorted(request.native_types)).encode()) if request.native_types is not None else None
    fixed = [_LAYOUT, CONVERTER, own_files(), snapshot.kind, snapshot.root, snapshot.revision, native, asked]
    chosen = [dataclasses.asdict(options.limits), options.unsafe_convert_dangerous]
    chosen += [sorted(snapshot.listing)] if hides else []
    return sha256(json.dumps([*fixed, *chosen], sort_keys=True).encode())


def recall(store: Store, key: str, held: Held) -> tuple[Entry, Record] | None:
    """The earlier admission of this very model, in use until its entry is closed; `None` if there is none."""
    entry = store.open("admitted", key)
    if entry is None:
        return None
    record = record_of(entry)
    if record is not None and _is_current(record, store, held):
        return entry, record
    entry.close()
    held.restart()
    return None


def record_of(entry: Entry) -> Record | None:
    """The record an entry carries; `None` if another version of safeload wrote it."""
    try:
        return from_json(entry.about)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _is_current(record: Record, store: Store, held: Held) -> bool:
    if record.listing != tuple(sorted(held.snapshot.listing)):
        return False
    if held.snapshot.kind != "hub" and record.inputs.keys() != held.snapshot.listing.keys():
        return False  # a file could not be opened then, and perhaps can be now
    linked = {file.source for file in record.files if file.how == "link"}
    try:
        held.snapshot.fetch(record.inputs)
        for path, identity in record.inputs.items():
            file = held.open(path)
            if file.identity != identity or not file.exclusive:
                return False
            if path not in linked:
                held.let_go(path)
    except SafeloadError:
        # What cannot be opened now is looked at afresh, where the reason is told.
        return False
    return all(_in_store(store, file.entry.partition("/")[0]) for file in record.files if file.how == "converted")


def _in_store(store: Store, key: str) -> bool:
    entry = store.open("converted", key)
    if entry is None:
        return False
    entry.close()
    return True
