"""Statuses, reports and exit codes."""

from __future__ import annotations

import pickle
from itertools import combinations_with_replacement

import pytest

from safeload.core.finding import Confidence, FileReport, Finding, Report, Severity, Status
from safeload.core.names import Location


def finding(status: Status, file: str = "f") -> Finding:
    return Finding(
        rule="r",
        status=status,
        severity=Severity.LOW,
        confidence=Confidence.LIKELY,
        location=Location(file),
        message="m",
        remedy="n",
    )


def file(path: str, *statuses: Status) -> FileReport:
    return FileReport(path=path, format="pickle", size=0, findings=tuple(finding(status, path) for status in statuses))


def test_a_file_is_as_bad_as_its_worst_finding() -> None:
    """A file without findings is safe; any other has the worst status of its findings."""
    assert file("f").status is Status.SAFE
    assert file("f", Status.UNVERIFIED, Status.DANGEROUS, Status.UNDECIDED).status is Status.DANGEROUS


def test_a_report_is_as_bad_as_its_worst_file() -> None:
    """A report collects findings and statuses of all its files, and finds a file by path."""
    report = Report(target="t", files=(file("a"), file("b", Status.UNVERIFIED), file("c", Status.SAFE)))
    assert report.status is Status.UNVERIFIED and Report(target="t").status is Status.SAFE
    assert [found.location.file for found in report.findings] == ["b", "c"]
    assert report.file("b") is report.files[1]
    with pytest.raises(KeyError):
        report.file("d")
    assert report.coverage == {Status.SAFE: 2, Status.UNVERIFIED: 1, Status.UNDECIDED: 0, Status.DANGEROUS: 0}


@pytest.mark.parametrize(
    ("status", "code"), [(Status.SAFE, 0), (Status.UNVERIFIED, 1), (Status.UNDECIDED, 2), (Status.DANGEROUS, 1)]
)
def test_exit_codes(status: Status, code: int) -> None:
    """0 nothing wrong, 1 findings, 2 undecided."""
    assert Report(target="t", files=(file("f", status),)).status.exit_code == code
    assert Report(target="t").status.exit_code == 0


@pytest.mark.parametrize("statuses", list(combinations_with_replacement(Status, 3)))
def test_only_what_is_safe_exits_with_zero(statuses: tuple[Status, ...]) -> None:
    """The exit code is 0 only if every file is safe, and the order of files does not matter."""
    codes = [
        Report(target="t", files=tuple(file(f"{n}", status) for n, status in enumerate(order))).status.exit_code
        for order in (statuses, statuses[::-1])
    ]
    assert codes[0] == codes[1] and (codes[0] == 0) == (set(statuses) == {Status.SAFE})


def test_words_are_lower_case() -> None:
    """Statuses, severities and confidences print as the words that documents use."""
    assert [str(status) for status in Status] == ["safe", "unverified", "undecided", "dangerous"]
    assert (str(Severity.CRITICAL), str(Confidence.CERTAIN)) == ("critical", "certain")


def test_a_finding_needs_a_place() -> None:
    """A finding without a location cannot be built."""
    with pytest.raises(TypeError):
        Finding(  # type: ignore[call-arg]
            rule="r", status=Status.SAFE, severity=Severity.LOW, confidence=Confidence.LIKELY, message="m", remedy="n"
        )


def test_reports_survive_pickling() -> None:
    """A report crosses a process unchanged."""
    report = Report(target="t", files=(file("a", Status.DANGEROUS),))
    assert pickle.loads(pickle.dumps(report)) == report
