"""Reports to print, with the names that attackers would choose."""

from __future__ import annotations

from safeload.core.finding import Confidence, FileReport, Finding, Report, Severity, Status
from safeload.core.names import Location

HOSTILE = "\x1b]0;owned\x07\x1b[2J[red]x[/red] :skull: \u202egnp.exe\r\n<script>"


def finding(file: str, *, status: Status = Status.DANGEROUS, message: str = "calls os.system") -> Finding:
    return Finding(
        rule="pickle-dangerous-call",
        status=status,
        severity=Severity.CRITICAL,
        confidence=Confidence.CERTAIN,
        location=Location(file, member="archive/data.pkl", offset=17),
        message=message,
        remedy="safeload scan model",
        evidence=("os.system('x')",),
        taxonomy=("CWE-502",),
    )


def file(path: str, *findings: Finding, used: bool = True) -> FileReport:
    return FileReport(path=path, format="torch-zip", size=1_500, findings=findings, used=used)


def report(*files: FileReport, target: str = "org/model") -> Report:
    return Report(target=target, files=files)


EVIL = report(file("model.safetensors"), file("evil.bin", finding("evil.bin")))
EVIL_NAMES = report(file(HOSTILE, finding(HOSTILE, message=HOSTILE)), target=HOSTILE)
