"""GitLab's Code Quality report: one entry for each open finding. Foreign text is escaped; JSON does the rest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, TextIO

from safeload.core.errors import SafeloadError
from safeload.core.finding import Report, Severity
from safeload.core.names import escape
from safeload.reporters.base import About, Reporter
from safeload.reporters.terminal import inner

_SEVERITY = {
    Severity.NOTE: "info",
    Severity.LOW: "minor",
    Severity.MEDIUM: "major",
    Severity.HIGH: "critical",
    Severity.CRITICAL: "blocker",
}


def entries(reports: Sequence[Report], errors: Sequence[SafeloadError], about: About) -> list[dict[str, Any]]:
    """The report as plain data."""
    found = []
    seen: Counter[str] = Counter()
    for report in reports:
        for file in report.files:
            name = about.name(report.target, file.path)
            for finding, _ in about.shown(report, file):
                place = inner(finding.location)
                print_ = about.fingerprint(name, finding) if about.fingerprint else f"{finding.rule} {name} {place}"
                seen[print_] += 1  # GitLab shows one entry for each fingerprint
                print_ = print_ if seen[print_] == 1 else f"{print_}:{seen[print_]}"
                found.append(
                    {
                        "description": escape(
                            f"{finding.status}: {finding.message}{f' ({place})' if place else ''}", 2_000
                        ),
                        "check_name": finding.rule,
                        "fingerprint": print_,
                        "severity": _SEVERITY[finding.severity],
                        "location": {"path": escape(name, 4_096), "lines": {"begin": 1}},
                    }
                )
    for error in errors:
        found.append(
            {
                "description": escape(" ".join(str(error).split()), 2_000),
                "check_name": "target-unreadable",
                "fingerprint": f"target-unreadable {escape(str(error.where) or error.what)}",
                "severity": "major",
                "location": {"path": escape(str(error.where) or "?"), "lines": {"begin": 1}},
            }
        )
    return found


def _render(reports: Sequence[Report], errors: Sequence[SafeloadError], stream: TextIO, about: About) -> None:
    json.dump(entries(reports, errors, about), stream, indent=2, ensure_ascii=True, allow_nan=False)
    stream.write("\n")


REPORTER = Reporter(name="codequality", title="a GitLab Code Quality report", render=_render)
