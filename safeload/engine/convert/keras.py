"""Where the HDF5 file of a Keras model is: the file itself, or a member of a `.keras` archive."""

from __future__ import annotations

from dataclasses import replace

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.finding import FileReport
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.engine.convert.contents import Contents, contents_of
from safeload.engine.convert.hdf5 import MEMBER, hdf5_contents
from safeload.engine.inspect import Inspected
from safeload.formats.base import Member, PickleStream, TensorTable
from safeload.formats.zip_archive import read_archive
from safeload.formats.zip_member import Budget, open_member

HDF5 = "hdf5"
_ARCHIVES = ("zip", "keras")


def holds_hdf5(inspected: Inspected) -> bool:
    """Whether a file's tensors are in HDF5: it is that, or an archive with such a member and no other checkpoint."""
    kind, parts = inspected.report.format, inspected.parts
    if kind not in _ARCHIVES:
        return kind == HDF5
    others = any(isinstance(part, PickleStream | TensorTable) for part in parts)
    return not others and (kind == "keras" or any(isinstance(part, Member) and part.name == MEMBER for part in parts))


def file_contents(inspected: Inspected, blob: Blob, limits: Limits) -> Contents:
    """What a file of any kind holds.

    Raises:
        MalformedInput: nothing that safeload reads as a checkpoint, or it cannot be read to its end.
        UsageError: it is HDF5, and h5py is not installed.
    """
    location = Location(inspected.path)
    if not holds_hdf5(inspected):
        return contents_of(inspected.parts, location, limits)
    if inspected.report.format == HDF5:
        return hdf5_contents(blob, location, limits)
    entries = [entry for entry in read_archive(blob, location, limits).entries if entry.name == MEMBER]
    place = Location(inspected.path, MEMBER)
    if len(entries) != 1 or entries[0].encrypted:
        several = "the archive holds them more than once" if entries else f"the archive has no {MEMBER}"
        raise MalformedInput(
            "the weights of a Keras archive cannot be read",
            where=place,
            why="they are encrypted" if len(entries) == 1 else several,
            remedy="fetch the file again, or ask its author",
        )
    return hdf5_contents(open_member(blob, entries[0], place, limits, Budget(blob.size)), place, limits)


def without_weights(inspected: Inspected) -> FileReport:
    """The report on a file without the findings that say that nobody looked into its weights: converting does."""
    report = inspected.report
    if not holds_hdf5(inspected):
        return report
    kept = tuple(
        finding
        for finding in report.findings
        if not (
            (finding.rule == "opaque-file" and report.format == HDF5)
            or (finding.rule == "opaque-member" and finding.location.member == MEMBER)
        )
    )
    return replace(report, findings=kept)
