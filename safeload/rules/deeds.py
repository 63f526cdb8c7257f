"""From the deeds of a studied pickle to findings: what the rules about pickles share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from safeload.core.finding import Finding, Severity, Status
from safeload.formats.base import Part, PickleStream
from safeload.rules.base import Context, Rule
from safeload.rules.study import Deed, Study, study

_ALONE = 20
"""Findings about one subject that are listed one by one."""
_RELATED = 50
_SUBJECTS = 200
"""Subjects that findings are made about; the rest of a rule's is summed up, as a report would do anyway."""
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


def every(rule: Rule, part: Part, context: Context, kind: str) -> Iterable[Finding]:
    """One finding for each deed; of a subject that is repeated very often, the rest in its last one."""
    if isinstance(part, PickleStream) and (found := studied(part, context).of(kind)):
        return _every(rule, part, found)
    return ()  # nearly always


def _every(rule: Rule, part: PickleStream, found: list[Deed]) -> Iterator[Finding]:
    groups: dict[str, list[Deed]] = {}
    for deed in found:
        groups.setdefault(deed.subject, []).append(deed)
    for deeds in _few(groups):
        first = _in_order(deeds)
        for offset, deed in first[: _ALONE - 1]:
            yield _finding(rule, part, [(offset, deed)], 1)
        if first[_ALONE - 1 :]:
            yield _finding(rule, part, first[_ALONE - 1 :], _times(deeds) - _ALONE + 1)


def once(rule: Rule, part: Part, context: Context, kind: str) -> Iterable[Finding]:
    """One finding for each subject, at its first place and with the others related."""
    if isinstance(part, PickleStream) and (found := studied(part, context).of(kind)):
        return _once(rule, part, found)
    return ()


def _once(rule: Rule, part: PickleStream, found: list[Deed]) -> Iterator[Finding]:
    groups: dict[tuple[str, Status], list[Deed]] = {}
    for deed in found:
        groups.setdefault((deed.subject, deed.status), []).append(deed)
    for deeds in _few(groups):
        yield _finding(rule, part, _in_order(deeds), _times(deeds))


_Key = TypeVar("_Key")


def _few(groups: dict[_Key, list[Deed]]) -> Iterator[list[Deed]]:
    """The first groups as they are; of all others, those of each status as one."""
    rest: dict[Status, list[Deed]] = {}
    for number, deeds in enumerate(groups.values()):
        if number < _SUBJECTS:
            yield deeds
        else:
            for deed in deeds:
                rest.setdefault(deed.status, []).append(deed)
    yield from rest.values()


def _times(deeds: list[Deed]) -> int:
    return sum(1 + len(deed.again) for deed in deeds)


def _in_order(deeds: list[Deed]) -> list[tuple[int, Deed]]:
    """Where deeds are done, by offset: as many places as findings may name."""
    most = _ALONE + _RELATED
    places = [(offset, deed) for deed in deeds[:most] for offset in (deed.offset, *sorted(deed.again)[:most])]
    return sorted(places, key=lambda place: place[0])[:most]


def _finding(rule: Rule, part: PickleStream, places: list[tuple[int, Deed]], times: int) -> Finding:
    offset, first = places[0]
    more = f" (and {times - 1:,} times more)" if times > 1 else ""
    return rule.finding(
        part.location.at(offset),
        first.message + more,
        status=first.status,
        severity=rule.severity if first.status is rule.status else Severity.MEDIUM,
        evidence=first.evidence,
        related=tuple(part.location.at(offset) for offset, _ in places[1:_RELATED]),
    )
