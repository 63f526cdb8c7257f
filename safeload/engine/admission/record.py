"""Admissions on disk: what came from where, and what was found, so that an unchanged model need not be read again."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from safeload.core.evidence import CodeNeed
from safeload.core.finding import Confidence, FileReport, Finding, Report, Severity, Status
from safeload.core.names import Location
from safeload.sources.pinned import Identity

How = Literal["copy", "rewritten", "converted", "link"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedFile:
    """One file of an admitted directory."""

    path: str
    """Its name there."""
    source: str
    """The file of the snapshot it came from."""
    sha256: str
    """Digest of the source."""
    how: How
    """`copy`: the same bytes. `rewritten`: JSON with doors closed. `converted`: tensors from a pickle.
    `link`: the very file that was judged."""
    entry: str = ""
    """For conversions: the key in the store, and the file's name there, joined by `/`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something of the model that the admitted directory does not hold."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Everything about an admission that does not depend on the process: the content of `admission.json`."""

    inputs: Mapping[str, Identity]
    """Identity of every file that was read, when it was."""
    listing: tuple[str, ...]
    """Every path of the snapshot; a new file means a new look."""
    files: tuple[AdmittedFile, ...]
    left_out: tuple[LeftOut, ...]
    report: Report
    code: tuple[CodeNeed, ...] = ()
    base: str | None = None
    attention_removed: bool = False

    @property
    def digests(self) -> dict[str, str]:
        return {file.source: file.sha256 for file in self.files}

    @property
    def read(self) -> dict[str, str]:
        """sha256 by path of every file that the load reads, also of indexes that are not handed over."""
        return {file.path: file.sha256 for file in self.report.files if file.sha256 is not None} | self.digests


def to_json(record: Record) -> dict[str, Any]:
    """The record as plain JSON data."""
    return {
        "inputs": {path: list(identity) for path, identity in record.inputs.items()},
        "listing": list(record.listing),
        "files": [asdict(file) for file in record.files],
        "left_out": [asdict(item) for item in record.left_out],
        "report": {"target": record.report.target, "files": [_file_to_json(file) for file in record.report.files]},
        "code": [asdict(need) for need in record.code],
        "base": record.base,
        "attention_removed": record.attention_removed,
    }


def _file_to_json(file: FileReport) -> dict[str, Any]:
    data = {name: getattr(file, name) for name in ("path", "format", "size", "sha256", "used")}
    return {**data, "findings": [_finding_to_json(finding) for finding in file.findings]}


def _finding_to_json(finding: Finding) -> dict[str, Any]:
    related = [place._asdict() for place in finding.related]
    return {**asdict(finding), "location": finding.location._asdict(), "related": related}


def from_json(data: Mapping[str, Any]) -> Record:
    """The record that `to_json` wrote. Raises `AttributeError`, `KeyError`, `TypeError` or `ValueError` for
    anything else."""
    return Record(
        inputs={path: Identity(*identity) for path, identity in data["inputs"].items()},
        listing=tuple(data["listing"]),
        files=tuple(_admitted(file) for file in data["files"]),
        left_out=tuple(LeftOut(**item) for item in data["left_out"]),
        report=Report(
            target=data["report"]["target"],
            files=tuple(_file_from_json(file) for file in data["report"]["files"]),
        ),
        code=tuple(CodeNeed(**{**need, "files": tuple(need["files"])}) for need in data["code"]),
        base=data["base"],
        attention_removed=data["attention_removed"],
    )


def _admitted(data: Mapping[str, Any]) -> AdmittedFile:
    """A file whose name lies within its directory, and whose conversion lies within the store."""
    file = AdmittedFile(**data)
    for path in (file.path, file.entry) if file.entry else (file.path,):
        if posixpath.isabs(path) or posixpath.normpath(path) != path or path.split("/")[0] in ("", ".", ".."):
            raise ValueError("a path leaves its directory")
    return file


def _file_from_json(data: Mapping[str, Any]) -> FileReport:
    return FileReport(**{**data, "findings": tuple(_finding(item) for item in data["findings"])})


def _finding(data: Mapping[str, Any]) -> Finding:
    return Finding(
        **{
            **data,
            "status": Status(data["status"]),
            "severity": Severity(data["severity"]),
            "confidence": Confidence(data["confidence"]),
            "location": Location(**data["location"]),
            "related": tuple(Location(**place) for place in data["related"]),
            "evidence": tuple(data["evidence"]),
            "taxonomy": tuple(data["taxonomy"]),
        }
    )
