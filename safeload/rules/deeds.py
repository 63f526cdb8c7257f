"""From the deeds of a studied pickle to findings: what the rules about pickles share."""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.finding import Finding, Severity, Status
from safeload.formats.base import Part, PickleStream
from safeload.rules.base import Context, Rule
from safeload.rules.study import Deed, Study, study

_ALONE = 20
"""Findings about one subject that are listed one by one."""
_RELATED = 50
LEAVE_IT = (
    "do not load it with anything else; to see all of it: safeload scan {file} --json; "
    "to keep only its weights: Options(unsafe_convert_dangerous=True)"
)
"""The remedy for what would act."""


def studied(part: PickleStream, context: Context) -> Study:
    """The study of a stream; worked out once per file for all rules."""
    known = context.memo.get(id(part))
    if not isinstance(known, Study):
        known = context.memo[id(part)] = study(part.reading, context.allowlist)
    return known


def every(rule: Rule, part: Part, context: Context, kind: str) -> Iterator[Finding]:
    """One finding for each deed; of a subject that is repeated very often, the rest in its last one."""
    if not isinstance(part, PickleStream):
        return
    groups: dict[str, list[Deed]] = {}
    for deed in studied(part, context).of(kind):
        groups.setdefault(deed.subject, []).append(deed)
    for deeds in groups.values():
        for deed in deeds[: _ALONE - 1]:
            yield _finding(rule, part, [deed])
        if deeds[_ALONE - 1 :]:
            yield _finding(rule, part, deeds[_ALONE - 1 :])


def once(rule: Rule, part: Part, context: Context, kind: str) -> Iterator[Finding]:
    """One finding for each subject, at its first place and with the others related."""
    if not isinstance(part, PickleStream):
        return
    groups: dict[tuple[str, Status], list[Deed]] = {}
    for deed in studied(part, context).of(kind):
        groups.setdefault((deed.subject, deed.status), []).append(deed)
    for deeds in groups.values():
        yield _finding(rule, part, deeds)


def _finding(rule: Rule, part: PickleStream, deeds: list[Deed]) -> Finding:
    first = deeds[0]
    more = f" (and {len(deeds) - 1:,} times more)" if len(deeds) > 1 else ""
    return rule.finding(
        part.location.at(first.offset),
        first.message + more,
        status=first.status,
        severity=rule.severity if first.status is rule.status else Severity.MEDIUM,
        evidence=first.evidence,
        related=tuple(part.location.at(deed.offset) for deed in deeds[1:_RELATED]),
    )
