"""Whether the code of a model is approved here and now, and what there is to read if it is not: for CI, for people."""

from __future__ import annotations

import os
from dataclasses import dataclass

from safeload.core.evidence import VerifiedSignature
from safeload.engine.audit.approval import Inquiry, inquire, records_for
from safeload.engine.audit.approve import as_locked, closure_of
from safeload.engine.audit.closure import Closure
from safeload.engine.enforce import Guard, bundles_of, guard_for
from safeload.engine.enforce_signatures import bundles_for, signers_of, verify
from safeload.engine.held import Held
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.sources.store import Store
from safeload.trust.approvals import Answer
from safeload.trust.audit_records import Audit
from safeload.trust.closest import differing, nearest


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
    with Held(snapshot, options.limits, Store(options.store).memo) as held:
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
