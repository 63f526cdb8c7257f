"""A container or encoding is not as its specification says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.formats.base import Irregularity, Part
from safeload.rules import samples
from safeload.rules.base import Context, Rule

_ESCAPES = ("traversal", "absolute-name", "symlink")
"""Words in a kind that mean: unpacking it would write elsewhere."""
_DAMAGED = ("truncated", "checksum", "size-wrong", "no-local-header", "multi-disk", "encrypted", "too-deep", "damaged")
"""Words in a kind that mean: something could not be read, or not as it was written."""
_NAMED = frozenset({"name-disagrees", "polyglot"})
"""Kinds that have a rule of their own."""


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not isinstance(part, Irregularity) or part.kind in _NAMED:
        return
    status, severity = judged(part)
    yield rule.finding(part.location, f"{part.kind}: {part.detail}", status=status, severity=severity)


def judged(part: Irregularity) -> tuple[Status, Severity]:
    """What an irregularity makes of a file. A kind that nobody thought of is never ignored."""
    if part.two_readings or any(word in part.kind for word in _ESCAPES):
        return Status.DANGEROUS, Severity.HIGH
    if any(word in part.kind for word in _DAMAGED):
        return Status.UNDECIDED, Severity.MEDIUM
    return Status.UNVERIFIED, Severity.LOW


def _bad() -> Iterable[Part]:
    yield samples.irregular("zip-duplicate-name", two_readings=True)
    yield samples.irregular("zip-traversal-name")
    yield samples.irregular("a-kind-nobody-thought-of")


def _good() -> Iterable[Part]:
    yield samples.pickled(b"N.")


RULE = Rule(
    id="container-irregular",
    title="a container is not as its specification says",
    why=(
        "Archives say most things twice, and loaders differ in which they believe: two members of one name, a local "
        "header that contradicts the directory, keys that stand twice in a JSON object. Where real readers are known "
        "to get different content from the same bytes, or a name would escape when unpacked, the file is dangerous; "
        "where something is damaged it is undecided; any other irregularity leaves it unverified."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.LOW,
    confidence=Confidence.CERTAIN,
    remedy="fetch the file again; if it stays so, ask its author how it was written",
    taxonomy=("CWE-436", "CWE-22"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Irregularity,),
)
