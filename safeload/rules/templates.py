"""What the rules about chat templates share: one reading of each template, and how a place in it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from safeload.core.finding import Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Part, Template
from safeload.formats.jinja.facts import Asked, Facts, expressions, read_facts
from safeload.formats.jinja.lexer import Token, tokens
from safeload.formats.jinja.nodes import Expr
from safeload.formats.jinja.parser import LARGEST
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


def facts_of(part: Template, context: Context) -> Facts:
    """The facts of a template, read once for all rules."""
    known = context.memo.get(id(part))
    if not isinstance(known, Facts):
        known = context.memo[id(part)] = read_facts(part.text)
    return known


def code_of(part: Template) -> list[Token]:
    """The tokens of its code; of one that is too long to be read, those of its beginning."""
    return list(tokens(part.text[:LARGEST]))


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
