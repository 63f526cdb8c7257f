"""What detect-secrets, a reader of its own, says about the texts of a file: a second opinion, only on request.

It adds findings and takes none away, and a secret says nothing about what a file does, so no status changes. What it
was not asked about, and where it stumbles, is told in the same way. A whole secret is never shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import Location, escape
from safeload.formats.base import Code, Config, Part, Text
from safeload.rules import samples
from safeload.rules.base import Context, Rule

if TYPE_CHECKING:
    from safeload.rules.detect_secrets import Secret

MOST_CHARACTERS = 1 << 18
"""Of one text that detect-secrets is asked about: it takes a second for half a million."""
_VALUES = 20_000
_MOST = 20
_SHOWN = 4
"""Characters of a secret that are shown, and never more than a fourth of it."""


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not context.secret_opinion:
        return
    if isinstance(part, Config):
        yield from _told(rule, part, *_values(part))
    elif isinstance(part, Text):
        yield from _told(rule, part, *_lines(part, part.text))
    elif isinstance(part, Code):
        source = part.source[: MOST_CHARACTERS * 4 + 1].decode("utf-8", "replace")
        yield from _told(rule, part, *_lines(part, source))


def _told(rule: Rule, part: Part, lines: list[str], places: list[Location], cut: bool) -> Iterator[Finding]:
    """The findings about lines of a part, each of which is at the place with its number."""
    from safeload.rules.detect_secrets import Failure, secrets

    found = secrets(lines, part.location.member or part.location.file)
    for count, one in enumerate(found):
        if isinstance(one, Failure):
            yield _unasked(rule, places[one.line], f"detect-secrets gives up: {one.why}")
        elif count < _MOST:
            yield _finding(rule, places[one.line], one)
        else:
            why = f"detect-secrets sees more than {_MOST} secrets; the rest is not told"
            yield _unasked(rule, places[one.line], why)
            break
    if cut:
        why = f"detect-secrets was asked about {MOST_CHARACTERS:,} characters, not about all"
        yield _unasked(rule, part.location, why)


def _finding(rule: Rule, place: Location, secret: Secret) -> Finding:
    shown = escape(secret.text[: min(_SHOWN, len(secret.text) // 4)])
    what = f"{shown}… of {len(secret.text)} characters"
    message = f"detect-secrets takes this for a secret ({escape(secret.kind, 60)}): {what}"
    return rule.finding(place, message, severity=Severity.LOW if secret.known else Severity.NOTE)


def _unasked(rule: Rule, place: Location, message: str) -> Finding:
    remedy = "look at the rest of the file yourself"
    return rule.finding(place, message, severity=Severity.NOTE, remedy=remedy)


def _lines(part: Part, text: str) -> tuple[list[str], list[Location], bool]:
    """The lines of a text, and the byte at which each begins."""
    lines, places, at = [], [], 0
    for line in text[:MOST_CHARACTERS].splitlines(keepends=True):
        lines.append(line.rstrip())
        places.append(part.location.at(at))
        at += len(line.encode("utf-8", "replace"))
    return lines, places, len(text) > MOST_CHARACTERS


def _values(part: Config) -> tuple[list[str], list[Location], bool]:
    """The texts of a document as lines of settings, `"key": "text"`, and the key of each."""
    lines: list[str] = []
    left = MOST_CHARACTERS
    texts = _texts(part.data)
    for key, value in islice(texts, _VALUES):
        for line in value[: max(0, left)].splitlines():
            lines.append(f'"{key}": "{line}"' if key else f'"{line}"')
            left -= len(line) + len(key)
        if left <= 0:
            return lines, [part.location] * len(lines), True
    return lines, [part.location] * len(lines), next(texts, None) is not None


def _texts(data: object) -> Iterator[tuple[str, str]]:
    """Each text in plain data with the key it stands under, in the order of the document."""
    waiting = [("", data)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(str(name)[:100], inner) for name, inner in reversed(value.items())]
        elif isinstance(value, list):
            waiting += [(key, inner) for inner in reversed(value)]
        elif isinstance(value, str):
            yield key, value


def _bad() -> Iterable[Part]:
    yield samples.config({"database": {"password": "correct " + "horse"}})
    yield Text(location=samples.FILE, text="https://someone:" + "something@example.org/", role="prose")


def _good() -> Iterable[Part]:
    yield samples.config({"password": "${PASSWORD}", "hidden_size": 768, "model_type": "bert"})
    yield Text(location=samples.FILE, text="the password is asked for", role="prose")


RULE = Rule(
    id="secret-opinion",
    title="detect-secrets takes a text for a secret",
    why=(
        "A second reader, of another origin, that knows more forms of secrets, words such as `password` and texts that "
        "look random, and is wrong more often. It is asked on request only, about texts, settings and code; it asks no "
        "service whether a secret is real, and heeds no comment that tells it to look away. A secret says nothing "
        "about what a file does, so it changes no status."
    ),
    status=Status.SAFE,
    severity=Severity.LOW,
    confidence=Confidence.POSSIBLE,
    remedy="if it is one, and yours: revoke it now, then remove it from the file and from its history",
    taxonomy=("CWE-798", "CWE-312"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Text, Code, Config),
)
