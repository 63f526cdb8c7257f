"""numpy's `.npz`: a zip archive of arrays."""

from __future__ import annotations

from safeload.formats.base import Format
from safeload.formats.zip_parts import ZIP, kind_of, read_zip


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    return kind_of(head, tail, size, name) == "npz"


FORMAT = Format(
    name="npz",
    title="a numpy collection",
    suffixes=(".npz",),
    sniff=_sniff,
    read=read_zip,
    claims=ZIP,
)
