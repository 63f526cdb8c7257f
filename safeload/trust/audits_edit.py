"""Adding a record to a file of records that people write too: everything else stays as it is, comments included.

What comes out is only a proposal: whoever writes it reads it first, and compares what it says (see `same_but_for`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from safeload.core.errors import ConfigError
from safeload.core.names import Location, escape
from safeload.trust.audit_records import Audit, Audits, Violation, kind
from safeload.trust.audits_text import HEAD, audit_text, violation_text

_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*|\n|[\[\]{}]",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Header:
    """A line that begins a table."""

    start: int
    path: tuple[str, ...]
    several: bool
    """Whether it is one of a list: `[[…]]`."""


def with_record(data: bytes, audit: Audit, replaced: Collection[Audit] = ()) -> bytes:
    """The file with one record more, in place of those that it replaces, whose comments stay above it.

    Args:
        data: a file of records that can be read; empty for a new one.
        replaced: records of this file.
    """
    if not data:
        return f"{HEAD}version = 1\n{audit_text(audit)}".encode()
    raw = data.decode()
    text, windows = raw.replace("\r\n", "\n"), "\r\n" in raw
    made = audit_text(audit)
    spans = sorted(_span(text, one) for one in replaced)
    if spans:
        notes = "".join(f"{note}\n" for span in spans for note in _comments(text[slice(*span)]))
        first, *rest = spans
        for start, end in reversed(rest):
            text = text[:start] + text[end:]
        text = text[: first[0]] + notes + made.lstrip("\n") + text[first[1] :]
    else:
        text += ("" if text.endswith("\n") else "\n") + made
    return (text.replace("\n", "\r\n") if windows else text).encode()


def with_records(data: bytes, audits: Iterable[Audit], violations: Iterable[Violation]) -> bytes:
    """The file with these records more, each kind at its end."""
    data = data or f"{HEAD}version = 1\n".encode()
    for audit in audits:
        data = with_record(data, audit)
    ending = "\r\n" if b"\r\n" in data else "\n"
    texts = (violation_text(one).replace("\n", ending).encode() for one in violations)
    return b"".join((data, b"" if data.endswith(b"\n") else ending.encode(), *texts))


def missing_in(known: Audits, other: Audits) -> tuple[list[Audit], list[Violation]]:
    """The records of another file itself that are not in this one."""
    have, violated = [_key(one) for one in known.own], [_bare(one) for one in known.violations]
    audits = [one for one in other.own if _key(one) not in have]
    return audits, [one for one in other.violations if not one.origin and _bare(one) not in violated]


def same_and(before: Audits, after: Audits, audits: Sequence[Audit], violations: Sequence[Violation]) -> None:
    """Raise `ConfigError` unless `after` says what `before` says, and these records."""
    added = [_bare(one) for one in violations]
    theirs = [one for one in map(_bare, after.violations) if one not in added]
    mine = [one for one in map(_bare, before.violations) if one not in added]
    same = sorted(map(_key, (*before.own, *audits))) == sorted(map(_key, after.own)) and theirs == mine
    if not same or replace(_plain(before), violations=()) != replace(_plain(after), violations=()):
        raise _unfit(before, "audit")


def same_but_for(before: Audits, after: Audits, audit: Audit, replaced: Collection[Audit]) -> None:
    """Raise `ConfigError` unless `after` says what `before` says, with `audit` in place of `replaced`."""
    expected = [one for one in before.own if one not in replaced] + [audit]
    rest = _plain(before) == _plain(after)
    if not rest or sorted(map(_key, expected)) != sorted(map(_key, after.own)):
        raise _unfit(before, kind(audit))


def _unfit(records: Audits, name: str) -> ConfigError:
    return ConfigError(
        f"{escape(records.file)} was not changed",
        where=Location(records.file),
        why="it is written in a way that a record cannot be added to",
        remedy=f"write its records as tables: [[{name}]]",
    )


def _bare(one: Violation) -> Violation:
    return replace(one, place="")


def _key(audit: Audit) -> tuple[str, list[tuple[str, str]]]:
    return audit.seal, sorted(audit.files.items())


def _plain(records: Audits) -> Audits:
    """All but the audits of the file itself, and the places."""
    return replace(
        records,
        audits=tuple(replace(one, place="") for one in records.audits if one.origin),
        violations=tuple(map(_bare, records.violations)),
        publishers=tuple(replace(one, place="") for one in records.publishers),
        signatures=(),
    )


def _span(text: str, audit: Audit) -> tuple[int, int]:
    """Where a record stands: from its header to the end of its last line that says something."""
    name, _, number = audit.place.rpartition(" » ")[2].rstrip("]").partition("[")
    headers = list(_headers(text))
    own = [index for index, header in enumerate(headers) if header.path == (name,) and header.several]
    if int(number) >= len(own):
        return 0, 0  # it is written in another form, which `same_but_for` will say
    index = own[int(number)]
    start = headers[index].start
    later = (one.start for one in headers[index + 1 :] if one.path[0] != name or len(one.path) == 1)
    lines = text[start : next(later, len(text))].splitlines(keepends=True)
    while lines and lines[-1].lstrip()[:1] in ("", "#"):
        lines.pop()
    return start, start + len("".join(lines))


def _comments(text: str) -> Iterator[str]:
    return (token.group() for token in _TOKEN.finditer(text) if token.group().startswith("#"))


def _headers(text: str) -> Iterator[_Header]:
    depth = line = 0
    opened: int | None = None
    for token in _TOKEN.finditer(text):
        match token.group():
            case "\n" if depth == 0:
                line = token.end()
            case "[" | "{":
                if depth == 0 and not text[line : token.start()].strip():
                    opened = token.start()
                depth += 1
            case "]" | "}":
                depth -= 1
                if depth == 0 and opened is not None:
                    yield _header(text, opened, token.end(), line)
                    opened = None


def _header(text: str, start: int, end: int, line: int) -> _Header:
    head = text[start:end]
    path, inner = [], tomllib.loads(head)
    while inner:
        key = next(iter(inner))
        path.append(key)
        inner = inner[key][0] if isinstance(inner[key], list) else inner[key]
    return _Header(line, tuple(path), head.startswith("[["))
