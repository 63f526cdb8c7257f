"""Reports in which every text is chosen by somebody who wants out of the document."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from safeload.core.errors import SourceError
from safeload.core.finding import Confidence, FileReport, Finding, Report, Severity, Status
from safeload.core.names import Location
from safeload.engine.scanning.baseline import fingerprint
from safeload.engine.scanning.rulebook import cards
from safeload.engine.scanning.triage import Aside, Kind
from safeload.reporters import find
from safeload.reporters.base import About

BREAKOUTS = (
    "</pre></details><script>document.title='owned'</script>",
    "'\"><img src=x onerror=\"document.title='owned'\">",
    "--></style></title><svg/onload=alert(1)>",
    "]]></failure><x a='&#0;",
    "`` ` ```\n# owned\n|x|y|\n<b>x</b> [a](javascript:b) ![i](http://e/i) @all #1 http://e.example",
    "::error file=x::owned\n::stop-commands::t\r\n::set-output name=a::b%0A::error::x",
    "[click](https://evil.example) {0} {1}",
    "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u2066\ufeff\u200b\u2028\u2029",
    "[red]x[/red] :skull: $(id) `id` ; id",
    "\ud800\udfff\x00\x7f\uffff\U000e0041",
    "file://../../etc/passwd%00?x#y&amp;&lt;",
)
TEXTS = st.one_of(
    st.sampled_from(BREAKOUTS),
    st.text(max_size=20),
    st.text("<>&'\"`|[]()\\%:,\n\r\x1b{}0#@!*_-", max_size=12),
    st.tuples(st.sampled_from(BREAKOUTS), st.sampled_from(BREAKOUTS)).map("".join),
)
NAMES = TEXTS.filter(bool)


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """What a reporter is given."""

    reports: tuple[Report, ...]
    errors: tuple[SourceError, ...]
    about: About

    def written(self, name: str) -> str:
        out = io.StringIO()
        find(name).write(self.reports, self.errors, out, self.about)
        return out.getvalue()

    @property
    def findings(self) -> int:
        return sum(len(report.findings) for report in self.reports)


@st.composite
def scans(draw: Any) -> Scanned:
    """A report or two with a few findings each, some of them set aside."""
    reports = []
    aside: dict[tuple[str, str, Finding], Aside] = {}
    for _ in range(draw(st.integers(0, 2))):
        files = []
        target = draw(NAMES)
        for path in draw(st.lists(NAMES, max_size=2, unique=True)):
            findings = tuple(draw(st.lists(_finding(path), max_size=2)))
            for finding in findings:
                if draw(st.integers(0, 3)) == 0:
                    kind = draw(st.sampled_from([Kind.SUPPRESSED, Kind.BASELINE]))
                    aside[target, path, finding] = Aside(kind=kind, reason=draw(TEXTS), expires="2027-01-31")
            digest = draw(st.sampled_from([None, "a" * 64]))
            files.append(FileReport(path=path, format=draw(TEXTS), size=3, findings=findings, sha256=digest))
        reports.append(Report(target=target, files=tuple(files)))
    errors = draw(st.lists(st.builds(SourceError, TEXTS, where=TEXTS, why=TEXTS, remedy=TEXTS), max_size=1))
    about = About(
        version="1",
        rules=cards(),
        aside=aside,
        notes=tuple(draw(st.lists(TEXTS, max_size=1))),
        fingerprint=fingerprint,
        all=True,
    )
    return Scanned(reports=tuple(reports), errors=tuple(errors), about=about)


def _finding(path: str) -> st.SearchStrategy[Finding]:
    return st.builds(
        Finding,
        rule=st.sampled_from([card.id for card in cards()]),
        status=st.sampled_from(Status),
        severity=st.sampled_from(Severity),
        confidence=st.sampled_from(Confidence),
        location=st.builds(
            Location, st.just(path), st.none() | TEXTS, st.none() | st.integers(0, 1 << 40), st.none() | TEXTS
        ),
        message=TEXTS,
        remedy=TEXTS,
        evidence=st.lists(TEXTS, max_size=2).map(tuple),
        related=st.lists(st.tuples(st.just(path), st.none() | TEXTS).map(lambda at: Location(*at)), max_size=1).map(
            tuple
        ),
        taxonomy=st.just(("CWE-502", "AML.T0010.003", "LLM03:2025")),
    )
