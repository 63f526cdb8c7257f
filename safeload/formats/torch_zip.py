"""torch's checkpoints since 1.6: a zip archive with one pickle and one member per storage."""

from __future__ import annotations

from safeload.formats.base import Format
from safeload.formats.zip_parts import ZIP, kind_of, read_zip


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    return kind_of(head, tail, size, name) == "torch-zip"


FORMAT = Format(
    name="torch-zip",
    title="a torch checkpoint (zip)",
    suffixes=(".bin", ".pt", ".pth", ".ckpt", ".pkl", ".tar"),
    sniff=_sniff,
    read=read_zip,
    claims=ZIP,
)
