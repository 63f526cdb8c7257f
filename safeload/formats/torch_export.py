"""Programs written by `torch.export`: recognised so that they are never handed over. Their tensors can be read."""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Format, Part, TensorTable
from safeload.formats.zip_parts import ZIP, kind_of, read_zip


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    return kind_of(head, tail, size, name) == "pt2"


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    from safeload.formats.exported_weights import weights

    tables: list[TensorTable] = []
    fault: MalformedInput | None = None
    try:
        tables += weights(blob, location, limits)
    except MalformedInput as error:
        fault = error
    numbers = {view.storage_key for table in tables for view in table.tensors.values()}
    yield from tables
    yield from read_zip(blob, location, limits, numbers=numbers)
    if fault is not None:
        raise fault


FORMAT = Format(
    name="pt2",
    title="an exported program (pt2)",
    suffixes=(".pt2",),
    sniff=_sniff,
    read=_read,
    claims=ZIP,
)
