"""Byte ranges over HTTP, without a library, and without trusting the server.

1. The first answer says how long the file is and which version (`ETag`, else `Last-Modified`). Every later one must
   be a partial answer with exactly the bytes asked for, of that length and version. Nothing else is read as content.
2. A server that sends the whole file instead may do so if it is small; if not, that is an error.
3. Redirects lead from `https` to `https` only, from `http` to either, never to another scheme, and from a public host
   never to a literal private address. A token goes to the host it was given for, and to no other.
4. Every wait has an end, and every length was checked before it is read.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import time
from collections.abc import Mapping
from urllib.parse import SplitResult, urljoin, urlsplit

from safeload.core.errors import SourceError
from safeload.core.names import escape

WHOLE = 8 << 20
"""Bytes of a file that a server may send whole, because it knows no ranges."""
FIRST = 1 << 16
"""Bytes that are asked for first: what formats are told apart by."""
_PATIENCE = 30.0
"""Seconds without a byte."""
_DEADLINE = 300.0
"""Seconds for one answer."""
_HOPS = 5
_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")
_MOVED = frozenset({301, 302, 303, 307, 308})
_CHUNK = 1 << 18
_LAPSED = frozenset({401, 403, 404, 410})


class HttpFile:
    """An `Origin`. The first request is made when it is created; `head` holds the bytes that came with it.

    Args:
        url: where the file is.
        headers: sent to the host of `url` only.

    Raises:
        SourceError: it cannot be reached, redirects where it may not, or answers otherwise than it must.
    """

    def __init__(self, url: str, *, headers: Mapping[str, str] | None = None) -> None:
        self._url, self._headers = url, dict(headers or {})
        self._home = _checked(url, url)
        self._at = url
        self._connection: http.client.HTTPConnection | None = None
        self._response: http.client.HTTPResponse | None = None
        self._whole: bytes | None = None
        self._version = ""
        self.size = -1
        self.head = self._first()

    def close(self) -> None:
        """Close the connection; a later request opens another one."""
        for open_ in (self._response, self._connection):
            if open_ is not None:
                open_.close()
        self._response = self._connection = None

    def fetch(self, start: int, stop: int) -> bytes:
        """Exactly the bytes of `[start, stop)`. Raises `SourceError` otherwise."""
        if self._whole is not None:
            return self._whole[start:stop]
        if stop <= len(self.head):
            return self.head[start:stop]
        for last_try in (False, True):
            response = self._ask(start, stop)
            if response.status in _LAPSED and not last_try:
                self.close()
                self._at = self._url  # an address that was good for a while: ask for another one
                continue
            try:
                return self._partial(response, start, stop)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if last_try:
                    raise self._failed(_said(error)) from error
        raise AssertionError("unreachable")

    # ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _first(self) -> bytes:
        response = self._ask(0, FIRST)
        try:
            self._version = _version(response)
            if response.status == 416 and response.headers.get("Content-Range", "").strip() == "bytes */0":
                self.size = 0
                self.close()
                return b""
            if response.status == 200:
                return self._take_whole(response)
            if response.status != 206:
                raise self._failed(_refused(response.status))
            found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
            if found is None:
                raise self._failed("it answers with a part, and does not say which")
            self.size = int(found[3])
            if not self._version:
                raise self._failed(
                    "the server does not say which version of it this is", "download it, and scan the copy"
                )
            return self._partial(response, 0, min(FIRST, self.size))
        except (OSError, http.client.HTTPException) as error:
            raise self._failed(_said(error)) from error

    def _take_whole(self, response: http.client.HTTPResponse) -> bytes:
        length = response.length
        if length is None or length > WHOLE:
            said = "does not say how long it is" if length is None else f"sends all {length:,} bytes of it"
            raise self._failed(f"the server knows no byte ranges and {said}", "download it, and scan the copy")
        self._require_plain(response)
        self._whole = _read(response, length)
        self.size = length
        self.close()
        return self._whole

    def _partial(self, response: http.client.HTTPResponse, start: int, stop: int) -> bytes:
        if response.status != 206:
            why = _refused(response.status)
            if response.status in (200, 412, 416):
                why = "it changed while it was read, or the server no longer answers with ranges"
            raise self._failed(why)
        found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        wanted = (start, stop - 1, self.size)
        if found is None or tuple(map(int, found.groups())) != wanted:
            raise self._failed(f"bytes {start:,} to {stop - 1:,} of {self.size:,} were asked for, and others were sent")
        if _version(response) != self._version:
            raise self._failed("it changed while it was read")
        self._require_plain(response)
        if response.length not in (None, stop - start):
            raise self._failed(f"{stop - start:,} bytes were asked for, and {response.length:,} announced")
        data = _read(response, stop - start)
        if response.length is None:
            self.close()  # nobody knows where the answer ends
        return data

    def _require_plain(self, response: http.client.HTTPResponse) -> None:
        if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise self._failed("it was sent in another encoding than asked for")

    # ── requests ────────────────────────────────────────────────────────────────────────────────────────────────

    def _ask(self, start: int, stop: int) -> http.client.HTTPResponse:
        """The answer to a request for a range, after redirects."""
        for _ in range(_HOPS + 1):
            try:
                response = self._request(start, stop)
            except (OSError, http.client.HTTPException):
                self.close()
                try:  # a connection that was kept open may have been closed by the other side
                    response = self._request(start, stop)
                except (OSError, http.client.HTTPException) as error:
                    self.close()
                    raise self._failed(_said(error)) from error
            if response.status not in _MOVED:
                return response
            self.close()
            self._at = self._follow(response.headers.get("Location", ""))
        raise self._failed(f"it is redirected more than {_HOPS} times")

    def _follow(self, location: str) -> str:
        try:
            url = urljoin(self._at, location)
        except ValueError as error:
            raise self._failed(f"it is redirected to {escape(location, 100)!r}") from error
        if not location:
            raise self._failed("it is redirected to nowhere")
        there, here = _checked(url, self._url), urlsplit(self._at)
        if here.scheme == "https" and there.scheme != "https":
            raise self._failed("it is redirected from https to http")
        if _private(there.hostname or "") and not _private(self._home.hostname or ""):
            raise self._failed(f"it is redirected to the private address {escape(there.hostname or '')}")
        return url

    def _request(self, start: int, stop: int) -> http.client.HTTPResponse:
        target = urlsplit(self._at)
        if self._connection is None:
            self._connection = _connected(target)
        headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity", "User-Agent": "safeload"}
        if _host(target) == _host(self._home):
            headers |= self._headers
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        self._connection.request("GET", path, headers=headers)
        self._response = self._connection.getresponse()
        return self._response

    def _failed(self, why: str, remedy: str = "check the address, then try again") -> SourceError:
        self.close()
        return SourceError("a file was not fetched", where=escape(without_query(self._url)), why=why, remedy=remedy)


def without_query(url: str) -> str:
    """An address as it may be shown: what follows `?` can be a key."""
    return url.partition("?")[0].partition("#")[0]


def _read(response: http.client.HTTPResponse, count: int) -> bytes:
    """Exactly so many bytes, however they come. Raises `OSError` if there are fewer or they take too long."""
    pieces, left, deadline = [], count, time.monotonic() + _DEADLINE
    while left:
        piece = response.read1(min(left, _CHUNK))
        if not piece:
            raise ConnectionError(f"it ended {left:,} bytes early")
        if time.monotonic() > deadline:
            raise TimeoutError("it took too long")
        pieces.append(piece)
        left -= len(piece)
    response.close()  # the connection can be used again
    return b"".join(pieces)


def _version(response: http.client.HTTPResponse) -> str:
    return response.headers.get("ETag") or response.headers.get("Last-Modified") or ""


def _refused(status: int) -> str:
    known = {401: "it asks who you are", 403: "you may not read it", 404: "there is no such file", 410: "it is gone"}
    return known.get(status, f"the server answers with status {status}")


def _said(error: Exception) -> str:
    return escape(str(error) or type(error).__name__)


def _checked(url: str, shown: str) -> SplitResult:
    """The parts of an address that may be asked. Raises `SourceError`."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 (raises for what is no port)
        good = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    except ValueError:
        good = False
    if not good or not url.isascii() or any(character <= " " for character in url):
        raise SourceError(
            "a file was not fetched",
            where=escape(without_query(shown)),
            why=f"{escape(without_query(url), 100)!r} is not an address on the web that may be asked",
            remedy="name it as https://host/path, in ASCII",
        )
    return parts


def _host(parts: SplitResult) -> tuple[str, str, int]:
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _private(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def _connected(target: SplitResult) -> http.client.HTTPConnection:
    """A connection to a host, or through the proxy that the environment names for it."""
    from urllib.request import getproxies, proxy_bypass

    scheme, host, port = _host(target)
    proxy = getproxies().get(scheme) if not proxy_bypass(host) else None
    if proxy is not None:
        through = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        if through.scheme != "http" or not through.hostname or scheme != "https":
            raise ConnectionError(f"the proxy {escape(through.hostname or '')} cannot be used for {scheme}")
        tunnel = http.client.HTTPSConnection(through.hostname, through.port or 80, timeout=_PATIENCE)
        tunnel.set_tunnel(host, port)
        return tunnel
    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    return kind(host, port, timeout=_PATIENCE)
