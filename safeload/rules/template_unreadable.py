"""A chat template is not Jinja."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Part, Template
from safeload.formats.jinja.facts import Facts
from safeload.rules import samples
from safeload.rules.base import Rule
from safeload.rules.templates import Found, checking


def _look(facts: Facts) -> Iterator[Found]:
    if facts.fault is not None:
        yield facts.fault.offset, f"cannot be read: {escape(facts.fault.why)}", None, None


def _bad() -> Iterable[Part]:
    yield samples.template("{% if x %}never closed")
    yield samples.template("{{ x. }}")
    yield samples.template("{% execute 'ls' %}")


def _good() -> Iterable[Part]:
    yield samples.template("{% if x %}{% generation %}{{ x }}{% endgeneration %}{% endif %} { % } %} }}")


RULE = Rule(
    id="template-unreadable",
    title="a chat template cannot be read",
    why=(
        "The template breaks Jinja's grammar, uses a tag that transformers does not know, or is longer or nested "
        "deeper than any template is. Programs differ in what they make of it, so nothing can be said of what it does."
    ),
    status=Status.UNDECIDED,
    severity=Severity.MEDIUM,
    confidence=Confidence.CERTAIN,
    remedy="remove the template and pass a chat_template of your own; safeload templates {file} shows it",
    taxonomy=("CWE-703",),
    check=checking(_look),
    bad=_bad,
    good=_good,
    looks_at=(Template,),
)
