"""A list of packages fetches from elsewhere than the usual index."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Part, Reference
from safeload.later import Later
from safeload.rules import samples
from safeload.rules.base import Context, Rule

_USUAL = Later(
    r"(?:(?:--?(?:index-url|extra-index-url|find-links|i|f))[ =])?https://(?:pypi\.org|files\.pythonhosted\.org|"
    r"download\.pytorch\.org|conda\.anaconda\.org|repo\.anaconda\.com)(?:/.*)?",
    re.DOTALL,
)
"""Indexes that installers know anyway, and torch's own."""


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if isinstance(part, Reference) and part.kind == "dependency" and not _USUAL.fullmatch(part.target):
        yield rule.finding(part.location, f"installing what it lists would fetch from {escape(part.target, 160)}")


def _bad() -> Iterable[Part]:
    yield samples.reference("dependency", "git+https://example.org/package.git", "requirements.txt", "")
    yield samples.reference("dependency", "--extra-index-url https://example.org/simple", "requirements.txt", "")


def _good() -> Iterable[Part]:
    yield samples.reference("dependency", "--extra-index-url https://download.pytorch.org/whl/cpu", "conda.yaml", "")


RULE = Rule(
    id="config-dependency-address",
    title="a list of packages fetches from an address",
    why=(
        "Programs that serve a model often install what its `requirements.txt` or `conda.yaml` lists, and installing a "
        "package runs its code. An address or an index of the author's own is not checked by any package index."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.LOW,
    confidence=Confidence.CERTAIN,
    remedy="install the packages yourself, from an index you trust, with hashes",
    taxonomy=("CWE-829", "CWE-494", "AML.T0010.001"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Reference,),
)
