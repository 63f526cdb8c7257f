"""`[[suppress]]` in `safeload.toml`: findings that somebody looked at and lives with, for a reason and until a day.

    [[suppress]]
    rule = "pickle-unlisted-global"
    path = "models/legacy/*.bin"          # relative to the folder of safeload.toml; `*` stays within one folder
    reason = "our own Settings class, TICKET-431"
    expires = 2027-01-31

Rules, each a test:

1. Every entry names one rule, one path pattern, a reason and a last day. None of them has a default.
2. A key that is unknown, misspelt or of another type is an error, with its place: `suppress[2].expires`.
3. A suppression of a dangerous finding says `unsafe-dangerous = true` and the sha256 of the file, so that it holds for
   those bytes alone. Without both it does not apply to what is dangerous.
4. Nothing here looks at a clock or a disk: who asks says which day it is.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from safeload.core.errors import ConfigError
from safeload.core.names import Location, escape

_KEYS = ("rule", "path", "reason", "expires", "sha256", "unsafe-dangerous")
_REQUIRED = _KEYS[:4]
_RULE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST = 10_000
_LONGEST = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """One entry. `matches` answers for a name; whether it applies on a day, `expired` says."""

    rule: str
    path: str
    """A pattern over the file's name: `*` and `?` stay within one folder, `**` does not."""
    reason: str
    expires: datetime.date
    """The last day on which it applies."""
    sha256: str | None = None
    unsafe_dangerous: bool = False
    """Applies to dangerous findings too: of the file with that `sha256` alone. Whoever writes this vouches for a file
    that runs code when an ordinary program loads it."""
    where: Location

    def matches(self, name: str) -> bool:
        """Whether the pattern covers the whole of a name with `/` between folders."""
        return covers(self.path, name)

    def expired(self, today: datetime.date) -> bool:
        return today > self.expires


_DIRS, _ANY, _STAR, _ONE = "**/", "**", "*", "?"


@functools.lru_cache(maxsize=1_000)
def _tokens(glob: str) -> tuple[str, ...]:
    """`**/` is any number of folders, `**` anything, `*` and `?` what stays within a folder; all else is itself."""
    found: list[str] = []
    for piece in re.split(r"(\*\*/|\*\*|\*|\?)", glob):
        # Folders are optional as a whole: their mark, then anything, then the slash.
        found += (_DIRS, _ANY, "/") if piece == _DIRS else (piece,) if piece in (_ANY, _STAR, _ONE) else tuple(piece)
    return tuple(found)


def covers(glob: str, name: str) -> bool:
    """Whether a pattern covers the whole of a name, in time proportional to both lengths whatever they hold."""
    tokens = _tokens(glob)
    states = _closed({0}, tokens)
    for character in name:
        after = set()
        for state in states:
            token = tokens[state] if state < len(tokens) else ""
            if token == _ANY or (token == _STAR and character != "/"):
                after.add(state)
            elif token == character or (token == _ONE and character != "/"):
                after.add(state + 1)
        states = _closed(after, tokens)
        if not states:
            return False
    return len(tokens) in states


def _closed(states: set[int], tokens: tuple[str, ...]) -> set[int]:
    """The states, and those that are reached from them without a character."""
    waiting, closed = list(states), set(states)
    while waiting:
        state = waiting.pop()
        token = tokens[state] if state < len(tokens) else ""
        steps = {_ANY: (1,), _STAR: (1,), _DIRS: (1, 3)}.get(token, ())
        for step in steps:
            if state + step not in closed:
                closed.add(state + step)
                waiting.append(state + step)
    return closed


def suppressions(data: object, *, file: str) -> tuple[Suppression, ...]:
    """The entries of a parsed `suppress` array, in order.

    Args:
        data: what stands at the key `suppress` of the parsed TOML document; an empty list if nothing does.
        file: the file it came from, for messages.

    Raises:
        ConfigError: an entry is not as the rules above say. `where` is the first such place; `why` lists them all.
    """
    problems: list[tuple[str, str]] = []
    if not isinstance(data, list):
        problems.append(("suppress", "it is a list of tables: [[suppress]]"))
        data = []
    if len(data) > _MOST:
        problems.append(("suppress", f"it has {len(data):,} entries, more than {_MOST:,}"))
    found = []
    for index, entry in enumerate(data[:_MOST]):
        place = f"suppress[{index}]"
        wrong = _wrong(entry)
        problems += [(f"{place}.{key}" if key else place, why) for key, why in wrong]
        if not wrong:
            found.append(_entry(entry, Location(file, path=place)))
    if problems:
        raise ConfigError(
            "no suppression was used",
            where=Location(file, path=problems[0][0]),
            why="; ".join(f"{place}: {why}" for place, why in problems[:20]),
            remedy="correct these places; docs/scanning.md shows an entry",
        )
    return tuple(found)


def _entry(entry: Mapping[str, Any], where: Location) -> Suppression:
    return Suppression(
        rule=entry["rule"],
        path=entry["path"],
        reason=entry["reason"].strip(),
        expires=entry["expires"],
        sha256=entry.get("sha256"),
        unsafe_dangerous=entry.get("unsafe-dangerous", False),
        where=where,
    )


def _wrong(entry: object) -> list[tuple[str, str]]:
    """What is wrong with one entry: key and reason; the key is "" for the entry as a whole."""
    if not isinstance(entry, dict):
        return [("", "it is not a table")]
    wrong = [(escape(str(key), 60), f"there is no such key; known are {', '.join(_KEYS)}") for key in entry]
    wrong = [(key, why) for key, why in wrong if key not in _KEYS]
    wrong += [(key, "it is missing") for key in _REQUIRED if key not in entry]
    for key in _KEYS:
        if key in entry and (why := _CHECKS[key](entry[key])):
            wrong.append((key, why))
    if entry.get("unsafe-dangerous") is True and "sha256" not in entry:
        wrong.append(("unsafe-dangerous", "it needs the sha256 of the file that it vouches for"))
    return wrong


def _rule(value: object) -> str:
    right = isinstance(value, str) and _RULE.fullmatch(value)
    return "" if right else "it is the id of one rule, such as pickle-unlisted-global"


def _path(value: object) -> str:
    if not isinstance(value, str) or not value or len(value) > _LONGEST:
        return "it is a pattern such as models/*.bin"
    if ".." in value.split("/") or value.startswith("./") or "\\" in value:
        return "it has no `.`, `..` or backslash: it is a path from the folder of the file downwards"
    if set(value) <= set("*/?"):
        return "it names no file: a pattern of wildcards alone would cover everything"
    return "" if value.count("*") <= 10 else "it has more than ten wildcards"


def _reason(value: object) -> str:
    right = isinstance(value, str) and 0 < len(value.strip()) <= _LONGEST
    return "" if right else "it says why the finding may stay, in a sentence"


def _expires(value: object) -> str:
    right = isinstance(value, datetime.date) and not isinstance(value, datetime.datetime)
    return "" if right else "it is a date without quotes: expires = 2027-01-31"


def _sha256(value: object) -> str:
    return "" if isinstance(value, str) and _SHA256.fullmatch(value) else "it has 64 hexadecimal digits, in lower case"


def _flag(value: object) -> str:
    return "" if isinstance(value, bool) else "it is true or false"


_CHECKS = dict(zip(_KEYS, (_rule, _path, _reason, _expires, _sha256, _flag), strict=True))
