"""Reports as plain JSON values: between the processes of one scan, and from one scan to the next.

Everything is written by name, and read back strictly: what is not exactly a report is a `ValueError`, never a guess.
"""

from __future__ import annotations

from typing import Any

from safeload.core.finding import Confidence, FileReport, Finding, Severity, Status
from safeload.core.names import Location

_TEXTS = ("rule", "message", "remedy")
_FINDING = frozenset(Finding.__annotations__)
_REPORT = frozenset(FileReport.__annotations__)


def packed(report: FileReport) -> dict[str, Any]:
    """A report as dictionaries, lists, texts, numbers and `None`."""
    return {
        "path": report.path,
        "format": report.format,
        "size": report.size,
        "findings": [_finding(finding) for finding in report.findings],
        "sha256": report.sha256,
        "used": report.used,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        **{name: getattr(finding, name) for name in _TEXTS},
        "status": int(finding.status),
        "severity": int(finding.severity),
        "confidence": int(finding.confidence),
        "location": _location(finding.location),
        "evidence": list(finding.evidence),
        "related": [_location(place) for place in finding.related],
        "taxonomy": list(finding.taxonomy),
    }


def _location(place: Location) -> list[Any]:
    return [place.file, place.member, place.offset, place.path]


def unpacked(data: Any) -> FileReport:
    """The report again. Raises `ValueError` for anything that `packed` does not make."""
    _require(isinstance(data, dict) and data.keys() == _REPORT and isinstance(data["used"], bool))
    sha256 = data["sha256"]
    return FileReport(
        path=_typed(data["path"], str),
        format=_typed(data["format"], str),
        size=_typed(data["size"], int),
        findings=tuple(map(_finding_of, _typed(data["findings"], list))),
        sha256=None if sha256 is None else _typed(sha256, str),
        used=data["used"],
    )


def _finding_of(data: Any) -> Finding:
    _require(isinstance(data, dict) and data.keys() == _FINDING)
    return Finding(
        rule=_typed(data["rule"], str),
        status=Status(_typed(data["status"], int)),
        severity=Severity(_typed(data["severity"], int)),
        confidence=Confidence(_typed(data["confidence"], int)),
        location=_location_of(data["location"]),
        message=_typed(data["message"], str),
        remedy=_typed(data["remedy"], str),
        evidence=tuple(_typed(text, str) for text in _typed(data["evidence"], list)),
        related=tuple(map(_location_of, _typed(data["related"], list))),
        taxonomy=tuple(_typed(text, str) for text in _typed(data["taxonomy"], list)),
    )


def _location_of(data: Any) -> Location:
    file, member, offset, path = _typed(data, list)
    for text in (member, path):
        _require(text is None or isinstance(text, str))
    _require(offset is None or type(offset) is int)
    return Location(_typed(file, str), member, offset, path)


def _typed(value: Any, kind: type) -> Any:
    _require(type(value) is kind)
    return value


def _require(right: bool) -> None:
    if not right:
        raise ValueError("it is not a report")
