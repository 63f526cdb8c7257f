"""The file is several formats at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.formats.base import Irregularity, Part
from safeload.rules import samples
from safeload.rules.base import Context, Rule


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if isinstance(part, Irregularity) and part.kind == "polyglot":
        yield rule.finding(part.location, part.detail)


def _bad() -> Iterable[Part]:
    yield samples.irregular("polyglot", two_readings=True)


def _good() -> Iterable[Part]:
    yield samples.irregular("name-disagrees")


RULE = Rule(
    id="polyglot",
    title="the file is several formats at once",
    why=(
        "A file that is a pickle from its beginning and an archive from its end is read as one by this program and as "
        "the other by that. No tool writes such files by accident."
    ),
    status=Status.DANGEROUS,
    severity=Severity.HIGH,
    confidence=Confidence.LIKELY,
    remedy="do not load it with anything else; ask its author for a safetensors version",
    taxonomy=("CWE-436",),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Irregularity,),
    names=("polyglot",),
)
