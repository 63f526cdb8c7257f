"""Archives of `torch.package`: Python modules and pickles that import them."""

from __future__ import annotations

from safeload.formats.base import Format
from safeload.formats.zip_parts import ZIP, kind_of, read_zip


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    return kind_of(head, tail, size, name) == "torch-package"


FORMAT = Format(
    name="torch-package",
    title="a torch.package archive",
    suffixes=(".pt", ".pkg"),
    sniff=_sniff,
    read=read_zip,
    claims=ZIP,
)
