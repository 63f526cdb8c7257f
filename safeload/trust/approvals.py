"""May this code run? From records, demands and a day to approvals, and to reasons where there are none. Pure and total.

Laws, each a property test:

1. A violation of the code, or of one of its files, beats everything.
2. Taking a record away never approves; neither does a later day, except before a record of a publisher begins.
3. A record approves what it names and nothing else: exactly this code, no other class, no further import, no place
   that cannot be followed and that it does not name.
4. A delta leads from code that is approved. Each step to the code at hand needs as many auditors as are demanded.
5. Every demand must be met: policies of several layers are ANDed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from safeload.core.evidence import VerifiedApproval
from safeload.core.names import escape
from safeload.trust.audit_records import Audit, Audits, Publisher
from safeload.trust.criteria import RUN
from safeload.trust.rules import matches

Who = tuple[str, str]
"""An auditor's name, and what proves it: `key:…` of a signature, or nothing but the name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The code that one load would run, as it was found."""

    closure: str
    files: Mapping[str, str]
    entries: frozenset[str]
    imports: frozenset[str]
    unfollowed: frozenset[str]
    faults: tuple[str, ...] = ()
    """Why nobody can approve it: files that are missing or no Python. Escaped."""
    names: tuple[str, ...] = ()
    """The names of the model, for publishers' patterns."""
    signers: frozenset[Who] = frozenset()
    """Who signed every file of it, as part of the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one layer of policy demands of an approval."""

    criteria: str = RUN
    least: int = 1
    auditors: frozenset[str] | None = None
    """The signers whose word counts, and only if signed; `None` takes anybody's, signed or not."""
    place: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Approvals for the code, one for each demand; or none, and the reasons. Reasons are escaped."""

    approvals: tuple[VerifiedApproval, ...] = ()
    reasons: tuple[str, ...] = ()


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
    if violated := tuple(_violations(code, records)):
        return Answer(reasons=violated)
    judge = _Judge(code, records, today, signed or {})
    given = [(demand, judge.path(demand)) for demand in demands]
    if not demands or any(who is None for _, who in given):
        unmet = next((demand for demand, who in given if who is None), Demand())
        return Answer(reasons=tuple(dict.fromkeys(judge.reasons(unmet))))
    approvals = (
        VerifiedApproval(closure=code.closure, criteria=demand.criteria, who=", ".join(sorted(who or ())))
        for demand, who in given
    )
    return Answer(approvals=tuple(dict.fromkeys(approvals)))


def _violations(code: Code, records: Iterable[Audits]) -> Iterator[str]:
    names = {digest: name for name, digest in code.files.items()}
    for one in (violation for found in records for violation in found.violations):
        if one.closure == code.closure or one.file_sha256 in names:
            what = escape(names[one.file_sha256]) if one.file_sha256 in names else "this code"
            why = f": {escape(one.reason)}" if one.reason else ""
            yield f"{what} is a violation{why} [{escape(one.place)}]"


@dataclass(slots=True)
class _Judge:
    code: Code
    records: Sequence[Audits]
    today: date
    signed: Mapping[str, Collection[Who]]

    def path(self, demand: Demand) -> frozenset[str] | None:
        """Everybody whose word the approval rests on; `None` if there is none."""
        steps: dict[tuple[str, str], set[Who]] = {}
        for audit, criteria in self._audits():
            if not self._objections(audit, criteria, demand):
                steps.setdefault((audit.base, audit.closure), set()).update(self._who(audit, demand))
        for publisher, criteria in self._publishers():
            if not self._objections_to(publisher, criteria, demand):
                steps.setdefault(("", self.code.closure), set()).update(self._signing(publisher, demand))
        good = {step: who for step, who in steps.items() if distinct(who) >= max(demand.least, 1)}
        reached: dict[str, frozenset[str]] = {"": frozenset()}
        pending = [""]
        while pending:
            at = pending.pop()
            for (base, closure), who in good.items():
                if base == at and closure not in reached:
                    reached[closure] = reached[at] | {name for name, _ in who}
                    pending.append(closure)
        return reached.get(self.code.closure)

    def _audits(self) -> Iterator[tuple[Audit, frozenset[str]]]:
        for found in self.records:
            yield from ((audit, found.criteria.implied(audit.criteria)) for audit in found.audits)

    def _publishers(self) -> Iterator[tuple[Publisher, frozenset[str]]]:
        for found in self.records:
            yield from ((one, found.criteria.implied(one.criteria)) for one in found.publishers)

    def _who(self, audit: Audit, demand: Demand) -> set[Who]:
        signers = set(self.signed.get(audit.seal, ()))
        if demand.auditors is not None:
            return {who for who in signers if who[0] in demand.auditors}
        name = f"{audit.origin}/{audit.who}" if audit.origin else audit.who
        return signers or {(name, f"name:{name.casefold()}")}

    def _signing(self, publisher: Publisher, demand: Demand) -> set[Who]:
        named = {who for who in self.code.signers if who[0] == publisher.signer}
        return named if demand.auditors is None else {who for who in named if who[0] in demand.auditors}

    def _objections(self, audit: Audit, criteria: frozenset[str], demand: Demand) -> list[str]:
        """Why a record does not count."""
        found = []
        if audit.expires is not None and audit.expires < self.today:
            found.append(f"it expired on {audit.expires}")
        if demand.criteria not in criteria:
            found.append(f"it says {', '.join(sorted(audit.criteria))}, and {demand.criteria} is needed")
        if audit.closure == self.code.closure:
            for what, there, named in (
                ("the entries", self.code.entries, audit.entries),
                ("the imports", self.code.imports, audit.imports),
                ("the places that cannot be followed", self.code.unfollowed, audit.unfollowed),
            ):
                if more := there - named:
                    found.append(f"it does not name {what} {_some(more)}")
        if not self._who(audit, demand):
            found.append(f"it is signed by nobody of {_some(demand.auditors or ())}")
        return found

    def _objections_to(self, publisher: Publisher, criteria: frozenset[str], demand: Demand) -> list[str]:
        code, found = self.code, []
        if not publisher.start <= self.today <= publisher.end:
            found.append(f"it holds from {publisher.start} to {publisher.end}")
        if not any(matches(pattern, name) for pattern in publisher.patterns for name in code.names):
            found.append("it is about other models")
        if demand.criteria not in criteria:
            found.append(f"it says {', '.join(sorted(publisher.criteria))}, and {demand.criteria} is needed")
        if more := code.imports - publisher.imports:
            found.append(f"it does not name the imports {_some(more)}")
        if code.unfollowed:
            found.append("places that cannot be followed need an audit")
        if not self._signing(publisher, demand):
            found.append(f"{escape(publisher.signer)} did not sign this code")
        return found

    def reasons(self, demand: Demand) -> Iterator[str]:
        """Why the demand is not met: what each record about this code lacks, else which one is nearest to it."""
        about = [(audit, criteria) for audit, criteria in self._audits() if audit.closure == self.code.closure]
        for audit, criteria in about:
            if objections := self._objections(audit, criteria, demand):
                yield f"{escape(audit.who)}'s record does not count: {'; '.join(objections)} [{escape(audit.place)}]"
        good = [audit for audit, criteria in about if not self._objections(audit, criteria, demand)]
        if good:
            who = {one for audit in good for one in self._who(audit, demand)}
            if distinct(who) < demand.least:
                yield f"{distinct(who)} of the {demand.least} auditors needed approved it{_at(demand)}"
            if any(audit.base for audit in good):
                yield "what a delta starts from is not approved"
        for publisher, criteria in self._publishers():
            if objections := self._objections_to(publisher, criteria, demand):
                yield f"trust in {escape(publisher.signer)} does not help: {objections[0]} [{escape(publisher.place)}]"
        if not about:
            yield from (f"{text} [{escape(audit.place)}]" for audit, text in self._nearest())

    def _nearest(self) -> Iterator[tuple[Audit, str]]:
        if (audit := nearest(self.code, (audit for audit, _ in self._audits()))) is not None:
            changed = differing(self.code.files, audit.files)
            yield audit, f"since {escape(audit.who)} approved it, {_some(changed)} changed"


def nearest(code: Code, audits: Iterable[Audit]) -> Audit | None:
    """The record whose code shares the most with this: the fewest files to read. `None` if none shares a file name."""
    alike = [audit for audit in audits if audit.files.keys() & code.files.keys()]
    return min(alike, key=lambda one: (len(differing(code.files, one.files)), one.closure), default=None)


def differing(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """The names of the files that differ."""
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def distinct(who: Iterable[Who]) -> int:
    """How many auditors these are: names that share a key, and keys that share a name, are one."""
    groups: list[set[str]] = []
    for name, proof in who:
        one = {f"name={name}", proof}
        joined = [group for group in groups if group & one]
        groups = [group for group in groups if not group & one] + [one.union(*joined)]
    return len(groups)


def _at(demand: Demand) -> str:
    return f" [{escape(demand.place)}]" if demand.place else ""


def _some(names: Collection[str]) -> str:
    shown = ", ".join(escape(name) for name in sorted(names)[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown
