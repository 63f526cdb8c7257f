"""Whether the code that a load needs is approved: the closure, the records about it, and what policies demand.

1. The code is read once, and the very bytes that were read are what is approved, and later what runs.
2. Records come from the `audits.toml` of the system, the user and the project. One that lies in the model has no say.
3. Every layer of policy demands; without any, one record that says `safe-to-run` is enough. `mode = "warn"` does not
   relax this: what ran cannot be taken back.
4. What is asked of a policy is one need, which names every file; approvals are evidence for it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING

from safeload.core.digest import sha256
from safeload.core.errors import LimitExceeded, MalformedInput, VerificationFailed
from safeload.core.evidence import CodeNeed, Evidence, VerifiedSignature
from safeload.core.names import escape
from safeload.core.policy import AllOf, Policy, Reason, Verdict
from safeload.engine.approved import PACKAGE, unusable
from safeload.engine.audit.closure import Closure, find_closure
from safeload.sources.failures import quoted
from safeload.trust import layers
from safeload.trust.approvals import Answer, approvals_for
from safeload.trust.audit_records import Audits
from safeload.trust.auditors import Who
from safeload.trust.bundle import read_bundle
from safeload.trust.judge import Code, Demand, Judge
from safeload.trust.policy_file import PolicyFile
from safeload.trust.rules import Applied, qualified, revocations
from safeload.trust.signers import Identity

if TYPE_CHECKING:
    from safeload.engine.enforce import Guard
    from safeload.engine.held import Held
    from safeload.engine.request import Request

_MOST_SIGNATURES = 10_000


@dataclass(frozen=True, slots=True)
class NotApproved:
    """Denies a load that needs code, for the reasons that its records do not approve it."""

    answer: Answer

    def decide(self, evidence: Evidence) -> Verdict:
        reference = escape(evidence.reference)
        criteria = " ".join(f"--criteria {escape(name)}" for name in self.answer.wanted)
        # In the policy's own words, so that one step is said once.
        approving = f"read it, then: safeload approve {reference} {criteria} --as YOU"
        next_step = approving if criteria else f"safeload audit {reference}"
        reasons = tuple(Reason(text, next_step) for text in self.answer.reasons)
        return Verdict("approvals", allowed=not reasons, reasons=reasons)


@dataclass(frozen=True, slots=True)
class NotInModel:
    """Denies a load for classes that no closure holds: the library would import them from whatever is installed."""

    needs: tuple[CodeNeed, ...]

    def decide(self, evidence: Evidence) -> Verdict:
        reasons = tuple(
            Reason(
                f"{escape(need.why)} names {', '.join(map(escape, need.files))}, which no approval can cover",
                "ask the author to put the class into a file of the model",
            )
            for need in self.needs
        )
        return Verdict("approvals", allowed=not reasons, reasons=reasons)


@dataclass(frozen=True, slots=True)
class AtRevision:
    """Decides as another policy does, whose commands then read the code of the revisions that the call names."""

    policy: Policy
    named: str

    def decide(self, evidence: Evidence) -> Verdict:
        verdict = self.policy.decide(evidence)
        return self._told(verdict, escape(evidence.reference)) if isinstance(verdict, Verdict) else verdict

    def _told(self, verdict: Verdict, reference: str) -> Verdict:
        reasons = tuple(replace(reason, remedy=self._command(reason.remedy, reference)) for reason in verdict.reasons)
        return replace(verdict, reasons=reasons, parts=tuple(self._told(part, reference) for part in verdict.parts))

    def _command(self, remedy: str, reference: str) -> str:
        return re.sub(
            rf"(safeload (?:approve|audit) {re.escape(reference)})(?=\s|\Z)",
            lambda found: found[1] + self.named,
            remedy,
        )


@dataclass(frozen=True, slots=True)
class CodeLook:
    """What was found out about the code of one load."""

    need: CodeNeed
    closure: Closure
    digests: dict[str, str]
    """sha256 of the files of the model itself that would run."""
    beyond: tuple[CodeNeed, ...] = ()
    """Needs of which not one file is in the closure."""
    named: str = ""
    """The revisions that the call names, as options of the commands that come next."""

    def into(self, evidence: Evidence, answer: Answer) -> Evidence:
        return replace(evidence, code=(self.need,), approvals=answer.approvals)

    def beside(self, policy: Policy, answer: Answer) -> Policy:
        denials = (
            *([NotApproved(answer)] if answer.reasons else ()),
            *([NotInModel(self.beyond)] if self.beyond else ()),
        )
        whole = AllOf((policy, *denials)) if denials else policy
        return AtRevision(whole, self.named) if self.named else whole


def look(held: Held, needs: Sequence[CodeNeed], guard: Guard, request: Request) -> CodeLook:
    """Read the code that a load needs. Raises as `find_closure` does."""
    if held.closure is None:
        held.closure = find_closure(held.snapshot, guard.options, request)
    closure = held.closure
    absent = (name for need in needs for name in need.files if name not in held.snapshot.listing)
    files = tuple(dict.fromkeys((*(file.name for file in closure.files), *absent)))
    why = ", ".join(dict.fromkeys(need.why for need in needs))
    own = {file.name: file.sha256 for file in closure.files if file.name in held.snapshot.listing}
    known = {file.name for file in closure.files}
    beyond = tuple(need for need in needs if known and known.isdisjoint(need.files))
    need = CodeNeed(files=files, why=why, closure=closure.digest)
    asked = {"--revision": request.revision, "--code-revision": request.code_revision}
    named = "".join(f" {option} {quoted(text)}" for option, text in asked.items() if text is not None)
    return CodeLook(need, closure, own, beyond, named if held.snapshot.revision or request.code_revision else "")


@dataclass(frozen=True, slots=True)
class Inquiry:
    """All that decides whether code is approved: the code, the records, the demands and the day."""

    code: Code
    records: tuple[Audits, ...]
    demands: tuple[Demand, ...]
    today: date
    proofs: Mapping[str, Collection[Who]]
    """By the seal of a record, who signed it."""

    def answer(self) -> Answer:
        return approvals_for(self.code, self.records, self.demands, self.today, self.proofs)

    def approved(self) -> frozenset[str]:
        """Every code that all demands approve, as far as that can be told without it: what a delta may start from."""
        judge = Judge(self.code, self.records, self.today, self.proofs)
        return frozenset.intersection(*(frozenset(judge.reached(demand)) for demand in self.demands))


def inquire(guard: Guard, closure: Closure, signatures: Iterable[VerifiedSignature] = ()) -> Inquiry:
    """Gather what decides about this code, for this model.

    Args:
        signatures: those of the model that were verified.

    Raises:
        ConfigError: records cannot be read or used, or lie in the model.
        LimitExceeded: there are more signatures than anybody could verify.
        UsageError: a signer needs a library that is not installed.
    """
    from safeload.engine.identity import targets

    records = records_for(guard)
    names = tuple(name for group in targets(guard.snapshot) for name in group)
    code = code_of(closure, names=names, signatures=signatures)
    policies = [one.policy for one in guard.applied]
    proofs = signed_records(records, policies, guard.now)
    return Inquiry(code, records, demands(guard.applied), guard.now.date(), proofs)


def judged(guard: Guard, closure: Closure, signatures: Iterable[VerifiedSignature] = ()) -> Answer:
    """What the records of audits say of this code, for this model. Raises as `inquire` does."""
    return inquire(guard, closure, signatures).answer()


def records_for(guard: Guard) -> tuple[Audits, ...]:
    """The records that count for a model. Raises as `judged` does."""
    from safeload.engine.enforce import refuse_within

    chosen = guard.options.audits
    found = layers.audits(None if chosen is None else str(chosen))
    for one in found:
        refuse_within(guard.snapshot, one.file)
    return found


def demands(applied: Iterable[Applied]) -> tuple[Demand, ...]:
    """What each layer demands of approvals; the default, if there is none."""
    found = tuple(
        Demand(
            criteria=one.settings.criteria,
            least=one.settings.min_auditors,
            auditors=None
            if one.settings.auditors is None
            else frozenset(qualified(one.policy, name) for name in one.settings.auditors),
            place=one.place,
        )
        for one in applied
    )
    return found or (Demand(),)


def code_of(closure: Closure, *, names: tuple[str, ...] = (), signatures: Iterable[VerifiedSignature] = ()) -> Code:
    """The code as `approvals_for` judges it. `names` are those of the model."""
    files = {file.name: file.sha256 for file in closure.files}
    signers = frozenset((one.signer, one.identity) for one in signatures if files and one.covers >= files.keys())
    return Code(
        closure=closure.digest,
        files=files,
        entries=frozenset(entry.target for entry in closure.entries),
        imports=frozenset(name for name in closure.imports if name not in sys.stdlib_module_names),
        unfollowed=frozenset(unfollowed(closure)),
        faults=tuple(_faults(closure)),
        names=names,
        others=tuple(repository.lower() for repository, _ in closure.repositories),
        signers=signers,
    )


def unfollowed(closure: Closure) -> dict[str, str]:
    """Each place that an approval must name, as `file.py:12`, and what happens there, however mild."""
    from safeload.core.allowlist import Allowlist
    from safeload.rules.base import Context
    from safeload.rules.code_unfollowed import RULE

    found: dict[str, str] = {}
    for file in closure.files:
        for finding in RULE.check(RULE, file.facts, Context(allowlist=Allowlist())) if file.facts else ():
            line = (finding.location.path or "").removeprefix("line ")
            found.setdefault(f"{file.name}:{line}", finding.message)
    return found


def _faults(closure: Closure) -> Iterable[str]:
    """Why nobody can approve this code."""
    if not closure.files:
        yield "the code that it asks for is not there"
    for file in closure.files:
        if file.fault is not None:
            yield f"{escape(file.name)} cannot be approved: {file.fault.why or file.fault.what}"
        if file.facts is not None and PACKAGE in file.facts.imports:
            yield f"{escape(file.name)} cannot be approved: it imports {PACKAGE}, where the code of other models lies"
    for name in sorted({entry.target for entry in closure.entries} | {*closure.imports}):
        if any("\ud800" <= character <= "\udfff" for character in name):
            yield f"{escape(name)} cannot be approved: it holds what is not a character"
    for name, why in unusable([file.name for file in closure.files]):
        yield f"{escape(name)} cannot be approved: {why}"
    for missing in closure.missing:
        if not missing.optional:
            yield f"{escape(missing.importer)} cannot be approved: it needs {missing.what}, which is not there"


def signed_records(records: Iterable[Audits], policies: Iterable[PolicyFile], now: datetime) -> dict[str, set[Who]]:
    """Who signed which record, by the record's seal. A bundle that nobody trusted signed proves nothing; neither does
    one by a key or signer that a policy revokes.

    Raises:
        LimitExceeded: there are more than anybody could verify.
        UsageError: a signer needs a library that is not installed.
    """
    from safeload.engine.enforce_signatures import signers_of

    policies = list(policies)
    signers = signers_of(policies)
    revoked = {mark for policy in policies for mark, _ in revocations(policy, now.date()).revoked}
    seals = {audit.seal for one in records for audit in one.audits}
    bundles = {bundle: one.file for one in records for bundle in one.signatures}
    if len(bundles) > _MOST_SIGNATURES:
        where = next(iter(bundles.values()))
        raise LimitExceeded("members", allowed=_MOST_SIGNATURES, wanted=len(bundles), where=where)
    found: dict[str, set[Who]] = {}
    for data, file in bundles.items() if signers else ():
        try:
            bundle = read_bundle(data, f"{file}.sig")
        except MalformedInput:
            continue  # what cannot be read vouches for nothing
        seal = sha256(bundle.envelope.payload)
        for signer in signers if seal in seals else ():
            try:
                identity = signer.verify(bundle, now=now)
            except (MalformedInput, VerificationFailed):
                continue  # not this signer's; a record that nobody signed counts as unsigned
            if revoked.isdisjoint(_marks(signer.name, identity)):
                found.setdefault(seal, set()).add((signer.name, identity.text))
    return found


def _marks(signer: str, identity: Identity) -> Iterator[str]:
    """All that a revocation may name of a signature."""
    yield f"signer:{signer}"
    yield f"signer:{signer.rpartition(':')[2]}"
    for fingerprint in identity.fingerprints:
        yield f"key:{fingerprint}"
        yield f"cert-sha256:{fingerprint}"
