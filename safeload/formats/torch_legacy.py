"""torch's stream format from before version 1.6: a run of pickles, then the storages' bytes.

The order is: a magic number, a protocol number, facts about the writing machine, the data, the list of storage keys,
and for each key in that list its number of elements in eight bytes followed by its bytes. torch writes these little
endian on every machine, and ignores what the third pickle says about that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.graph import Global, List, Persistent, Reading, Tuple, Value
from safeload.core.limits import Limits
from safeload.core.machine import read_pickle
from safeload.core.names import Location, escape
from safeload.formats.base import Claims, Format, Irregularity, Part, PickleStream, Storage
from safeload.formats.dtypes import storage_dtype, width_of
from safeload.formats.nested import nested_streams
from safeload.formats.pickle_head import LEGACY, is_legacy
from safeload.formats.window import outermost

_PROTOCOL = 1001


class _Declared(NamedTuple):
    """What the data pickle says about one storage."""

    width: int
    number: int
    """Of elements."""


def read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    """The five pickles and what follows. Raises `MalformedInput` where storages are missing or contradicted."""
    header: list[Reading] = []
    offset = 0
    for _ in range(3):
        reading = read_pickle(blob, offset, location=location, limits=limits)
        yield PickleStream(location=location.at(offset), reading=reading, role="header")
        yield from nested_streams(reading, location, limits)
        if reading.fault is not None:
            raise reading.fault
        header.append(reading)
        offset = reading.end
    if header[1].value != _PROTOCOL:
        detail = "the second pickle is not the protocol number 1001, which torch.load insists on"
        yield Irregularity(location=location.at(header[1].start), kind="torch-legacy-protocol", detail=detail)
    data = read_pickle(blob, offset, location=location, limits=limits)
    keys = None if data.fault else read_pickle(blob, data.end, location=location, limits=limits)
    found: dict[str, Storage] = {}
    fault = data.fault
    end = data.end
    if keys is not None:
        end = keys.end
        fault = keys.fault
        if fault is None:
            end, fault = _find_storages(blob, keys, _declared(data), found, location)
    yield PickleStream(location=location.at(offset), reading=data, role="data", storages=found)
    yield from nested_streams(data, location, limits)
    if keys is not None:
        yield PickleStream(location=location.at(data.end), reading=keys, role="header")
        yield from nested_streams(keys, location, limits)
    if fault is not None:
        raise fault
    if end < blob.size:
        detail = f"{blob.size - end:,} bytes follow the last storage"
        yield Irregularity(location=location.at(end), kind="trailing-data", detail=detail)


def _declared(data: Reading) -> dict[str, _Declared]:
    """The element width and count of each storage, as its first mention says."""
    declared: dict[str, _Declared] = {}
    for node in data.trace:
        if not isinstance(node, Persistent):
            continue
        id = node.id
        if not isinstance(id, Tuple) or len(id.items) < 5 or _text(id.items[0]) != "storage":
            continue
        _, kind, key, _, count = id.items[:5]
        dtype = storage_dtype(kind.name) if isinstance(kind, Global) else None
        name = storage_key(key)
        if dtype is not None and name is not None and type(count) is int and count >= 0:
            declared.setdefault(name, _Declared(width_of(dtype), count))
    return declared


def _text(value: Value) -> str | None:
    if isinstance(value, bytes) and value.isascii():
        return value.decode("ascii")
    return value if isinstance(value, str) else None


def storage_key(value: Value) -> str | None:
    """A storage's key as the name by which `PickleStream.storages` knows it: old files use numbers."""
    return str(value) if type(value) is int and abs(value) < 1 << 64 else _text(value)


def _find_storages(
    blob: Blob, keys: Reading, declared: Mapping[str, _Declared], found: dict[str, Storage], location: Location
) -> tuple[int, MalformedInput | None]:
    """Fill `found`; return the offset after the last storage, and what is wrong."""
    at = keys.end

    def damaged(why: str) -> tuple[int, MalformedInput]:
        return at, MalformedInput(
            "a torch checkpoint cannot be read to its end",
            where=location.at(at),
            why=why,
            remedy="fetch the file again: it may be an interrupted download",
        )

    if not isinstance(keys.value, (List, Tuple)):
        return damaged("its list of storage keys is not a list")
    for item in keys.value.items:
        key = storage_key(item)
        if key is None or key not in declared:
            return damaged(f"storage {escape(str(key))} is listed, and nothing in the data says how large it is")
        said = declared[key]
        count = int.from_bytes(blob.read_at(at, 8), "little", signed=True)
        if at + 8 > blob.size:
            return damaged("it ends before the last storage (truncated)")
        if count != said.number or key in found:
            return damaged(f"storage {escape(key)} has {count:,} elements here and {said.number:,} in the data")
        nbytes = count * said.width
        if nbytes > blob.size - at - 8:
            missing = nbytes - (blob.size - at - 8)
            return damaged(
                f"storage {escape(key)} needs {nbytes:,} bytes and {missing:,} of them are missing (truncated)"
            )
        outer, start = outermost(blob, at + 8)
        found[key] = Storage(blob=outer, offset=start, nbytes=nbytes)
        at += 8 + nbytes
    return at, None


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    return is_legacy(head)


FORMAT = Format(
    name="torch-legacy",
    title="a torch checkpoint (before 1.6)",
    suffixes=(".bin", ".pt", ".pth", ".ckpt", ".pkl", ".tar"),
    sniff=_sniff,
    read=read,
    claims=Claims(first=LEGACY),
)
