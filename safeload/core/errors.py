"""Every error that safeload raises.

A message has four short parts, in this order: what was stopped, where, why, and the command that comes next.
None of these derives from `OSError`, `ValueError`, `RuntimeError`, `TypeError` or `ImportError`: the libraries
around us catch those and then try something less safe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safeload.core.finding import Report
    from safeload.core.names import Location
    from safeload.core.policy import Verdict


class SafeloadError(Exception):
    """The root of the tree. Catch it to catch everything that safeload refuses or cannot do.

    Args:
        what: what was stopped, as a short clause.
        where: the place: a file, and within it a member, offset or path.
        why: the reason, in one clause.
        remedy: what to do next, best a command to paste.
    """

    def __init__(self, what: str, *, where: Location | str = "", why: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        text = self.what
        if where := str(self.where):
            text += f"\n  where: {where}"
        if self.why:
            text += f"\n  why:   {self.why}"
        if self.remedy:
            text += f"\n  next:  {self.remedy}"
        return text

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), self.__dict__.copy())


def _revive(kind: type[SafeloadError], state: dict[str, Any]) -> SafeloadError:
    error = kind.__new__(kind)
    Exception.__init__(error, state["what"])
    error.__dict__.update(state)
    return error


class UsageError(SafeloadError):
    """The caller's mistake: an option that does not exist, cannot be honoured, or contradicts another."""


class ConfigError(SafeloadError):
    """A policy, lock or approvals file cannot be used; `where` names the file and the path within it."""


class SourceError(SafeloadError):
    """A model could not be found or fetched."""


class MalformedInput(SafeloadError):
    """Foreign bytes are not what they claim to be; `where` is a location within them."""


class LimitExceeded(MalformedInput):
    """Foreign bytes asked for more than a limit allows.

    `limit` is the field of `Limits`, `allowed` its value, `wanted` what the bytes asked for.
    """

    def __init__(self, limit: str, *, allowed: int, wanted: int, where: Location | str = "") -> None:
        super().__init__(
            f"reading stopped at the limit {limit!r}",
            where=where,
            why=f"{wanted:,} is more than the {allowed:,} allowed",
            remedy=f"if you trust the file's size, raise it: Options(limits=Limits({limit}={wanted}))",
        )
        self.limit = limit
        self.allowed = allowed
        self.wanted = wanted


class VerificationFailed(SafeloadError):
    """A signature, digest or manifest does not hold; `mismatches` maps every differing place to its reason."""

    def __init__(
        self, what: str, *, mismatches: Mapping[str, str], where: Location | str = "", why: str = "", remedy: str = ""
    ) -> None:
        listed = "; ".join(f"{place}: {reason}" for place, reason in mismatches.items())
        super().__init__(what, where=where, why=why or listed, remedy=remedy)
        self.mismatches = dict(mismatches)


class PolicyDenied(SafeloadError):
    """The policy refused. Carries the whole `verdict` and `report`, and its message lists every refused item."""

    def __init__(self, what: str, *, verdict: Verdict, report: Report, where: Location | str = "") -> None:
        reasons = verdict.denials()
        super().__init__(
            what,
            where=where,
            why="\n         ".join(reason.message for reason in reasons),
            remedy="\n         ".join(dict.fromkeys(reason.remedy for reason in reasons if reason.remedy)),
        )
        self.verdict = verdict
        self.report = report
