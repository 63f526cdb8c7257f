"""Approving the code of a model: a record in the project's `audits.toml`, signed if there is a key."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, NoReturn

from safeload.core.errors import ConfigError, LimitExceeded, UsageError
from safeload.core.names import escape
from safeload.engine.audit.approval import code_of, judged, unfollowed
from safeload.engine.audit.closure import Closure, find_closure
from safeload.engine.audit.recording import record
from safeload.engine.enforce import Guard, guard_for, refuse_within
from safeload.engine.identity import locked_revision
from safeload.engine.options import Options
from safeload.engine.reach import reach, reach_program
from safeload.engine.request import Request
from safeload.sources.base import Snapshot
from safeload.sources.program import split
from safeload.sources.store import Store
from safeload.trust import audits as audit_file
from safeload.trust import file_names, layers
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
    snapshot = code_snapshot(reference, request=request, options=options)
    return snapshot, find_closure(snapshot, options, request)


def code_snapshot(reference: str, *, request: Request, options: Options) -> Snapshot:
    """What holds the code: a model, or a file of Python with those beside it. Raises as `resolve` does."""
    if split(reference)[1]:
        return reach_program(reference, request.access, revision=request.revision, limits=options.limits)[0]
    return reach(
        reference, request.access, revision=request.revision, subfolder=request.subfolder, limits=options.limits
    )


def as_locked(reference: str, request: Request, options: Options) -> Request:
    """The request with the commit that a lock names, as a load would have it. Raises as `locked_revision` does."""
    locked = locked_revision(split(reference)[0], request.revision, options)
    return request if locked is None else replace(request, revision=locked)


def approve(
    reference: str | os.PathLike[str],
    *,
    criteria: Collection[str],
    who: str,
    unfollowed_named: Collection[str] = (),
    closure: str = "",
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
        closure: the digest of the code that was read; anything else is refused, should it have changed meanwhile.
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
    _check_words(criteria, who, (closure, base), expires, note, exempt, today)
    name = os.fspath(reference)
    request = as_locked(name, request, options)
    snapshot, found = closure_of(name, request=request, options=options)
    path = target(options)
    refuse_within(snapshot, path)
    guard = guard_for(snapshot, options, asked=request.revision)
    _check_code(snapshot, found, unfollowed_named, closure, base)
    code = code_of(found)
    audit = Audit(
        closure=found.digest,
        base=base,
        who=who,
        criteria=frozenset(criteria),
        entries=code.entries,
        imports=code.imports,
        unfollowed=code.unfollowed,
        files=code.files,
        day=today,
        expires=expires,
        model=_model(snapshot),
        revision=snapshot.revision or "",
        note=note,
        exempt=exempt,
    )
    audit = record(path, audit, key, store=Store(options.store))
    return Approval(audit, path, key is not None, _answer(guard, found))


def _model(snapshot: Snapshot) -> str:
    """Where the code is to be had again, if it is on the hub: the model, or the one file of it that was named."""
    if snapshot.kind not in ("hub", "cache"):
        return ""
    program = split(snapshot.reference)[1]
    return f"hf://{snapshot.root}/{program}" if program and snapshot.kind == "hub" else snapshot.root


def _answer(guard: Guard, closure: Closure) -> Answer:
    """What the records say now. The record is written: what stands against it is no failure of writing it."""
    try:
        return judged(guard, closure)
    except (ConfigError, UsageError, LimitExceeded) as error:
        return Answer(reasons=(f"{error.what}: {error.why or error.remedy}",))


def target(options: Options) -> str:
    """The nearest file of records upward; else one at the root of the project. Not a link to it."""
    chosen = None if options.audits is None else os.fspath(options.audits)
    found = chosen or layers.nearest(file_names.AUDITS) or os.path.join(layers.project_root(), file_names.AUDITS)
    return os.path.realpath(found)


def _check_words(
    criteria: Collection[str],
    who: str,
    digests: tuple[str, str],
    expires: date | None,
    note: str,
    exempt: bool,
    today: date,
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
    if exempt and digests[1]:
        refuse("a delta was read, and an exemption was not", "leave one of --from and --exempt out")
    if exempt and expires is None:
        refuse("an exemption needs its last day", "--expires 2027-03-31")
    if expires is not None and expires < today:
        refuse(f"it would have expired on {expires}, before today", "--expires with a day to come")
    for digest in digests:
        if digest and not audit_file.is_closure(digest):
            refuse(f"{escape(digest)!r} is no digest of code, h1:…", "safeload audit REF --suggest names one")


def _check_code(snapshot: Snapshot, closure: Closure, named: Collection[str], expected: str, base: str) -> None:
    reference = escape(snapshot.reference)
    code = code_of(closure)
    if not closure.entries and not closure.files:
        why, remedy = "the model brings no code along", "load it: it needs no approval"
        raise UsageError("nothing was approved", where=reference, why=why, remedy=remedy)
    if code.faults:
        why = "; ".join(code.faults)
        raise UsageError("nothing was approved", where=reference, why=why, remedy=f"safeload audit {reference}")
    if expected and expected != closure.digest:
        why = f"the code is {closure.digest}, and not the one that you read: it changed, or this is another revision"
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
