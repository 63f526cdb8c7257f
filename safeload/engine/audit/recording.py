"""Putting a record into a file of records: one at a time, whole or not at all, and nothing else of it changes."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from safeload.core.digest import sha256
from safeload.core.envelope import Envelope
from safeload.core.errors import ConfigError, SourceError, UsageError
from safeload.core.names import Location, escape
from safeload.engine.whole import write_whole
from safeload.sources import filelock
from safeload.sources.filelock import FileLock
from safeload.sources.store import Store
from safeload.trust import audits as audit_file
from safeload.trust import layers
from safeload.trust.audit_records import Audit, Audits, statement
from safeload.trust.audits_edit import missing_in, same_and, same_but_for, with_record, with_records
from safeload.trust.bundle import write_bundle

if TYPE_CHECKING:
    from safeload.trust.private_key import PrivateKey

_FAILED = "nothing was approved"


def record(path: str, audit: Audit, key: PrivateKey | None = None, *, store: Store) -> Audit:
    """Add a record to the file at `path`, in place of the same person's on the same code; signed, if there is a key.

    Of two who do that at once one waits; what anybody else does to the file meanwhile is noticed.

    Raises:
        UsageError: its criteria are none that the file knows.
        ConfigError: the file cannot be read or added to.
        SourceError: it cannot be written, or changed meanwhile.
    """
    with _alone(path, store):
        before, known = _read(path)
        _refuse_unknown(audit, known)
        audit = replace(audit, meant=known.criteria.implied(audit.criteria), terms=known.terms(audit.criteria))
        audit = replace(audit, seal=sha256(statement(audit)))
        replaced = [one for one in known.own if _replaces(audit, one)]
        data = with_record(before, audit, replaced)
        same_but_for(known, layers.parse_audits(path, data), audit, replaced)
        if key is not None:
            _sign(path, audit, key)
        _replace(path, before, data)
    return audit


def take(path: str, other: str, *, store: Store | None = None) -> tuple[int, int]:
    """Add the records of another file itself, and their signatures, that the file at `path` does not have.

    Nothing is taken away, so that it is the same in which order files are taken. What the other file imports and trusts
    is not taken.

    Returns:
        how many audits and how many violations were added.

    Raises:
        ConfigError: a file cannot be read or added to, or a record cannot mean here what it means there.
        SourceError: the file cannot be written, or changed meanwhile.
    """
    with _alone(path, store or Store()):
        before, known = _read(path)
        theirs = layers.read_audits(other)
        audits, violations = missing_in(known, theirs)
        for one in audits:
            ours = known.criteria.implied(one.criteria), known.terms(one.criteria)
            if ours != (one.meant, one.terms) or any(name not in known.criteria for name in one.criteria):
                raise _unfit(one.place, "its criteria do not mean the same here", "write them as they are there")
        for violation in violations:
            if any(pattern.startswith("path:") for pattern in violation.patterns):
                raise _unfit(violation.place, "it is about paths, which depend on where its file lies", "copy it")
        data = with_records(before, audits, violations)
        same_and(known, layers.parse_audits(path, data), audits, violations)
        if new := [one for one in layers.signatures(other) if one not in known.signatures]:
            _add_signatures(path, b"\n".join(new) + b"\n")
        _replace(path, before, data)
    return len(audits), len(violations)


def _unfit(place: str, why: str, remedy: str) -> ConfigError:
    return ConfigError("nothing was taken over", where=escape(place), why=why, remedy=remedy)


def _alone(path: str, store: Store) -> FileLock:
    return filelock.exclusive(os.path.join(store.folder("locks"), f"audits-{sha256(path.encode())[:32]}"))


def _read(path: str) -> tuple[bytes, Audits]:
    before = layers.audits_bytes(path) if layers.exists(path) else b""
    return before, layers.parse_audits(path, before) if before else Audits(file=path)


def _replace(path: str, before: bytes, data: bytes) -> None:
    if len(data) > audit_file.LARGEST:
        raise SourceError(_FAILED, where=Location(path), why="the file would be too long to be read")
    if before != (layers.audits_bytes(path) if layers.exists(path) else b""):
        raise SourceError(_FAILED, where=Location(path), why="it changed meanwhile: try again")
    write_whole(path, data, failed=_FAILED)


def _replaces(new: Audit, old: Audit) -> bool:
    """Whether one record stands for the other: of the same person, on the same code and no less of it."""
    same = (new.closure, new.base, new.who, new.exempt) == (old.closure, old.base, old.who, old.exempt)
    return same and new.entries >= old.entries


def _refuse_unknown(audit: Audit, known: Audits) -> None:
    for name in sorted(audit.criteria):
        if name not in known.criteria:
            raise UsageError(
                "nothing was approved",
                why=f"there are no criteria {escape(name)!r}",
                remedy=f"safe-to-import, safe-to-run or safe-to-deploy; or write [criteria.{escape(name)}] into "
                f"{escape(known.file)} first",
            )


def _sign(path: str, audit: Audit, key: PrivateKey) -> None:
    """Add a bundle over one record: a line of its own, so that files of signatures can be merged by lines."""
    payload = statement(audit)
    envelope = Envelope(payload, b"")
    bundle = write_bundle(Envelope(payload, key.sign(envelope.signed_bytes())), key_hint=key.public.fingerprint())
    _add_signatures(path, bundle)


def _add_signatures(path: str, lines: bytes) -> None:
    path += audit_file.SIGNATURES
    before = layers.audits_bytes(path) if layers.exists(path) else b""
    if before and not before.endswith(b"\n"):
        before += b"\n"
    if len(before) + len(lines) > audit_file.LARGEST:
        raise SourceError(_FAILED, where=Location(path), why="the file would be too long to be read")
    write_whole(path, before + lines, failed=_FAILED)
