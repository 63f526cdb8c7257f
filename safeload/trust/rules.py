"""What a policy file means for one model: which of its rules applies, and the policy that follows.

1. The rule with the most specific pattern applies: exact before any glob, then the longest text before the first `*`.
   Two that are equally specific are an error. `*` never crosses `/`; `**` does.
2. A model of no rule has `[defaults]`.
3. A rule that has expired refuses its models: that something ran out must not loosen anything.
4. Revocations come first, and neither `mode = "warn"` nor any rule relaxes them.
5. Layers are ANDed: each one must allow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from safeload.core.errors import ConfigError
from safeload.core.evidence import Evidence
from safeload.core.finding import Status
from safeload.core.names import escape
from safeload.core.policy import AllOf, Locked, NothingRevoked, Policy, Reason, SignedBy, Verdict
from safeload.trust.policy_file import REMEDY, PolicyFile, Rule, Settings

PICKLED = frozenset(
    {"pickle", "joblib", "torch-zip", "torch-legacy", "torch-tar", "torch-distcp", "torchscript", "pt2"}
)
"""Formats that are pickles, or hold them."""
MAY_PICKLE = PICKLED | {"npy", "npz"}
"""And those that can: arrays of objects."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The part of one policy file that is about one model."""

    policy: PolicyFile
    settings: Settings
    rule: Rule | None = None
    pattern: str = ""

    @property
    def place(self) -> str:
        """Which part of which file this is."""
        return f"{self.policy.file} » {self.rule.place if self.rule else 'defaults'}"

    @property
    def from_lock(self) -> bool:
        """Whether signatures that a lock recorded count.

        In a project's own file they do, unless it says otherwise. The layers above it do not take a project's word:
        whoever writes its lock could write anything there.
        """
        return (self.settings.reverify or ("lock" if self.policy.layer == "project" else "load")) == "lock"


def matches(pattern: str, target: str) -> bool:
    """Whether a pattern of a rule matches a model: `org/name` in small letters, or `path:/absolute/path`."""
    pieces = (".*" if p == "**" else "[^/]*" if p == "*" else re.escape(p) for p in re.split(r"(\*\*|\*)", pattern))
    return re.fullmatch("".join(pieces), target, re.DOTALL) is not None


def specificity(pattern: str) -> tuple[bool, int]:
    """Whether it is exact, and how long its literal beginning is. The greater is the more specific."""
    literal = pattern.partition("*")[0]
    return literal == pattern, len(literal)


def apply(policy: PolicyFile, targets: tuple[str, ...]) -> Applied:
    """What a policy file says of a model. `targets` are its names, which are the same thing (see `matches`).

    Raises:
        ConfigError: two rules match it equally well.
    """
    found = [
        (specificity(pattern), pattern, rule)
        for rule in policy.rules
        for pattern in rule.patterns
        if any(matches(pattern, target) for target in targets)
    ]
    if not found:
        return Applied(policy, policy.defaults)
    best = max(rank for rank, _, _ in found)
    chosen = [(pattern, rule) for rank, pattern, rule in found if rank == best]
    if any(rule is not chosen[0][1] for _, rule in chosen):
        both = " and ".join(f"{rule.place} ({escape(pattern)})" for pattern, rule in chosen)
        raise ConfigError(
            f"{escape(policy.file)} does not say which rule applies to {escape(targets[0])}",
            where=f"{escape(policy.file)} » {chosen[-1][1].place}.match",
            why=f"{both} match it equally well",
            remedy=REMEDY,
        )
    pattern, rule = chosen[0]
    return Applied(policy, rule.settings, rule, pattern)


def revocations(policy: PolicyFile, today: date) -> NothingRevoked:
    """What the file revokes as of today."""
    inforce = (one for one in policy.revoked if one.since is None or one.since <= today)
    return NothingRevoked(tuple((one.mark, one.reason) for one in inforce))


def qualified(policy: PolicyFile, name: str) -> str:
    """A signer's name where several layers meet: `acme` in the project's file, `system:acme`, `user:acme` in others.

    A project may use a name that a layer above it uses, and must not become that signer by it.
    """
    return name if policy.layer == "project" else f"{policy.layer}:{name}"


def requirement(applied: Applied, *, entering: bool = False) -> Policy | None:
    """What the model needs of locks and signers; `None` if nothing. `entering` a lock, it needs no lock."""
    need, parts = applied.settings.require, list[Policy]()
    if need.locked and not entering:
        parts.append(Locked())
    if need.of:
        of = frozenset(qualified(applied.policy, name) for name in need.of)
        parts.append(SignedBy(of, need.threshold, locked=applied.from_lock and not entering))
    return AllOf(tuple(parts)) if parts else None


def decision(applied: Applied, today: date, *, entering: bool = False) -> Policy:
    """The policy of one layer for one model.

    `entering` a lock, only what is about signers is asked, of signatures that hold now.
    """
    settings, parts = applied.settings, list[Policy]()
    if needed := requirement(applied, entering=entering):
        parts.append(needed)
    if not entering:
        if settings.formats is not None:
            parts.append(OnlyFormats(settings.formats))
        if settings.pickle != "convert":
            parts.append(Pickles(allowed=settings.pickle == "restricted"))
        if settings.remote_code == "deny":
            parts.append(NoCode())
    rules: tuple[Policy, ...] = (Named(applied.place, AllOf(tuple(parts))),) if parts else ()
    if settings.mode == "warn":
        rules = tuple(Warned(rule) for rule in rules)
    if applied.rule and applied.rule.expires and applied.rule.expires < today:
        rules = (*rules, Expired(applied.place, applied.rule.expires.isoformat()))
    return AllOf((revocations(applied.policy, today), *rules))


@dataclass(frozen=True, slots=True)
class Named:
    """Says of each denial which part of which file stands behind it."""

    place: str
    policy: Policy

    def decide(self, evidence: Evidence) -> Verdict:
        inner = self.policy.decide(evidence)
        reasons = tuple(Reason(f"{r.message} [{escape(self.place)}]", r.remedy, r.locations) for r in inner.denials())
        return Verdict(self.place, inner.allowed, reasons)


@dataclass(frozen=True, slots=True)
class Warned:
    """Allows, and keeps what would have denied as reasons."""

    policy: Policy

    def decide(self, evidence: Evidence) -> Verdict:
        return Verdict("warn", allowed=True, reasons=self.policy.decide(evidence).denials())


@dataclass(frozen=True, slots=True)
class Expired:
    """Denies: the rule that matches has run out."""

    place: str
    day: str

    def decide(self, evidence: Evidence) -> Verdict:
        why = f"the rule that matches expired on {self.day} [{escape(self.place)}]"
        return Verdict("expired", allowed=False, reasons=(Reason(why, "renew the rule, or remove it"),))


@dataclass(frozen=True, slots=True)
class OnlyFormats:
    """Denies a load that uses a file of another format."""

    formats: frozenset[str]

    def decide(self, evidence: Evidence) -> Verdict:
        reasons = tuple(
            Reason(
                f"{escape(file.path)} is {escape(file.format)}, and formats are {', '.join(sorted(self.formats))}",
                f"safeload convert {escape(evidence.reference)}, or add the format to the policy",
            )
            for file in evidence.report.files
            if file.used and file.format not in self.formats
        )
        return Verdict("formats", allowed=not reasons, reasons=reasons)


@dataclass(frozen=True, slots=True)
class Pickles:
    """Denies a load that uses a pickle; `allowed`, one in which anything is not on the allowlist."""

    allowed: bool = False

    def decide(self, evidence: Evidence) -> Verdict:
        reasons = tuple(
            Reason(
                f"{escape(file.path)} is a pickle ({escape(file.format)}, {file.status})",
                f"safeload convert {escape(evidence.reference)}",
            )
            for file in evidence.report.files
            if file.used and file.format in MAY_PICKLE and not (self.allowed and file.status is Status.SAFE)
        )
        return Verdict("pickle", allowed=not reasons, reasons=reasons)


@dataclass(frozen=True, slots=True)
class NoCode:
    """Denies a load that needs code from the model, approved or not."""

    def decide(self, evidence: Evidence) -> Verdict:
        reasons = tuple(
            Reason(f"{escape(need.why)} asks to run code from the model", "choose a model without code")
            for need in evidence.code
        )
        return Verdict("no-code", allowed=not reasons, reasons=reasons)
