"""ExecuTorch programs: their operators, and the backends that parts of them are compiled for."""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Opaque, Operator, Part
from safeload.formats.flatbuffer import Tables


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    yield Opaque(location=location, what="executorch", detail="an ExecuTorch program: it runs in native code")
    tables = Tables(blob, location, limits)
    counts: dict[tuple[str, str], list[int]] = {}
    fault: MalformedInput | None = None
    try:
        for plan in tables.tables(tables.root(), 1):
            for operator in tables.tables(plan, 6):
                space, _, name = tables.text(operator, 0).rpartition("::")
                counts.setdefault((space, name), [0, operator])[0] += 1
            for delegate in tables.tables(plan, 7):
                counts.setdefault(("delegate", tables.text(delegate, 0)), [0, delegate])[0] += 1
    except MalformedInput as error:
        fault = error
    for (space, name), (count, offset) in counts.items():
        yield Operator(location=location.at(offset), framework="torchscript", name=name, domain=space, count=count)
    if fault is not None:
        raise fault


FORMAT = Format(
    name="executorch",
    title="an ExecuTorch program",
    suffixes=(".pte",),
    sniff=lambda head, tail, size, name: head[4:6] == b"ET" and head[6:8].isdigit(),
    read=_read,
    claims=Claims(at=((4, b"ET"),)),
)
