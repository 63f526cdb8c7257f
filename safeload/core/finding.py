"""What was found in a file, and what that makes of the file."""

from __future__ import annotations

import enum

from safeload.core.frozen import Frozen
from safeload.core.names import Location


class _Level(enum.IntEnum):
    """A scale whose steps are shown by their names."""

    def __str__(self) -> str:
        return self.name.lower()


class Status(_Level):
    """What a file is, from best to worst. A file has exactly one: the worst of its findings, else `SAFE`."""

    SAFE = 0
    """Any ordinary reader runs nothing outside the allowlist."""
    UNVERIFIED = 1
    """It names code outside the allowlist; nothing in it is known to be harmful."""
    UNDECIDED = 2
    """It could not be read to the end."""
    DANGEROUS = 3
    """It calls something that can execute, open, fetch or escape; or it is built to be read in two ways."""

    @property
    def exit_code(self) -> int:
        """The process exit code, the same for every command: 0 nothing wrong, 1 findings, 2 undecided."""
        return {Status.SAFE: 0, Status.UNVERIFIED: 1, Status.UNDECIDED: 2, Status.DANGEROUS: 1}[self]


class Severity(_Level):
    """How loud a finding is. It never decides a status: the rule says that separately."""

    NOTE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class Confidence(_Level):
    """How sure a rule is that what it says is so."""

    POSSIBLE = 0
    LIKELY = 1
    CERTAIN = 2


class Finding(Frozen):
    """One fact about a file, with the place that shows it."""

    rule: str
    """The stable identifier of the rule, such as `pickle-dangerous-call`."""
    status: Status
    """What this finding alone makes of the file."""
    severity: Severity
    confidence: Confidence
    location: Location
    message: str
    """One sentence. Foreign text in it has been through `names.escape`."""
    remedy: str
    """What to do about it, best a command."""
    evidence: tuple[str, ...] = ()
    """Short excerpts that show the fact, escaped."""
    related: tuple[Location, ...] = ()
    taxonomy: tuple[str, ...] = ()
    """Identifiers in public catalogues: `CWE-502`, `AML.T0011.000`."""


class FileReport(Frozen):
    """One file of a target, its one status, and why."""

    path: str
    """POSIX path relative to the target."""
    format: str
    """The format by content, such as `torch-zip`."""
    size: int
    findings: tuple[Finding, ...] = ()
    sha256: str | None = None
    """Hexadecimal digest, where the job at hand computed it."""
    used: bool = True
    """Whether the load that this report is for reads the file. A plain scan marks every file as used."""

    @property
    def status(self) -> Status:
        return max((finding.status for finding in self.findings), default=Status.SAFE)


class Report(Frozen):
    """Everything that was found in a target: each of its files exactly once."""

    target: str
    files: tuple[FileReport, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for file in self.files for finding in file.findings)

    @property
    def status(self) -> Status:
        return max((file.status for file in self.files), default=Status.SAFE)

    @property
    def coverage(self) -> dict[Status, int]:
        """How many files have each status. The numbers add up to the number of files: none is left unsaid."""
        return {status: sum(file.status is status for file in self.files) for status in Status}

    def file(self, path: str) -> FileReport:
        """The report on one file. Raises `KeyError` for a path that is not in the target."""
        for file in self.files:
            if file.path == path:
                return file
        raise KeyError(path)
