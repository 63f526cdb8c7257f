"""A table for people. Everything foreign is escaped: nothing a file says reaches the terminal as a control sequence.

Colour appears only on a terminal and only if `NO_COLOR` is not set, as `rich` decides it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from safeload.core.errors import SafeloadError
from safeload.core.finding import FileReport, Finding, Report, Severity, Status
from safeload.core.names import escape
from safeload.reporters.base import Reporter, count

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

MANY = 40
"""Beyond so many files in one target, those that are safe are counted instead of listed."""
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


def _write(reports: Sequence[Report], errors: Sequence[SafeloadError], stream: TextIO) -> None:
    out = console(stream)
    for report in reports:
        _table(report, out)
        for file in report.files:
            for finding in file.findings:
                _finding(finding, out)
    for error in errors:
        _error(error, out)
    if reports:
        _summary(reports, out)


def _table(report: Report, out: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    files = report.files
    shown = files if len(files) <= MANY else tuple(file for file in files if file.status is not Status.SAFE)
    out.print(Text(escape(report.target), style="bold"), soft_wrap=True)
    table = Table(box=box.SIMPLE)
    table.add_column("status", no_wrap=True)
    table.add_column("file", overflow="fold")
    table.add_column("format", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    for file in shown:
        table.add_row(_status(file), Text(escape(file.path)), Text(escape(file.format)), Text(size(file.size)))
    out.print(table)
    if len(shown) < len(files):
        out.print(Text(f"  … and {len(files) - len(shown):,} safe files"))


def _status(file: FileReport) -> Text:
    from rich.text import Text

    return Text(str(file.status) + ("" if file.used else " (left out)"), style=_COLOUR[file.status])


def _finding(finding: Finding, out: Console) -> None:
    from rich.text import Text

    place = (str(finding.location), "bold")
    head = Text.assemble("  ", (f"{finding.severity}", _LOUDNESS[finding.severity]), "  ", place, f"  [{finding.rule}]")
    out.print(head, soft_wrap=True)
    lines = [finding.message, *finding.evidence]
    if finding.remedy:
        lines.append(f"next: {finding.remedy}")
    for line in lines:
        out.print(Text(f"      {escape(line, limit=2_000)}"), soft_wrap=True)
    out.print()


def _error(error: SafeloadError, out: Console) -> None:
    from rich.text import Text

    for line in str(error).splitlines():
        out.print(Text(escape(line, limit=2_000), style="magenta"), soft_wrap=True)


def _summary(reports: Sequence[Report], out: Console) -> None:
    from rich.text import Text

    counts = count(reports)
    total = sum(counts.values())
    text = Text(f"{total:,} {'file' if total == 1 else 'files'}")
    for index, (status, number) in enumerate(counts.items()):
        text.append(": " if index == 0 else ", ")
        text.append(f"{number:,} {status}", style=_COLOUR[status])
    out.print(text)


def size(number: int) -> str:
    """A number of bytes for people, in powers of 1,000."""
    value, units = float(number), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1_000
        units.pop(0)
    return f"{value:.3g} {units[0]}"


REPORTER = Reporter(name="terminal", title="a table for people", write=_write)
