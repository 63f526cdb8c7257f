"""What is in force in this process, and what was refused since.

Every Python under guard imports this before its program, so it imports next to nothing: what a door needs is fetched
when somebody comes through one.
"""

from __future__ import annotations

from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from safeload.core.errors import PolicyDenied
    from safeload.engine.options import Options

    T = TypeVar("T")

LOCK = RLock()
"""Held while doors are put in and taken out."""
KEPT = 100
"""Refusals that are remembered, at most: a server may refuse for months."""


class Settings:
    """What a guard was asked for. A value: nothing of it changes.

    Args:
        options: safeload's own options for every load; or what makes them, when the first load asks.
        strict: nobody may unpickle by name, not even processes that talk to each other.
        unsafe_pickles_of: modules that may go on unpickling whatever they like, beside those that are known to need it.
    """

    __slots__ = ("_options", "strict", "unsafe_pickles_of")

    def __init__(
        self,
        *,
        options: Options | Callable[[], Options],
        strict: bool = False,
        unsafe_pickles_of: frozenset[str] = frozenset(),
    ) -> None:
        self._options = options
        self.strict = strict
        self.unsafe_pickles_of = unsafe_pickles_of

    @property
    def options(self) -> Options:
        """safeload's own options for every load."""
        if callable(self._options):
            self._options = self._options()
        return self._options

    def stricter(self, strict: bool) -> Settings:
        """The same; strict, if these are or that is asked for."""
        strict = self.strict or strict
        return Settings(options=self._options, strict=strict, unsafe_pickles_of=self.unsafe_pickles_of)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self._all() == other._all()

    def __hash__(self) -> int:
        return hash((self.strict, self.unsafe_pickles_of))

    def __repr__(self) -> str:
        return "Settings(options={!r}, strict={!r}, unsafe_pickles_of={!r})".format(*self._all())

    def _all(self) -> tuple[object, ...]:
        return self.options, self.strict, self.unsafe_pickles_of


class _State:
    __slots__ = ("count", "refused", "settings")

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.refused: list[PolicyDenied] = []
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
    from safeload.core.errors import PolicyDenied
    from safeload.core.finding import Report
    from safeload.core.policy import Reason, Verdict

    verdict = Verdict("guard", allowed=False, reasons=(Reason(why, remedy),))
    return PolicyDenied(what, verdict=verdict, report=Report(target=target))


def remember(error: PolicyDenied) -> None:
    """Keep a refusal, so that it can be told at the end even if the program swallowed it.

    What is kept is a copy: the error itself holds its traceback, and that all that was loaded on the way.
    """
    if not any(error.verdict is one.verdict for one in _state.refused[-10:]):
        make, state = error.__reduce__()
        _state.refused.append(make(*state))
        del _state.refused[:-KEPT]
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
    from safeload.core.errors import PolicyDenied

    try:
        return judge(work)
    except PolicyDenied as error:
        remember(error)
        raise
