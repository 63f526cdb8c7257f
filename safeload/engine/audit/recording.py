"""Putting a record into a file of records: one at a time, whole or not at all, and nothing else of it changes."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from safeload.core.digest import sha256
from safeload.core.envelope import Envelope
from safeload.core.errors import SourceError, UsageError
from safeload.core.names import Location, escape
from safeload.trust import audits as audit_file
from safeload.trust import layers
from safeload.trust.audit_records import Audit, Audits, statement
from safeload.trust.audits_edit import same_but_for, with_record
from safeload.trust.bundle import write_bundle

if TYPE_CHECKING:
    from safeload.trust.private_key import PrivateKey

_PATIENCE = 30.0
"""Seconds to wait for another one who writes."""


def record(path: str, audit: Audit, key: PrivateKey | None = None) -> Audit:
    """Add a record to the file at `path`, in place of the same person's on the same code; signed, if there is a key.

    Raises:
        UsageError: its criteria are none that the file knows.
        ConfigError: the file cannot be read or added to.
        SourceError: it cannot be written, or somebody else is writing it all the time.
    """
    with _alone(path):
        before = layers.audits_bytes(path) if layers.exists(path) else b""
        known = layers.parse_audits(path, before) if before else Audits(file=path)
        _refuse_unknown(audit, known)
        audit = replace(audit, meant=known.criteria.implied(audit.criteria))
        audit = replace(audit, seal=sha256(statement(audit)))
        replaced = [one for one in known.own if _replaces(audit, one)]
        data = with_record(before, audit, replaced)
        if len(data) > audit_file.LARGEST:
            raise SourceError("nothing was approved", where=Location(path), why="the file would be too long to be read")
        same_but_for(known, layers.parse_audits(path, data), audit, replaced)
        if key is not None:
            _sign(path + audit_file.SIGNATURES, audit, key)
        if before != (layers.audits_bytes(path) if layers.exists(path) else b""):
            raise SourceError("nothing was approved", where=Location(path), why="it changed meanwhile: try again")
        _write(path, data)
    return audit


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
    before = layers.audits_bytes(path) if layers.exists(path) else b""
    if before and not before.endswith(b"\n"):
        before += b"\n"
    if len(before) + len(bundle) > audit_file.LARGEST:
        raise SourceError("nothing was approved", where=Location(path), why="the file would be too long to be read")
    _write(path, before + bundle)


@contextmanager
def _alone(path: str) -> Iterator[None]:
    """Hold the one lock of a file of records; it is a file beside it, which goes away again."""
    lock = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.lock")
    end = time.monotonic() + _PATIENCE
    while (descriptor := _locked(lock)) is None:
        if time.monotonic() > end:
            raise SourceError("nothing was approved", where=Location(lock), why="another one holds it: try again")
        time.sleep(0.05)
    try:
        yield
    finally:
        with suppress(OSError):
            os.unlink(lock)
        os.close(descriptor)


def _locked(lock: str) -> int | None:
    """A descriptor that holds the lock; `None` if somebody else does, or did until now."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _failed(lock, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.stat(lock).st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        os.close(descriptor)
        raise _failed(lock, error) from error
    os.close(descriptor)
    return None


def _write(path: str, data: bytes) -> None:
    draft = f"{path}.{secrets.token_hex(6)}"
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode) if os.path.lexists(path) else None
        with open(draft, "xb") as stream:
            if mode is not None:
                os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(draft)
        raise _failed(path, error) from error


def _failed(path: str, error: OSError) -> SourceError:
    return SourceError("nothing was approved", where=Location(path), why=escape(error.strerror or str(error)))
