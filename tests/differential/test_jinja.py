"""Safeload's reading of templates beside the jinja2 library's: what that accepts, ours reads, and finds the same in."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import transformers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.differential.jinja_readers import ours, theirs

NAMES = st.sampled_from(["x", "messages", "loop", "ns", "content", "namespace"])
CONSTANTS = st.sampled_from(["'a'", '"b\\n"', "1", "2.5", "0x1f", "1_000", "true", "None", "[]", "{}", "()", "'}}'"])

OPERATORS = ("+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", ">=", "and", "or", "in")


def _extend(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    return st.one_of(
        pair.map(lambda p: f"{p[0]} ~ {p[1]}"),
        st.tuples(inner, st.sampled_from(OPERATORS), inner).map(" ".join),
        pair.map(lambda p: f"{p[0]} not in {p[1]}"),
        pair.map(lambda p: f"({p[0]}, {p[1]},)"),
        pair.map(lambda p: f"[{p[0]}, {p[1]}]"),
        pair.map(lambda p: f"{{{p[0]}: {p[1]}}}"),
        pair.map(lambda p: f"x[{p[0]}:{p[1]}]"),
        pair.map(lambda p: f"x[{p[0]}]({p[1]}, k={p[0]}, *x, **y)"),
        pair.map(lambda p: f"({p[0]} if {p[1]})"),
        st.tuples(inner, inner, inner).map(lambda p: f"{p[0]} if {p[1]} else {p[2]}"),
        inner.map(lambda e: f"({e}).a.b"),
        inner.map(lambda e: f"({e})|default({e}, true)|upper"),
        inner.map(lambda e: f"({e}) is not none"),
        inner.map(lambda e: f"({e}) is divisibleby 3"),
        inner.map(lambda e: f"x is sameas({e}) and y"),
        inner.map(lambda e: f"not {e}"),
        inner.map(lambda e: f"-({e})|abs"),
        inner.map(lambda e: f"x[::-1][{e}, 1:]"),
        inner.map(lambda e: f"'a' 'b' ~ {e}"),
    )


EXPRESSIONS = st.recursive(NAMES | CONSTANTS, _extend, max_leaves=6)


def _statements(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    with_body = st.tuples(EXPRESSIONS, inner)
    return st.one_of(
        with_body.map(lambda p: f"{{% if {p[0]} %}}{p[1]}{{% elif x %}}b{{%- else -%}}{p[1]}{{% endif %}}"),
        with_body.map(lambda p: f"{{%- for a, b in ({p[0]}) if a recursive %}}{p[1]}{{% else %}}c{{% endfor +%}}"),
        with_body.map(lambda p: f"{{% macro m(a, b={p[0]}) %}}{p[1]}{{% endmacro %}}"),
        with_body.map(lambda p: f"{{% set y | trim | replace('a', 'b') %}}{p[1]}{{% endset %}}"),
        with_body.map(lambda p: f"{{% filter indent(2) | upper %}}{p[1]}{{% endfilter %}}"),
        with_body.map(lambda p: f"{{% call(u) m({p[0]}) %}}{p[1]}{{% endcall %}}"),
        with_body.map(lambda p: f"{{% with a = {p[0]}, b = 1 %}}{p[1]}{{% endwith %}}"),
        with_body.map(lambda p: f"{{% generation %}}{p[1]}{{% endgeneration %}}{{# {p[0]} #}}"),
        with_body.map(lambda p: f"{{% block z scoped %}}{p[1]}{{% endblock z %}}{{% do x.append({p[0]}) %}}"),
        st.tuples(inner, inner).map("".join),
    )


OUTPUT = EXPRESSIONS.map(lambda e: f"{{{{ {e} }}}}") | EXPRESSIONS.map(lambda e: f"{{% set v = {e} %}}")
OTHER = st.sampled_from(
    ["text", "{ % } %}", "{% raw %}{{ x }}{% endraw %}", "{#} {{ x }} #}", "{{- x -}}", "{%set a,b=x%}"]
)
TEMPLATES = st.recursive(OUTPUT | OTHER, _statements, max_leaves=5)


@example("{{ 'a' ~ not (x) }}")
@example("{{ (x is not none if (y).a) }}")
@settings(max_examples=300, deadline=None)
@given(TEMPLATES)
def test_what_jinja_accepts_is_read_as_jinja_reads_it(template: str) -> None:
    """Every name, attribute, filter, test, call and string that jinja2 finds, ours finds as often."""
    expected = theirs(template)
    if expected is not None:
        assert ours(template) == expected


@settings(max_examples=300, deadline=None)
@given(
    TEMPLATES, st.integers(0, 400), st.sampled_from(["", "(", "}}", "%}", "'", "|", "}", "#}", "-", ".a", "{%", ":"])
)
def test_a_template_that_is_damaged_is_not_read_as_another(template: str, at: int, piece: str) -> None:
    """With a piece put in or taken out anywhere: what jinja2 still accepts, ours does not read otherwise."""
    damaged = template[: at % (len(template) + 1)] + piece + template[at % (len(template) + 1) + (not piece) :]
    expected, found = theirs(damaged), ours(damaged)
    assert expected is None or found is None or found == expected


def _in_transformers() -> list[tuple[str, str]]:
    folder = Path(transformers.__file__).parent
    found = []
    for path in sorted(folder.glob("models/*/*.py")):
        text = path.read_text("utf-8")
        if "{%" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and "{% " in node.value.replace("{%-", "{% ")
            ):
                found.append((f"{path.name}:{node.lineno}", node.value))
    return found


@pytest.mark.parametrize(("place", "template"), _in_transformers())
def test_the_templates_of_transformers_are_read_as_jinja_reads_them(place: str, template: str) -> None:
    """The templates that the library has in its own source, a decision template among them."""
    expected = theirs(template)
    if expected is not None:  # a piece of one, or an example in words
        assert ours(template) == expected
