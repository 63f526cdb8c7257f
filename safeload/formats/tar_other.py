"""Any other tar archive: its pickles are read, the rest is listed."""

from __future__ import annotations

from safeload.formats.base import Format
from safeload.formats.tar_archive import TAR, TORCH_MEMBERS, is_tar
from safeload.formats.tar_parts import first_name, read_any_tar


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    return is_tar(head) and first_name(head) not in TORCH_MEMBERS


FORMAT = Format(
    name="tar",
    title="a tar archive",
    suffixes=(".tar", ".nemo"),
    sniff=_sniff,
    read=read_any_tar,
    claims=TAR,
)
