"""The process that reads files for another one: descriptors in, reports out. `workers` is the other side.

It opens nothing by name and resolves nothing: each file comes as an open descriptor over a local socket, with the name
it has in its snapshot, and goes back as one line of JSON.
"""

from __future__ import annotations

import gc
import json
import socket

from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.engine.scanning.carry import packed
from safeload.engine.scanning.looked import look
from safeload.sources.pinned import PinnedFile

BATCH = 16
"""Files in one message, at most."""
MESSAGE = 1 << 17
"""Bytes of one message, at most."""
_written = json.JSONEncoder().encode


def serve(channel: int, answers: int) -> None:
    """Answer until the other side closes its end of the channel."""
    gc.set_threshold(100_000, 50, 1_000)
    with socket.socket(fileno=channel) as link, open(answers, "wb", buffering=0) as out:
        while True:
            data, descriptors, _, _ = socket.recv_fds(link, MESSAGE, BATCH)
            if not data:
                return
            message = json.loads(data)
            asked = message["asked"]
            limits = Limits(**asked["limits"])
            digests = None if asked["digests"] is None else Status(asked["digests"])
            for (path, shown), descriptor in zip(message["files"], descriptors, strict=True):
                with PinnedFile(descriptor, path=path) as file:
                    report = look(file, path, limits, shown=shown, digests=digests)
                out.write(f"{_written(packed(report))}\n".encode())
