"""TorchScript programs: recognised so that they are never handed over as weights."""

from __future__ import annotations

from safeload.formats.base import Format
from safeload.formats.zip_parts import ZIP, kind_of, read_zip


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    return kind_of(head, tail, size, name) == "torchscript"


FORMAT = Format(
    name="torchscript",
    title="a TorchScript program",
    suffixes=(".pt", ".pth", ".ts", ".torchscript", ".jit", ".ptl"),
    sniff=_sniff,
    read=read_zip,
    claims=ZIP,
)
