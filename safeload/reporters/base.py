"""What a reporter is: a name, and a function that writes reports to a stream; and what it may know beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TextIO

from safeload.core.errors import SafeloadError
from safeload.core.finding import Confidence, FileReport, Finding, Report, Severity, Status
from safeload.core.frozen import Frozen, fresh

IGNORED = "ignored"
"""The kind of what is not shown, and counts all the same; see `safeload.engine.scanning.triage`."""


class Card(Protocol):
    """What there is to say about a rule."""

    @property
    def id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def why(self) -> str: ...
    @property
    def status(self) -> Status: ...
    @property
    def severity(self) -> Severity: ...
    @property
    def confidence(self) -> Confidence: ...
    @property
    def remedy(self) -> str: ...
    @property
    def catalogued(self) -> tuple[str, ...]: ...


class Aside(Protocol):
    """Why a finding is set aside."""

    @property
    def kind(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def expires(self) -> str: ...


def _as_it_is(target: str, path: str) -> str:
    return path


class About(Frozen):
    """What there is to say beside reports. The default says nothing: every finding is open."""

    version: str = ""
    """The version of safeload."""
    rules: Sequence[Card] = ()
    aside: Mapping[tuple[str, str, Finding], Aside] = fresh(factory=dict)
    """Findings that are ignored, known or suppressed, by target, path and value."""
    notes: Sequence[str] = ()
    """Remarks on the scan itself, escaped."""
    name: Callable[[str, str], str] = _as_it_is
    """What a file is called where reports are read, from target and path."""
    fingerprint: Callable[[str, Finding], str] | None = None
    """The stable identity of a finding in a file of that name."""
    all: bool = False
    """Show known and suppressed findings too, where people read."""

    def of(self, report: Report, file: FileReport, finding: Finding) -> Aside | None:
        """Why a finding is set aside, if it is."""
        return self.aside.get((report.target, file.path, finding))

    def told(self, report: Report, file: FileReport) -> Iterator[tuple[Finding, Aside | None]]:
        """The findings of a file that programs are told: all but those that nobody asked for."""
        for finding in file.findings:
            aside = self.of(report, file, finding)
            if aside is None or aside.kind != IGNORED:
                yield finding, aside

    def shown(self, report: Report, file: FileReport) -> Iterator[tuple[Finding, Aside | None]]:
        """The findings of a file that people are shown: those that are open, and the others on request."""
        return ((finding, aside) for finding, aside in self.told(report, file) if aside is None or self.all)

    def counting(self, report: Report, file: FileReport) -> Status:
        """What a file is for the exit code: its status, without what somebody accepted."""
        statuses = (
            finding.status
            for finding in file.findings
            if (aside := self.of(report, file, finding)) is None or aside.kind == IGNORED
        )
        return max(statuses, default=Status.SAFE)

    def accepted(self, report: Report, file: FileReport) -> bool:
        """Whether a file counts for less than it is."""
        return self.counting(report, file) < file.status

    def set_aside(self, reports: Iterable[Report]) -> dict[str, int]:
        """How many findings are set aside, by kind; kinds without any are left out."""
        counts: dict[str, int] = {}
        for report in reports:
            for file in report.files:
                for finding in file.findings:
                    if aside := self.of(report, file, finding):
                        counts[str(aside.kind)] = counts.get(str(aside.kind), 0) + 1
        return counts

    def code(self, reports: Iterable[Report], errors: Sequence[SafeloadError]) -> int:
        """The exit code of it all: accepted findings do not count, and a target that could not be looked at is
        undecided."""
        statuses = [self.counting(report, file) for report in reports for file in report.files]
        return max([*statuses, *(Status.UNDECIDED for _ in errors)], default=Status.SAFE).exit_code


PLAIN = About()

Write = Callable[[Sequence[Report], Sequence[SafeloadError], TextIO, About], None]


class Reporter(Frozen):
    """One output. A reporter is one file in this folder that defines `REPORTER`."""

    name: str
    title: str
    """A noun phrase for people: `a table for the terminal`."""
    render: Write
    """`(reports, errors, stream, about)`: see `write`."""

    def write(
        self, reports: Sequence[Report], errors: Sequence[SafeloadError], stream: TextIO, about: About = PLAIN
    ) -> None:
        """Write all reports as one document, and the errors of targets that could not be looked at. Writes nothing
        else, and never to another stream."""
        self.render(reports, errors, stream, about)


def count(reports: Iterable[Report]) -> dict[Status, int]:
    """How many files have each status, from the worst down; statuses that no file has are left out."""
    files = [file for report in reports for file in report.files]
    counts = {status: sum(file.status is status for file in files) for status in sorted(Status, reverse=True)}
    return {status: number for status, number in counts.items() if number}


def code(reports: Iterable[Report], errors: Sequence[SafeloadError]) -> int:
    """The exit code of it all, with nothing set aside."""
    return PLAIN.code(reports, errors)


def aside_words(counts: Mapping[str, int]) -> str:
    """How many findings are set aside, in words; "" if none is."""
    spelled = {"ignored": "not shown", "baseline": "known from the baseline", "suppressed": "suppressed"}
    words = ", ".join(f"{number:,} {spelled.get(kind, kind)}" for kind, number in sorted(counts.items()))
    return f"findings set aside: {words}" if words else ""
