"""Where one format's claim to a file is only about a file within it.

Archives are found by their ends. A tar archive whose last member is a zip archive therefore ends like a zip archive
itself, as many training programs write them, and Python's `zipfile` opens it as one. What it finds there is the
member, which is read like a file of its own anyway; nothing about the file has two meanings.
"""

from __future__ import annotations

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Format
from safeload.formats.tar_archive import read_tar
from safeload.formats.window import Notes, Window
from safeload.formats.zip_end import find_ends

_ZIPS = frozenset({"zip", "npz", "torch-zip", "torchscript", "pt2"})
_TARS = frozenset({"tar", "torch-tar"})


def independent(claims: tuple[Format, ...], blob: Blob, location: Location, limits: Limits) -> tuple[Format, ...]:
    """The claims without that of a zip archive which lies wholly within one member of a tar archive."""
    names = {format.name for format in claims}
    if not (names & _ZIPS and names & _TARS) or not _in_a_member(blob, location, limits):
        return claims
    return tuple(format for format in claims if format.name not in _ZIPS)


def _in_a_member(blob: Blob, location: Location, limits: Limits) -> bool:
    ends = list(find_ends(Window(blob), Notes(location)))
    first = min((end.start - end.size for end in ends), default=-1)
    last = max((end.stop for end in ends), default=0)
    return any(
        member.content.start <= first and last <= member.content.start + member.content.size
        for member in read_tar(blob, location, limits).members
    )
