"""GitHub annotations: workflow commands on standard output, which a run shows beside the files they name.

Each is one line. A line end, a `%`, and in properties a `:` or `,` are written as the escapes that GitHub defines, so
that no name or message can begin a command of its own. GitHub shows ten errors and ten warnings of a step, so findings
come worst first; SARIF shows them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from safeload.core.errors import SafeloadError
from safeload.core.finding import Report, Status
from safeload.core.names import escape
from safeload.reporters.base import About, Reporter, aside_words, count
from safeload.reporters.terminal import inner

_LEVEL = {
    Status.SAFE: "notice",
    Status.UNVERIFIED: "warning",
    Status.UNDECIDED: "error",
    Status.DANGEROUS: "error",
}


def data(text: str) -> str:
    """A message of a command."""
    return escape(text, 2_000).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return data(text).replace(":", "%3A").replace(",", "%2C")


def _render(reports: Sequence[Report], errors: Sequence[SafeloadError], stream: TextIO, about: About) -> None:
    found = [
        (report, file, finding)
        for report in reports
        for file in report.files
        for finding, _ in about.shown(report, file)
    ]
    for report, file, finding in sorted(found, key=lambda each: (-each[2].status, -each[2].severity)):
        name = _property(about.name(report.target, file.path))
        place = inner(finding.location)
        words = data(f"{finding.message}{f' ({place})' if place else ''}. Next: {finding.remedy}")
        title = _property(f"{finding.status}: {finding.rule}")
        stream.write(f"::{_LEVEL[finding.status]} file={name},title={title}::{words}\n")
    for error in errors:
        stream.write(f"::error title=safeload::{data(' '.join(str(error).split()))}\n")
    for note in about.notes:
        stream.write(f"::warning title=safeload::{data(note)}\n")
    words = ", ".join(f"{number:,} {status}" for status, number in count(reports).items()) or "no files"
    stream.write(
        f"::notice title=safeload::{data('; '.join(filter(None, (words, aside_words(about.set_aside(reports))))))}\n"
    )


REPORTER = Reporter(name="github", title="annotations for GitHub Actions", render=_render)
