"""A JSON document of schema `safeload.report/1`, for programs.

Foreign text is there as it is, in JSON's own escapes: every character beyond ASCII is written as `\\uXXXX`, so that the
document itself is safe to print. A program that shows a string from it must escape that string for its own output.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TextIO

from safeload.core.errors import PolicyDenied, SafeloadError
from safeload.core.finding import FileReport, Finding, Report
from safeload.core.names import Location
from safeload.core.policy import Verdict
from safeload.reporters.base import PLAIN, About, Aside, Reporter, count

SCHEMA = "safeload.report/1"


def document(reports: Sequence[Report], errors: Sequence[SafeloadError] = (), about: About = PLAIN) -> dict[str, Any]:
    """The whole document as plain data: every file of every target exactly once, in `files`."""
    return {
        "schema": SCHEMA,
        "exit_code": about.code(reports, errors),
        "summary": {str(status): number for status, number in count(reports).items()},
        "findings": _counted(reports, about),
        "targets": [report.target for report in reports],
        "files": [_file(report, file, about) for report in reports for file in report.files],
        "errors": [error_data(error) for error in errors],
        "notes": list(about.notes),
    }


def _counted(reports: Sequence[Report], about: About) -> dict[str, int]:
    aside = about.set_aside(reports)
    total = sum(len(report.findings) for report in reports)
    kinds = {kind: aside.get(kind, 0) for kind in ("ignored", "baseline", "suppressed")}
    return {"total": total, "open": total - sum(kinds.values()), **kinds}


def _file(report: Report, file: FileReport, about: About) -> dict[str, Any]:
    name = about.name(report.target, file.path)
    return {
        "target": report.target,
        "path": file.path,
        "status": str(file.status),
        "accepted": about.accepted(report, file),
        "format": file.format,
        "size": file.size,
        "sha256": file.sha256,
        "used": file.used,
        "findings": [
            finding_data(finding, aside=aside, fingerprint=about.fingerprint and about.fingerprint(name, finding))
            for finding, aside in about.told(report, file)
        ],
    }


def finding_data(finding: Finding, *, aside: Aside | None = None, fingerprint: str | None = None) -> dict[str, Any]:
    """A finding as plain data."""
    return {
        "rule": finding.rule,
        "status": str(finding.status),
        "severity": str(finding.severity),
        "confidence": str(finding.confidence),
        "message": finding.message,
        "location": location_data(finding.location),
        "related": [location_data(place) for place in finding.related],
        "evidence": list(finding.evidence),
        "remedy": finding.remedy,
        "taxonomy": list(finding.taxonomy),
        "fingerprint": fingerprint,
        "aside": aside and {"kind": str(aside.kind), "reason": aside.reason, "expires": aside.expires or None},
    }


def location_data(location: Location) -> dict[str, Any]:
    """A place as plain data; what it does not say is `null`."""
    return {
        "file": location.file,
        "member": location.member,
        "offset": location.offset,
        "path": location.path,
    }


def verdict_data(verdict: Verdict) -> dict[str, Any]:
    """A verdict as plain data: whether it allows, and every reason for a denial."""
    return {
        "policy": verdict.policy,
        "allowed": verdict.allowed,
        "reasons": [
            {
                "message": reason.message,
                "remedy": reason.remedy,
                "locations": [location_data(place) for place in reason.locations],
            }
            for reason in verdict.denials()
        ],
    }


def error_data(error: SafeloadError) -> dict[str, Any]:
    """An error as plain data, with the verdict and the report if it is a denial."""
    data: dict[str, Any] = {
        "schema": "safeload.error/1",
        "error": type(error).__name__,
        "what": error.what,
        "where": str(error.where),
        "why": error.why,
        "next": error.remedy,
    }
    if isinstance(error, PolicyDenied):
        data["verdict"] = verdict_data(error.verdict)
        data["report"] = document([error.report])
    return data


def dump(data: dict[str, Any], stream: TextIO) -> None:
    """Write one document, with a line end after it."""
    json.dump(data, stream, indent=2, ensure_ascii=True, allow_nan=False)
    stream.write("\n")


def _render(reports: Sequence[Report], errors: Sequence[SafeloadError], stream: TextIO, about: About) -> None:
    dump(document(reports, errors, about), stream)


REPORTER = Reporter(name="json", title=f"a JSON document, schema {SCHEMA}", render=_render)
