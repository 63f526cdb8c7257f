"""What a reporter is: a name, and a function that writes reports to a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TextIO

from safeload.core.errors import SafeloadError
from safeload.core.finding import Report, Status, exit_code
from safeload.values import dataclass

Write = Callable[[Sequence[Report], Sequence[SafeloadError], TextIO], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """One output. A reporter is one file in this folder that defines `REPORTER`."""

    name: str
    title: str
    """A noun phrase for people: `a table for the terminal`."""
    write: Write
    """`(reports, errors, stream)`: writes all reports as one document, and the errors of targets that could not be
    looked at. Writes nothing else, and never to another stream."""


def count(reports: Iterable[Report]) -> dict[Status, int]:
    """How many files have each status, from the worst down; statuses that no file has are left out."""
    files = [file for report in reports for file in report.files]
    counts = {status: sum(file.status is status for file in files) for status in sorted(Status, reverse=True)}
    return {status: number for status, number in counts.items() if number}


def code(reports: Iterable[Report], errors: Sequence[SafeloadError]) -> int:
    """The exit code of it all: a target that could not be looked at is undecided."""
    statuses = [file.status for report in reports for file in report.files]
    return exit_code([*statuses, *(Status.UNDECIDED for _ in errors)])
