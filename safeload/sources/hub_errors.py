"""What went wrong between us and the hub, in four parts and with a command.

Errors of the hub's client are told by the names of their classes, which have been the same since its first release,
while their modules, and the HTTP library below them, have changed.
"""

from __future__ import annotations

import os

from safeload.core.errors import SourceError
from safeload.core.names import escape
from safeload.sources.failures import os_failure, quoted

_ANSWERS = {
    "GatedRepoError": (
        "its publisher asks to be asked first, and this account has no access",
        "ask on {page}, then: hf auth login",
    ),
    "RevisionNotFoundError": ("it has no revision {revision}", "git ls-remote {page}"),
    "RepositoryNotFoundError": (
        "the hub has no such model, or it is private and this account may not see it",
        "check the name on {page}; if it is private: hf auth login",
    ),
    "DisabledRepoError": ("the hub has disabled this model", "see {page}"),
    "RemoteEntryNotFoundError": ("the hub no longer has this file", "see {page}/tree/main"),
}
"""What the hub itself answers, by the client's error: why, and what to do. A gated model is a kind of missing one, so
the order counts."""


def explain(error: Exception, *, repository: str, revision: str, path: str = "") -> SourceError:
    """A `SourceError` for whatever the hub's client raised. The token never shows in it."""
    where = f"{repository} at {escape(revision)}" + (f" » {escape(path)}" if path else "")
    page = f"https://huggingface.co/{repository}"
    what = f"{escape(path)!r} was not fetched" if path else f"{repository} was not found"
    for name, (why, remedy) in _ANSWERS.items():
        if _is(error, name):
            said = {"page": page, "revision": repr(escape(revision))}
            return SourceError(what, where=where, why=why.format(**said), remedy=remedy.format(**said))
    chain = _chain(error)
    if any(_is(link, "OfflineModeIsEnabled") for link in chain):
        return SourceError(
            what,
            where=where,
            why="it is not in the cache, and the client works offline",
            remedy=f"unset HF_HUB_OFFLINE; hf download {repository}",
        )
    for link in chain:
        response = getattr(link, "response", None)
        if _is(link, "HfHubHTTPError") and response is not None:
            return _by_status(int(response.status_code), what, where, repository)
    if any(_is(link, "TransportError", "ConnectionError", "TimeoutError") for link in chain):
        return SourceError(
            what,
            where=where,
            why=f"the hub could not be reached: {_first_line(chain[-1])}",
            remedy=f"check the connection and HF_ENDPOINT; to use what the cache has: "
            f"HF_HUB_OFFLINE=1 safeload scan {quoted(repository)}",
        )
    if isinstance(error, OSError) and error.errno is not None:
        failed = os_failure(error, what, path=os.fsdecode(error.filename) if error.filename else path or repository)
        return failed
    return SourceError(
        what,
        where=where,
        why=f"the hub's answer could not be used: {type(error).__name__}: {_first_line(error)}",
        remedy=f"check HF_ENDPOINT, then try: hf download {repository}",
    )


def _by_status(status: int, what: str, where: str, repository: str) -> SourceError:
    if status in (401, 403):
        why, remedy = "the hub refused this account's token", "hf auth whoami; hf auth login"
    elif status == 429:
        why, remedy = "the hub asks for a pause: too many requests", "wait a minute, or log in: hf auth login"
    elif status >= 500:
        why, remedy = f"the hub failed (status {status})", "see https://status.huggingface.co, then try again"
    else:
        why, remedy = f"the hub answered with status {status}", f"hf download {repository}"
    return SourceError(what, where=where, why=why, remedy=remedy)


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it was raised from, outermost first."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__
    return chain


def _is(error: BaseException, *names: str) -> bool:
    return any(base.__name__ in names for base in type(error).__mro__)


def _first_line(error: BaseException) -> str:
    return escape(str(error).strip().split("\n", 1)[0] or type(error).__name__)
