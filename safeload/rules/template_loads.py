"""A chat template loads another template."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Part, Template
from safeload.formats.jinja.facts import Facts, statements
from safeload.rules import samples
from safeload.rules.base import Rule
from safeload.rules.templates import Found, checking

_LOADS = frozenset({"import", "from", "include", "extends"})


def _look(facts: Facts) -> Iterator[Found]:
    for one, _ in statements(facts.body):
        if one.kind in _LOADS:
            named = one.exprs[0].value if one.exprs[0].kind == "const" else None
            which = repr(escape(named, 80)) if isinstance(named, str) else "one whose name it computes"
            yield one.offset, f"would load another template ({one.kind}): {which}", None, None


def _bad() -> Iterable[Part]:
    yield samples.template("{% include '/etc/passwd' %}")
    yield samples.template("{% from messages[0].content import x %}{{ x() }}")
    yield samples.template("{% extends 'base.html' %}")


def _good() -> Iterable[Part]:
    yield samples.template("{% macro show(x) %}{{ x }}{% endmacro %}{{ show('include') }}{# {% include 'x' %} #}")


RULE = Rule(
    id="template-loads-template",
    title="a chat template loads another template",
    why=(
        "`include`, `import`, `from` and `extends` read another template from wherever the program's loader looks: in "
        "a program that serves pages, from its own files. transformers has no loader, so such a template does not "
        "render there; chat templates stand alone."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.MEDIUM,
    confidence=Confidence.CERTAIN,
    remedy="pass a chat_template of your own; safeload templates {file} shows this one",
    taxonomy=("CWE-829", "CWE-98"),
    check=checking(_look),
    bad=_bad,
    good=_good,
    looks_at=(Template,),
)
