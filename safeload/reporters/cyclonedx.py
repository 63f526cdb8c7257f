"""CycloneDX 1.6 in JSON: each target a machine-learning model made of files with their digests; findings as
vulnerabilities with what was decided about them.

The document says nothing that differs between two scans of the same bytes: no time, no serial number.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TextIO

from safeload.core.errors import SafeloadError
from safeload.core.finding import FileReport, Finding, Report, Severity, Status
from safeload.core.names import escape
from safeload.reporters.base import About, Aside, Reporter
from safeload.reporters.terminal import inner

_SEVERITY = {
    Severity.NOTE: "info",
    Severity.LOW: "low",
    Severity.MEDIUM: "medium",
    Severity.HIGH: "high",
    Severity.CRITICAL: "critical",
}


def bom(reports: Sequence[Report], errors: Sequence[SafeloadError], about: About) -> dict[str, Any]:
    """The whole document as plain data."""
    tool: dict[str, Any] = {"type": "application", "name": "safeload"}
    if about.version:
        tool["version"] = about.version
    notes = [_property("note", note) for note in about.notes]
    notes += [_property("error", " ".join(str(error).split())) for error in errors]
    models: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number, report in enumerate(reports):
        models.append(_model(number, report, about))
        for index, file in enumerate(report.files):
            for finding, aside in about.told(report, file):
                found.append(_vulnerability(len(found), f"file-{number}-{index}", finding, aside))
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"tools": {"components": [tool]}},
        "components": models,
        "vulnerabilities": found,
    }
    if notes:
        document["metadata"]["properties"] = notes
    return document


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"safeload:{name}", "value": escape(value, 4_000)}


def _model(number: int, report: Report, about: About) -> dict[str, Any]:
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model-{number}",
        "name": escape(report.target, 4_096) or "?",
        "properties": [_property("status", str(report.status))],
        "components": [_file(f"file-{number}-{index}", report, file, about) for index, file in enumerate(report.files)],
    }


def _file(reference: str, report: Report, file: FileReport, about: About) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "file",
        "bom-ref": reference,
        "name": escape(file.path, 4_096) or "?",
        "properties": [
            _property("status", str(file.status)),
            _property("accepted", "true" if about.accepted(report, file) else "false"),
            _property("format", file.format),
            _property("size", str(file.size)),
        ],
    }
    if file.sha256:
        component["hashes"] = [{"alg": "SHA-256", "content": file.sha256}]
    return component


def _vulnerability(number: int, reference: str, finding: Finding, aside: Aside | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "bom-ref": f"finding-{number}",
        "id": finding.rule,
        "source": {"name": "safeload"},
        "ratings": [{"source": {"name": "safeload"}, "severity": _SEVERITY[finding.severity], "method": "other"}],
        "description": escape(finding.message, 4_000),
        "affects": [{"ref": reference}],
        "analysis": _analysis(finding, aside),
        "properties": [
            _property("status", str(finding.status)),
            _property("confidence", str(finding.confidence)),
            _property("place", inner(finding.location)),
            *(_property("evidence", line) for line in finding.evidence),
            *(_property("catalogue", entry) for entry in finding.taxonomy),
        ],
    }
    cwes = [int(entry[4:]) for entry in finding.taxonomy if entry.startswith("CWE-") and entry[4:].isdecimal()]
    if cwes:
        found["cwes"] = cwes
    if finding.remedy:
        found["recommendation"] = escape(finding.remedy, 4_000)
    return found


def _analysis(finding: Finding, aside: Aside | None) -> dict[str, Any]:
    """What is known of it: accepting a finding does not make it harmless, it says that nobody will change it."""
    analysis: dict[str, Any] = {"state": "exploitable" if finding.status is Status.DANGEROUS else "in_triage"}
    if aside is not None:
        until = f" until {aside.expires}" if aside.expires else ""
        analysis["response"] = ["will_not_fix"]
        analysis["detail"] = escape(f"{aside.kind}{until}: {aside.reason}".rstrip(": "), 2_000)
    return analysis


def _render(reports: Sequence[Report], errors: Sequence[SafeloadError], stream: TextIO, about: About) -> None:
    json.dump(bom(reports, errors, about), stream, indent=1, ensure_ascii=True, allow_nan=False)
    stream.write("\n")


REPORTER = Reporter(name="cyclonedx", title="a CycloneDX 1.6 bill of materials", render=_render)
