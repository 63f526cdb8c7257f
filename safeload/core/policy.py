"""From evidence to a verdict, by small policies that compose.

Laws, each a property test in `tests/property`:

1. An empty policy denies.
2. Adding a finding never turns a denial into an allowance.
3. Removing a signature, a lock match or an approval never does either.
4. `AllOf` and `AnyOf` ignore order and repetition.
5. A denial has at least one reason, and every reason for it has a remedy.
6. `decide` is pure and total: it never raises, whatever the evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn, Protocol, runtime_checkable

from safeload.core.errors import PolicyDenied, UsageError
from safeload.core.evidence import Difference, Evidence
from safeload.core.finding import Finding, Status
from safeload.core.names import Location, escape


@dataclass(frozen=True, slots=True)
class Reason:
    """One item of a verdict: a sentence, and for a denial the command that comes next."""

    message: str
    remedy: str = ""
    locations: tuple[Location, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of a policy, as a tree: a composed policy keeps the verdicts it was made from.

    It has no truth value, so that a forgotten `.allowed` cannot pass for one. `enforce()` raises. A denial without a
    reason, or with one that has no remedy, cannot be built: `UsageError`.
    """

    policy: str
    allowed: bool
    reasons: tuple[Reason, ...] = ()
    parts: tuple[Verdict, ...] = ()

    def __post_init__(self) -> None:
        if not self.allowed and not (self.denials() and all(reason.remedy for reason in self.denials())):
            raise UsageError(
                f"the policy {self.policy!r} denies without saying what to do",
                why="every denial needs a reason, and every such reason a remedy",
                remedy="give each Reason its remedy",
            )

    def __bool__(self) -> NoReturn:
        raise TypeError("a Verdict has no truth value: read .allowed or call .enforce()")

    def denials(self) -> tuple[Reason, ...]:
        """Every reason that stands behind a denial, each once, in order; empty if allowed."""
        if self.allowed:
            return ()
        return tuple(dict.fromkeys((*self.reasons, *(reason for part in self.parts for reason in part.denials()))))

    def enforce(self, evidence: Evidence) -> None:
        """Raise `PolicyDenied`, listing every reason, unless allowed. `evidence` is what the policy decided about."""
        if not self.allowed:
            what = f"loading {escape(evidence.reference)!r} was refused"
            raise PolicyDenied(what, verdict=self, report=evidence.report)


@runtime_checkable
class Policy(Protocol):
    """Answers one question about evidence. Implementations are frozen values."""

    def decide(self, evidence: Evidence) -> Verdict: ...


@dataclass(frozen=True, slots=True)
class AllOf:
    """Allows what every one of its policies allows. Without policies it denies: nothing was asked."""

    policies: tuple[Policy, ...] = ()

    def decide(self, evidence: Evidence) -> Verdict:
        return _composed("all-of", all, self.policies, evidence)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Allows what at least one of its policies allows."""

    policies: tuple[Policy, ...] = ()

    def decide(self, evidence: Evidence) -> Verdict:
        return _composed("any-of", any, self.policies, evidence)


def _composed(
    name: str, holds: Callable[[Iterable[bool]], bool], policies: tuple[Policy, ...], evidence: Evidence
) -> Verdict:
    if not policies:
        reason = Reason("the policy is empty, and an empty policy denies", "leave policy out: Options() has one")
        return Verdict(name, allowed=False, reasons=(reason,))
    parts = tuple(policy.decide(evidence) for policy in policies)
    return Verdict(name, holds(part.allowed for part in parts), parts=parts)


@dataclass(frozen=True, slots=True)
class NothingWorseThan:
    """Denies a load that uses a file worse than `worst`. Files that the load leaves out do not count."""

    worst: Status = Status.UNVERIFIED

    def decide(self, evidence: Evidence) -> Verdict:
        reasons = tuple(
            _from_finding(finding)
            for file in evidence.report.files
            if file.used
            for finding in file.findings
            if finding.status > self.worst
        )
        return Verdict("files", allowed=not reasons, reasons=reasons)


def _from_finding(finding: Finding) -> Reason:
    return Reason(
        f"{finding.status}: {finding.location}: {finding.message}",
        finding.remedy or f"safeload scan {escape(finding.location.file)}",
        (finding.location, *finding.related),
    )


@dataclass(frozen=True, slots=True)
class OnlyApprovedCode:
    """Denies a load that needs code from the model, unless an approval names exactly that code."""

    def decide(self, evidence: Evidence) -> Verdict:
        approved = {approval.closure for approval in evidence.approvals}
        reasons = tuple(
            Reason(
                f"{escape(need.why)} asks to run code from the model, which nobody approved: "
                + ", ".join(escape(file) for file in need.files),
                f"read it, then: safeload approve {escape(evidence.reference)} --criteria safe-to-run --as YOU",
                tuple(Location(file) for file in need.files),
            )
            for need in evidence.code
            if not need.closure or need.closure not in approved
        )
        return Verdict("code", allowed=not reasons, reasons=reasons)


@dataclass(frozen=True, slots=True)
class NothingDiffers:
    """Denies what is not as a lock or a signature says, with every difference at once."""

    def decide(self, evidence: Evidence) -> Verdict:
        reasons = tuple(
            Reason(f"{differs.kind}: {differs.message}", differs.remedy or "safeload policy explain REF", _at(differs))
            for differs in evidence.differences
        )
        return Verdict("unchanged", allowed=not reasons, reasons=reasons)


def _at(differs: Difference) -> tuple[Location, ...]:
    return (Location(differs.file),) if differs.file else ()


@dataclass(frozen=True, slots=True)
class NothingRevoked:
    """Denies what bears a revoked mark, whatever else speaks for it. `revoked` gives each mark's reason."""

    revoked: tuple[tuple[str, str], ...] = ()

    def decide(self, evidence: Evidence) -> Verdict:
        reasons = tuple(
            Reason(f"revoked: {escape(mark)}" + (f" ({escape(why)})" if why else ""), "lock or sign another revision")
            for mark, why in self.revoked
            if mark in evidence.marks
        )
        return Verdict("revoked", allowed=not reasons, reasons=reasons)


@dataclass(frozen=True, slots=True)
class Locked:
    """Denies what no lock names."""

    def decide(self, evidence: Evidence) -> Verdict:
        reason = Reason("it is in no lock", f"safeload lock {escape(evidence.reference)}")
        return Verdict("locked", evidence.lock is not None, () if evidence.lock is not None else (reason,))


@dataclass(frozen=True, slots=True)
class SignedBy:
    """Denies unless `threshold` different ones of `signers`, each by a key of its own, signed all that is used.

    With `locked`, signatures that a lock recorded when the model entered it count as well.
    """

    signers: frozenset[str]
    threshold: int = 1
    locked: bool = False

    def decide(self, evidence: Evidence) -> Verdict:
        found = evidence.signatures + (evidence.lock.signatures if self.locked and evidence.lock else ())
        keys: dict[str, set[str]] = {}
        for signed in found:
            if signed.signer in self.signers and signed.covers >= evidence.digests.keys():
                keys.setdefault(signed.signer, set()).add(signed.identity)
        count, wanted = _pairs(keys), max(self.threshold, 1)
        people = sorted({f"{escape(one.signer)} ({escape(one.identity)})" for one in found})
        seen = ", ".join(people) or "nobody we know"
        names = ", ".join(map(escape, sorted(self.signers)))
        why = "".join(f"; {failure}" for failure in evidence.failures)
        message = f"{count} of the {wanted} signers needed ({names}) signed all that is used; signed by {seen}{why}"
        reason = Reason(message, f"safeload policy explain {escape(evidence.reference)}")
        return Verdict("signed", count >= wanted, () if count >= wanted else (reason,))


def _pairs(keys: Mapping[str, set[str]]) -> int:
    """How many signers can be given a key of their own: a key that goes by two names counts once."""
    owner: dict[str, str] = {}
    return sum(_pair(signer, keys, owner, set()) for signer in sorted(keys))


def _pair(signer: str, keys: Mapping[str, set[str]], owner: dict[str, str], tried: set[str]) -> bool:
    """Give this signer a key, if need be one that its owner can replace by another. Never deeper than the signers."""
    for key in sorted(keys[signer]):
        if key not in tried:
            tried.add(key)
            if key not in owner or _pair(owner[key], keys, owner, tried):
                owner[key] = signer
                return True
    return False


DEFAULT_POLICY = AllOf((NothingWorseThan(), OnlyApprovedCode()))
"""What holds when nobody wrote a policy: everything we can read loads, nothing dangerous does, no code runs."""
