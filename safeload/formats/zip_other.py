"""Any other zip archive: its pickles are read, the rest is listed."""

from __future__ import annotations

from safeload.formats.base import Format
from safeload.formats.zip_parts import ZIP, kind_of, read_zip


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    return kind_of(head, tail, size, name) == "zip"


FORMAT = Format(
    name="zip",
    title="a zip archive",
    suffixes=(".zip", ".mar", ".nemo", ".whl", ".egg"),
    sniff=_sniff,
    read=read_zip,
    claims=ZIP,
)
