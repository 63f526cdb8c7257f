"""JUnit XML: a suite for each target and a test case for each file, so that any CI shows what failed.

A dangerous or unverified file is a failure, an undecided one an error, and one whose findings are all accepted is
skipped, with the reasons. Foreign text is escaped first, so that no character remains that XML forbids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from safeload.core.errors import SafeloadError
from safeload.core.finding import FileReport, Report, Status
from safeload.core.names import escape
from safeload.reporters.base import About, Reporter
from safeload.reporters.terminal import inner


def _render(reports: Sequence[Report], errors: Sequence[SafeloadError], stream: TextIO, about: About) -> None:
    top = Element("testsuites", name="safeload")
    for report in reports:
        _suite(top, report, about)
    if errors:
        suite = SubElement(top, "testsuite", name="targets", tests=str(len(errors)), errors=str(len(errors)))
        for error in errors:
            case = SubElement(suite, "testcase", classname="targets", name=escape(str(error.where) or error.what))
            wrong = SubElement(case, "error", message=escape(error.what), type=type(error).__name__)
            wrong.text = "\n".join(escape(line, 2_000) for line in str(error).splitlines())
    indent(top)
    stream.write('<?xml version="1.0" encoding="UTF-8"?>\n')
    stream.write(tostring(top, encoding="unicode"))
    stream.write("\n")


def _suite(top: Element, report: Report, about: About) -> None:
    counted = [about.counting(report, file) for file in report.files]
    suite = SubElement(
        top,
        "testsuite",
        name=escape(report.target),
        tests=str(len(counted)),
        failures=str(sum(status in (Status.DANGEROUS, Status.UNVERIFIED) for status in counted)),
        errors=str(sum(status is Status.UNDECIDED for status in counted)),
        skipped=str(sum(about.accepted(report, file) and not about.counting(report, file) for file in report.files)),
    )
    for file in report.files:
        case = SubElement(suite, "testcase", classname=escape(report.target), name=escape(file.path, 4_096))
        status = about.counting(report, file)
        if status is not Status.SAFE:
            kind = "error" if status is Status.UNDECIDED else "failure"
            wrong = SubElement(case, kind, message=f"{status}: {_first(report, file, status, about)}", type=str(status))
            wrong.text = _lines(report, file, about)
        elif about.accepted(report, file):
            SubElement(case, "skipped", message=f"{file.status}, and accepted: {_reasons(report, file, about)}")


def _first(report: Report, file: FileReport, status: Status, about: About) -> str:
    open_ = (finding for finding in file.findings if about.of(report, file, finding) is None)
    hidden = "its findings are not shown"
    return next((escape(finding.message, 1_000) for finding in open_ if finding.status is status), hidden)


def _reasons(report: Report, file: FileReport, about: About) -> str:
    asides = [aside for finding in file.findings if (aside := about.of(report, file, finding))]
    return "; ".join(dict.fromkeys(escape(f"{aside.kind} {aside.reason}".strip(), 1_000) for aside in asides))


def _lines(report: Report, file: FileReport, about: About) -> str:
    lines = [
        f"{finding.severity} {inner(finding.location)} [{finding.rule}]\n  {escape(finding.message, 2_000)}\n"
        f"  next: {escape(finding.remedy, 2_000)}"
        for finding, _ in about.shown(report, file)
    ]
    return "\n" + "\n".join(lines) + "\n"


REPORTER = Reporter(name="junit", title="JUnit XML", render=_render)
