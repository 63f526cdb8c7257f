"""Pickles among bytes that nobody accounts for: behind a pickle and something that is none.

A loader that seeks, or skips what it cannot read, would get to them, and so does whoever cuts the file. What is looked
for is a beginning that picklers write (PROTO, or a GLOBAL in text), and only what then calls something counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.frozen import replace
from safeload.core.graph import Reading
from safeload.core.limits import Limits
from safeload.core.machine import read_pickle
from safeload.core.names import Location
from safeload.formats.inside import Overdrawn, account
from safeload.formats.pickle_head import OPCODES, calls_something
from safeload.later import Later

_BEGINS = Later(
    rb"\x80[\x00-\x05](?=[" + re.escape(bytes(sorted(OPCODES))) + rb"])"
    rb"|[ci][A-Za-z_][\w.]{0,80}\n[A-Za-z_][\w.]{0,80}\n"
)
_WINDOW = 1 << 20
_OVERLAP = 1 << 8
_LOOKED_AT = 1 << 26
"""Bytes that are searched; what holds them is not safe in any case."""
_MOST = 2_000
"""Beginnings that are read."""


def stray_readings(blob: Blob, offset: int, location: Location, limits: Limits) -> Iterator[Reading]:
    """Every pickle from `offset` on that would call something, wherever it begins; none within another.

    Raises:
        LimitExceeded: there are more beginnings than chance makes, or reading from them takes more than the account of
            the outermost file allows: they may all lead into one long stream. What was found until there was yielded.
    """
    work = account(limits, blob).work
    tried, at, end = 0, offset, min(blob.size, offset + _LOOKED_AT)
    while at < end:
        window = blob.read_at(at, min(_WINDOW + _OVERLAP, end - at))
        skip = 0
        for match in _BEGINS.finditer(window):
            start = at + match.start()
            if match.start() < skip or match.start() >= _WINDOW:
                continue
            tried += 1
            if tried > _MOST or work.strays <= 0:
                why = "bytes that belong to nothing hold more places where a pickle could begin than chance makes"
                raise Overdrawn("opcodes", why, location.at(start))
            bounds = replace(limits, opcodes=min(limits.opcodes, work.strays))
            reading = read_pickle(blob, start, location=location, limits=bounds)
            work.strays -= 1 + reading.opcodes
            if calls_something(reading):
                yield reading
                skip = reading.end - at
        at += max(_WINDOW, skip)
