"""A table for people, then what was found, file by file, the worst first.

Everything foreign is escaped: nothing a file says reaches the terminal as a control sequence. Colour appears only on a
terminal and only if `NO_COLOR` is not set, as `rich` decides it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from safeload.core.errors import SafeloadError
from safeload.core.finding import FileReport, Finding, Report, Severity, Status
from safeload.core.names import Location, escape
from safeload.reporters._screen import Piece, Screen, screen
from safeload.reporters._screen import console as console
from safeload.reporters.base import About, Aside, Reporter, aside_words, count

MANY = 40
"""Beyond so many files in one target, those that are safe are counted instead of listed."""
LISTED = 25
"""Findings of one file that are printed one by one."""
_COLOUR = {
    Status.SAFE: "green",
    Status.UNVERIFIED: "yellow",
    Status.UNDECIDED: "magenta",
    Status.DANGEROUS: "bold red",
}
_LOUDNESS = {
    Severity.NOTE: "dim",
    Severity.LOW: "blue",
    Severity.MEDIUM: "yellow",
    Severity.HIGH: "red",
    Severity.CRITICAL: "bold red",
}
_COLUMNS = (("status", "left"), ("file", "fold"), ("format", "left"), ("size", "right"))


def _render(reports: Sequence[Report], errors: Sequence[SafeloadError], stream: TextIO, about: About) -> None:
    out = screen(stream)
    for report in reports:
        files = sorted(report.files, key=lambda file: (-about.counting(report, file), -file.status, file.path))
        _table(report, files, about, out)
        for file in files:
            _findings(report, file, about, out)
    for error in errors:
        _error(error, out)
    if reports:
        _summary(reports, about, out)


def _table(report: Report, files: Sequence[FileReport], about: About, out: Screen) -> None:
    shown = files if len(files) <= MANY else [file for file in files if file.status is not Status.SAFE]
    out.line((escape(report.target), "bold"))
    rows = [(_status(report, file, about), escape(file.path), escape(file.format), size(file.size)) for file in shown]
    if rows:
        out.table(_COLUMNS, rows)
    if len(shown) < len(files):
        out.line(f"  … and {len(files) - len(shown):,} safe files")


def _status(report: Report, file: FileReport, about: About) -> tuple[str, str]:
    accepted = about.accepted(report, file)
    words = f"{file.status}{' (accepted)' if accepted else ''}{'' if file.used else ' (left out)'}"
    return words, "dim" if accepted else _COLOUR[file.status]


def _findings(report: Report, file: FileReport, about: About, out: Screen) -> None:
    """What was found in one file, the loudest first, and then what to do, each thing once."""
    shown = sorted(about.shown(report, file), key=lambda pair: (-pair[0].status, -pair[0].severity))
    if not shown:
        return
    out.line((escape(file.path), "bold"), "  ", _status(report, file, about))
    for finding, aside in shown[:LISTED]:
        _finding(finding, aside, out)
    if shown[LISTED:]:
        out.line(f"  … and {len(shown) - LISTED:,} more findings; --json lists them all")
    for remedy in dict.fromkeys(finding.remedy for finding, _ in shown[:LISTED] if finding.remedy):
        out.line(("  next: ", "cyan"), escape(remedy, 2_000))
    out.line()


def _finding(finding: Finding, aside: Aside | None, out: Screen) -> None:
    loud = _LOUDNESS[finding.severity] if aside is None else "dim"
    where = (inner(finding.location), "bold") if inner(finding.location) else ""
    out.line("  ", (f"{finding.severity!s:<10}", loud), where, (f"  [{finding.rule}]", "dim"))
    for line in (finding.message, *finding.evidence):
        out.line(f"            {escape(line, limit=2_000)}")
    if aside is not None:
        until = f" until {aside.expires}" if aside.expires else ""
        out.line((f"            {aside.kind}{until}: {escape(aside.reason, 1_000)}".rstrip(": "), "dim"))


def inner(place: Location) -> str:
    """A place without the name of its file, where that is said already."""
    return str(Location("", place.member, place.offset, place.path)).removeprefix(" » ").strip()


def _error(error: SafeloadError, out: Screen) -> None:
    for line in str(error).splitlines():
        out.line((escape(line, limit=2_000), "magenta"))


def _summary(reports: Sequence[Report], about: About, out: Screen) -> None:
    for note in about.notes:
        out.line((f"note: {escape(note, 2_000)}", "yellow"))
    if words := aside_words(about.set_aside(reports)):
        out.line((words, "dim"))
    counts = count(reports)
    total = sum(counts.values())
    pieces: list[Piece] = [f"{total:,} {'file' if total == 1 else 'files'}"]
    for index, (status, number) in enumerate(counts.items()):
        pieces += [": " if index == 0 else ", ", (f"{number:,} {status}", _COLOUR[status])]
    accepted = sum(about.accepted(report, file) for report in reports for file in report.files)
    if accepted:
        pieces.append((f" ({accepted:,} accepted)", "dim"))
    out.line(*pieces)


def size(number: int) -> str:
    """A number of bytes for people, in powers of 1,000."""
    value, units = float(number), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1_000
        units.pop(0)
    return f"{value:.3g} {units[0]}"


REPORTER = Reporter(name="terminal", title="a table for people", render=_render)
