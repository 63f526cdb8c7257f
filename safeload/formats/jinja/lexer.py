"""The code in a Jinja template, told apart from its text.

Follows Jinja's own lexer, in its default syntax (no line statements):

1. `{{ … }}` and `{% … %}` hold code, `{# … #}` is a comment, what stands between `raw` and `endraw` is text.
2. Within code, a closing delimiter counts only outside of string literals and of open brackets.
3. What is never closed is code to the end. Jinja refuses such a template; other programs may not.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import NamedTuple

_OPEN = re.compile(r"\{[{%#]")
_RAW = re.compile(r"\{%[-+]?\s{0,20}raw\s{0,20}-?%\}")
_END_RAW = re.compile(r"\{%[-+]?\s{0,20}endraw\s{0,20}[-+]?%\}")
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<close>[-+]?[%}]\})
    |(?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<number>0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
    |(?P<name>[^\W\d]\w*)
    |(?P<operator>\*\*|//|==|!=|<=|>=|[-+*/%~|.,:;()\[\]{}=<>])
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_CLOSES = {"(": ")", "[": "]", "{": "}"}


class Token(NamedTuple):
    """One token: `text`, `begin` (`{{` or `{%`), `end`, `string`, `number`, `name`, `operator`, `other`."""

    kind: str
    text: str
    """A string literal is decoded."""
    offset: int


def tokens(template: str, *, text: bool = False) -> Iterator[Token]:
    """Every token of a template's code, in order; with `text`, that between as well.

    Total, and takes time proportional to the template.
    """
    at = begun = 0
    comments = raws = True  # whether what ends one is still to come: where none is, it is not looked for again
    while opening := _OPEN.search(template, at):
        at = opening.start()
        if text and at > begun:
            yield Token("text", template[begun:at], begun)
        end = template.find("#}", at + 2) if opening[0] == "{#" and comments else -1
        raw = _RAW.match(template, at) if raws else None
        closing = _END_RAW.search(template, raw.end()) if raw else None
        comments, raws = comments and (end >= 0 or opening[0] != "{#"), raws and (closing is not None or raw is None)
        if end >= 0:
            at = end + 2
        elif raw and closing:
            if text and closing.start() > raw.end():
                yield Token("text", template[raw.end() : closing.start()], raw.end())
            at = closing.end()
        else:
            yield Token("begin", opening[0], at)
            at += 3 if template[at + 2 : at + 3] in ("-", "+") else 2
            at = yield from _code(template, at, "}" if opening[0] == "{{" else "%")
        begun = at
    if text and len(template) > begun:
        yield Token("text", template[begun:], begun)


def _code(template: str, at: int, ends: str) -> Generator[Token, None, int]:
    """The tokens of one block that ends with `ends` and a brace; returns the offset after it."""
    open_brackets: list[str] = []
    while found := _TOKEN.match(template, at):
        kind, text, start = found.lastgroup or "other", found[0], at
        if kind == "other" and text in "'\"":
            # A string that never ends: Jinja refuses the whole template, and looking on would take quadratic time.
            yield Token(kind, text, start)
            return len(template)
        if kind == "close" and (open_brackets or text[-2] != ends):
            kind, text = "operator", text[0]
        at = start + len(text)
        if kind == "close":
            yield Token("end", text, start)
            return at
        if kind == "space":
            continue
        if kind == "operator" and text in _CLOSES:
            open_brackets.append(_CLOSES[text])
        elif open_brackets and text == open_brackets[-1] and kind == "operator":
            open_brackets.pop()
        yield Token(kind, _decoded(text[1:-1]) if kind == "string" else text, start)
    return at


_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|N\{([A-Za-z0-9 \-]{1,80})\}|(\n)|(.))",
    re.DOTALL,
)
_SHORT = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def _decoded(literal: str) -> str:
    return _ESCAPE.sub(_character, literal) if "\\" in literal else literal


def _character(found: re.Match[str]) -> str:
    for group, base in ((1, 16), (2, 16), (3, 16), (4, 8)):
        if found[group]:
            code = int(found[group], base)
            return chr(code) if code < 0x110000 else "?"
    if found[5]:
        return _named(found[5])
    if found[6]:
        return ""
    character = found[7]
    return _SHORT.get(character, character if character in "\\'\"" else f"\\{character}")


def _named(name: str) -> str:
    import unicodedata

    try:
        return unicodedata.lookup(name)
    except KeyError:
        return "?"
