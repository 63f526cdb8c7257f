"""What the tests of the formats share: reading from memory, picking parts, and tensors as torch values."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import torch

from safeload.core.blob import MemoryBlob
from safeload.core.graph import Call, Global
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats import FileReading, read
from safeload.formats.base import Irregularity, PickleStream, TensorView


def reading(data: bytes, name: str = "pytorch_model.bin", limits: Limits | None = None) -> FileReading:
    return read(MemoryBlob(data), Location(name), limits)


def of(result: FileReading, kind_of_part: type, /, **wanted: Any) -> list[Any]:
    """The parts of one class with these attributes."""
    return [
        part
        for part in result.parts
        if isinstance(part, kind_of_part) and all(getattr(part, name) == value for name, value in wanted.items())
    ]


def kinds(result: FileReading) -> set[str]:
    """The kinds of all irregularities."""
    return {part.kind for part in result.parts if isinstance(part, Irregularity)}


def data(result: FileReading) -> PickleStream:
    return of(result, PickleStream, role="data")[0]


def calls(result: FileReading) -> list[str]:
    """Every call of every pickle, by the name that is called."""
    return [
        str(node.callee.name)
        for part in of(result, PickleStream)
        for node in part.reading.trace
        if isinstance(node, Call) and isinstance(node.callee, Global)
    ]


def runs_system(result: FileReading) -> bool:
    """Whether the payload of these tests was seen."""
    return any(name in ("posix.system", "os.system") for name in calls(result))


def saved(value: object, *, zipped: bool = True, protocol: int = 2) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    return out.getvalue()


def value_of(view: TensorView) -> torch.Tensor:
    """The tensor that a view describes, made from exactly the bytes of its range."""
    raw = view.storage.blob.read_at(view.storage.offset, view.storage.nbytes)
    assert len(raw) == view.storage.nbytes
    dtype = getattr(torch, view.dtype)
    bytes_of = torch.frombuffer(bytearray(raw), dtype=torch.uint8) if raw else torch.empty(0, dtype=torch.uint8)
    if view.storage.big_endian:
        width = torch.empty(0, dtype=dtype).element_size()
        bytes_of = bytes_of.reshape(-1, width).flip(1).reshape(-1).contiguous()
    return torch.empty(0, dtype=dtype).set_(bytes_of.untyped_storage(), view.storage_offset, view.shape, view.strides)


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal bit for bit: type, shape, strides and every byte (NaN and negative zero included)."""
    if (one.dtype, one.shape, one.stride()) != (other.dtype, other.shape, other.stride()):
        return False
    return _bytes(one) == _bytes(other)


def _bytes(tensor: torch.Tensor) -> bytes:
    plain = tensor.detach().clone(memory_format=torch.contiguous_format)
    return bytes(plain.untyped_storage().tolist()[: plain.numel() * plain.element_size()])


@dataclass
class CountingBlob:
    """A blob that remembers what was read of it."""

    data: bytes
    ranges: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        found = self.data[offset : offset + length]
        self.ranges.append((offset, len(found)))
        return found

    @property
    def total(self) -> int:
        return sum(length for _, length in self.ranges)
