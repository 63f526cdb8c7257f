"""Approving the code of a model: a record in the project's `audits.toml`, signed if there is a key."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, NoReturn

from safeload.core.errors import UsageError
from safeload.core.names import escape
from safeload.engine.audit.approval import code_of, judged, unfollowed
from safeload.engine.audit.closure import Closure, find_closure
from safeload.engine.audit.recording import record
from safeload.engine.enforce import guard_for, locked_revision, refuse_within
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.sources.base import Snapshot
from safeload.sources.resolve import resolve
from safeload.trust import audits as audit_file
from safeload.trust import layers
from safeload.trust.approvals import Answer
from safeload.trust.audit_records import Audit
from safeload.trust.auditors import likeness

if TYPE_CHECKING:
    from safeload.trust.private_key import PrivateKey


@dataclass(frozen=True, slots=True)
class Approval:
    """A record that was written."""

    audit: Audit
    path: str
    """The file it stands in."""
    signed: bool
    answer: Answer
    """What all records together say of the code now: one approval may not be enough."""


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


def as_locked(reference: str, request: Request, options: Options) -> Request:
    """The request with the commit that a lock names, as a load would have it. Raises as `locked_revision` does."""
    locked = locked_revision(reference, request.revision, options)
    return request if locked is None else replace(request, revision=locked)


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
    that none of these can change unseen; the file appears whole or not at all, keeps its comments, and two who approve
    at once are both in it. Not promised: that whoever approved it read it well, or that this record is enough: see
    `Approval.answer`.

    Args:
        unfollowed_named: every place that cannot be followed by reading, as `file.py:12`.
        base: only what changed since this closure was read: a delta.
        exempt: nobody read it yet; needs `expires`.
        key: signs the record, so that a policy can tell whose it is.

    Raises:
        UsageError: there is no code, it cannot be approved, something is not named, or arguments contradict each other.
        ConfigError: the file of records cannot be read or added to, or lies in the model.
        SourceError: it cannot be written, or the model not be read.
    """
    request, options = request or Request(), options or Options()
    today = today or datetime.now(UTC).date()
    _check_words(criteria, who, base, expires, note, exempt, today)
    name = os.fspath(reference)
    request = as_locked(name, request, options)
    snapshot, closure = closure_of(name, request=request, options=options)
    path = _target(options)
    refuse_within(snapshot, path)
    guard = guard_for(snapshot, options, asked=request.revision)
    _check_code(snapshot, closure, unfollowed_named, base)
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
        day=today,
        expires=expires,
        model=snapshot.reference if snapshot.kind in ("hub", "cache") else "",
        revision=snapshot.revision or "",
        note=note,
        exempt=exempt,
    )
    audit = record(path, audit, key)
    return Approval(audit, path, key is not None, judged(guard, closure))


def _target(options: Options) -> str:
    """The nearest file of records upward; else one at the root of the project. Not a link to it."""
    chosen = None if options.audits is None else os.fspath(options.audits)
    found = chosen or layers.nearest(audit_file.NAME) or os.path.join(layers.project_root(), audit_file.NAME)
    return os.path.realpath(found)


def _check_words(
    criteria: Collection[str], who: str, base: str, expires: date | None, note: str, exempt: bool, today: date
) -> None:
    """Raise `UsageError` for what cannot be written down, whatever the code is."""

    def refuse(why: str, remedy: str) -> NoReturn:
        raise UsageError("nothing was approved", why=why, remedy=remedy)

    for text in (who, note):
        if any("\ud800" <= character <= "\udfff" for character in text):
            refuse(f"{escape(text)!r} holds what is not a character", "write it in UTF-8")
    if not likeness(who):
        refuse("nobody is named" if not who.strip() else f"{escape(who)!r} holds no letter", "--as NAME")
    if not criteria:
        refuse("no criteria are named", "--criteria safe-to-run")
    if exempt and base:
        refuse("a delta was read, and an exemption was not", "leave one of --from and --exempt out")
    if exempt and expires is None:
        refuse("an exemption needs its last day", "--expires 2027-03-31")
    if expires is not None and expires < today:
        refuse(f"it would have expired on {expires}, before today", "--expires with a day to come")
    if base and not audit_file.is_closure(base):
        refuse(
            f"{escape(base)!r} is no digest of code, h1:…", "safeload audit REF --suggest names the one to start from"
        )


def _check_code(snapshot: Snapshot, closure: Closure, named: Collection[str], base: str) -> None:
    reference = escape(snapshot.reference)
    code = code_of(closure)
    if not closure.entries and not closure.files:
        why, remedy = "the model brings no code along", "load it: it needs no approval"
        raise UsageError("nothing was approved", where=reference, why=why, remedy=remedy)
    if code.faults:
        why = "; ".join(code.faults)
        raise UsageError("nothing was approved", where=reference, why=why, remedy=f"safeload audit {reference}")
    if base == closure.digest:
        why, remedy = "this is the very code that --from names", "leave --from out"
        raise UsageError("nothing was approved", where=reference, why=why, remedy=remedy)
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
