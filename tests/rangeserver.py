"""A web server on the loopback interface that serves one file by ranges, or lies about it in the way it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Lie = Callable[["Answer"], None]


@dataclass(slots=True)
class Answer:
    """What would be sent to the n-th request; a lie changes it."""

    number: int
    path: str
    start: int
    stop: int
    size: int
    status: int = 206
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    endless: bool = False
    silent: bool = False


class RangeServer:
    """Serves `data` at any path."""

    def __init__(self, data: bytes, lie: Lie | None = None) -> None:
        self.data, self.lie = data, lie
        self.asked: list[tuple[str, dict[str, str]]] = []
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    owner: RangeServer

    def handle(self) -> None:
        with suppress(OSError):
            super().handle()

    def finish(self) -> None:
        with suppress(OSError):  # a client that has heard enough hangs up
            super().finish()

    def do_GET(self) -> None:
        owner = self.owner
        owner.asked.append((self.path, {name.lower(): text for name, text in self.headers.items()}))
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        start, stop, size = int(first), min(int(last) + 1, len(owner.data)), len(owner.data)
        answer = Answer(len(owner.asked), self.path, start, stop, size, body=owner.data[start:stop])
        answer.headers = {"ETag": '"one"', "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        if start >= size:
            answer.status, answer.headers["Content-Range"] = 416, f"bytes */{size}"
        answer.headers["Content-Length"] = str(len(answer.body))
        if owner.lie is not None:
            owner.lie(answer)
        if answer.silent:
            self.close_connection = True
            return
        with suppress(OSError):
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)
        while answer.endless:
            self.wfile.write(bytes(1 << 16))
        self.wfile.flush()
        length = int(answer.headers.get("Content-Length", "-1"))
        self.close_connection = length != len(answer.body)

    def log_message(self, *_: Any) -> None:
        """What was asked is in `asked`."""


@contextmanager
def serving(data: bytes, lie: Lie | None = None) -> Iterator[RangeServer]:
    server = RangeServer(data, lie)
    try:
        yield server
    finally:
        server.close()
