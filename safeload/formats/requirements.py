"""Lists of packages to install: `requirements.txt` and its like. Programs that serve a model install what they list."""

from __future__ import annotations

import re
from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Format, Part, Text
from safeload.formats.plain_text import is_text, read_text
from safeload.formats.yaml_config import dependencies

_NAME = re.compile(r"(?:[\w.-]*requirements[\w.-]*|constraints[\w.-]*)\.(?:txt|in)", re.IGNORECASE)


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    text = read_text(blob, location, limits)
    yield Text(location=location, text=text, role="prose")
    yield from dependencies(text, location)


FORMAT = Format(
    name="requirements",
    title="a list of packages to install",
    suffixes=(".txt", ".in"),
    sniff=lambda head, tail, size, name: _NAME.fullmatch(name) is not None and is_text(head, size),
    read=_read,
)
