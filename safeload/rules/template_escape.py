"""A chat template reaches for what no template needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Part, Template
from safeload.formats.jinja.facts import Facts
from safeload.formats.jinja.folding import ANY_TEXT, LOST_TEXT, OBJECT_TEXT
from safeload.formats.jinja.lexer import Token
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.templates import at, facts_of

_DUNDER = re.compile(
    r"__(?:class|mro|base|bases|subclasses|globals|builtins|import|init|new|call|getattribute|getattr|dict|code|closure|"
    r"reduce|reduce_ex|module|self|func|wrapped|loader|spec|name|doc|getitem|enter|exit|del)(?:__|\Z)"
)
_INTERNAL = frozenset(
    {
        *("gi_frame", "gi_code", "cr_frame", "cr_code", "ag_frame", "ag_code", "f_globals", "f_locals", "f_builtins"),
        *("f_back", "f_code", "tb_frame", "tb_next", "func_globals", "func_code", "im_func", "im_self", "mro"),
    }
)
"""Attributes through which Python objects lead to their surroundings."""
_GLOBALS = frozenset({"lipsum", "cycler", "joiner"})
"""Functions that Jinja adds by itself, that escapes begin with and chat templates do not use."""


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not isinstance(part, Template):
        return
    said: set[str] = set()
    facts = facts_of(part, context)
    for offset, what, status in (*_written(facts.code), *_computed(facts)):
        if what not in said:
            said.add(what)
            severity = rule.severity if status is rule.status else Severity.LOW
            yield at(rule, part, offset, what, status=status, severity=severity)


Reached = tuple[int, str, Status]


def _written(code: Sequence[Token]) -> Iterator[Reached]:
    """What stands there in so many words. Sees all of a template that cannot be read to its end, too."""
    for index, token in enumerate(code):
        before = code[index - 1] if index else token
        after = code[index + 1] if index + 1 < len(code) else token
        if token.kind == "name":
            attribute = before.kind == "operator" and before.text == "."
            if token.text.startswith("__") or _DUNDER.search(token.text):
                yield token.offset, f"reaches for {escape(token.text, 80)}", Status.DANGEROUS
            elif attribute and token.text in _INTERNAL:
                yield token.offset, f"reaches for .{token.text}", Status.DANGEROUS
            elif token.text == "attr" and before.kind == "operator" and before.text == "|":
                yield token.offset, "looks up attributes by computed names", Status.DANGEROUS
            elif token.text in _GLOBALS and not attribute and not (after.kind == "operator" and after.text == "="):
                yield token.offset, f"uses {token.text}, which chat templates do not need", Status.UNVERIFIED
        elif token.kind == "string":
            if found := _DUNDER.search(token.text):
                yield token.offset, f"spells {found[0]} in a string", Status.DANGEROUS
            elif _is_piece(token.text) or (_is_subscript(before, after) and token.text.startswith("__")):
                yield token.offset, "puts a name with underscores together from pieces", Status.DANGEROUS
            elif token.text in _INTERNAL and before.text in ("[", "="):
                yield token.offset, f"spells {token.text} in a string", Status.DANGEROUS


def _computed(facts: Facts) -> Iterator[Reached]:
    """What names come to that a template puts together, through variables, filters, macros and formats."""
    started = {lookup.offset for lookup in facts.lookups if lookup.name.startswith("__")}
    for lookup in facts.lookups:
        name = lookup.name
        if _DUNDER.search(name) or (name.startswith("__") and name != "__"):
            yield lookup.offset, f"looks up {_shown(name)!r}", Status.DANGEROUS
        elif name in _INTERNAL:
            yield lookup.offset, f"looks up {name!r}", Status.DANGEROUS
        elif lookup.attribute and name == "attr":
            yield lookup.offset, "looks up attributes by computed names", Status.DANGEROUS
        elif OBJECT_TEXT in name:
            yield lookup.offset, "puts a name together from the text of an object", Status.DANGEROUS
        elif LOST_TEXT in name and (lookup.offset in started or _DUNDER.search(facts.text)):
            yield lookup.offset, "puts a name with underscores together from pieces", Status.DANGEROUS
        elif LOST_TEXT in name:
            yield lookup.offset, "looks up a name that it makes in a way that is not followed", Status.UNVERIFIED


def _shown(name: str) -> str:
    for mark in (ANY_TEXT, OBJECT_TEXT, LOST_TEXT):
        name = name.replace(mark, "…")
    return escape(name, 80)


_PIECE = re.compile(r"__[a-z_]{1,20}(?<!__)\Z|(?!__)[a-z_]{1,20}__\Z|_{1,3}(?:cla|ss|mr|glo|bui|sub)\Z")


def _is_piece(text: str) -> bool:
    """Whether a string is one end of a name like `__class__`, as in `'__cla' ~ 'ss__'`."""
    return _PIECE.match(text) is not None


def _is_subscript(before: Token, after: Token) -> bool:
    return (before.kind, before.text) == ("operator", "[") and (after.kind, after.text) == ("operator", "]")


def _bad() -> Iterable[Part]:
    yield samples.template("{{ ''.__class__.__mro__[1].__subclasses__() }}")
    yield samples.template("{{ messages|attr('\\x5f\\x5fclass\\x5f\\x5f') }}")
    yield samples.template("{{ cycler['__in' ~ 'it__'] }}")
    yield samples.template("{% raw %}{# {% endraw %}{{ x.__globals__ }}")
    yield samples.template("{% set u = '_' * 2 %}{{ x[u ~ 'ssalc'[::-1] ~ u] }}")
    yield samples.template("{% set t = ()|select|string|list %}{{ x[t[24] ~ 'class'] }}")


def _good() -> Iterable[Part]:
    yield samples.template(
        "{{ bos_token }}{% for message in messages %}{% if message['role'] not in ['user', 'assistant'] %}"
        "{{ raise_exception('unknown role: ' + message.role) }}{% endif %}<|{{ message.role }}|>\n"
        "{{ message.content.split('</think>')[-1] | trim }}{{ '<__media__>' }}{% endfor %}{# ''.__class__ #}"
    )
    yield samples.template("{% set keys = ['role', 'content'] %}{% for k in keys %}{{ messages[0][k] }}{% endfor %}")


RULE = Rule(
    id="template-escape",
    title="a chat template tries to escape",
    why=(
        "A chat template is a small program. In an ordinary Jinja environment, Python's own attributes lead from any "
        "value to every function of the process (CVE-2024-34359). transformers runs templates in a sandbox; other "
        "programs do not, and sandboxes have had holes. Templates that talk to a model need none of this."
    ),
    status=Status.DANGEROUS,
    severity=Severity.HIGH,
    confidence=Confidence.LIKELY,
    remedy="remove the template and pass a chat_template of your own; safeload templates {file} shows it",
    taxonomy=("CWE-1336", "CWE-94", "AML.T0011.000"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Template,),
)
