"""What a rule is: one check over parts, together with everything there is to say about it.

A rule is one file in this folder that defines `RULE`. Its words, remedy and examples are the source of its docs
page and of its test: every example in `bad` must give a finding of this rule, every one in `good` must not.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

from safeload.core.allowlist import Allowlist
from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.frozen import Frozen
from safeload.core.names import Location
from safeload.formats.base import Part
from safeload.rules.taxonomies import complete


class Context:
    """What a check may know beside the part. One is made for each file that is judged, so it is a plain class."""

    __slots__ = (
        *("allowlist", "beside", "claimed_by", "memo", "parts", "scanned"),
        *("second_opinion", "secret_opinion", "shown"),
    )

    def __init__(
        self,
        allowlist: Allowlist,
        parts: tuple[Part, ...] = (),
        shown: str = "",
        claimed_by: tuple[str, ...] = (),
        *,
        second_opinion: bool = False,
        secret_opinion: bool = False,
        scanned: Container[str] | None = None,
        beside: Container[str] = (),
        memo: dict[int, object] | None = None,
    ) -> None:
        self.allowlist = allowlist
        self.parts = parts
        """All parts of the same file, for checks that compare them."""
        self.shown = shown
        """What a person would call the file on a command line: remedies name it so. Its path, if that is empty."""
        self.claimed_by = claimed_by
        """Names of the formats that claimed the file, best first."""
        self.second_opinion = second_opinion
        """Whether fickling is asked about each pickle as well."""
        self.secret_opinion = secret_opinion
        """Whether detect-secrets is asked about each text as well."""
        self.scanned = scanned
        """The paths of all files that are scanned with this one, where that is known and of interest."""
        self.beside = beside
        """Those that are there as well, and are not scanned."""
        self.memo: dict[int, object] = {} if memo is None else memo
        """What rules worked out about a part and share, by the identity of the part; as short-lived as the context."""


Check = Callable[["Rule", Part, Context], Iterable[Finding]]


class Rule(Frozen):
    """One rule. `check` sees the parts of every file, and yields findings made with `finding`."""

    id: str
    title: str
    """What a finding of this rule says, in one clause."""
    why: str
    """Two or three sentences for the docs page: what can happen, and what the check looks at."""
    status: Status
    severity: Severity
    confidence: Confidence
    remedy: str
    """What to do about it, best a command. `{file}` stands for the file, as a person would name it to a shell."""
    taxonomy: tuple[str, ...]
    """Its entries in public catalogues: at least one CWE. What it leaves out is in `catalogued`."""
    check: Check
    bad: Callable[[], Iterable[Part]]
    good: Callable[[], Iterable[Part]]
    looks_at: tuple[type[Part], ...] = (Part,)
    """The kinds of parts that the check is shown."""
    names: tuple[str, ...] = ()
    """The irregularity or anomaly kinds this rule judges, where it judges by kind."""
    owasp: tuple[str, ...] = ()
    """Entries of OWASP's lists, where those of its family (`taxonomies.complete`) are not what it means."""

    @property
    def catalogued(self) -> tuple[str, ...]:
        """Its entries in CWE, MITRE ATLAS and OWASP: those it names, and what follows from them."""
        return complete(self.taxonomy, self.owasp)

    def finding(
        self,
        location: Location,
        message: str,
        *,
        status: Status | None = None,
        severity: Severity | None = None,
        remedy: str = "",
        evidence: tuple[str, ...] = (),
        related: tuple[Location, ...] = (),
    ) -> Finding:
        """A finding of this rule at a place; what is not said is the rule's own."""
        return Finding(
            rule=self.id,
            status=self.status if status is None else status,
            severity=self.severity if severity is None else severity,
            confidence=self.confidence,
            location=location,
            message=message,
            remedy=remedy or self.remedy,
            evidence=evidence,
            related=related,
            taxonomy=self.catalogued,
        )
