"""One HTML file that needs nothing else: no network, no font, no script but its own.

1. Every text that is not ours goes through `_text`: first `escape`, then HTML's own escaping, quotes included.
2. The page forbids itself everything (`default-src 'none'`) but one style and one script, by the digests of their
   bytes. Markup that slipped in could load nothing, run nothing and send nothing.
3. Without the script everything is readable.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TextIO

from safeload.core.errors import SafeloadError
from safeload.core.finding import FileReport, Finding, Report, Status
from safeload.core.names import escape
from safeload.reporters.base import About, Aside, Reporter, aside_words, count
from safeload.reporters.terminal import inner, size

_STEPS = 200
"""Steps of one trace that are listed."""


def _text(foreign: str, limit: int = 4_000) -> str:
    return html.escape(escape(foreign, limit), quote=True)


@cache
def _ours(name: str) -> str:
    """A file of this folder, as it stands in the page: with a line end on both sides, which its digest covers."""
    return "\n" + Path(__file__).with_name(name).read_text(encoding="utf-8")


def _source(content: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() + "'"


def policy() -> str:
    """The Content-Security-Policy of the page."""
    style, script = _source(_ours("report.css")), _source(_ours("report.js"))
    return f"default-src 'none'; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'"


def _render(reports: Sequence[Report], errors: Sequence[SafeloadError], stream: TextIO, about: About) -> None:
    stream.write(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy()}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<title>safeload scan</title>\n'
        f"<style>{_ours('report.css')}</style>\n</head>\n<body>\n<main>\n"
    )
    stream.writelines(_head(reports, errors, about))
    for report in reports:
        stream.write(f"<h2>{_text(report.target, 4_096)}</h2>\n")
        for file in sorted(report.files, key=lambda file: (-about.counting(report, file), -file.status, file.path)):
            stream.writelines(_file(report, file, about))
    stream.write(f"</main>\n<script>{_ours('report.js')}</script>\n</body>\n</html>\n")


def _head(reports: Sequence[Report], errors: Sequence[SafeloadError], about: About) -> Iterator[str]:
    counts = count(reports)
    total = sum(counts.values())
    aside = aside_words(about.set_aside(reports))
    yield f"<h1>safeload scan</h1>\n<p class='soft'>{total:,} {'file' if total == 1 else 'files'}"
    yield f", read without running anything{f'; {aside}' if aside else ''}. "
    yield f"Exit code {about.code(reports, errors)}.</p>\n"
    yield "<div class='tiles'>\n"
    for status in sorted(Status, reverse=True):
        number = counts.get(status, 0)
        yield f"<div class='tile {status}{'' if number else ' none'}'><b>{number:,}</b>{status}</div>\n"
    yield "</div>\n"
    if said := [*(" ".join(str(error).split()) for error in errors), *about.notes]:
        yield "<ul class='notes'>\n" + "".join(f"<li>{_text(line)}</li>\n" for line in said) + "</ul>\n"
    yield "<form id='filter' hidden>\n<input type='search' name='text' placeholder='File, rule, call …' "
    yield "aria-label='Show files that contain' autocomplete='off'>\n"
    for status in sorted(Status, reverse=True):
        box = f"<input type='checkbox' name='status' value='{status}' checked>"
        yield f"<label class='{status}'>{box} {status}</label>\n"
    yield "<button type='button' id='expand'>Expand</button>\n"
    yield "<span class='soft' id='shown' role='status'></span>\n</form>\n"


def _file(report: Report, file: FileReport, about: About) -> Iterator[str]:
    findings = sorted(about.told(report, file), key=lambda pair: (-pair[0].status, -pair[0].severity))
    accepted = about.accepted(report, file)
    style = f"file {file.status}{' accepted' if accepted else ''}"
    words = f"{file.status}{' (accepted)' if accepted else ''}{'' if file.used else ' (left out)'}"
    head = (
        f"<span class='badge'>{words}</span><span class='name'>{_text(file.path, 4_096)}</span>"
        f"<span class='soft'>{_text(file.format)}</span><span class='soft'>{size(file.size)}</span>"
    )
    if not findings:
        yield f"<div class='{style}' data-status='{file.status}'><div class='head'>{head}</div></div>\n"
        return
    open_ = " open" if about.counting(report, file) is Status.DANGEROUS else ""
    yield f"<details class='{style}' data-status='{file.status}'{open_}><summary class='head'>{head}</summary>\n"
    yield "<div class='body'>\n"
    if file.sha256:
        yield f"<p class='soft'>sha256 <code>{_text(file.sha256)}</code></p>\n"
    for finding, aside in findings:
        yield from _finding(finding, aside)
    yield from _trace([finding for finding, _ in findings])
    remedies = dict.fromkeys(finding.remedy for finding, _ in findings if finding.remedy)
    if remedies:
        yield "<h3>What to do</h3>\n" + "".join(f"<pre>{_text(remedy)}</pre>\n" for remedy in remedies)
    yield "</div>\n</details>\n"


def _finding(finding: Finding, aside: Aside | None) -> Iterator[str]:
    place = inner(finding.location)
    yield f"<div class='finding {finding.status}{' aside' if aside else ''}'>\n<div class='meta'>"
    yield f"<span class='loud'>{finding.severity}</span><span>{_text(finding.rule)}</span>"
    yield f"<code>{_text(place)}</code>" if place else ""
    yield f"<span>{_text(', '.join(finding.taxonomy))}</span></div>\n<p>{_text(finding.message)}</p>\n"
    if finding.evidence:
        yield _lines(finding.evidence)
    if aside is not None:
        until = f" until {_text(aside.expires)}" if aside.expires else ""
        yield f"<p class='soft'>{_text(str(aside.kind))}{until}: {_text(aside.reason)}</p>\n"
    yield "</div>\n"


def _lines(lines: Sequence[str]) -> str:
    return "<pre>" + "\n".join(_text(line) for line in lines) + "</pre>\n"


def _trace(findings: Sequence[Finding]) -> Iterator[str]:
    """What loading would do, in the order of the bytes: the findings of rules about pickles that have an offset."""
    steps = [
        finding for finding in findings if finding.rule.startswith("pickle-") and finding.location.offset is not None
    ]
    if len(steps) < 2:
        return
    steps.sort(key=lambda finding: (finding.location.member or "", finding.location.offset or 0))
    yield "<h3>In the order of the file</h3>\n<ol class='trace'>\n"
    for finding in steps[:_STEPS]:
        member = f"{_text(finding.location.member)} " if finding.location.member else ""
        yield f"<li><span class='soft'>{member}@ {finding.location.offset}</span> {_text(finding.message)}</li>\n"
    yield "</ol>\n"
    if steps[_STEPS:]:
        yield f"<p class='soft'>… and {len(steps) - _STEPS:,} more</p>\n"


REPORTER = Reporter(name="html", title="one HTML file with filters", render=_render)
