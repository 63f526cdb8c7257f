"""The last resort: bytes that no other reader claims."""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Format, Opaque, Part


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    detail = f"{blob.size:,} bytes of a format that safeload does not know"
    yield Opaque(location=location, what="unknown", detail=detail)


FORMAT = Format(
    name="opaque",
    title="an unknown file",
    suffixes=(),
    sniff=lambda head, tail, size, name: True,
    read=_read,
    fallback=True,
)
