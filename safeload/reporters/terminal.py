"""A table for people, then what was found, file by file, the worst first.

Everything foreign is escaped: nothing a file says reaches the terminal as a control sequence. Colour appears only on a
terminal and only if `NO_COLOR` is not set, as `rich` decides it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from safeload.core.errors import SafeloadError
from safeload.core.finding import FileReport, Finding, Report, Severity, Status
from safeload.core.names import Location, escape
from safeload.reporters.base import About, Aside, Reporter, aside_words, count

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

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
_PIPED_WIDTH = 160
"""Columns where the output is no terminal that could say how wide it is."""


def console(stream: TextIO) -> Console:
    """A console that interprets nothing in what it prints: no markup, no emoji names, no highlighting."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            """Whoever read our output has seen enough: the command line knows what to do."""
            raise BrokenPipeError

    width = None if stream.isatty() else _PIPED_WIDTH
    return Plain(file=stream, width=width, markup=False, emoji=False, highlight=False, soft_wrap=False)


def _render(reports: Sequence[Report], errors: Sequence[SafeloadError], stream: TextIO, about: About) -> None:
    out = console(stream)
    for report in reports:
        files = sorted(report.files, key=lambda file: (-about.counting(report, file), -file.status, file.path))
        _table(report, files, about, out)
        for file in files:
            _findings(report, file, about, out)
    for error in errors:
        _error(error, out)
    if reports:
        _summary(reports, about, out)


def _table(report: Report, files: Sequence[FileReport], about: About, out: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = files if len(files) <= MANY else [file for file in files if file.status is not Status.SAFE]
    out.print(Text(escape(report.target), style="bold"), soft_wrap=True)
    table = Table(box=box.SIMPLE)
    table.add_column("status", no_wrap=True)
    table.add_column("file", overflow="fold")
    table.add_column("format", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    for file in shown:
        row = (Text(escape(file.path)), Text(escape(file.format)), Text(size(file.size)))
        table.add_row(_status(report, file, about), *row)
    out.print(table)
    if len(shown) < len(files):
        out.print(Text(f"  … and {len(files) - len(shown):,} safe files"))


def _status(report: Report, file: FileReport, about: About) -> Text:
    from rich.text import Text

    accepted = about.accepted(report, file)
    words = f"{file.status}{' (accepted)' if accepted else ''}{'' if file.used else ' (left out)'}"
    return Text(words, style="dim" if accepted else _COLOUR[file.status])


def _findings(report: Report, file: FileReport, about: About, out: Console) -> None:
    """What was found in one file, the loudest first, and then what to do, each thing once."""
    from rich.text import Text

    shown = sorted(about.shown(report, file), key=lambda pair: (-pair[0].status, -pair[0].severity))
    if not shown:
        return
    out.print(Text.assemble((escape(file.path), "bold"), "  ", _status(report, file, about)), soft_wrap=True)
    for finding, aside in shown[:LISTED]:
        _finding(finding, aside, out)
    if shown[LISTED:]:
        out.print(Text(f"  … and {len(shown) - LISTED:,} more findings; --json lists them all"))
    for remedy in dict.fromkeys(finding.remedy for finding, _ in shown[:LISTED] if finding.remedy):
        out.print(Text.assemble(("  next: ", "cyan"), escape(remedy, 2_000)), soft_wrap=True)
    out.print()


def _finding(finding: Finding, aside: Aside | None, out: Console) -> None:
    from rich.text import Text

    loud = _LOUDNESS[finding.severity] if aside is None else "dim"
    where = (inner(finding.location), "bold") if inner(finding.location) else ""
    out.print(
        Text.assemble("  ", (f"{finding.severity!s:<10}", loud), where, (f"  [{finding.rule}]", "dim")), soft_wrap=True
    )
    for line in (finding.message, *finding.evidence):
        out.print(Text(f"            {escape(line, limit=2_000)}"), soft_wrap=True)
    if aside is not None:
        until = f" until {aside.expires}" if aside.expires else ""
        out.print(Text(f"            {aside.kind}{until}: {escape(aside.reason, 1_000)}".rstrip(": "), style="dim"))


def inner(place: Location) -> str:
    """A place without the name of its file, where that is said already."""
    return str(Location("", place.member, place.offset, place.path)).removeprefix(" » ").strip()


def _error(error: SafeloadError, out: Console) -> None:
    from rich.text import Text

    for line in str(error).splitlines():
        out.print(Text(escape(line, limit=2_000), style="magenta"), soft_wrap=True)


def _summary(reports: Sequence[Report], about: About, out: Console) -> None:
    from rich.text import Text

    for note in about.notes:
        out.print(Text(f"note: {escape(note, 2_000)}", style="yellow"), soft_wrap=True)
    if words := aside_words(about.set_aside(reports)):
        out.print(Text(words, style="dim"), soft_wrap=True)
    counts = count(reports)
    total = sum(counts.values())
    text = Text(f"{total:,} {'file' if total == 1 else 'files'}")
    for index, (status, number) in enumerate(counts.items()):
        text.append(": " if index == 0 else ", ")
        text.append(f"{number:,} {status}", style=_COLOUR[status])
    accepted = sum(about.accepted(report, file) for report in reports for file in report.files)
    if accepted:
        text.append(f" ({accepted:,} accepted)", style="dim")
    out.print(text)


def size(number: int) -> str:
    """A number of bytes for people, in powers of 1,000."""
    value, units = float(number), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1_000
        units.pop(0)
    return f"{value:.3g} {units[0]}"


REPORTER = Reporter(name="terminal", title="a table for people", render=_render)
