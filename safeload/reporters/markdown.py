"""Markdown for pull requests and wikis. Foreign text stands in code spans alone.

Within a code span nothing is a link, a mention, an image or HTML; a span's fence is longer than any run of backticks
in it, and a `|` is escaped, so that it ends no cell of a table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TextIO

from safeload.core.errors import SafeloadError
from safeload.core.finding import FileReport, Report, Status
from safeload.core.names import escape
from safeload.reporters.base import About, Reporter, aside_words, count
from safeload.reporters.terminal import inner, size

MANY = 100
"""Beyond so many files of a target, those that are safe are counted instead of listed."""
_SIGN = {Status.SAFE: "✅", Status.UNVERIFIED: "⚠️", Status.UNDECIDED: "❔", Status.DANGEROUS: "⛔"}


def span(text: str, limit: int = 2_000) -> str:
    """Foreign text as a code span; `none` in words for none."""
    clean = escape(text, limit).strip()
    if not clean:
        return "none"
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", clean)), default=0))
    return f"{fence} {clean} {fence}" if "`" in clean else f"{fence}{clean}{fence}"


def cell(text: str, limit: int = 2_000) -> str:
    """Foreign text as a cell of a table."""
    return span(text, limit).replace("|", "\\|")


def _render(reports: Sequence[Report], errors: Sequence[SafeloadError], stream: TextIO, about: About) -> None:
    counts = count(reports)
    words = ", ".join(f"{_SIGN[status]} {number:,} {status}" for status, number in counts.items()) or "no files"
    stream.write(f"# safeload scan\n\n{words}\n")
    if aside := aside_words(about.set_aside(reports)):
        stream.write(f"\n{aside[0].upper()}{aside[1:]}.\n")
    for report in reports:
        _target(report, stream, about)
    for error in errors:
        lines = "\n".join(f"- {span(line)}" for line in str(error).splitlines())
        stream.write(f"\n## A target that could not be looked at\n\n{lines}\n")
    for index, note in enumerate(about.notes):
        stream.write(_note(index, note))


def _note(index: int, note: str) -> str:
    return ("\n## Notes\n\n" if index == 0 else "") + f"- {span(note)}\n"


def _target(report: Report, stream: TextIO, about: About) -> None:
    files = sorted(report.files, key=lambda file: (-about.counting(report, file), -file.status, file.path))
    shown = files if len(files) <= MANY else [file for file in files if file.status is not Status.SAFE]
    stream.write(f"\n## {span(report.target)}\n\n| status | file | format | size |\n|---|---|---|--:|\n")
    for file in shown:
        accepted = " (accepted)" if about.accepted(report, file) else ""
        status = f"{_SIGN[file.status]} {file.status}{accepted}"
        stream.write(f"| {status} | {cell(file.path, 4_096)} | {cell(file.format)} | {size(file.size)} |\n")
    if len(shown) < len(files):
        stream.write(f"\n… and {len(files) - len(shown):,} safe files.\n")
    for file in files:
        _findings(report, file, stream, about)


def _findings(report: Report, file: FileReport, stream: TextIO, about: About) -> None:
    shown = sorted(about.shown(report, file), key=lambda pair: (-pair[0].status, -pair[0].severity))
    if not shown:
        return
    stream.write(f"\n### {span(file.path, 4_096)}\n\n")
    for finding, aside in shown:
        place = f" at {span(inner(finding.location))}" if inner(finding.location) else ""
        until = f" until {aside.expires}" if aside and aside.expires else ""
        note = f" *({aside.kind}{until}: {span(aside.reason)})*" if aside else ""
        stream.write(f"- **{finding.status}**, {finding.severity}{place}, rule `{finding.rule}`{note}\n")
        stream.write(f"  - {span(finding.message)}\n")
        stream.writelines(f"  - {span(line)}\n" for line in finding.evidence)
    remedies = dict.fromkeys(finding.remedy for finding, _ in shown if finding.remedy)
    stream.write("\nNext:\n\n" if remedies else "")
    stream.writelines(f"- {span(remedy)}\n" for remedy in remedies)


REPORTER = Reporter(name="markdown", title="Markdown", render=_render)
