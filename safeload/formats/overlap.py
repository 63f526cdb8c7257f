"""Where one format's claim to a file is only about a file within it.

Zip archives are found by their ends. A tar archive whose last member is a zip archive therefore ends like a zip
archive itself, as training programs write them; so does a pickle whose last constant is one. Python's `zipfile` opens
such a file, and what it finds there is the member or the constant, which is read by itself anyway: nothing about the
file has two meanings.
"""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.graph import Span
from safeload.core.limits import Limits
from safeload.core.machine import read_pickle
from safeload.core.names import Location
from safeload.formats.base import Format
from safeload.formats.nested import constants
from safeload.formats.tar_archive import read_tar
from safeload.formats.window import Notes, Window
from safeload.formats.zip_archive import LOCAL
from safeload.formats.zip_end import find_ends

_ZIPS = frozenset({"keras", "zip", "npz", "skops", "torch-zip", "torchscript", "pt2"})
_TARS = frozenset({"tar", "torch-tar"})
_PICKLES = frozenset({"pickle", "joblib"})
_TEXTS = frozenset({"stand-in", "yaml", "json", "template", "python", "script", "requirements", "pmml"})
"""What stands in for a file may well be text, and is then no text of the kind that its name says."""
_TAIL = 1 << 17


def independent(claims: tuple[Format, ...], blob: Blob, location: Location, limits: Limits) -> tuple[Format, ...]:
    """The claims without those that say nothing of their own.

    That of a zip archive which lies wholly within a member of a tar archive, or a constant; and those that go by the
    name of a file in whose place something else stands.
    """
    names = {format.name for format in claims}
    if "stand-in" in names and names <= _TEXTS:
        return tuple(format for format in claims if format.name == "stand-in")
    if not names & _ZIPS or not names & (_TARS | _PICKLES):
        return claims
    ends = list(find_ends(Window(blob), Notes(location)))
    first = min((end.start - end.size for end in ends), default=-1)
    last = max((end.stop for end in ends), default=0)
    inside = _members(blob, location, limits) if names & _TARS else _constants(blob, location, limits)
    if any(start <= first and last <= start + size for start, size in inside):
        return tuple(format for format in claims if format.name not in _ZIPS)
    return claims


def _members(blob: Blob, location: Location, limits: Limits) -> Iterator[tuple[int, int]]:
    for member in read_tar(blob, location, limits).members:
        yield member.content.start, member.content.size


def _constants(blob: Blob, location: Location, limits: Limits) -> Iterator[tuple[int, int]]:
    """Where the constants lie that begin like an archive: these are opened when the pickle is read."""
    tail_at = max(0, blob.size - _TAIL)
    tail = blob.read_at(tail_at, _TAIL)
    for constant in constants(read_pickle(blob, location=location, limits=limits)):
        if isinstance(constant, Span):
            if blob.read_at(constant.start, len(LOCAL)) == LOCAL:
                yield constant.start, constant.length
        elif constant.startswith(LOCAL) and (at := tail.rfind(constant)) >= 0:
            yield tail_at + at, len(constant)
