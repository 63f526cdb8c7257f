"""Chat templates in files of their own."""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Part, Template
from safeload.formats.plain_text import is_text, read_text

_SUFFIXES = (".jinja", ".jinja2", ".j2")


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    yield Template(location=location, text=read_text(blob, location, limits))


FORMAT = Format(
    name="template",
    title="a chat template",
    suffixes=_SUFFIXES,
    sniff=lambda head, tail, size, name: name.lower().endswith(_SUFFIXES) and is_text(head, size),
    read=_read,
    claims=Claims(named=_SUFFIXES),
)
