"""Templates are read to their end or have a fault; nothing is rendered, and nothing takes long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.blob import MemoryBlob
from safeload.core.errors import LimitExceeded
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.gguf import FORMAT
from safeload.formats.jinja import folding
from safeload.formats.jinja.facts import read_facts
from safeload.formats.jinja.folding import LOST_TEXT, OBJECT_TEXT
from safeload.formats.jinja.lexer import tokens
from safeload.formats.jinja.parser import LARGEST, parse
from tests.corpus.build import gguf

PIECES = (
    *("{{", "}}", "{%", "%}", "{#", "#}", "{%-", "-%}", "if ", "else", "elif ", "endif", "for ", "in ", "endfor"),
    *("set ", "= ", "macro ", "endmacro", "raw", "endraw", "x", ".a", "['a']", "(", ")", "[", "]", "{", "}", ","),
    *("'a'", '"b"', "'", "\\", "1", "2.5", "|", "upper", "is ", "not ", "defined", "~", "+", "-", "**", ":", "\n"),
)
TEMPLATES = st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=200)


@given(TEMPLATES)
def test_any_text_is_a_template_or_has_a_fault(text: str) -> None:
    """Reading is total, tokens cover the text in order, and a fault has a place in it."""
    facts = read_facts(text)
    assert facts.fault is None or 0 <= facts.fault.offset <= len(text)
    offsets = [token.offset for token in tokens(text, text=True)]
    assert offsets == sorted(offsets)


@pytest.mark.parametrize(
    "text",
    [
        "{{ " + "a." * 5_000 + "b }}",
        "{{ " + "a|e" * 5_000 + " }}",
        "{{ " + "(" * 5_000,
        "{{ " + "-" * 5_000 + "1 }}",
        "{{ " + "not " * 5_000 + "a }}",
        "{{ " + "a[" * 5_000,
        "{{ " + "a if b else " * 5_000 + "c }}",
        "{{ " + "x is a b" * 5_000,
        "{% set " + "(" * 5_000,
        "{% if a %}" * 5_000,
        "x" * (LARGEST + 1),
    ],
)
def test_what_nests_too_deep_is_a_fault(text: str) -> None:
    """Depth never reaches Python's own limit: it is a fault of the template."""
    assert parse(text).fault is not None


@pytest.mark.parametrize(
    "text",
    [
        "{{ " + "a ~ " * 20_000 + "b }}",
        "{{ [" + "[1]," * 20_000 + "] }}",
        "{% set a = a ~ a %}" * 2_000 + "{{ x[a] }}",
        "{% for a in b %}" + "{% set a = a ~ 'x' ~ c %}{% set c = c ~ a %}" * 1_000 + "{% endfor %}",
        "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ x[m()] }}",
        "".join(f"{{% macro m{i}() %}}{{{{ m{i + 1}() }}}}{{{{ m{i + 1}() }}}}{{% endmacro %}}" for i in range(40)),
        "{{ ('x'|replace('x', 'x' * 4000))|replace('x', 'x' * 4000) }}",
        "{{ '{:999999999}'.format(1) }}{{ '%999999999d' % 1 }}{{ 'x'.zfill(99999999999) }}{{ 2 ** 99999999999 }}",
    ],
)
def test_what_is_long_or_grows_is_read_all_the_same(text: str) -> None:
    """Chains are no depth, and what would double with each step is not followed to its end."""
    assert read_facts(text).fault is None


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        ("'__cl' ~ 'ass__'", "__class__"),
        ("'__cl' + 'ass__'", "__class__"),
        ("'_' * 2 ~ 'class' ~ '_' * 2", "__class__"),
        ("'__ssalc__'[::-1]", "__class__"),
        ("'__ssalc__'|reverse", "__class__"),
        ("['__cl', 'ass__']|join", "__class__"),
        ("''.join(['__cl', 'ass__'])", "__class__"),
        ("'xxclassxx'|replace('x', '_')", "__class__"),
        ("'xxclassxx'.replace('x', '_')", "__class__"),
        ("'__CLASS__'|lower", "__class__"),
        ("'%c%cclass__'|format(95, 95)", "__class__"),
        ("'%s%s' % ('__cla', 'ss__')", "__class__"),
        ("'{}{}'.format('__cla', 'ss__')", "__class__"),
        ("'{a}ss__'.format(a='__cla')", "__class__"),
        ("['a', '__class__'][1]", "__class__"),
        ("['a', '__class__']|last", "__class__"),
        ("{'k': '__class__'}['k']", "__class__"),
        ("{'k': '__class__'}.k", "__class__"),
        ("{'k': '__class__'}.get('k')", "__class__"),
        ("dict(__class__=1)|list|first", "__class__"),
        ("'a,__class__'.split(',')[-1]", "__class__"),
        ("'x__class__x'[1:-1]", "__class__"),
        ("'role' if y else '__class__'", "__class__"),
        ("y or '__class__'", "__class__"),
        ("('__class__'|default('x'))", "__class__"),
        ("(()|select|string|list)[24] * 2 ~ 'class'", OBJECT_TEXT + "class"),
        ("(lipsum|string)[3]", OBJECT_TEXT),
        ("'abc'|md5", LOST_TEXT),
    ],
)
@pytest.mark.parametrize("through", ["{{{{ z[{0}] }}}}", "{{% set v = {0} %}}{{{{ z[v] }}}}"])
def test_names_are_followed_however_they_are_put_together(expression: str, name: str, through: str) -> None:
    """What constants come to is known through operators, filters, methods, containers and variables."""
    assert name in {lookup.name for lookup in read_facts(through.format(expression)).lookups}


@pytest.mark.parametrize(
    "text",
    [
        "{% set ns = namespace(a='__cla') %}{% set ns.a = ns.a ~ 'ss__' %}{{ x[ns.a] }}",
        "{% macro m() %}__class__{% endmacro %}{{ x[m()] }}",
        "{% macro m(k) %}{{ x[k] }}{% endmacro %}{{ m('__class__') }}{{ m(k='other') }}",
        "{% set k %}__class__{% endset %}{{ x[k] }}",
        "{% set k | replace('zz', '__') | trim %}zzclasszz{% endset %}{{ x[k] }}",
        "{% for k in ['a', '__class__'] %}{{ x[k] }}{% endfor %}",
        "{% with k = '__class__' %}{{ x[k] }}{% endwith %}",
        "{{ x[k] }}{% set k = '__class__' %}",
        "{% set a, b = 'q', '__class__' %}{{ x[b] }}",
        "{{ messages|map(attribute='__cla' ~ 'ss__')|list }}",
        "{% if a %}{% elif x['__class__'] %}{% endif %}",
        "{% for a in b if a['__class__'] %}{% endfor %}",
        "{% call(k) m() %}{{ x['__class__'] }}{% endcall %}",
        "{% filter upper %}{{ x['__class__'] }}{% endfilter %}",
    ],
)
def test_names_are_followed_through_every_tag(text: str) -> None:
    """Variables, namespaces, macros, blocks and loops hide nothing, in whatever order they stand."""
    assert "__class__" in {lookup.name for lookup in read_facts(text).lookups}


def test_a_comment_ends_where_jinja_ends_it() -> None:
    """`{#}` opens a comment and does not close it: what follows cannot be hidden as raw text."""
    text = "{#} {% raw %} #}{{ x.__class__ }}{# {% endraw %} #}"
    assert "__class__" in [token.text for token in tokens(text)]
    assert parse(text).fault is None


def test_a_template_in_gguf_is_never_left_out_for_its_length() -> None:
    """A text so long that it is not kept cannot be a template that nobody read."""
    data = gguf("x" * ((1 << 24) + 1))
    with pytest.raises(LimitExceeded):
        list(FORMAT.read(MemoryBlob(data), Location("m.gguf"), Limits()))


# ── templates that are made to be slow ──────────────────────────────────────────────────────────────────────────


def test_lists_of_one_list_stay_small() -> None:
    """A list of 256 of a list of 256 of a list is short to write and would take hours to compare."""
    one = folding.bounded(("x",) * 256)
    two = folding.times((one,), 4)
    assert one == ("x",) * 256 and two == (one,) * 4
    assert folding.times((two,), 256) is folding.LOST
    assert folding.bounded(folding.Table((("a", one), ("b", one)))) is not folding.LOST
    assert folding.bounded(folding.Table((("a", two), ("b", two)))) is folding.LOST


@pytest.mark.parametrize(
    "text",
    [
        "{% set a = ['x'] * 256 %}" + "".join(f"{{% set a{n + 1} = [a{n or ''}] * 256 %}}" for n in range(6)),
        "{% set v0 = 1 %}" + "".join(f"{{% set v{n + 1} = {{'a': v{n}, 'b': v{n}}} %}}" for n in range(60)),
    ],
    ids=["lists", "tables"],
)
def test_what_doubles_with_each_variable_is_followed_no_further(text: str) -> None:
    """The template is read to its end, and what cannot be followed hides nothing: asked for as a name, it is told."""
    assert read_facts(text).fault is None
    last = "a6" if "a6" in text else "v60"
    found = read_facts(text + "{{ x[" + last + "] }}{{ x[" + last + " ~ '__class__'] }}")
    assert found.fault is None and any(folding.LOST_TEXT in one.name for one in found.lookups)


def test_slices_within_slices_are_cut_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once for each value that each of them may have."""
    cuts = 0

    def counting(*args: object) -> object:
        nonlocal cuts
        cuts += 1
        return folding.ANY

    monkeypatch.setattr(folding, "cut", counting)
    values = "".join(f"{{% set p = '{letter}' %}}" for letter in "abcd")
    read_facts(values + "{% set q = " + "p[" * 20 + "1" + ":]" * 20 + " %}")
    assert 0 < cuts < 20_000


def test_tags_nest_as_deep_as_python() -> None:
    """Jinja makes Python of a template, which cannot be indented more than a hundred times."""
    assert parse("{% if a %}" * 99 + "{% endif %}" * 99).fault is None
    fault = parse("{% if a %}" * 102 + "{% endif %}" * 102).fault
    assert fault is not None and "100 deep" in fault.why


def test_tokens_have_a_limit() -> None:
    """Beyond it there is a fault, and what was seen until there stays seen."""
    found = read_facts("{{ a.__class__ }}" * 10, 40)
    assert found.fault is not None and "40" in found.fault.why
    assert any(token.text == "__class__" for token in found.code)
