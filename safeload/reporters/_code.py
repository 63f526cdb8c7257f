"""One HTML page for reading code: highlighted, beside an older version, with what was found at each line.

As in `html`, every foreign text is escaped twice, the page forbids itself everything but its own style, and there is
no script at all. Highlighting is by Python's own tokenizer; what that cannot read is shown plain.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import html
import io
import keyword
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from safeload.core.finding import Finding
from safeload.core.names import escape

_LONGEST_LINE = 2_000
_LARGEST = 1 << 20
"""Bytes of a source that is highlighted, and shown beside another."""
_MOST_LINES = 10_000
_CONTEXT = 6
_KINDS = {tokenize.STRING: "s", tokenize.COMMENT: "c", tokenize.NUMBER: "n"}
_STRINGS = frozenset(
    getattr(tokenize, name) for name in ("FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END") if hasattr(tokenize, name)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeFile:
    """One file as it is shown."""

    name: str
    source: bytes
    old: bytes | None = None
    """The version beside it; `None` if there is none, empty if the file is new."""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePage:
    """What a page shows."""

    title: str
    facts: tuple[tuple[str, str], ...]
    """Labels and texts for the head of the page."""
    files: tuple[CodeFile, ...]
    beside: str = ""
    """What the older version is; empty if there is none."""
    removed: tuple[str, ...] = field(default=())


def write_page(page: CodePage, stream: TextIO) -> None:
    """Write the page."""
    style = "\n" + Path(__file__).with_name("code.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    stream.write(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<title>safeload audit</title>\n'
        f"<style>{style}</style>\n</head>\n<body>\n<main>\n<h1>{_text(page.title)}</h1>\n<dl>\n"
    )
    for label, text in page.facts:
        stream.write(f"<dt>{_text(label)}</dt><dd>{_text(text)}</dd>\n")
    stream.write("</dl>\n")
    stream.writelines(_contents(page))
    for number, file in enumerate(page.files):
        stream.writelines(_file(file, number, page.beside))
    stream.write("</main>\n</body>\n</html>\n")


def _text(foreign: str, limit: int = 4_000) -> str:
    return html.escape(escape(foreign, limit), quote=True)


def _contents(page: CodePage) -> Iterator[str]:
    """Every finding, loudest first, with a link to its line."""
    found = [(finding, number) for number, file in enumerate(page.files) for finding in file.findings]
    found.sort(key=lambda pair: -pair[0].severity)
    yield f"<h2>{len(found):,} {'finding' if len(found) == 1 else 'findings'}</h2>\n<ol class='found'>\n"
    for finding, number in found:
        line = _line_of(finding)
        target = f"#f{number}l{line}" if line else f"#f{number}"
        yield (
            f"<li class='{finding.severity}'><a href='{target}'>{_text(str(finding.location))}</a> "
            f"<b>{finding.severity}</b> {_text(finding.message)} <code>{_text(finding.rule)}</code> "
            f"<small>{_text(', '.join(finding.taxonomy))}</small></li>\n"
        )
    yield "</ol>\n"
    if page.removed:
        yield (
            "<h2>No longer there</h2>\n<ul>\n"
            + "".join(f"<li>{_text(name)}</li>\n" for name in page.removed)
            + "</ul>\n"
        )


def _line_of(finding: Finding) -> int:
    words = (finding.location.path or "").partition("line ")[2]
    return int(words) if words.isascii() and words.isdigit() and len(words) < 9 else 0


def _file(file: CodeFile, number: int, beside: str) -> Iterator[str]:
    yield f"<h2 id='f{number}'>{_text(file.name)}</h2>\n"
    at: dict[int, list[Finding]] = {}
    for finding in file.findings:
        at.setdefault(_line_of(finding), []).append(finding)
    for finding in at.get(0, ()):
        yield _said(finding)
    new = highlighted(file.source)
    if file.old is None or not beside or max(len(file.source), len(file.old)) > _LARGEST:
        yield "<div class='code one'>\n"
        for line, shown in enumerate(new, 1):
            yield _row("", number, line, shown, at)
        yield "</div>\n"
        return
    if file.old == file.source:
        yield "<p>the same as before</p>\n"
    yield f"<p class='sides'><span>{_text(beside)}</span><span>now</span></p>\n<div class='code two'>\n"
    yield from _beside(highlighted(file.old), new, _plain(file.old), _plain(file.source), number, at)
    yield "</div>\n"


def _beside(
    old: Sequence[str],
    new: Sequence[str],
    before: Sequence[str],
    after: Sequence[str],
    number: int,
    at: Mapping[int, Sequence[Finding]],
) -> Iterator[str]:
    """Both versions, line by line; long runs that are the same folded away, unless something was found in them."""
    many = max(len(before), len(after)) > _MOST_LINES
    matcher = difflib.SequenceMatcher(None, () if many else before, () if many else after)
    codes = matcher.get_opcodes() if not many else [("replace", 0, len(before), 0, len(after))]
    for kind, i, i_end, j, j_end in codes:
        rows = []
        for step in range(max(i_end - i, j_end - j)):
            left = f"<i>{i + step + 1}</i><code>{old[i + step]}</code>" if i + step < i_end else "<i></i><code></code>"
            if j + step < j_end:
                rows.append(_row(left, number, j + step + 1, new[j + step], at, kind))
            else:
                rows.append(f"<div class='row gone'>{left}<i></i><code></code></div>\n")
        folds = kind == "equal" and len(rows) > 3 * _CONTEXT and not any(j < line <= j_end for line in at)
        if folds:
            yield from rows[:_CONTEXT]
            hidden = rows[_CONTEXT:-_CONTEXT]
            yield f"<details><summary>{len(hidden):,} lines are the same</summary>\n{''.join(hidden)}</details>\n"
            rows = rows[-_CONTEXT:]
        yield from rows


def _row(
    left: str, number: int, line: int, shown: str, at: Mapping[int, Sequence[Finding]], kind: str = "equal"
) -> str:
    found = at.get(line, ())
    style = {"equal": "", "replace": " changed", "insert": " changed", "delete": " gone"}[kind]
    anchor = f" id='f{number}l{line}'" if found else ""
    row = f"<div class='row{style}{' hit' if found else ''}'{anchor}>{left}<i>{line}</i><code>{shown}</code></div>\n"
    return row + "".join(map(_said, found))


def _said(finding: Finding) -> str:
    return (
        f"<p class='said {finding.severity}'><b>{finding.severity}</b> {_text(finding.message)} "
        f"<code>{_text(finding.rule)}</code></p>\n"
    )


def _plain(source: bytes) -> list[str]:
    return source.decode("utf-8", "backslashreplace").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def highlighted(source: bytes) -> list[str]:
    """The lines of a source as HTML. Total: what is no Python is shown all the same."""
    lines = _plain(source)
    marks: dict[int, list[tuple[int, int, str]]] = {}
    if len(source) <= _LARGEST:
        for kind, begin, end in _marks("\n".join(lines)):
            for row in range(begin[0], min(end[0], begin[0] + len(lines)) + 1):
                first = begin[1] if row == begin[0] else 0
                last = end[1] if row == end[0] else 1 << 30
                marks.setdefault(row, []).append((first, last, kind))
    return [_line(text, marks.get(row, ())) for row, text in enumerate(lines, 1)]


def _marks(text: str) -> Iterator[tuple[str, tuple[int, int], tuple[int, int]]]:
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            kind = _KINDS.get(token.type, "s" if token.type in _STRINGS else "")
            if token.type == tokenize.NAME and keyword.iskeyword(token.string):
                kind = "k"
            if kind:
                yield kind, token.start, token.end
    except (tokenize.TokenError, SyntaxError, ValueError):
        return  # what follows stays plain


def _line(text: str, marks: Sequence[tuple[int, int, str]]) -> str:
    cut = text[:_LONGEST_LINE]
    pieces: list[str] = []
    at = 0
    for first, last, kind in marks:
        first, last = min(first, len(cut)), min(last, len(cut))
        if first < at:
            continue
        pieces.append(_piece(cut[at:first]))
        pieces.append(f"<span class='{kind}'>{_piece(cut[first:last])}</span>" if last > first else "")
        at = max(at, last)
    pieces.append(_piece(cut[at:]))
    if len(text) > len(cut):
        pieces.append(f"<b>… {len(text) - len(cut):,} more characters</b>")
    return "".join(pieces)


def _piece(text: str) -> str:
    return _text(text.replace("\t", "    "), 4 * _LONGEST_LINE)
