"""Programs written by `torch.export`: recognised so that they are never handed over."""

from __future__ import annotations

from safeload.formats.base import Format
from safeload.formats.zip_parts import ZIP, kind_of, read_zip


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    return kind_of(head, tail, size, name) == "pt2"


FORMAT = Format(
    name="pt2",
    title="an exported program (pt2)",
    suffixes=(".pt2",),
    sniff=_sniff,
    read=read_zip,
    claims=ZIP,
)
