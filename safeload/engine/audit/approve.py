"""Approving the code of a model: a record in the project's `audits.toml`, signed if there is a key."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from safeload.core.digest import sha256
from safeload.core.envelope import Envelope
from safeload.core.errors import SourceError, UsageError
from safeload.core.names import Location, escape
from safeload.engine.audit.approval import code_of, unfollowed
from safeload.engine.audit.closure import Closure, find_closure
from safeload.engine.enforce import refuse_within
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.sources.base import Snapshot
from safeload.sources.resolve import resolve
from safeload.trust import audits as audit_file
from safeload.trust import layers
from safeload.trust.audit_records import Audit, Audits, statement
from safeload.trust.audits_text import dump
from safeload.trust.bundle import write_bundle

if TYPE_CHECKING:
    from safeload.trust.private_key import PrivateKey


@dataclass(frozen=True, slots=True)
class Approval:
    """A record that was written."""

    audit: Audit
    path: str
    """The file it stands in."""
    signed: bool


def closure_of(reference: str, *, request: Request, options: Options) -> tuple[Snapshot, Closure]:
    """A model and its code. Raises as `find_closure` does."""
    snapshot = resolve(
        reference,
        revision=request.revision,
        limits=options.limits,
        cache_dir=request.access.cache_dir,
        token=request.access.token,
        local_files_only=request.access.local_files_only,
    )
    return snapshot, find_closure(snapshot, options, request)


def approve(
    reference: str | os.PathLike[str],
    *,
    criteria: Collection[str],
    who: str,
    unfollowed_named: Collection[str] = (),
    base: str = "",
    expires: date | None = None,
    note: str = "",
    exempt: bool = False,
    key: PrivateKey | None = None,
    today: date | None = None,
    request: Request | None = None,
    options: Options | None = None,
) -> Approval:
    """Write down that somebody read exactly this code. Nothing of it runs.

    Promised: the record names the code by its digest, its classes, imports and the places that cannot be followed, so
    that none of these can change unseen. Not promised: that whoever approved it read it well.

    Args:
        unfollowed_named: every place that cannot be followed by reading, as `file.py:12`.
        base: only what changed since this closure was read: a delta.
        exempt: nobody read it yet; needs `expires`.
        key: signs the record, so that a policy can tell whose it is.

    Raises:
        UsageError: there is no code, it cannot be approved, or something is not named.
        ConfigError: the file of records cannot be read, or lies in the model.
        SourceError: it cannot be written, or the model not be read.
    """
    request, options = request or Request(), options or Options()
    snapshot, closure = closure_of(os.fspath(reference), request=request, options=options)
    path = _target(options)
    refuse_within(snapshot, path)
    records = layers.read_audits(path) if layers.exists(path) else Audits(file=path)
    _check(snapshot, closure, criteria, who, unfollowed_named, records)
    if exempt and expires is None:
        raise UsageError("nothing was exempted", why="an exemption needs its last day", remedy="--expires 2027-03-31")
    code = code_of(closure)
    audit = Audit(
        closure=closure.digest,
        base=base,
        who=who,
        criteria=frozenset(criteria),
        entries=code.entries,
        imports=code.imports,
        unfollowed=code.unfollowed,
        files=code.files,
        day=today or date.today(),
        expires=expires,
        model=snapshot.reference if snapshot.kind in ("hub", "cache") else "",
        revision=snapshot.revision or "",
        note=note,
        exempt=exempt,
    )
    audit = replace(audit, seal=sha256(statement(audit)))
    same = [one for one in records.audits if not one.origin and _same(one, audit)]
    kept = tuple(one for one in records.audits if one not in same)
    if key is not None:
        _sign(path + audit_file.SIGNATURES, audit, key)
    _write(path, dump(replace(records, audits=(*kept, audit))))
    return Approval(audit, path, key is not None)


def _target(options: Options) -> str:
    """The nearest file of records upward; else one in the working directory."""
    chosen = None if options.audits is None else os.fspath(options.audits)
    return os.path.abspath(chosen or layers.nearest(audit_file.NAME) or audit_file.NAME)


def _same(one: Audit, other: Audit) -> bool:
    """Whether one record replaces the other: the same person on the same code."""
    return (one.closure, one.base, one.who, one.exempt) == (other.closure, other.base, other.who, other.exempt)


def _check(
    snapshot: Snapshot, closure: Closure, criteria: Collection[str], who: str, named: Collection[str], records: Audits
) -> None:
    reference = escape(snapshot.reference)
    code = code_of(closure)
    if not closure.entries and not closure.files:
        raise UsageError("nothing was approved", where=reference, why="the model brings no code along")
    if code.faults:
        why = "; ".join(code.faults)
        raise UsageError("nothing was approved", where=reference, why=why, remedy=f"safeload audit {reference}")
    if not who.strip():
        raise UsageError("nothing was approved", why="nobody is named", remedy="--as NAME")
    for name in criteria:
        if name not in records.criteria:
            why = f"there are no criteria {escape(name)!r}"
            remedy = f"safe-to-import, safe-to-run or safe-to-deploy; or write [criteria.{escape(name)}] first"
            raise UsageError("nothing was approved", why=why, remedy=remedy)
    places = unfollowed(closure)
    if wrong := set(named) - places.keys():
        why = f"{', '.join(map(escape, sorted(wrong)))}: there is no such place"
        raise UsageError("nothing was approved", where=reference, why=why, remedy=f"safeload audit {reference}")
    if missing := [place for place in places if place not in named]:
        told = "; ".join(f"{escape(place)}: {places[place]}" for place in missing[:20])
        raise UsageError(
            "nothing was approved",
            where=reference,
            why=f"these places cannot be followed by reading, and an approval must name each: {told}",
            remedy=" ".join(f"--unfollowed {escape(place)}" for place in missing),
        )


def _sign(path: str, audit: Audit, key: PrivateKey) -> None:
    """Add a bundle over one record: a line of its own, so that files of signatures can be merged by lines."""
    payload = statement(audit)
    envelope = Envelope(payload, b"")
    bundle = write_bundle(Envelope(payload, key.sign(envelope.signed_bytes())), key_hint=key.public.fingerprint())
    before = b""
    if os.path.lexists(path):
        try:
            with open(path, "rb") as stream:
                before = stream.read(audit_file.LARGEST + 1)
        except OSError as error:
            raise _failed(path, error) from error
    if before and not before.endswith(b"\n"):
        before += b"\n"
    _write(path, before + bundle)


def _write(path: str, data: bytes) -> None:
    if len(data) > audit_file.LARGEST:
        raise SourceError("nothing was approved", where=Location(path), why="the file would be too long to be read")
    draft = f"{path}.{secrets.token_hex(6)}"
    try:
        with open(draft, "xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, path)
    except OSError as error:
        if os.path.lexists(draft):
            os.unlink(draft)
        raise _failed(path, error) from error


def _failed(path: str, error: OSError) -> SourceError:
    return SourceError("nothing was approved", where=Location(path), why=escape(error.strerror or str(error)))
