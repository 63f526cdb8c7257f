"""Writing safetensors: a header, then every tensor's bytes straight from where they lie.

Nothing is ever held whole: contiguous tensors go from descriptor to descriptor inside the kernel where it can do
that, strided ones through a few megabytes. The format is that of the safetensors specification, version 0.4 and up.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod

from safeload.core.blob import Blob, Extent
from safeload.core.errors import MalformedInput, SourceError
from safeload.core.names import Location, escape
from safeload.engine.gather import gathered, is_contiguous, swapped
from safeload.formats.base import TensorView
from safeload.sources.pinned import PinnedFile

CODES: Mapping[str, tuple[str, int]] = {
    "bool": ("BOOL", 1), "uint8": ("U8", 1), "int8": ("I8", 1), "uint16": ("U16", 2), "int16": ("I16", 2),
    "uint32": ("U32", 4), "int32": ("I32", 4), "uint64": ("U64", 8), "int64": ("I64", 8), "float16": ("F16", 2),
    "bfloat16": ("BF16", 2), "float32": ("F32", 4), "float64": ("F64", 8), "complex64": ("C64", 8),
    "float8_e4m3fn": ("F8_E4M3", 1), "float8_e5m2": ("F8_E5M2", 1), "float8_e8m0fnu": ("F8_E8M0", 1),
    "float8_e4m3fnuz": ("F8_E4M3FNUZ", 1), "float8_e5m2fnuz": ("F8_E5M2FNUZ", 1),
}  # fmt: skip
"""The safetensors code and the element size in bytes, by torch dtype."""

_WINDOW = 1 << 20
_HALF_ELEMENT = {"complex64": 4}
_RESERVED = "__metadata__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Where one tensor goes: its view, and its range of the data section."""

    name: str
    view: TensorView
    itemsize: int
    start: int
    nbytes: int


def layout(tensors: Mapping[str, TensorView]) -> tuple[bytes, list[Slot]]:
    """The header bytes, with their length prefix, and the slots in file order.

    Larger elements come first, so that every tensor begins at a multiple of its element size.

    Raises:
        MalformedInput: a name is reserved, or a dtype has no safetensors form.
    """
    slots: list[Slot] = []
    start = 0
    for name, view in sorted(tensors.items(), key=lambda item: -_itemsize(*item)):
        itemsize = _itemsize(name, view)
        nbytes = prod(view.shape) * itemsize
        slots.append(Slot(name=name, view=view, itemsize=itemsize, start=start, nbytes=nbytes))
        start += nbytes
    table: dict[str, object] = {_RESERVED: {"format": "pt"}}
    for slot in slots:
        table[slot.name] = {
            "dtype": CODES[slot.view.dtype][0],
            "shape": list(slot.view.shape),
            "data_offsets": [slot.start, slot.start + slot.nbytes],
        }
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, slots


def _itemsize(name: str, view: TensorView) -> int:
    if name == _RESERVED:
        raise MalformedInput("a tensor cannot be stored in safetensors", where=view.location, why=f"the name {name!r}")
    if view.dtype not in CODES:
        raise MalformedInput(
            f"the tensor {escape(name)!r} cannot be stored in safetensors",
            where=view.location,
            why=f"the format has no {escape(view.dtype)}",
            remedy="ask the author for a checkpoint in another dtype",
        )
    return CODES[view.dtype][1]


def write(descriptor: int, tensors: Mapping[str, TensorView], *, workers: int = 2) -> int:
    """Write the tensors to an empty file that is open for writing; return its size in bytes.

    Does **not** make the file durable or give it its final name: that is the caller's, who knows both.

    Raises:
        MalformedInput: see `layout`; or the source became shorter.
        SourceError: the file system refused, for lack of space for instance.
    """
    header, slots = layout(tensors)
    size = len(header) + (slots[-1].start + slots[-1].nbytes if slots else 0)
    try:
        os.truncate(descriptor, size)
        os.pwrite(descriptor, header, 0)
        with ThreadPoolExecutor(workers) as pool:
            for share in [pool.submit(_write_slots, descriptor, len(header), part) for part in _halves(slots, workers)]:
                share.result()
    except OSError as error:
        raise SourceError(
            "converted weights could not be written",
            why=error.strerror or str(error),
            remedy="free some space, or choose another place with SAFELOAD_HOME",
        ) from error
    return size


def _halves(slots: Sequence[Slot], parts: int) -> list[list[Slot]]:
    """The slots in `parts` runs of neighbours with about the same number of bytes."""
    share = max(1, -(-sum(slot.nbytes for slot in slots) // parts))
    runs: list[list[Slot]] = [[] for _ in range(parts)]
    for slot in slots:
        runs[min(parts - 1, slot.start // share)].append(slot)
    return runs


def _write_slots(descriptor: int, base: int, slots: Sequence[Slot]) -> None:
    for slot in slots:
        view, target = slot.view, base + slot.start
        big = view.storage.big_endian and slot.itemsize > 1
        if is_contiguous(view) and not big:
            source = view.storage.offset + view.storage_offset * slot.itemsize
            copy(view.storage.blob, source, descriptor, target, slot.nbytes, view.location)
            continue
        for block in gathered(view, slot.itemsize):
            data = swapped(block, _HALF_ELEMENT.get(view.dtype, slot.itemsize)) if big else block
            os.pwrite(descriptor, data, target)
            target += len(data)


def copy(blob: Blob, source: int, descriptor: int, target: int, length: int, where: Location) -> None:
    """Copy a range of a blob into a file, inside the kernel where that is possible.

    Raises:
        MalformedInput: the blob ends before the range does.
        OSError: the file could not be written.
    """
    while isinstance(blob, Extent):
        source += blob.start
        blob = blob.outer
    while length and isinstance(blob, PinnedFile):
        try:
            copied = os.copy_file_range(blob.fileno(), descriptor, length, source, target)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            break
        if not copied:
            break
        source, target, length = source + copied, target + copied, length - copied
    while length:
        data = blob.read_at(source, min(_WINDOW, length))
        if not data:
            raise MalformedInput("a tensor's bytes end early", where=where, why="the file became shorter")
        os.pwrite(descriptor, data, target)
        source, target, length = source + len(data), target + len(data), length - len(data)
