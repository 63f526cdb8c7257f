"""Writing safetensors: a header, then every tensor's bytes straight from where they lie.

Nothing is ever held whole: contiguous tensors pass through a buffer of one megabyte, where they are hashed, and
strided ones through a few. (Copying inside the kernel is no faster once the bytes have to be hashed.) The format is
that of the safetensors specification, version 0.4 and up.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Protocol

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput, SourceError
from safeload.core.names import Location, escape
from safeload.engine.gather import gathered, is_contiguous, swapped
from safeload.formats.base import TensorView
from safeload.formats.window import outermost
from safeload.sources.pinned import PinnedFile

CODES: Mapping[str, tuple[str, int]] = {
    "bool": ("BOOL", 1), "uint8": ("U8", 1), "int8": ("I8", 1), "uint16": ("U16", 2), "int16": ("I16", 2),
    "uint32": ("U32", 4), "int32": ("I32", 4), "uint64": ("U64", 8), "int64": ("I64", 8), "float16": ("F16", 2),
    "bfloat16": ("BF16", 2), "float32": ("F32", 4), "float64": ("F64", 8), "complex64": ("C64", 8),
    "float8_e4m3fn": ("F8_E4M3", 1), "float8_e5m2": ("F8_E5M2", 1), "float8_e8m0fnu": ("F8_E8M0", 1),
    "float8_e4m3fnuz": ("F8_E4M3FNUZ", 1), "float8_e5m2fnuz": ("F8_E5M2FNUZ", 1), "float4_e2m1fn_x2": ("F4", 1),
}  # fmt: skip
"""The safetensors code and the element size in bytes, by torch dtype."""

_WINDOW = 1 << 20
_HALF_ELEMENT = {"complex64": 4}
RESERVED = "__metadata__"
_LONGEST_HEADER = 100_000_000
"""What readers of safetensors accept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Where one tensor goes: its view, and its range of the data section."""

    name: str
    view: TensorView
    itemsize: int
    start: int
    nbytes: int


def layout(tensors: Mapping[str, TensorView], metadata: Mapping[str, str] | None = None) -> tuple[bytes, list[Slot]]:
    """The header bytes, with their length prefix, and the slots in file order.

    Larger elements come first, so that every tensor begins at a multiple of its element size.

    Raises:
        MalformedInput: a name is reserved or is not text, a dtype has no safetensors form, or the names and shapes
            take more than readers of safetensors accept.
    """
    slots: list[Slot] = []
    start = 0
    for name, view in sorted(tensors.items(), key=lambda item: -_itemsize(*item)):
        itemsize = _itemsize(name, view)
        nbytes = prod(view.shape) * itemsize
        slots.append(Slot(name=name, view=view, itemsize=itemsize, start=start, nbytes=nbytes))
        start += nbytes
    table: dict[str, object] = {RESERVED: {"format": "pt", **(metadata or {})}}
    for slot in slots:
        table[slot.name] = {
            "dtype": CODES[slot.view.dtype][0],
            "shape": _stated_shape(slot),
            "data_offsets": [slot.start, slot.start + slot.nbytes],
        }
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _LONGEST_HEADER:
        file = next(iter(tensors.values())).location.file
        raise MalformedInput(
            "the tensors cannot be stored in one safetensors file",
            where=Location(file),
            why=f"their names and shapes take {len(text):,} bytes, and its readers accept {_LONGEST_HEADER:,}",
            remedy="ask the author for a checkpoint in several files",
        )
    return len(text).to_bytes(8, "little") + text, slots


def _stated_shape(slot: Slot) -> list[int]:
    """safetensors counts the numbers of `float4_e2m1fn_x2`, torch the pairs of them."""
    shape = list(slot.view.shape)
    return [*shape[:-1], 2 * shape[-1]] if slot.view.dtype == "float4_e2m1fn_x2" and shape else shape


def _itemsize(name: str, view: TensorView) -> int:
    if name == RESERVED or not is_text(name):
        raise MalformedInput(
            f"the tensor {escape(name)!r} cannot be stored in safetensors",
            where=view.location,
            why="the format keeps that name for itself" if name == RESERVED else "its name is not Unicode text",
            remedy="ask the author for a checkpoint in which it has another name",
        )
    if view.dtype not in CODES or (view.dtype == "float4_e2m1fn_x2" and not view.shape):
        raise MalformedInput(
            f"the tensor {escape(name)!r} cannot be stored in safetensors",
            where=view.location,
            why=f"the format has no {escape(view.dtype)}",
            remedy="ask the author for a checkpoint in another dtype",
        )
    return CODES[view.dtype][1]


def is_text(name: str) -> bool:
    """Half of a surrogate pair can stand in a pickle and in Python's JSON, and in no other reader's."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Written:
    """What `write` put into a file."""

    size: int
    sha256: str


def write(descriptor: int, tensors: Mapping[str, TensorView]) -> Written:
    """Write the tensors to an empty file that is open for writing, hashing what is written on the way.

    Does **not** make the file durable or give it its final name: that is the caller's, who knows both.

    Raises:
        MalformedInput: see `layout`; or the source became shorter.
        SourceError: the file system refused, for lack of space for instance.
    """
    header, slots = layout(tensors)
    reserve(descriptor, size_of(header, slots))
    output = _Output(descriptor)
    pour(output, header, slots)
    return Written(size_of(header, slots), output.hasher.hexdigest())


def size_of(header: bytes, slots: list[Slot]) -> int:
    """How long the file of a layout is."""
    return len(header) + (slots[-1].start + slots[-1].nbytes if slots else 0)


class Sink(Protocol):
    """What takes the bytes of a file in their order."""

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def copy(self, blob: Blob, start: int, length: int, where: Location) -> None:
        """Take a range of a blob. Raises `MalformedInput`, with `where`, if the blob ends before it."""
        ...


def pour(sink: Sink, header: bytes, slots: list[Slot], done: Callable[[Slot], None] | None = None) -> None:
    """Give a sink all bytes of a layout; tell `done` of every tensor that has gone by.

    Raises:
        MalformedInput: see `layout`; or the source became shorter.
        SourceError: the file system refused, for lack of space for instance.
    """
    try:
        sink.write(header)
        for slot in slots:
            _write_slot(sink, slot)
            if done is not None:
                done(slot)
    except OSError as error:
        raise _refused(error) from error


def reserve(descriptor: int, size: int) -> None:
    """Take the whole space at once: a full disk shows now, and writing into it later is faster.

    Raises `SourceError` if the file system refuses.
    """
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise _refused(error) from error
        os.truncate(descriptor, size)


def _refused(error: OSError) -> SourceError:
    return SourceError(
        "converted weights could not be written",
        why=error.strerror or str(error),
        remedy="free some space, or choose another place with SAFELOAD_HOME",
    )


class _Output:
    """Appends to a file and hashes what it appends. One megabyte is in memory at a time."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.hasher = hashlib.sha256()
        self.buffer = memoryview(bytearray(_WINDOW))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.hasher.update(data)
        while data:
            data = data[os.write(self.descriptor, data) :]

    def copy(self, blob: Blob, start: int, length: int, where: Location) -> None:
        blob, start = outermost(blob, start)
        while length:
            count = read_window(blob, self.buffer[: min(_WINDOW, length)], start, where)
            self.write(self.buffer[:count])
            start, length = start + count, length - count


def read_window(blob: Blob, window: memoryview, start: int, where: Location) -> int:
    """Read a blob into memory that is there already; return how many bytes came, at least one.

    Raises `MalformedInput` if there are none.
    """
    if isinstance(blob, PinnedFile):
        count = blob.read_into(window, start)
    else:
        data = blob.read_at(start, len(window))
        count = len(data)
        window[:count] = data
    if not count:
        raise MalformedInput("a tensor's bytes end early", where=where, why="the file became shorter")
    return count


def _write_slot(output: Sink, slot: Slot) -> None:
    view = slot.view
    big = view.storage.big_endian and slot.itemsize > 1
    if is_contiguous(view) and not big:
        start = view.storage.offset + view.storage_offset * slot.itemsize
        output.copy(view.storage.blob, start, slot.nbytes, view.location)
        return
    for block in gathered(view, slot.itemsize):
        output.write(swapped(block, _HALF_ELEMENT.get(view.dtype, slot.itemsize)) if big else block)
