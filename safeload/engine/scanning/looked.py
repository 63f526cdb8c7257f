"""One file of a scan: opened once, inspected, and reported on whatever happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safeload.core.blob import Blob, MemoryBlob
from safeload.core.errors import SafeloadError
from safeload.core.finding import Confidence, FileReport, Finding, Severity, Status
from safeload.core.frozen import replace
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.engine.inspect import Company, inspect
from safeload.rules.taxonomies import complete
from safeload.sources.contain import beneath

if TYPE_CHECKING:
    from safeload.engine.options import Options
    from safeload.sources.base import Opened, Scannable

_AT_ONCE = 1 << 16
"""A file of up to so many bytes is read once, and looked at in memory."""


def look(
    file: Opened,
    path: str,
    limits: Limits,
    *,
    shown: str,
    digests: Status | None = None,
    options: Options | None = None,
    company: Company | None = None,
) -> FileReport:
    """The report on an open file; undecided if it cannot be read, or not to its end for the digest.

    Args:
        options: ask other analysers as well, if they say so.
        company: the files that this one may name, if it is an index of others.
        digests: a file that is at least this bad is read whole, through the same descriptor, for its sha256.
    """
    try:
        blob: Blob = MemoryBlob(file.read_at(0, file.size)) if file.size <= _AT_ONCE else file
        report = inspect(blob, path, limits, shown=shown, options=options, company=company).report
    except SafeloadError as error:
        return unreadable(path, error)
    if digests is None or report.status < digests:
        return report
    try:
        return replace(report, sha256=file.sha256())
    except SafeloadError as error:  # what was found stays found
        return replace(report, findings=(*report.findings, *unreadable(path, error).findings))


def shown(snapshot: Scannable, path: str) -> str:
    """What a person would call a file on a command line: its path on disk, or the model on the hub."""
    if snapshot.kind == "directory":
        return beneath(snapshot.reference, path)
    return snapshot.reference


def unreadable(path: str, error: SafeloadError) -> FileReport:
    """The report on a file that could not be opened or read: undecided."""
    finding = Finding(
        rule="file-unreadable",
        status=Status.UNDECIDED,
        severity=Severity.MEDIUM,
        confidence=Confidence.CERTAIN,
        location=Location(path),
        message=f"it could not be read: {error.why or error.what}",
        remedy=error.remedy or "make it a regular file that you may read, or remove it",
        taxonomy=complete(("CWE-703",)),
    )
    return FileReport(path=path, format="unreadable", size=0, findings=(finding,))
