"""GGUF: a header of typed values and tensor positions. Read for its bounds, its chat templates and its plain tensors.

Quantised tensors are listed in the table's metadata with their type, and their bounds are checked; no view is made of
them, because no torch type has their layout.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from safeload.core.blob import Blob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.base import Claims, Format, Irregularity, Part, Storage, Template, TensorTable, TensorView
from safeload.formats.dtypes import width_of
from safeload.formats.inside import account
from safeload.formats.suspects import suspect_values
from safeload.formats.tensors import contiguous
from safeload.formats.window import Window

_MAGIC = b"GGUF"
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_PLAIN = {
    0: "float32",
    1: "float16",
    24: "int8",
    25: "int16",
    26: "int32",
    27: "int64",
    28: "float64",
    30: "bfloat16",
}
_BLOCKS = {
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
}
"""Quantised types: name, elements of a block, bytes of a block."""
_SAYS = 16
"""Characters below which a value hides nothing."""
_LONGEST_TEXT = 1 << 24
_OF_A_KEY, _OF_A_TENSOR = 4, 2
"""Items of other formats that a key, and a tensor, take as long as."""
_TWICE = 100
"""Keys that stand twice, of those that are told."""
_TEMPLATE = "tokenizer.chat_template"
"""The key of the template, and the beginning of those of further ones: `tokenizer.chat_template.tool_use`."""


class _Reader:
    def __init__(self, blob: Blob, location: Location, limits: Limits) -> None:
        self.window = Window(blob)
        self.size = blob.size
        self.location = location
        self.limits = limits
        self.at = 0
        self.work = account(limits, blob).work

    def bad(self, why: str, path: str | None = None) -> MalformedInput:
        place = Location(self.location.file, self.location.member, self.at, path)
        return MalformedInput("a GGUF file cannot be read", where=place, why=why, remedy="fetch the file again")

    def take(self, length: int) -> bytes:
        if length > self.size - self.at:
            raise self.bad(f"{length:,} bytes are needed and {self.size - self.at:,} are left (truncated)")
        data = self.window.bytes(self.at, length)
        self.at += length
        return data

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def text(self, *, keep: bool = True) -> str:
        length = self.number("<Q")
        if keep and length <= _LONGEST_TEXT:
            self.work.parse(length, self.location)
            return self.take(length).decode("utf-8", "replace")
        if length > self.size - self.at:
            raise self.bad(f"a text of {length:,} bytes begins with {self.size - self.at:,} left (truncated)")
        self.at += length
        return ""

    def value(self, kind: int, *, whole: bool = False) -> Any:
        """A value; a text that is very long is left out, unless it is wanted whole."""
        if kind == _STRING:
            before = self.at
            text = self.text()
            if whole and not text and self.at - before > 8:
                length = self.at - before - 8
                raise LimitExceeded("text_bytes", allowed=_LONGEST_TEXT, wanted=length, where=self.location)
            return text
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind != _ARRAY:
            raise self.bad(f"a value has the unknown type {kind}")
        self.skip_array()
        return None

    def skip_array(self) -> None:
        """Arrays of arrays are allowed by the format, so the kinds wait on a list."""
        waiting = [1]
        kinds = [_ARRAY]
        while waiting:
            if not waiting[-1]:
                waiting.pop()
                kinds.pop()
                continue
            kind = kinds[-1]
            if kind in _SCALARS:
                length = waiting[-1] * struct.calcsize(_SCALARS[kind])
                if length > self.size - self.at:
                    raise self.bad(f"an array of {length:,} bytes begins with {self.size - self.at:,} left (truncated)")
                self.at += length
                waiting[-1] = 0
                continue
            waiting[-1] -= 1
            self.work.walk(1, self.location)
            if kind == _STRING:
                self.text(keep=False)
            elif kind == _ARRAY:
                if len(kinds) > self.limits.depth:
                    raise LimitExceeded("depth", allowed=self.limits.depth, wanted=len(kinds), where=self.location)
                kinds.append(self.number("<I"))
                waiting.append(self.number("<Q"))
            else:
                raise self.bad(f"an array has the unknown type {kind}")


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    reader = _Reader(blob, location, limits)
    reader.take(4)
    version = reader.number("<I")
    if version not in (2, 3):
        raise reader.bad(f"version {version} is not one that safeload reads")
    count, pairs = reader.number("<Q"), reader.number("<Q")
    if count > limits.tensors:
        raise LimitExceeded("tensors", allowed=limits.tensors, wanted=count, where=location)
    alignment = 32
    seen: set[str] = set()
    twice = 0
    texts: list[str] = []
    for _ in range(pairs):
        reader.work.walk(_OF_A_KEY, location)
        key = reader.text()
        value = reader.value(reader.number("<I"), whole=key.startswith(_TEMPLATE))
        where = Location(location.file, location.member, None, key)
        if key in seen and (twice := twice + 1) <= _TWICE:
            detail = f"the key {escape(key)} stands twice"
            yield Irregularity(location=where, kind="gguf-duplicate-key", detail=detail, two_readings=True)
        seen.add(key)
        if key == "general.alignment" and type(value) is int:
            alignment = value
        if key.startswith(_TEMPLATE) and isinstance(value, str):
            yield Template(location=where, text=value)
        elif isinstance(value, str) and len(value) > _SAYS:
            texts.append(value)
    if not 0 < alignment <= 1 << 20:
        raise reader.bad(f"an alignment of {alignment:,} is not possible", "general.alignment")
    yield from _table(reader, blob, count, alignment)
    if values := suspect_values(texts):
        from safeload.formats.within_text import of_values

        yield from of_values(values, location, limits)


def _table(reader: _Reader, blob: Blob, count: int, alignment: int) -> Iterator[Part]:
    listed: list[tuple[str, tuple[int, ...], int, int]] = []
    for _ in range(count):
        reader.work.walk(_OF_A_TENSOR, reader.location)
        name = reader.text()
        dimensions = reader.number("<I")
        if dimensions > 8:
            raise reader.bad(f"a tensor has {dimensions} dimensions", name)
        shape = tuple(reader.number("<Q") for _ in range(dimensions))
        listed.append((name, shape[::-1], reader.number("<I"), reader.number("<Q")))
    base = (reader.at + alignment - 1) // alignment * alignment
    tensors: dict[str, TensorView] = {}
    other: dict[str, str] = {}
    for name, shape, kind, offset in listed:
        if name in tensors or name in other:
            where = Location(reader.location.file, reader.location.member, None, name)
            detail = f"two tensors are named {escape(name)}"
            yield Irregularity(location=where, kind="gguf-duplicate-key", detail=detail, two_readings=True)
        nbytes = _size(shape, kind)
        if base + offset + nbytes > blob.size:
            missing = base + offset + nbytes - blob.size
            raise reader.bad(f"{missing:,} bytes of a tensor are missing (truncated)", name)
        if kind in _PLAIN:
            tensors[name] = TensorView(
                location=Location(reader.location.file, reader.location.member, None, name),
                dtype=_PLAIN[kind],
                shape=shape,
                strides=contiguous(shape),
                storage_offset=0,
                storage=Storage(blob=blob, offset=base + offset, nbytes=nbytes),
                storage_key=name,
            )
        else:
            other[name] = _BLOCKS[kind][0] if kind in _BLOCKS else f"type {kind}"
    ends = [base + offset + _size(shape, kind) for _, shape, kind, offset in listed]
    end = (max(ends, default=reader.at) + alignment - 1) // alignment * alignment
    if blob.size > end and all(kind in _PLAIN or kind in _BLOCKS for _, _, kind, _ in listed):
        detail = f"{blob.size - end:,} bytes follow the last tensor"
        yield Irregularity(location=reader.location.at(end), kind="trailing-data", detail=detail)
    yield TensorTable(location=reader.location, tensors=tensors, metadata=other)


def _size(shape: tuple[int, ...], kind: int) -> int:
    """Bytes of a tensor; 0 for types whose layout is not known here."""
    elements = 1
    for length in shape:
        elements *= length
    if kind in _PLAIN:
        return elements * width_of(_PLAIN[kind])
    if kind in _BLOCKS:
        _, block, width = _BLOCKS[kind]
        return (elements + block - 1) // block * width
    return 0


FORMAT = Format(
    name="gguf",
    title="a GGUF model",
    suffixes=(".gguf",),
    sniff=lambda head, tail, size, name: head.startswith(_MAGIC),
    read=_read,
    claims=Claims(begins=(_MAGIC,)),
)
