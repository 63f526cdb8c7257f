"""A chat template repeats something far more often than a conversation has turns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Severity, Status
from safeload.formats.base import Part, Template
from safeload.formats.jinja.facts import Facts, expressions, statements
from safeload.formats.jinja.nodes import Expr
from safeload.rules import samples
from safeload.rules.base import Rule
from safeload.rules.templates import Found, checking

_NEVER_ENDS = 10**8
"""Rounds of a loop that take longer than anybody waits."""
_WIDTH = re.compile(r"%[-+ #0]*[0-9]{6,}|\{[^{}]{0,40}:[^{}]{0,20}[0-9]{6,}[^{}]{0,10}\}")
_DOUBLINGS = 20


def _look(facts: Facts) -> Iterator[Found]:
    for one in facts.repeats:
        yield one.offset, f"repeats something at least {one.times:,} times", *_weight(one.times >= _NEVER_ENDS)
    for offset in _doublings(facts):
        yield offset, "doubles a text again and again", *_weight(True)
    for offset, name in _endless(facts):
        yield offset, f"has a macro that always calls itself ({name})", *_weight(True)
    for text in facts.written:
        if _WIDTH.search(text.text):
            yield text.offset, "formats something a million characters wide", *_weight(True)


def _weight(endless: bool) -> tuple[Severity | None, Status | None]:
    return (Severity.HIGH, Status.DANGEROUS) if endless else (None, None)


def _doublings(facts: Facts) -> Iterator[int]:
    """Where a variable gets its own value twice, in a loop or many times over."""
    grown: dict[str, int] = {}
    for one, within in statements(facts.body):
        if one.kind != "set" or len(one.targets) != 1 or not one.exprs:
            continue
        own = _path(one.targets[0])
        size = max((_times(expr, grown) for expr in expressions(one.exprs[0]) if expr.kind == "binary"), default=0)
        if _mentions(one.exprs[0], own) > 1 and within.loops:
            yield one.offset
        grown[own] = min(max(size, 1), 2 * _DOUBLINGS)
        if size > _DOUBLINGS:
            yield one.offset


def _times(expr: Expr, grown: dict[str, int]) -> int:
    """How many doublings are in what a `~` or `+` puts together: one more than in a part that is in it twice."""
    if expr.value not in ("~", "+"):
        return 0
    parts = [_path(item) for item in expr.of if item.kind in ("name", "attr")]
    most = max((grown.get(part, 0) for part in parts), default=0)
    return most + 1 if sum(grown.get(part, 0) == most for part in parts) > 1 else most


def _mentions(expr: Expr, own: str) -> int:
    """How often a concatenation holds the variable as it is."""
    return max(
        (
            sum(_path(item) == own for item in one.of if item.kind in ("name", "attr"))
            for one in expressions(expr)
            if one.kind == "binary" and one.value in ("~", "+")
        ),
        default=0,
    )


def _path(expr: Expr) -> str:
    steps: list[str] = []
    while expr.kind == "attr":
        steps.append(str(expr.value))
        expr = expr.of[0]
    return ".".join([str(expr.value) if expr.kind == "name" else "?", *reversed(steps)])


def _endless(facts: Facts) -> Iterator[tuple[int, str]]:
    """Macros that call themselves whatever they are given."""
    for macro, _ in statements(facts.body):
        if macro.kind != "macro":
            continue
        for one, within in statements(macro.body, macros=False):
            inner = [expr for top in one.exprs for expr in expressions(top)]
            always = not within.asked and not within.loops and all(expr.kind != "cond" for expr in inner)
            if always and any(expr.kind == "call" and expr.of[0].value == macro.value for expr in inner):
                yield one.offset, str(macro.value)[:40]


def _bad() -> Iterable[Part]:
    yield samples.template("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}")
    yield samples.template("{{ 'x' * 1000000000 }}")
    yield samples.template(
        "{% set ns = namespace(a='x') %}{% for m in messages %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}"
    )


def _good() -> Iterable[Part]:
    yield samples.template("{% for i in range(0, messages|length, 2) %}{{ '-' * 40 }}{% endfor %}")
    yield samples.template(
        "{% macro show(x) %}{% for y in x.items %}{{ show(y) }}{% endfor %}{% endmacro %}{{ show(tools[0]) }}"
    )


RULE = Rule(
    id="template-loop",
    title="a chat template loops for very long",
    why=(
        "A template that counts to a billion, or doubles a text with each message, stops the program that renders it, "
        "sandbox or not. Conversations are short, so what repeats anything a hundred thousand times by itself does not "
        "render them. What would take longer than anybody waits, or fill the memory, is dangerous."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.MEDIUM,
    confidence=Confidence.LIKELY,
    remedy="remove the template and pass a chat_template of your own; safeload templates {file} shows it",
    taxonomy=("CWE-834", "CWE-400"),
    check=checking(_look),
    bad=_bad,
    good=_good,
    looks_at=(Template,),
)
