"""The code in a Jinja template, told apart from its text: enough to see what it reaches for, and nothing is rendered.

Follows Jinja's own lexer: `{{ … }}` and `{% … %}` hold code, `{# … #}` is a comment, what stands between `raw` and
`endraw` is text, and a delimiter within a string literal ends nothing. What is never closed is taken for code.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import NamedTuple

_OPEN = re.compile(r"\{[{%#]")
_RAW = re.compile(r"\{%[-+]?\s{0,20}raw\s{0,20}[-+]?%\}")
_END_RAW = re.compile(r"\{%[-+]?\s{0,20}endraw\s{0,20}[-+]?%\}")
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<close>[-+]?[%}]\})
    |(?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<number>0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
    |(?P<name>[^\W\d]\w*)
    |(?P<operator>\*\*|//|[-+*/%~|.,:()\[\]{}=!<>])
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """One token of code: `begin` (with `{{` or `{%`), `end`, `string`, `number`, `name`, `operator`, `other`."""

    kind: str
    text: str
    """A string literal is decoded."""
    offset: int


def tokens(template: str) -> Iterator[Token]:
    """Every token of a template's code, in order. Total, and takes time proportional to the template."""
    at = 0
    while opening := _OPEN.search(template, at):
        at = opening.start()
        if opening[0] == "{#" and (end := template.find("#}", at)) >= 0:
            at = end + 2
        elif (raw := _RAW.match(template, at)) and (text := _END_RAW.search(template, raw.end())):
            at = text.end()
        else:
            yield Token("begin", opening[0], at)
            at += 3 if template[at + 2 : at + 3] in ("-", "+") else 2
            at = yield from _code(template, at)


def _code(template: str, at: int) -> Generator[Token, None, int]:
    """The tokens of one block; returns the offset after it."""
    depth = 0
    while found := _TOKEN.match(template, at):
        kind, text, start = found.lastgroup or "other", found[0], at
        if kind == "other" and text in "'\"":
            # A string that never ends: Jinja refuses the whole template, and looking on would take quadratic time.
            yield Token(kind, text, start)
            return len(template)
        if kind == "close" and depth and text.endswith("}}"):
            kind, text = "operator", text[:1] if text[0] in "-+" else "}"
        at = start + len(text)
        if kind == "close":
            yield Token("end", text, start)
            return at
        if kind == "space":
            continue
        if kind == "operator":
            depth = max(0, depth + (text == "{") - (text == "}"))
        yield Token(kind, _decoded(text[1:-1]) if kind == "string" else text, start)
    return at


_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|N\{LOW LINE\}|(.))", re.DOTALL
)


def _decoded(literal: str) -> str:
    return _ESCAPE.sub(_character, literal) if "\\" in literal else literal


def _character(found: re.Match[str]) -> str:
    for group, base in ((1, 16), (2, 16), (3, 16), (4, 8)):
        if found[group]:
            code = int(found[group], base)
            return chr(code) if code < 0x110000 else "?"
    if found[5] is None:
        return "_"
    return {"n": "\n", "t": "\t", "r": "\r"}.get(found[5], found[5])
