"""bandit as a second analyser of an audit: its results are findings like all others, and take none away.

1. bandit reads copies that lie in a directory of our own, under names of our own. It parses and runs nothing.
2. What a source says to bandit (`# nosec`) does not count: the source is what is judged. No configuration is read.
3. A file that bandit skips is a finding. Files that we could not read as Python ourselves are not given to it.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from safeload.core.errors import UsageError
from safeload.core.finding import Confidence, FileReport, Finding, Report, Severity, Status
from safeload.core.names import Location, escape
from safeload.engine.audit.closure import CodeFile
from safeload.rules.taxonomies import complete

_SEVERITIES = {"LOW": Severity.LOW, "MEDIUM": Severity.MEDIUM, "HIGH": Severity.HIGH}
_CONFIDENCES = {"LOW": Confidence.POSSIBLE, "MEDIUM": Confidence.LIKELY, "HIGH": Confidence.CERTAIN}
_TEST = re.compile(r"[A-Z][0-9]{1,4}")


def with_bandit(report: Report, files: Sequence[CodeFile]) -> Report:
    """The report with what bandit says of each file added.

    Raises:
        UsageError: bandit is not installed.
    """
    read = [file for file in files if file.facts is not None]
    found = _opinions(read)
    return replace(report, files=tuple(_added(file, found.get(file.path, ())) for file in report.files))


def _added(report: FileReport, more: Sequence[Finding]) -> FileReport:
    loudest = sorted((*report.findings, *more), key=lambda finding: -finding.severity)
    return replace(report, findings=tuple(loudest))


def _opinions(files: Sequence[CodeFile]) -> dict[str, list[Finding]]:
    try:
        from bandit.core import config, manager
    except ImportError as error:
        raise UsageError(
            "bandit was not asked",
            why="it is not installed",
            remedy="pip install 'safeload[bandit]'",
        ) from error
    logger = logging.getLogger("bandit")
    before = logger.level
    logger.setLevel(logging.CRITICAL)  # it logs what a hostile file made it stumble over
    try:
        with tempfile.TemporaryDirectory(prefix="safeload-bandit-") as folder:
            paths = {os.path.join(folder, f"{index}.py"): file for index, file in enumerate(files)}
            for path, file in paths.items():
                with open(path, "xb") as stream:
                    stream.write(file.source)
            asked = manager.BanditManager(config.BanditConfig(), "file", quiet=True, ignore_nosec=True)
            asked.files_list = list(paths)
            asked.run_tests()
    finally:
        logger.setLevel(before)
    found: dict[str, list[Finding]] = {file.name: [] for file in files}
    for issue in asked.results:
        if (about := paths.get(issue.fname)) is not None:
            found[about.name].append(_finding(about, issue))
    for path, _ in asked.skipped:
        if (about := paths.get(path)) is not None:
            found[about.name].append(_skipped(about))
    return found


def _finding(file: CodeFile, issue: Any) -> Finding:
    test = str(issue.test_id)
    number = getattr(issue.cwe, "id", 0)
    line = issue.lineno if isinstance(issue.lineno, int) else 0
    return Finding(
        rule=f"bandit-{test.lower()}" if _TEST.fullmatch(test) else "bandit-other",
        status=Status.UNVERIFIED,
        severity=_SEVERITIES.get(str(issue.severity), Severity.LOW),
        confidence=_CONFIDENCES.get(str(issue.confidence), Confidence.POSSIBLE),
        location=Location(file.name, None, None, f"line {line}"),
        message=f"bandit: {escape(str(issue.text))}",
        remedy=f"read the line; what the test looks for: bandit {test}" if _TEST.fullmatch(test) else "read the line",
        evidence=tuple(_lines(file, line)),
        taxonomy=complete((f"CWE-{number}",) if number else ("CWE-710",)),
    )


def _lines(file: CodeFile, line: int) -> Iterator[str]:
    shown = file.facts.source.line(line).strip() if file.facts is not None and line else ""
    if shown:
        yield escape(shown, 200)


def _skipped(file: CodeFile) -> Finding:
    return Finding(
        rule="bandit-skipped",
        status=Status.UNVERIFIED,
        severity=Severity.MEDIUM,
        confidence=Confidence.CERTAIN,
        location=Location(file.name),
        message="bandit could not read this file, and says nothing of it",
        remedy="read the file with more care; the other findings hold",
        taxonomy=complete(("CWE-703",)),
    )
