"""One file of a regression test, judged as the scanner judges it."""

from __future__ import annotations

from safeload.core.blob import MemoryBlob
from safeload.core.finding import FileReport, Status
from safeload.core.limits import Limits
from safeload.engine.inspect import inspect


def report(data: bytes, name: str = "pytorch_model.bin", limits: Limits | None = None) -> FileReport:
    return inspect(MemoryBlob(data), name, limits or Limits()).report


def status(data: bytes, name: str = "pytorch_model.bin") -> Status:
    return report(data, name).status


def says(found: FileReport) -> str:
    """Everything that the findings say, on one line each."""
    return "\n".join(f"{finding.status} {finding.rule}: {finding.message}" for finding in found.findings)
