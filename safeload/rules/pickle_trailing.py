"""More pickles follow the one that ordinary loaders read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.formats.base import Part, PickleStream
from safeload.rules import samples
from safeload.rules.base import Context, Rule


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not isinstance(part, PickleStream) or part.role != "trailing":
        return
    if context.memo.setdefault(id(RULE), part) is not part:
        return  # said once per file; what the others would do is judged by the rules about pickles
    more = sum(isinstance(other, PickleStream) and other.role == "trailing" for other in context.parts)
    yield rule.finding(
        part.location,
        f"more pickles ({max(more, 1):,}) follow the one that ordinary loaders read; each was read and judged",
    )


def _bad() -> Iterable[Part]:
    yield samples.pickled(b"N.", role="trailing")


def _good() -> Iterable[Part]:
    yield samples.pickled(b"N.")


RULE = Rule(
    id="pickle-trailing",
    title="more pickles follow the first",
    why=(
        "Most loaders stop at the end of the first pickle, and so do many scanners; programs that read on get more. "
        "All of them are judged like the first, so this alone says only that they are there."
    ),
    status=Status.SAFE,
    severity=Severity.NOTE,
    confidence=Confidence.CERTAIN,
    remedy="to keep only the first one's tensors: safeload convert {file}",
    taxonomy=("CWE-502",),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(PickleStream,),
)
