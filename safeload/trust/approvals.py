"""May this code run? From records, demands and a day to approvals, and to reasons where there are none. Pure and total.

Laws, each a property test:

1. A violation of the code, of one of its files, or of its model beats everything; it also takes away what was built on
   code that is one.
2. A record that is no violation, and lists no file that is one, never takes an approval away. Their order means
   nothing.
3. A later day never approves, but for records that lie in the future, and publishers whose time has not come.
4. A record approves what it names and nothing else: exactly this code, no other class, no further import, no place
   that cannot be followed and that it does not name.
5. A delta leads from code that is approved. Each step to the code at hand needs as many auditors as are demanded.
6. Every demand must be met: policies of several layers are ANDed.
7. Where a demand names auditors, nothing counts but what they signed, as they meant it: no name, no publisher, no
   mapping of criteria adds to that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from safeload.core.evidence import VerifiedApproval
from safeload.core.names import escape
from safeload.trust.audit_records import Audits
from safeload.trust.auditors import Who
from safeload.trust.judge import Code, Demand, Judge
from safeload.trust.rules import matches


@dataclass(frozen=True, slots=True)
class Answer:
    """Approvals for the code, one for each demand; or none, and the reasons. Reasons are escaped."""

    approvals: tuple[VerifiedApproval, ...] = ()
    reasons: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    """The criteria that it lacks; empty if it is approved, and where no approval would help."""


def approvals_for(
    code: Code,
    records: Sequence[Audits],
    demands: Sequence[Demand],
    today: date,
    signed: Mapping[str, Collection[Who]] | None = None,
) -> Answer:
    """The approvals of this code under these records.

    Args:
        demands: every layer's; without any, nothing is approved.
        signed: by the seal of a record, who signed it, where that was verified.
    """
    if code.faults:
        return Answer(reasons=code.faults)
    if violated := tuple(violations(code, records)):
        return Answer(reasons=violated)
    judge = Judge(code, records, today, signed or {})
    given = [(demand, judge.reached(demand).get(code.closure)) for demand in demands or (Demand(),)]
    unmet = [demand for demand, who in given if who is None or not demands]
    if unmet:
        reasons = (reason for demand in unmet for reason in judge.reasons(demand))
        wanted = dict.fromkeys(demand.criteria for demand in unmet)
        return Answer(reasons=tuple(dict.fromkeys(reasons)), wanted=tuple(wanted))
    approvals = (
        VerifiedApproval(closure=code.closure, criteria=demand.criteria, who=", ".join(sorted(who or ())))
        for demand, who in given
    )
    return Answer(approvals=tuple(dict.fromkeys(approvals)))


def violations(code: Code, records: Iterable[Audits]) -> Iterator[str]:
    """Why this code must not run, whatever else speaks for it."""
    names = {digest: name for name, digest in code.files.items()}
    for one in (violation for found in records for violation in found.violations):
        if one.closure == code.closure:
            what = "this code"
        elif one.file_sha256 in names:
            what = escape(names[one.file_sha256])
        elif any(matches(pattern, name) for pattern in one.patterns for name in (*code.names, *code.others)):
            what = "code of this model"
        else:
            continue
        why = f": {escape(one.reason)}" if one.reason else ""
        yield f"{what} is a violation{why} [{escape(one.place)}]"
