"""safetensors: a JSON header that names ranges of the file, and nothing else.

The rules are those of the reference implementation and stricter where other readers may differ: no key stands
twice, no tensor has an unknown entry or more dimensions than torch knows, no space precedes the header.

1. Eight bytes, little endian: the header's length, at most 100,000,000.
2. The header is one JSON object; it begins with `{`; spaces may follow it.
3. `__metadata__`, if present, maps text to text.
4. Every other entry has exactly `dtype`, `shape` and `data_offsets`.
5. Ordered by offset, tensors follow each other without hole or overlap, from the header's end to the file's end.
6. Each range is exactly as long as its type and shape say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from safeload.core.blob import Blob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.base import Claims, Format, Irregularity, Part, Storage, TensorTable, TensorView
from safeload.formats.dtypes import SAFETENSORS, bits_of
from safeload.formats.inside import account
from safeload.formats.strict_json import parse_json
from safeload.formats.tensors import DIMENSIONS, contiguous

_LONGEST = 100_000_000
_METADATA = "__metadata__"
_FIELDS = {"dtype", "shape", "data_offsets"}
_OWN = ("F6_E2M3", "F6_E3M2")
"""Types that torch has no word for, so they keep their names."""
_BITS = {code: bits_of(dtype) for code, dtype in (*SAFETENSORS.items(), *zip(_OWN, _OWN, strict=True))} | {"F4": 4}
"""Bits of one element of each type."""


class _Header:
    def __init__(self, location: Location) -> None:
        self.location = location

    def bad(self, why: str, path: str | None = None) -> MalformedInput:
        return MalformedInput(
            "a safetensors file cannot be read",
            where=Location(self.location.file, self.location.member, None, path),
            why=why,
            remedy="fetch the file again; if it stays so, its header was made by hand",
        )

    def tensor(self, name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
        """`(dtype, shape, begin, end)` of an entry that keeps rules 4 and 6."""
        if not isinstance(entry, dict) or entry.keys() != _FIELDS:
            raise self.bad("an entry is not exactly dtype, shape and data_offsets", name)
        code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(shape, list) or len(shape) > DIMENSIONS:
            raise self.bad(f"a shape is not a list of at most {DIMENSIONS} counts", name)
        if not isinstance(offsets, list) or len(offsets) != 2 or not _count(offsets[0]) or not _count(offsets[1]):
            raise self.bad("data_offsets is not a pair of counts", name)
        bits = _BITS.get(code) if isinstance(code, str) else None
        if bits is None:
            raise self.bad(f"the type {escape(str(code)[:40])} is not one of safetensors'", name)
        for length in shape:
            if type(length) is not int or length < 0:
                raise self.bad("a shape is not a list of counts", name)
            bits *= length
            if bits >= 1 << 67:
                raise self.bad("a shape is larger than any file", name)
        begin, end = offsets
        if bits % 8 or bits // 8 != end - begin:
            raise self.bad(f"type and shape need {bits // 8:,} bytes and data_offsets give {end - begin:,}", name)
        if code == "F4":
            if not shape or shape[-1] % 2:
                raise self.bad("an F4 tensor's last dimension is odd", name)
            shape = [*shape[:-1], shape[-1] // 2]
        return SAFETENSORS.get(code, code), tuple(shape), begin, end


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 64


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    header = _Header(location)
    length = int.from_bytes(blob.read_at(0, 8), "little")
    if blob.size < 8:
        raise header.bad("it is shorter than the length of its header (truncated)")
    if length > _LONGEST:
        raise header.bad(f"its header would be {length:,} bytes long, more than the format allows")
    if length > blob.size - 8:
        raise header.bad(f"its header is {length:,} bytes long and {blob.size - 8:,} are left (truncated)")
    account(limits, blob).work.parse(length, location)
    raw = blob.read_at(8, length)
    if not raw.startswith(b"{"):
        raise header.bad("its header is not a JSON object")
    document = parse_json(raw, location, limits)
    for key in document.repeated[:100]:
        detail = f"the key {escape(key)} stands twice in the header: readers differ in which one they take"
        where = Location(location.file, location.member, None, key)
        yield Irregularity(location=where, kind="safetensors-duplicate-key", detail=detail, two_readings=True)
    entries: dict[str, Any] = document.data
    metadata = entries.pop(_METADATA, None)
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise header.bad("its metadata does not map text to text", _METADATA)
    if len(entries) > limits.tensors:
        raise LimitExceeded("tensors", allowed=limits.tensors, wanted=len(entries), where=location)
    tensors = _tensors(header, entries, blob, 8 + length)
    yield TensorTable(location=location, tensors=tensors, metadata=metadata)
    if metadata:
        from safeload.formats.suspects import suspect_values

        if values := suspect_values(metadata):
            from safeload.formats.within_text import of_values

            yield from of_values(values, location, limits)


def _tensors(header: _Header, entries: dict[str, Any], blob: Blob, base: int) -> dict[str, TensorView]:
    """Check rules 4 to 6 and make the views, in the header's order."""
    tensors: dict[str, TensorView] = {}
    ranges: list[tuple[int, int, str]] = []
    file, member = header.location.file, header.location.member
    for name, entry in entries.items():
        dtype, shape, begin, end = header.tensor(name, entry)
        ranges.append((begin, end, name))
        tensors[name] = TensorView(
            location=Location(file, member, None, name),
            dtype=dtype,
            shape=shape,
            strides=contiguous(shape),
            storage_offset=0,
            storage=Storage(blob=blob, offset=base + begin, nbytes=end - begin),
            storage_key=name,
        )
    at = 0
    for begin, end, name in sorted(ranges):
        if begin != at:
            raise header.bad(f"{'a hole' if begin > at else 'an overlap'} before this tensor's data", name)
        at = end
    available = blob.size - base
    if at != available:
        state = (
            f"{at - available:,} bytes are missing (truncated)"
            if at > available
            else f"{available - at:,} bytes follow"
        )
        raise header.bad(f"its tensors end at {at:,} and the file at {available:,}: {state}")
    return tensors


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    return (
        size >= 10
        and head[8:9] == b"{"
        and int.from_bytes(head[:8], "little") <= _LONGEST
        and head[9:10] in b'"} \t\r\n'
    )


FORMAT = Format(
    name="safetensors",
    title="a safetensors file",
    suffixes=(".safetensors",),
    sniff=_sniff,
    read=_read,
    claims=Claims(at=((8, b"{"),)),
)
