"""Which code the records approve, step by step, and what each record that does not count lacks. See `approvals`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from safeload.core.names import escape
from safeload.trust.audit_records import Audit, Audits, Publisher
from safeload.trust.auditors import IMPORTED, Who, distinct, people, proof_of
from safeload.trust.closest import differing, nearest
from safeload.trust.criteria import RUN
from safeload.trust.rules import matches

_AHEAD = timedelta(days=1)
"""How far a record may lie in the future: it is written with the date of another part of the world."""
_SHOWN = 20
"""Records whose faults are told; more than that nobody reads."""


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
    """The names of the model, for patterns of publishers and violations."""
    others: tuple[str, ...] = ()
    """The names of other models that some of the code comes from, for patterns of violations."""
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


@dataclass(slots=True)
class Judge:
    """The records about one code, as of one day."""

    code: Code
    records: Sequence[Audits]
    today: date
    signed: Mapping[str, Collection[Who]]
    violated: frozenset[str] = field(init=False)
    """Code that is a violation, or holds a file that is one."""

    def __post_init__(self) -> None:
        found = [violation for one in self.records for violation in one.violations]
        files = {violation.file_sha256 for violation in found} - {""}
        holding = {audit.closure for audit, _ in self._audits() if not files.isdisjoint(audit.files.values())}
        self.violated = frozenset({violation.closure for violation in found} - {""} | holding)

    def reached(self, demand: Demand) -> dict[str, frozenset[str]]:
        """By the digest of each code that is approved: everybody whose word that rests on."""
        steps: dict[tuple[str, str], set[Who]] = {}
        for audit, criteria in self._audits():
            if not self._objections(audit, criteria, demand):
                steps.setdefault((audit.base, audit.closure), set()).update(self._who(audit, demand))
        for publisher, criteria in self._publishers():
            if not self._objections_to(publisher, criteria, demand):
                steps.setdefault(("", self.code.closure), set()).update(self._signing(publisher))
        after: dict[str, list[tuple[str, frozenset[str]]]] = {}
        for (base, closure), who in sorted(steps.items()):
            if _count(who, demand) >= max(demand.least, 1):
                after.setdefault(base, []).append((closure, frozenset(name for name, _ in who)))
        reached: dict[str, frozenset[str]] = {"": frozenset()}
        pending = [""]
        for at in pending:
            for closure, names in after.get(at, ()):
                if closure not in reached:
                    reached[closure] = reached[at] | names
                    pending.append(closure)
        del reached[""]
        return reached

    def _audits(self) -> Iterator[tuple[Audit, frozenset[str]]]:
        for found in self.records:
            yield from ((audit, found.criteria.implied(audit.criteria)) for audit in found.audits)

    def _publishers(self) -> Iterator[tuple[Publisher, frozenset[str]]]:
        for found in self.records:
            yield from ((one, found.criteria.implied(one.criteria)) for one in found.publishers)

    def _who(self, audit: Audit, demand: Demand) -> set[Who]:
        """Those who stand behind a record. Of another organisation we know one thing: that it is one."""
        if demand.auditors is not None:
            return {who for who in self.signed.get(audit.seal, ()) if who[0] in demand.auditors}
        if audit.origin:
            return {(f"{audit.origin}/{audit.who}", f"{IMPORTED}{audit.origin}")}
        return {(audit.who, proof_of(audit.who))}

    def _signing(self, publisher: Publisher) -> set[Who]:
        return {who for who in self.code.signers if who[0] == publisher.signer}

    def _objections(self, audit: Audit, criteria: frozenset[str], demand: Demand) -> list[str]:
        """Why a record does not count."""
        found = []
        if audit.expires is not None and audit.expires < self.today:
            found.append(f"it expired on {audit.expires}")
        if audit.day is not None and audit.day > self.today + _AHEAD:
            found.append(f"it is of {audit.day}, and today is {self.today}: one of the two is wrong")
        if demand.criteria not in criteria:
            found.append(f"it says {_some(audit.criteria)}, and {escape(demand.criteria)} is needed")
        elif demand.auditors is not None and demand.criteria not in audit.meant:
            found.append(f"{escape(demand.criteria)} is not what its auditor signed")
        for what, closure in (("what it is about", audit.closure), ("what it starts from", audit.base)):
            if closure in self.violated:
                found.append(f"{what} is a violation")
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
        if demand.auditors is not None:
            found.append("auditors are demanded, and a model's signature is no audit")
        if not publisher.start <= self.today <= publisher.end:
            found.append(f"it holds from {publisher.start} to {publisher.end}")
        if not any(matches(pattern, name) for pattern in publisher.patterns for name in code.names):
            found.append("it is about other models")
        if demand.criteria not in criteria:
            found.append(f"it says {_some(publisher.criteria)}, and {escape(demand.criteria)} is needed")
        if more := code.imports - publisher.imports:
            found.append(f"it does not name the imports {_some(more)}")
        if code.unfollowed:
            found.append("places that cannot be followed need an audit")
        if not self._signing(publisher):
            found.append(f"{escape(publisher.signer)} did not sign all of this code")
        return found

    # ── why not ─────────────────────────────────────────────────────────────────────────────────────────────

    def reasons(self, demand: Demand) -> Iterator[str]:
        """Why the demand is not met: what each record about this code lacks, else which one is nearest to it."""
        about = [(audit, criteria) for audit, criteria in self._audits() if audit.closure == self.code.closure]
        for audit, criteria in about[:_SHOWN]:
            if objections := self._objections(audit, criteria, demand):
                yield f"{escape(audit.who)}'s record does not count: {'; '.join(objections)} [{escape(audit.place)}]"
        good = [audit for audit, criteria in about if not self._objections(audit, criteria, demand)]
        if good:
            yield from self._too_few(good, demand)
        for publisher, criteria in self._publishers():
            if objections := self._objections_to(publisher, criteria, demand):
                text = f"trust in {escape(publisher.signer)} does not help: {'; '.join(objections)}"
                yield f"{text} [{escape(publisher.place)}]"
        if demand != Demand(place=demand.place):
            yield f"needed: {self._wanted(demand)}"
        if not about:
            yield from self._nearest()

    def _too_few(self, good: list[Audit], demand: Demand) -> Iterator[str]:
        """Records that count, and do not reach."""
        reached = self.reached(demand)
        for base in sorted({audit.base for audit in good}):
            names = {one for audit in good if audit.base == base for one in self._who(audit, demand)}
            if (count := _count(names, demand)) < demand.least:
                step = f" for the step from {base}" if base else ""
                yield f"{count} of the {demand.least} auditors needed approved it{step}{_at(demand)}"
            elif base and base not in reached:
                yield f"{base}, which a delta starts from, is not approved"

    def _wanted(self, demand: Demand) -> str:
        by = f", by {demand.least} of {_some(demand.auditors)}" if demand.auditors is not None else ""
        several = f", by {demand.least} auditors" if not by and demand.least > 1 else ""
        known = not self.records or any(demand.criteria in found.criteria for found in self.records)
        unknown = "" if known else ", which no file of audits knows"
        return f"{escape(demand.criteria)}{unknown}{by}{several}{_at(demand)}"

    def _nearest(self) -> Iterator[str]:
        if (audit := nearest(self.code.files, (audit for audit, _ in self._audits()))) is not None:
            changed = _some(differing(self.code.files, audit.files))
            yield f"{changed} changed since {escape(audit.who)} read it [{escape(audit.place)}]"


def _count(who: Collection[Who], demand: Demand) -> int:
    """How many auditors these are: by their keys where signatures are demanded, else by their names."""
    return distinct(who) if demand.auditors is not None else people(who)


def _at(demand: Demand) -> str:
    return f" [{escape(demand.place)}]" if demand.place else ""


def _some(names: Collection[str]) -> str:
    shown = ", ".join(escape(name) for name in sorted(names)[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown
