"""Names of code files that are shown as other names: with characters that turn, hide, or look like others."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import Location, escape
from safeload.rules.taxonomies import complete


def misleading(name: str) -> Iterator[Finding]:
    """A finding for each way in which the name of a file is not what it seems."""
    if name.isascii() and name.isprintable():
        return
    if escape(name, len(name)) != name:
        yield _finding(name, "has characters in its name that are not shown, or that turn what is shown", Severity.HIGH)
    if unicodedata.normalize("NFKC", name) != name:
        yield _finding(name, "has characters in its name that Python or a file system takes for others", Severity.HIGH)
    for word in re.split(r"[\W_]+", name):
        scripts = {unicodedata.name(one, "?").partition(" ")[0] for one in word if one.isalpha()}
        if len(scripts) > 1 and "CJK" not in scripts:
            mixed = ", ".join(sorted(scripts)).lower()
            yield _finding(name, f"mixes the letters of {mixed} in one word of its name", Severity.MEDIUM)


def _finding(name: str, what: str, severity: Severity) -> Finding:
    return Finding(
        rule="code-file-name",
        status=Status.UNVERIFIED,
        severity=severity,
        confidence=Confidence.CERTAIN,
        location=Location(name),
        message=f"the file {what}: {ascii(name)[1:-1]}",
        remedy="ask the author to rename it; do not approve what you would take for another file",
        taxonomy=complete(("CWE-1007", "CWE-451")),
    )
