"""What the hub's client sends and takes while safeload uses it: tokens to the hub alone, and no answer that unpacks.

1. The token goes where the hub is. A page of a listing that lies on another host (`Link: …; rel="next"`), or an address
   to fetch rights from (`xet-auth`), is not asked: the client would send the token there.
2. Answers come as they are. The client unpacks into memory what an answer says is packed, and three megabytes become
   gigabytes. Here it asks for nothing packed (`Accept-Encoding: identity`), and what comes packed is not read.
3. An answer that is no file has a limit, because the client holds it in memory.

This holds for calls of ours, in their threads, for every hop of a redirection. The client that a program has set up is
used as it is, with its proxies and certificates, and everybody else's calls of it stay what they were.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.parse import SplitResult, urlsplit

from safeload.core.errors import LimitExceeded, SourceError
from safeload.core.names import escape

MOST = 64 << 20
"""Bytes of an answer that is no file. A page of a listing, the longest of them, has some hundred thousand."""
_HUB = ("https://huggingface.co", "https://hf.co")
_ONE_HOP = "_send_single_request"
_MARK = "_safeload_wire"
_lock = Lock()


@dataclass(frozen=True, slots=True)
class _Asking:
    where: str
    endpoint: str
    most: int | None


_asking: ContextVar[_Asking | None] = ContextVar("safeload_asks_hub_for", default=None)


@contextmanager
def careful(where: str, *, endpoint: str | None, most: int | None = MOST) -> Iterator[None]:
    """While this lasts, in this thread, the client holds to the rules above.

    Args:
        where: what is asked for, for errors.
        endpoint: the hub that is asked; by default the client's own.
        most: bytes that an answer may have; `None` for a file, which goes to the disk.

    Raises:
        SourceError: within, for an answer that comes packed, or that sends the client elsewhere with the token.
        LimitExceeded: within, for an answer that is too long.
    """
    from huggingface_hub import constants

    _install()
    token = _asking.set(_Asking(where, endpoint or constants.ENDPOINT, most))
    try:
        yield
    finally:
        _asking.reset(token)


def _install() -> None:
    """Stand in front of what sends one request, once for each kind of client. Who else calls it notices nothing."""
    from huggingface_hub.utils._http import get_session

    with _lock:
        kind = next((base for base in type(get_session()).__mro__ if _ONE_HOP in vars(base)), None)
        if kind is None:
            raise SourceError(
                "the hub was not asked",
                where="huggingface_hub",
                why="its client is of a kind whose answers cannot be watched",
                remedy="pip install --upgrade safeload huggingface_hub",
            )
        genuine = vars(kind)[_ONE_HOP]
        if getattr(genuine, _MARK, False):
            return

        @functools.wraps(genuine)
        def send(self: Any, request: Any) -> Any:
            asking = _asking.get()
            if asking is None:
                return genuine(self, request)
            if request.headers.get("authorization") and not _may_know(str(request.url), asking.endpoint):
                raise _unused(asking.where, f"it sends the client, with the token, to {escape(str(request.url), 200)}")
            request.headers["accept-encoding"] = "identity"
            answer = genuine(self, request)
            try:
                _require_plain(answer, asking)
            except SourceError:
                answer.close()
                raise
            return answer

        setattr(send, _MARK, True)
        setattr(kind, _ONE_HOP, send)


def _may_know(address: str, endpoint: str) -> bool:
    """Whether the token may go to an address: it is the hub that was asked for, by its way or a safer one."""
    return any(_is_at(urlsplit(address), urlsplit(hub)) for hub in (endpoint, *_HUB))


def _is_at(one: SplitResult, hub: SplitResult) -> bool:
    try:
        ports = [parts.port or {"http": 80, "https": 443}.get(parts.scheme) for parts in (one, hub)]
    except ValueError:
        return False
    safer = (one.scheme, hub.scheme, *ports) == ("https", "http", 443, 80)
    return one.hostname == hub.hostname and ((one.scheme == hub.scheme and ports[0] == ports[1]) or safer)


def _require_plain(answer: Any, asking: _Asking) -> None:
    packed = str(answer.headers.get("content-encoding", "")).strip().lower()
    if packed not in ("", "identity"):
        raise _unused(asking.where, f"it came packed ({escape(packed, 40)!r}), which was not asked for")
    if asking.most is not None:
        answer.stream = _counted(answer.stream, asking.where, asking.most)


def _counted(stream: Any, where: str, most: int) -> Any:
    """The same stream, of the kind that the client insists on, which ends in an error beyond so many bytes."""
    kind: Any = next(base for base in type(stream).__mro__ if base.__name__ == "SyncByteStream")

    class Counted(kind):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for data in stream:
                size += len(data)
                if size > most:
                    raise LimitExceeded("bytes of an answer", allowed=most, wanted=size, where=where)
                yield data

        def close(self) -> None:
            stream.close()

    return Counted()


def _unused(where: str, why: str) -> SourceError:
    return SourceError(
        "the hub's answer was not used", where=where, why=why, remedy="check HF_ENDPOINT, then try again"
    )
