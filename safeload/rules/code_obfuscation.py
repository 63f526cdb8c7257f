"""The code hides what it does from a reader."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Part
from safeload.formats.python import folding
from safeload.formats.python.facts import Facts, Kind
from safeload.rules.base import Context, Rule
from safeload.rules.code_use import at_line, example

_LONG_LINE = 1_000
_LONG_TEXT = 1_000
_ENCODED = re.compile(r"[A-Za-z0-9+/=_\-\s]+\Z|(?:\\x[0-9a-fA-F]{2})+\Z")
_GAP = re.compile(r"\S\s{120,}\S")
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
_UNSEEN = frozenset("\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\ufeff\u00ad\u180e\u3164\u115f\u1160\uffa0")


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if isinstance(part, Facts):
        yield from _characters(rule, part)
        yield from _names(rule, part)
        yield from _texts(rule, part)
        yield from _lines(rule, part)


def _characters(rule: Rule, facts: Facts) -> Iterator[Finding]:
    if facts.source.text.isascii():
        return
    for number, line in enumerate(facts.source.lines, 1):
        found = set(line) & _TURNING
        if found:
            yield at_line(rule, facts, number, "a character that turns the direction of what is shown")
        elif set(line) & _UNSEEN:
            yield at_line(rule, facts, number, "a character that is not shown", severity=Severity.MEDIUM)


def _names(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for line, name in dict.fromkeys(facts.spelled):
        normal = unicodedata.normalize("NFKC", name)
        scripts = {unicodedata.name(c, "?").partition(" ")[0] for c in name if c.isalpha()}
        if normal != name or len(scripts) > 1:
            text = f"the name {escape(name, 60)!r} is written in letters that look like others"
            yield at_line(rule, facts, line, f"{text}; Python reads {escape(ascii(normal), 80)}")


def _texts(rule: Rule, facts: Facts) -> Iterator[Finding]:
    """Constants that are decoded, and names that are put together from pieces."""
    decoding = {
        use.line for use in facts.uses if use.kind is Kind.CALL and use.name in folding.DECODERS and use.arguments
    }
    named = {use.name.rpartition(".")[2] for use in facts.uses if "." in use.name} | facts.imports
    for line, value in facts.texts:
        shown = escape(value if isinstance(value, str) else repr(value), 120)
        if line in decoding and not isinstance(value, int):
            yield at_line(rule, facts, line, f"a text that is decoded: {shown!r}")
        elif isinstance(value, str) and value in named and value not in facts.source.text:
            yield at_line(rule, facts, line, f"a name that is put together from pieces: {shown!r}")


def _lines(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for line, value in facts.strings:
        text = value if isinstance(value, str) else value.decode("latin-1")
        if len(text) > _LONG_TEXT and " " not in text.strip() and _ENCODED.match(text):
            yield at_line(rule, facts, line, f"an encoded text of {len(text):,} characters", severity=Severity.MEDIUM)
    for number, written in enumerate(facts.source.lines, 1):
        if len(written) > _LONG_LINE:
            text = f"a line of {len(written):,} characters"
            yield at_line(
                rule, facts, number, text, severity=Severity.HIGH if _GAP.search(written) else Severity.MEDIUM
            )
        elif _GAP.search(written):
            yield at_line(rule, facts, number, "code far to the right of what is seen")


def _bad() -> Iterable[Part]:
    yield example('import base64\nhidden = base64.b64decode("cm0gLXJm")\n')
    yield example('import os\ngetattr(os, "sys" + "tem")("true")\n')
    yield example("\U0001d41e\U0001d42f\U0001d41a\U0001d425('1')\n")
    yield example('access = "user\u202e \u2066# only admins\u2069 \u2066"\n')


def _good() -> Iterable[Part]:
    yield example('name = "model." + "layers"\n# ein Kommentar über Größe\n')


RULE = Rule(
    id="code-obfuscation",
    title="the code hides what it does from a reader",
    why=(
        "Decoded text, names put together from pieces, letters that look like others, characters that turn or hide "
        "what is shown, and code far to the right have one reason: that a reader should not see them. An audit by "
        "eye is worth little where they stand."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.HIGH,
    confidence=Confidence.LIKELY,
    remedy="ask the author for readable code; do not approve what you cannot read",
    taxonomy=("CWE-506", "CWE-1007", "AML.T0011.000"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Facts,),
)
