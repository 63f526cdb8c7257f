"""An XML model makes its reader fetch, include or run something."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Part, Reference
from safeload.rules import samples
from safeload.rules.base import Context, Rule

_WORDS = {
    "xml-external": (Status.DANGEROUS, "declares an external entity, which readers fetch: {}"),
    "xml-include": (Status.DANGEROUS, "includes another document: {}"),
    "xml-script": (Status.DANGEROUS, "holds a script: {}"),
    "xml-entities": (Status.UNVERIFIED, "declares {} entities of its own, which readers expand without end"),
}


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if isinstance(part, Reference) and part.kind in _WORDS:
        status, words = _WORDS[part.kind]
        severity = rule.severity if status is rule.status else Severity.MEDIUM
        yield rule.finding(part.location, words.format(escape(part.target, 120)), status=status, severity=severity)


def _bad() -> Iterable[Part]:
    yield samples.reference("xml-external", "file:///etc/passwd", "model.pmml", "")
    yield samples.reference("xml-script", "<script", "model.pmml", "")
    yield samples.reference("xml-entities", "9", "model.pmml", "")


def _good() -> Iterable[Part]:
    yield samples.reference("base-model", "org/base")


RULE = Rule(
    id="xml-active",
    title="an XML model fetches, includes or runs something",
    why=(
        "PMML is XML, and many of its readers resolve external entities: a declaration at the top of the file reads "
        "local files or opens connections while the model is parsed. No exporter writes declarations, includes or "
        "scripts."
    ),
    status=Status.DANGEROUS,
    severity=Severity.HIGH,
    confidence=Confidence.LIKELY,
    remedy="do not parse it with a reader that resolves entities; ask its author for a file without a DOCTYPE",
    taxonomy=("CWE-611", "CWE-776", "AML.T0011.000"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Reference,),
)
