"""A chat template loops far longer than a conversation is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.formats.base import Part, Text
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.jinja import Token, tokens

_MANY = 100_000
_DIGITS = 18
_ENOUGH: int = 10**_DIGITS


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not isinstance(part, Text) or part.role != "chat-template":
        return
    times = _iterations(list(tokens(part.text)))
    if times >= _MANY:
        yield rule.finding(part.location, f"the template repeats something at least {times:,} times")


def _iterations(code: list[Token]) -> int:
    """How often the innermost loop over literal ranges runs, or a literal repetition repeats, at the least."""
    most = 0
    open_loops = [1]
    for index, token in enumerate(code):
        if token.kind == "name" and index and code[index - 1].kind == "begin":
            if token.text == "for":
                open_loops.append(min(open_loops[-1] * _loop(code, index), _ENOUGH))
                most = max(most, open_loops[-1])
            elif token.text == "endfor" and len(open_loops) > 1:
                open_loops.pop()
        elif token.kind == "name" and token.text == "range":
            most = max(most, _largest(code, index + 1))
        elif token.text in ("*", "**") and token.kind == "operator":
            most = max(most, _product(code, index))
    return most


def _loop(code: list[Token], index: int) -> int:
    for at in range(index, len(code)):
        if code[at].kind == "end":
            break
        if code[at].kind == "name" and code[at].text == "range":
            return max(1, _largest(code, at + 1))
    return 1


def _largest(code: list[Token], index: int) -> int:
    """The largest number within the parentheses that open at `index`."""
    depth = largest = 0
    for token in code[index:]:
        if token.kind == "end":
            break
        depth += (token.text == "(") - (token.text == ")") if token.kind == "operator" else 0
        largest = max(largest, _number(token))
        if depth == 0:
            break
    return largest


def _product(code: list[Token], index: int) -> int:
    """What a literal on either side of `*` or `**` comes to; a repetition of text counts its times."""
    left = _number(code[index - 1]) if index else 0
    right = _number(code[index + 1]) if index + 1 < len(code) else 0
    if code[index].text == "*":
        return min(max(left, 1) * max(right, 1), _ENOUGH)
    if left.bit_length() * right > _ENOUGH.bit_length():
        return _ENOUGH if left > 1 else 1
    return int(pow(left, right))


def _number(token: Token) -> int:
    if token.kind != "number":
        return 0
    text = token.text.replace("_", "")
    if not text.isdigit():
        return int(text, 0) if text[1:2] in "xXoObB" and len(text) < _DIGITS else 0
    return int(text) if len(text) <= _DIGITS else _ENOUGH


def _bad() -> Iterable[Part]:
    yield samples.template("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}")
    yield samples.template("{{ 'x' * 1000000000 }}")


def _good() -> Iterable[Part]:
    yield samples.template("{% for i in range(0, messages|length, 2) %}{{ '-' * 40 }}{% endfor %}")


RULE = Rule(
    id="template-loop",
    title="a chat template loops for very long",
    why=(
        "A template that counts to a billion stops the program that renders it, sandbox or not. Conversations are "
        "short, so a template that repeats anything a hundred thousand times by itself does not render them."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.LOW,
    confidence=Confidence.LIKELY,
    remedy="pass a chat_template of your own",
    taxonomy=("CWE-834", "CWE-400"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Text,),
)
