"""skops files: a zip archive of a schema and arrays. What the schema names is read by `skops_schema`."""

from __future__ import annotations

from safeload.formats.base import Format
from safeload.formats.zip_parts import ZIP, kind_of, read_zip


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    return kind_of(head, tail, size, name) == "skops"


FORMAT = Format(name="skops", title="a skops file", suffixes=(".skops",), sniff=_sniff, read=read_zip, claims=ZIP)
