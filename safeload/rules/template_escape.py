"""A chat template reaches for what no template needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Part, Text
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.jinja import Token, tokens

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
_LOADS = frozenset({"import", "include", "extends"})


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not isinstance(part, Text) or part.role != "chat-template":
        return
    said: set[str] = set()
    for token, what, status in _reaches(list(tokens(part.text))):
        if what in said:
            continue
        said.add(what)
        place = part.location
        where = place.at(len(part.text[: token.offset].encode())) if place.path is None else place
        excerpt = part.text[max(0, token.offset - 20) : token.offset + 60]
        severity = rule.severity if status is rule.status else Severity.LOW
        yield rule.finding(where, f"the template {what}", status=status, severity=severity, evidence=(escape(excerpt),))


def _reaches(code: list[Token]) -> Iterator[tuple[Token, str, Status]]:
    for index, token in enumerate(code):
        before = code[index - 1] if index else token
        after = code[index + 1] if index + 1 < len(code) else token
        if token.kind == "name":
            attribute = before.kind == "operator" and before.text == "."
            if token.text.startswith("__") or _DUNDER.search(token.text):
                yield token, f"reaches for {token.text}", Status.DANGEROUS
            elif attribute and token.text in _INTERNAL:
                yield token, f"reaches for .{token.text}", Status.DANGEROUS
            elif token.text == "attr" and before.kind == "operator" and before.text == "|":
                yield token, "looks up attributes by computed names", Status.DANGEROUS
            elif token.text in _GLOBALS and not attribute and not (after.kind == "operator" and after.text == "="):
                yield token, f"uses {token.text}, which chat templates do not need", Status.UNVERIFIED
            elif token.text in _LOADS and before.kind == "begin" and before.text == "{%":
                yield token, f"would load another template ({token.text})", Status.UNVERIFIED
        elif token.kind == "string":
            if found := _DUNDER.search(token.text):
                yield token, f"spells {found[0]} in a string", Status.DANGEROUS
            elif _is_piece(token.text) or (_is_subscript(before, after) and token.text.startswith("__")):
                yield token, "puts a name with underscores together from pieces", Status.DANGEROUS
            elif token.text in _INTERNAL and before.text in ("[", "="):
                yield token, f"spells {token.text} in a string", Status.DANGEROUS


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


def _good() -> Iterable[Part]:
    yield samples.template(
        "{{ bos_token }}{% for message in messages %}{% if message['role'] not in ['user', 'assistant'] %}"
        "{{ raise_exception('unknown role: ' + message.role) }}{% endif %}<|{{ message.role }}|>\n"
        "{{ message.content.split('</think>')[-1] | trim }}{{ '<__media__>' }}{% endfor %}{# ''.__class__ #}"
    )


RULE = Rule(
    id="template-escape",
    title="a chat template tries to escape",
    why=(
        "A chat template is a small program. In an ordinary Jinja environment, Python's own attributes lead from any "
        "value to every function of the process (CVE-2024-34359). transformers runs templates in a sandbox, which "
        "holds; other programs do not. Templates that talk to a model need none of this."
    ),
    status=Status.DANGEROUS,
    severity=Severity.HIGH,
    confidence=Confidence.LIKELY,
    remedy="do not render it outside of a sandbox; pass a chat_template of your own",
    taxonomy=("CWE-1336", "CWE-94", "AML.T0011.000"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Text,),
)
