"""torch's checkpoints from before 0.1.10: a tar archive of tables."""

from __future__ import annotations

from safeload.formats.base import Format
from safeload.formats.tar_archive import TAR, TORCH_MEMBERS, is_tar
from safeload.formats.tar_parts import first_name, read_any_tar


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    return is_tar(head) and first_name(head) in TORCH_MEMBERS


FORMAT = Format(
    name="torch-tar",
    title="a torch checkpoint (tar)",
    suffixes=(".pt", ".pth", ".bin", ".tar", ".ckpt"),
    sniff=_sniff,
    read=read_any_tar,
    claims=TAR,
)
