"""Whether the code of a model is approved here and now, and what there is to read if it is not: for CI, for people."""

from __future__ import annotations

import os
from dataclasses import dataclass

from safeload.engine.audit.approval import code_of, judged, records_for, signed_records
from safeload.engine.audit.approve import closure_of
from safeload.engine.audit.closure import Closure
from safeload.engine.enforce import guard_for, locked_revision
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.trust.approvals import Answer, differing, nearest
from safeload.trust.audit_records import Audit, Audits


@dataclass(frozen=True, slots=True)
class Checked:
    """What the records say of the code of a model."""

    reference: str
    closure: Closure
    records: tuple[Audits, ...]
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


def check(
    reference: str | os.PathLike[str], *, request: Request | None = None, options: Options | None = None
) -> Checked:
    """Judge the code of a model as a load would. Nothing of it runs.

    Not promised: that a load is allowed otherwise; formats, locks and signatures of the model are not asked for here,
    so that a `[[trusted]]` publisher, whose word is the signature of the model, does not count.

    Raises:
        SourceError: the model could not be found or fetched.
        ConfigError: records or policies cannot be read or used, or lie in the model.
    """
    request, options = request or Request(), options or Options()
    name = os.fspath(reference)
    if (locked := locked_revision(name, request.revision, options)) is not None:
        request = Request(revision=locked, access=request.access)
    snapshot, closure = closure_of(name, request=request, options=options)
    guard = guard_for(snapshot, options, asked=request.revision)
    records = records_for(guard)
    proofs = signed_records(records, (one.policy for one in guard.applied), guard.now)
    about = (audit for one in records for audit in one.audits if audit.closure == closure.digest)
    return Checked(
        reference=snapshot.reference,
        closure=closure,
        records=records,
        answer=judged(guard, closure),
        unsigned=tuple(audit for audit in about if audit.seal not in proofs),
    )


def suggest(checked: Checked) -> Suggestion:
    """What to read before this code can be approved."""
    code = code_of(checked.closure)
    found = nearest(code, (audit for one in checked.records for audit in one.audits))
    return Suggestion(found, tuple(differing(code.files, found.files if found else {})))
