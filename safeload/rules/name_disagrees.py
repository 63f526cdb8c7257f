"""The file's name announces another format than its content is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.formats.base import Irregularity, Part
from safeload.rules import samples
from safeload.rules.base import Context, Rule


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if isinstance(part, Irregularity) and part.kind == "name-disagrees":
        yield rule.finding(part.location, part.detail)


def _bad() -> Iterable[Part]:
    yield samples.irregular("name-disagrees")


def _good() -> Iterable[Part]:
    yield samples.irregular("polyglot", two_readings=True)


RULE = Rule(
    id="name-disagrees",
    title="the name announces another format than the content is",
    why=(
        "Some tools choose by name what to look at, and loaders by content what to do: a pickle that is called "
        "`.safetensors` or `.json` is loaded as a pickle by those who try. The content decides whether it is dangerous."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.LOW,
    confidence=Confidence.CERTAIN,
    remedy="rename the file after its content, or: safeload convert {file}",
    taxonomy=("CWE-646",),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Irregularity,),
    names=("name-disagrees",),
)
