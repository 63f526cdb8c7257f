"""Parts of torch's distributed checkpoints: one torch archive after the other in a file.

Which archive is which tensor is said by the `.metadata` beside them (see `dcp`); here each is only read. They are
found from the end of the file backwards, because an archive says at its end how long it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob, Extent
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.frozen import replace
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Format, Irregularity, Part
from safeload.formats.zip_end import length_of_last
from safeload.formats.zip_member import Budget
from safeload.formats.zip_parts import PART, ZIP, kind_of, read_zip

_END = 98
"""Bytes of torch's end records."""


def archives(blob: Blob, location: Location, limits: Limits) -> list[Extent] | None:
    """The archives of a part, in order; `None` if they do not fill the file one after the other.

    Raises:
        LimitExceeded: there are more than `Limits.members`.
    """
    found: list[Extent] = []
    stop = blob.size
    while stop:
        length = length_of_last(blob.read_at(max(0, stop - _END), min(stop, _END)))
        if length is None or length > stop:
            return None
        found.append(Extent(blob, stop - length, length))
        stop -= length
        if len(found) > limits.members:
            raise LimitExceeded("members", allowed=limits.members, wanted=len(found), where=location)
    return found[::-1]


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    found = archives(blob, location, limits)
    if found is None:
        detail = "its archives do not follow each other without a gap"
        yield Irregularity(location=location, kind="distcp-gap", detail=detail)
        found = [Extent(blob, 0, blob.size)]
    budget = Budget(blob.size)
    limits = replace(limits, streams=max(limits.streams, limits.members))  # one archive with one pickle for each tensor
    fault: MalformedInput | None = None
    for archive in found:
        try:
            yield from read_zip(archive, location, limits, budget=budget)
        except MalformedInput as error:
            fault = fault or error
        if budget.spent:
            break
    if fault is not None:
        raise fault


FORMAT = Format(
    name="torch-distcp",
    title="a part of a distributed torch checkpoint",
    suffixes=(PART,),
    sniff=lambda head, tail, size, name: kind_of(head, tail, size, name) == "distcp",
    read=_read,
    claims=ZIP,
)
