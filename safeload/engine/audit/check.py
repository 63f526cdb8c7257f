"""Whether the code of models is approved here and now, and what there is to read if it is not: for CI, for people."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, date, datetime

from safeload.core.evidence import VerifiedSignature
from safeload.core.policy import Policy
from safeload.engine.audit.approval import Inquiry, inquire, records_for, signed_records
from safeload.engine.audit.approve import as_locked, closure_of
from safeload.engine.audit.closure import Closure
from safeload.engine.enforce import Guard, bundles_of, format_names, guard_for
from safeload.engine.enforce_signatures import bundles_for, signers_of, verify
from safeload.engine.held import Held
from safeload.engine.lock import reference_of
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.sources.store import Store
from safeload.trust import layers
from safeload.trust.approvals import Answer
from safeload.trust.audit_records import Audit, Audits, Publisher
from safeload.trust.closest import differing, nearest

_SOON = 30
"""Days before the end of a record that it is worth a word."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What the records say of the code of a model."""

    reference: str
    closure: Closure
    inquiry: Inquiry
    answer: Answer
    unsigned: tuple[Audit, ...]
    """Records about this code that no signature stands behind that a policy knows."""

    @property
    def has_code(self) -> bool:
        return bool(self.closure.files or self.closure.missing)

    @property
    def approved(self) -> bool:
        return bool(self.answer.approvals)

    @property
    def exempted(self) -> tuple[Audit, ...]:
        """Records about this code that say that nobody read it yet."""
        audits = (audit for one in self.inquiry.records for audit in one.audits if audit.exempt)
        return tuple(audit for audit in audits if audit.closure == self.closure.digest)

    @property
    def fine(self) -> bool:
        """Approved, or without any code."""
        return self.approved or not self.has_code


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The least there is to read: from code that has a record to this one."""

    audit: Audit | None
    """`None`: no record is about anything alike, and all of it has to be read."""
    changed: tuple[str, ...]
    bytes: int
    """How long the files that changed are."""


def check(
    reference: str | os.PathLike[str], *, request: Request | None = None, options: Options | None = None
) -> Checked:
    """Judge the code of a model as a load would. Nothing of it runs.

    Not promised: that a load is allowed otherwise; formats, locks and weights are not asked for here.

    Raises:
        SourceError: the model could not be found or fetched.
        ConfigError: records or policies cannot be read or used, or lie in the model.
    """
    request, options = request or Request(), options or Options()
    name = os.fspath(reference)
    request = as_locked(name, request, options)
    snapshot, closure = closure_of(name, request=request, options=options)
    guard = guard_for(snapshot, options, asked=request.revision)
    inquiry = inquire(guard, closure, _signatures(guard, closure, options))
    about = (audit for one in inquiry.records for audit in one.audits if audit.closure == closure.digest)
    return Checked(
        reference=snapshot.reference,
        closure=closure,
        inquiry=inquiry,
        answer=inquiry.answer(),
        unsigned=tuple(audit for audit in about if audit.seal not in inquiry.proofs),
    )


def _signatures(guard: Guard, closure: Closure, options: Options) -> tuple[VerifiedSignature, ...]:
    """The signatures of the model over its code, if some publisher is trusted for what it signs."""
    if not any(one.publishers for one in records_for(guard)):
        return ()
    signers = signers_of(one.policy for one in guard.applied)
    snapshot, apart = guard.snapshot, bundles_of(guard.snapshot)
    digests = {file.name: file.sha256 for file in closure.files if file.name in snapshot.listing}
    with Held(snapshot, options.limits, Store(options.store, needed=False).memo) as held:
        bundles = bundles_for(guard, apart, held)
        listing = frozenset(snapshot.listing) - apart
        return verify(bundles, signers, digests, listing, guard.now, held, subset=digests.keys())[0]


def suggest(checked: Checked) -> Suggestion:
    """What to read before this code can be approved: the least that differs from code that is."""
    inquiry = checked.inquiry
    code, approved = inquiry.code, inquiry.approved()
    bases = [audit for one in inquiry.records for audit in one.audits if audit.closure in approved]
    sizes = {file.name: len(file.source) for file in checked.closure.files}
    found = nearest(code.files, bases, sizes)
    changed = differing(code.files, found.files if found else {})
    return Suggestion(found, tuple(changed), sum(sizes.get(name, 0) for name in changed))


@dataclass(frozen=True, slots=True)
class Overview:
    """What the records are that count, without any model."""

    records: tuple[Audits, ...]
    unsigned: tuple[Audit, ...]
    """Those that no signature stands behind that a policy knows."""
    expired: tuple[Audit | Publisher, ...]
    ending: tuple[Audit | Publisher, ...]
    """Those that expire within a month."""


def overview(options: Options, *, now: datetime | None = None) -> Overview:
    """Read every record that counts in the working directory.

    Raises:
        ConfigError: records or policies cannot be read or used.
    """
    now = now or datetime.now(UTC)
    own = None if isinstance(options.policy, Policy) else os.fspath(options.policy)
    records = layers.audits(None if options.audits is None else os.fspath(options.audits))
    proofs = signed_records(records, layers.policies(own, formats=format_names), now)
    audits = [audit for one in records for audit in one.audits]
    last: list[tuple[Audit | Publisher, date]] = [(audit, audit.expires) for audit in audits if audit.expires]
    last += [(publisher, publisher.end) for one in records for publisher in one.publishers]
    left = [(one, (day - now.date()).days) for one, day in last]
    return Overview(
        records=records,
        unsigned=tuple(audit for audit in audits if audit.seal not in proofs),
        expired=tuple(one for one, days in left if days < 0),
        ending=tuple(one for one, days in left if 0 <= days <= _SOON),
    )


def locked_models(options: Options) -> tuple[tuple[str, str | None], ...]:
    """Every model of the locks that count, and its revision. Raises `ConfigError` for a lock that cannot be used."""
    found = layers.locks(None if options.lock is None else os.fspath(options.lock))
    models = ((reference_of(lock, model), model.revision or None) for lock in found for model in lock.models)
    return tuple(dict.fromkeys(models))
