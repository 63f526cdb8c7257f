"""After a scan: which of its findings are new, which somebody accepted, and which a reader asked not to see.

Laws, each a property test:

1. A report is never changed: every finding stays in it, and every file keeps its status. Triage only says beside it
   which findings are set aside, and why.
2. Counts add up: open, ignored, known and suppressed findings are all findings.
3. What is ignored still counts for the exit code; only a baseline or a suppression takes a finding out of that.
4. A dangerous finding is taken out by nothing but a suppression that says so and names the digest of the file.
5. Without a baseline and suppressions, the exit code is that of the reports.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from safeload.core.errors import SafeloadError
from safeload.core.finding import FileReport, Finding, Report, Status
from safeload.core.frozen import Frozen, fresh
from safeload.core.names import escape
from safeload.engine.scanning.naming import Names

if TYPE_CHECKING:
    import datetime

    from safeload.engine.scanning.baseline import Baseline
    from safeload.engine.scanning.rulebook import Selection
    from safeload.trust.suppressions import Suppression

Key = tuple[str, str, Finding]
"""Target, path of the file within it, and the finding."""


class Kind(enum.StrEnum):
    """Why a finding is set aside."""

    IGNORED = "ignored"
    """Not shown, because `--select` or `--ignore` says so. It counts."""
    BASELINE = "baseline"
    """Known from a baseline."""
    SUPPRESSED = "suppressed"
    """Accepted in `safeload.toml`."""


class Aside(Frozen):
    """Why one finding is set aside."""

    kind: Kind
    reason: str = ""
    expires: str = ""
    """The last day of a suppression, as `2027-01-31`."""


class Triaged(Frozen):
    """Reports, and beside them what is set aside. Findings are found there by target, path and value."""

    reports: tuple[Report, ...]
    aside: Mapping[Key, Aside] = fresh(factory=dict)
    notes: tuple[str, ...] = ()
    """Suppressions that are over, or that nothing needs; entries of a baseline that nothing needs."""

    @property
    def counts(self) -> dict[str, int]:
        """How many findings are open, ignored, known and suppressed; together they are all."""
        counts = {"open": 0, **{str(kind): 0 for kind in Kind}}
        for report in self.reports:
            for file in report.files:
                for finding in file.findings:
                    aside = self.aside.get((report.target, file.path, finding))
                    counts[str(aside.kind) if aside else "open"] += 1
        return counts

    def counting(self, report: Report, file: FileReport) -> Status:
        """The status of a file as the exit code sees it: that of its findings which nobody accepted."""
        return max(
            (
                finding.status
                for finding in file.findings
                if (aside := self.aside.get((report.target, file.path, finding))) is None or aside.kind is Kind.IGNORED
            ),
            default=Status.SAFE,
        )

    def exit_code(self, errors: Sequence[SafeloadError] = ()) -> int:
        """The exit code: accepted findings do not count; targets that could not be looked at are undecided."""
        statuses = [self.counting(report, file) for report in self.reports for file in report.files]
        return max([*statuses, *(Status.UNDECIDED for _ in errors)], default=Status.SAFE).exit_code


def triage(
    reports: Sequence[Report],
    *,
    selection: Selection | None = None,
    baseline: Baseline | None = None,
    suppressions: Sequence[Suppression] = (),
    folder: str = "",
    today: datetime.date | None = None,
) -> Triaged:
    """Say of each finding whether it is set aside.

    Args:
        folder: the folder of the file with the suppressions: their paths are relative to it.
        today: the day on which suppressions must not be over; the present one if it is not said.
    """
    aside: dict[Key, Aside] = {}
    notes: list[str] = []
    if selection is not None:
        _ignore(reports, selection, aside)
    if baseline is not None:
        notes += _recognise(reports, baseline, aside)
    if suppressions:
        if today is None:
            import datetime

            today = datetime.datetime.now(datetime.UTC).date()
        notes += _suppress(reports, suppressions, Names(folder), today, aside)
    return Triaged(reports=tuple(reports), aside=aside, notes=tuple(notes))


def _ignore(reports: Sequence[Report], selection: Selection, aside: dict[Key, Aside]) -> None:
    for report in reports:
        for file in report.files:
            for finding in file.findings:
                if not selection.shows(finding.rule):
                    aside[report.target, file.path, finding] = Aside(kind=Kind.IGNORED)


def _recognise(reports: Sequence[Report], baseline: Baseline, aside: dict[Key, Aside]) -> list[str]:
    used: set[tuple[str, str]] = set()
    names = Names(baseline.folder)
    scanned = {names.of(report.target, file.path) for report in reports for file in report.files}
    for report in reports:
        known, entries = baseline.recognise(report)
        used |= entries
        for path, finding in known:
            aside[report.target, path, finding] = Aside(kind=Kind.BASELINE)
    gone = sum(key not in used and name in scanned for key, name in baseline.files.items())
    if not gone:
        return []
    return [f"{gone:,} known findings of the baseline are no longer there: write it anew with --write-baseline"]


def _suppress(
    reports: Sequence[Report],
    entries: Sequence[Suppression],
    names: Names,
    today: datetime.date,
    aside: dict[Key, Aside],
) -> list[str]:
    matched: set[int] = set()
    nearby: set[int] = set()
    blocked: dict[int, str] = {}
    for report in reports:
        for file in report.files:
            name = names.of(report.target, file.path)
            for index, entry in enumerate(entries):
                if not entry.matches(name):
                    continue
                nearby.add(index)
                for finding in file.findings:
                    if finding.rule != entry.rule:
                        continue
                    if why := _blocked(entry, file, finding, today):
                        blocked[index] = why
                        continue
                    matched.add(index)
                    accepted = Aside(
                        kind=Kind.SUPPRESSED, reason=escape(entry.reason, 1_000), expires=entry.expires.isoformat()
                    )
                    aside[report.target, file.path, finding] = accepted
    folders = {f"{names.local(report.target)}/" for report in reports if os.path.isdir(report.target)}
    gone = {
        index
        for index, entry in enumerate(entries)
        if any(folder == "./" or entry.path.startswith(folder) for folder in folders)
    }
    nearby |= gone
    by = [f"accepted by {escape(entries[min(matched)].where.file)}: {_how_many(aside)}"] if matched else []
    return [*by, *_remarks(entries, today, matched, nearby, blocked)]


def _how_many(aside: Mapping[Key, Aside]) -> str:
    """How many findings somebody accepted: whoever reads a report should see by whose word it is a good one."""
    found = [finding.status for (_, _, finding), one in aside.items() if one.kind is Kind.SUPPRESSED]
    dangerous = sum(status is Status.DANGEROUS for status in found)
    many = f"{len(found):,} finding{'' if len(found) == 1 else 's'}"
    return f"{many}, {dangerous:,} of them dangerous" if dangerous else many


def _blocked(entry: Suppression, file: FileReport, finding: Finding, today: datetime.date) -> str:
    """Why an entry does not take out a finding that it names; "" if it does."""
    if entry.expired(today):
        return f"it ended on {entry.expires.isoformat()}: its findings count again"
    if entry.sha256 is not None and entry.sha256 != file.sha256:
        return f"it is for another file: the sha256 here is {file.sha256 or 'not known'}"
    if finding.status is Status.DANGEROUS and not (entry.unsafe_dangerous and entry.sha256):
        return "a dangerous finding takes unsafe-dangerous = true, and the sha256 of the file"
    return ""


def _remarks(
    entries: Sequence[Suppression], today: datetime.date, matched: set[int], nearby: set[int], blocked: dict[int, str]
) -> list[str]:
    notes = []
    for index, entry in enumerate(entries):
        if index in blocked:
            why = blocked[index]
        elif entry.expired(today):
            why = f"it ended on {entry.expires.isoformat()}: remove it"
        elif index in nearby and index not in matched:
            why = "nothing that was found needs it: remove it"
        else:
            continue
        notes.append(f"{entry.where} ({entry.rule}, {escape(entry.path)}): {why}")
    return notes
