"""The registry of rules, and the one way to judge a file: by every rule that looks at a kind of part it has.

Each module of this folder that defines `RULE` is a rule; nothing else has to be told about it.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Iterator

from safeload.core.errors import MalformedInput
from safeload.core.finding import Finding
from safeload.core.frozen import replace
from safeload.core.names import Location, escape
from safeload.formats.base import Part, PickleStream
from safeload.index import RULES
from safeload.registry import indexed, modules
from safeload.rules import unreadable
from safeload.rules.base import Context, Rule

_LOOKING: dict[type[Part], tuple[Rule, ...]] = {}
_MOST = 100
"""Findings of one rule that are listed one by one for a file; the others are counted in one more."""


@functools.cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule of this folder, by id."""
    found = [rule for module in modules(__path__) if (rule := _defined(module)) is not None]
    return tuple(sorted(found, key=lambda rule: rule.id))


@functools.cache
def _modules() -> dict[str, int]:
    return modules(__path__)


def _defined(module: str) -> Rule | None:
    rule = getattr(importlib.import_module(f"{__name__}.{module}"), "RULE", None)
    return rule if isinstance(rule, Rule) else None


def _rules_for(kind: type[Part]) -> tuple[Rule, ...]:
    """The rules that look at a kind of part, by id. Imports only those, and modules that the index does not name."""
    if (known := _LOOKING.get(kind)) is not None:
        return known
    line = {f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__}
    found = []
    for name, size in _modules().items():
        looks_at = indexed(RULES, name, size)
        if looks_at is None or not line.isdisjoint(looks_at):
            rule = _defined(name)
            if rule is not None and issubclass(kind, rule.looks_at):
                found.append(rule)
    _LOOKING[kind] = tuple(sorted(found, key=lambda rule: rule.id))
    return _LOOKING[kind]


def judge(
    parts: Iterable[Part],
    context: Context,
    *,
    fault: MalformedInput | None = None,
    location: Location | None = None,
) -> tuple[Finding, ...]:
    """What all rules find in the parts of one file, in the order of the parts.

    Never raises for what a file holds, and never stays silent about a file that was not read: without parts, or with a
    fault, there is a finding that makes it undecided.

    Args:
        parts: everything that the formats found in the file.
        context: the allowlist, and what else is known.
        fault: why a reader stopped early, if one did.
        location: the file, for a file that has no parts.
    """
    listed = tuple(parts)
    findings: list[Finding] = []
    for part in listed:
        for rule in _rules_for(type(part)):
            findings += rule.check(rule, part, context)
    if fault is not None and not any(isinstance(part, PickleStream) and part.reading.fault is fault for part in listed):
        findings.append(unreadable.from_error(fault, location or (listed[0].location if listed else None)))
    if fault is None and not listed:
        findings.append(unreadable.without_parts(location))
    if not findings:
        return ()
    return tuple(_addressed(finding, context.shown) for finding in _bounded(findings))


def _addressed(finding: Finding, shown: str) -> Finding:
    """The finding with a remedy that names the file so that it can be pasted."""
    if "{file}" not in finding.remedy:
        return finding
    import shlex

    found = escape(shown or finding.location.file)
    name = "FILE" if found in ("<stream>", "<buffer>") else shlex.quote(found)  # bytes that nobody can name
    return replace(finding, remedy=finding.remedy.replace("{file}", name))


def _bounded(findings: list[Finding]) -> Iterator[Finding]:
    """All findings, but of a rule with very many only the first, and one for the rest that is as bad as its worst."""
    seen: dict[str, int] = {}
    rest: dict[str, list[Finding]] = {}
    for finding in findings:
        seen[finding.rule] = seen.get(finding.rule, 0) + 1
        if seen[finding.rule] <= _MOST:
            yield finding
        else:
            rest.setdefault(finding.rule, []).append(finding)
    for more in rest.values():
        yield _summary(more)


def _summary(findings: list[Finding]) -> Finding:
    worst = max(findings, key=lambda finding: (finding.status, finding.severity))
    return Finding(
        rule=worst.rule,
        status=worst.status,
        severity=worst.severity,
        confidence=worst.confidence,
        location=worst.location,
        message=f"{len(findings):,} more findings of this rule, the worst of which: {worst.message}",
        remedy=worst.remedy,
        evidence=worst.evidence,
        related=tuple(finding.location for finding in findings[:_MOST]),
        taxonomy=worst.taxonomy,
    )
