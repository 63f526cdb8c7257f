"""Two readings of a template, made comparable: what it names, by safeload's parser and by the jinja2 library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.ext import Extension, do, loopcontrols

from safeload.formats.jinja.nodes import Expr, Stmt
from safeload.formats.jinja.parser import parse

Named = Counter[tuple[str, object]]
_OWN = {"name": "name", "attr": "attr", "filter": "filter", "test": "test"}


class Generation(Extension):
    """The tag that transformers adds."""

    tags = frozenset({"generation"})

    def parse(self, parser: object) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body).set_lineno(line)


ENVIRONMENT = Environment(extensions=[Generation, loopcontrols, do])


def theirs(template: str) -> Named | None:
    """What jinja2 finds named; `None` if it refuses the template."""
    try:
        tree = ENVIRONMENT.parse(template)
    except (TemplateSyntaxError, RecursionError):
        return None
    found: Named = Counter()
    for node in tree.find_all(nodes.Node):
        if isinstance(node, nodes.Getattr):
            found["attr", node.attr] += 1
        elif isinstance(node, nodes.Filter):
            found["filter", node.name] += 1
        elif isinstance(node, nodes.Test):
            found["test", node.name] += 1
        elif isinstance(node, nodes.Call):
            found["call", len(node.args) + len(node.kwargs)] += 1
        elif isinstance(node, nodes.Name) and node.ctx == "load":
            found["name", node.name] += 1
        elif isinstance(node, nodes.Const) and isinstance(node.value, str):
            found["const", node.value] += 1
    return found


def ours(template: str) -> Named | None:
    """The same by safeload's parser; `None` if there is a fault."""
    tree = parse(template)
    if tree.fault is not None:
        return None
    found: Named = Counter()
    for expr in _expressions(tree.body):
        if expr.kind == "attr" and str(expr.value).isdigit():
            continue  # `x.5` is a subscript to jinja2
        if expr.kind in _OWN:
            found[_OWN[expr.kind], expr.value] += 1
        elif expr.kind == "call":
            found["call", sum(item.kind != "rest" for item in expr.of[1:]) + len(expr.named)] += 1
        elif expr.kind == "const" and isinstance(expr.value, str):
            found["const", expr.value] += 1
    del found["name", "(block)"]
    return found


def _expressions(body: Iterable[Stmt]) -> Iterator[Expr]:
    for statement in body:
        if statement.kind in ("include", "import", "from", "extends", "autoescape"):
            continue
        yield from (inner for expr in statement.exprs for inner in _inside(expr))
        for condition, branch in statement.branches:
            if condition is not None:
                yield from _inside(condition)
            yield from _expressions(branch)
        yield from _expressions(statement.body)


def _inside(expr: Expr) -> Iterator[Expr]:
    yield expr
    for inner in (*expr.of, *(value for _, value in expr.named)):
        yield from _inside(inner)
