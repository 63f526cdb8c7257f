"""What the rules about chat templates share: one reading of each template, and how a place in it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from safeload.core.finding import Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Part, Template
from safeload.formats.jinja.facts import Asked, Facts, expressions, read_facts
from safeload.formats.jinja.nodes import Expr, Fault
from safeload.formats.jinja.parser import LARGEST, MOST
from safeload.rules.base import Check, Context, Rule

Found = tuple[int, str, Severity | None, Status | None]
"""Where in the template, what it does, and how bad that is if it is not as bad as the rule says."""

READ_IT = "read it: safeload templates {file}; compare it with the original's: --against FILE"


def checking(look: Callable[[Facts], Iterator[Found]]) -> Check:
    """A check that looks at the facts of each template, and says each thing once."""

    def check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
        if not isinstance(part, Template):
            return
        said: set[str] = set()
        for offset, what, severity, status in look(facts_of(part, context)):
            if what not in said:
                said.add(what)
                yield at(rule, part, offset, what, severity=severity, status=status)

    return check


_LEFT = -1
"""Where the context keeps how much of the file's templates may still be read; no part has this identity."""
_ALL = 120_000
"""Tokens of all templates of a file, together; each has at least so many, and its text counts as some:"""
_FEWEST = 20
_TEXT_OF_ONE = 8


def facts_of(part: Template, context: Context) -> Facts:
    """The facts of a template, read once for all rules.

    All templates of a file share what one may have: a file with thousands of them would take minutes. What is beyond
    that has a fault, so the file is undecided.
    """
    known = context.memo.get(id(part))
    if not isinstance(known, Facts):
        left = context.memo.get(_LEFT, _ALL)
        assert isinstance(left, int)
        if left <= 0:
            why = "the file's templates before it are as long as any model's together"
            known = Facts(part.text, (), Fault(why=why, offset=0))
        else:
            known = read_facts(part.text, min(left, MOST))
            spent = max(_FEWEST, len(known.code) + min(len(part.text), LARGEST) // _TEXT_OF_ONE)
            context.memo[_LEFT] = left - spent
        context.memo[id(part)] = known
    return known


def spent(context: Context) -> bool:
    """Whether the file has so many templates that the next one is not read any more."""
    left = context.memo.get(_LEFT, _ALL)
    return isinstance(left, int) and left <= 0


def at(
    rule: Rule,
    part: Template,
    offset: int,
    what: str,
    *,
    severity: Severity | None = None,
    status: Status | None = None,
) -> Finding:
    """A finding at a place in a template: its line is said, because templates are read by line."""
    where = part.location
    if where.path is None:
        where = where.at(len(part.text[:offset].encode("utf-8", "surrogatepass")))
    line = part.text.count("\n", 0, offset) + 1
    text = f"line {line} of the template {what}" if line > 1 or "\n" in part.text else f"the template {what}"
    excerpt = part.text[max(0, offset - 20) : offset + 60]
    return rule.finding(where, text, severity=severity, status=status, evidence=(escape(excerpt),))


def names_in(expr: Expr) -> Iterator[str]:
    """Every name and attribute that an expression mentions."""
    for one in expressions(expr):
        if one.kind in ("name", "attr"):
            yield str(one.value)
        elif one.kind == "item" and isinstance(one.of[1].value, str):
            yield one.of[1].value


def under(asked: tuple[Asked, ...]) -> Iterator[Expr]:
    for one in asked:
        yield one.condition
