"""What is in force in this process, and what was refused since."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from safeload.core.errors import PolicyDenied

if TYPE_CHECKING:
    from safeload.engine.options import Options

LOCK = threading.RLock()
"""Held while doors are put in and taken out."""
KEPT = 100
"""Refusals that are remembered, at most: a server may refuse for months."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a guard was asked for."""

    options: Options
    """safeload's own options for every load."""
    strict: bool = False
    """Nobody may unpickle by name, not even processes that talk to each other."""
    unsafe_pickles_of: frozenset[str] = frozenset()
    """Modules that may go on unpickling whatever they like, beside those that are known to need it."""


class _State:
    __slots__ = ("count", "refused", "settings")

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.refused: deque[PolicyDenied] = deque(maxlen=KEPT)
        self.count = 0


_state = _State()


def current() -> Settings | None:
    """What is in force; `None` where no guard is on."""
    return _state.settings


def put(settings: Settings | None) -> None:
    """Put settings in force. Only `guard` does, with `LOCK` held."""
    _state.settings = settings


def denied(what: str, *, why: str, remedy: str, target: str = "") -> PolicyDenied:
    """A refusal of the guard itself. It is remembered by who raises it: see `watched`."""
    from safeload.core.finding import Report
    from safeload.core.policy import Reason, Verdict

    verdict = Verdict("guard", allowed=False, reasons=(Reason(why, remedy),))
    return PolicyDenied(what, verdict=verdict, report=Report(target=target))


def remember(error: PolicyDenied) -> None:
    """Keep a refusal, so that it can be told at the end even if the program swallowed it.

    What is kept is a copy: the error itself holds its traceback, and that all that was loaded on the way.
    """
    if not any(error.verdict is one.verdict for one in list(_state.refused)[-10:]):
        make, state = error.__reduce__()
        _state.refused.append(make(*state))
        _state.count += 1


def count() -> int:
    """How many refusals there were in this process."""
    return _state.count


def since(number: int) -> tuple[PolicyDenied, ...]:
    """The refusals after the first `number`, as far as they are remembered."""
    new = _state.count - number
    return tuple(_state.refused)[-new:] if new > 0 else ()


def watched(work: Callable[[], T]) -> T:
    """Do the work of a door; remember a refusal, here and in the load under way, however the program takes it."""
    from safeload.adapt import judge

    try:
        return judge(work)
    except PolicyDenied as error:
        remember(error)
        raise
