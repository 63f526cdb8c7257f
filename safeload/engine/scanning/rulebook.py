"""All rules that a finding may name, and what a person may call them on a command line."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, overload

from safeload.core.errors import ConfigError, UsageError
from safeload.core.finding import Confidence, Severity, Status
from safeload.core.frozen import Frozen
from safeload.core.names import escape
from safeload.rules.taxonomies import complete

if TYPE_CHECKING:
    from safeload.trust.suppressions import Suppression


class Card(Frozen):
    """What there is to say about a rule, without its check."""

    id: str
    title: str
    why: str
    status: Status
    severity: Severity
    confidence: Confidence
    remedy: str
    catalogued: tuple[str, ...]


_UNOPENED = Card(
    id="file-unreadable",
    title="the file could not be opened",
    why=(
        "It is no regular file, may not be read, leads out of the model, or the disk failed. What was not read is "
        "never clean, so the file is undecided."
    ),
    status=Status.UNDECIDED,
    severity=Severity.MEDIUM,
    confidence=Confidence.CERTAIN,
    remedy="make it a regular file that you may read, or remove it",
    catalogued=complete(("CWE-703",)),
)
"""The one finding that no rule makes: there were no parts to look at."""


@functools.cache
def cards() -> tuple[Card, ...]:
    """Every rule, by id."""
    from safeload.rules import all_rules

    found = [
        Card(
            id=rule.id,
            title=rule.title,
            why=rule.why,
            status=rule.status,
            severity=rule.severity,
            confidence=rule.confidence,
            remedy=rule.remedy,
            catalogued=rule.catalogued,
        )
        for rule in all_rules()
    ]
    return tuple(sorted([*found, _UNOPENED], key=lambda card: card.id))


class Cards(Sequence[Card]):
    """The same, not gathered before somebody looks: to know every rule takes longer than to scan with a few."""

    @overload
    def __getitem__(self, index: int) -> Card: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Card]: ...
    def __getitem__(self, index: int | slice) -> Card | Sequence[Card]:
        return cards()[index]

    def __len__(self) -> int:
        return len(cards())


class Selection(Frozen):
    """Which rules a reader wants to see. It never decides what a file is: see `triage`.

    Each text is the id of a rule, or the beginning of one or more ids.

    Raises:
        UsageError: no rule is called so.
    """

    select: tuple[str, ...] = ()
    """Show only these; all, if none is named."""
    ignore: tuple[str, ...] = ()
    """Do not show these, also if they are selected."""

    def __post_init__(self) -> None:
        for option, texts in (("--select", self.select), ("--ignore", self.ignore)):
            for text in texts:
                if not text or not any(card.id.startswith(text) for card in cards()):
                    raise UsageError(
                        f"{option} {escape(text)!r} names no rule",
                        why=f"there are: {', '.join(card.id for card in cards())}",
                        remedy=f"{option} pickle-",
                    )

    def shows(self, rule: str) -> bool:
        return (not self.select or rule.startswith(self.select)) and not rule.startswith(self.ignore)


def require_known(entries: Iterable[Suppression]) -> None:
    """Raise `ConfigError` if a suppression names a rule that does not exist: it would never match."""
    known = {card.id for card in cards()}
    for entry in entries:
        if entry.rule not in known:
            raise ConfigError(
                "no suppression was used",
                where=f"{entry.where}.rule",
                why=f"there is no rule {escape(entry.rule)!r}",
                remedy=f"one of: {', '.join(sorted(known))}",
            )
