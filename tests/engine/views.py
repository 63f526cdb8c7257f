"""Tensor views over bytes in memory, made from real tensors: what readers of checkpoints hand to the engine."""

from __future__ import annotations

import torch

from safeload.core.blob import Blob, MemoryBlob
from safeload.core.names import Location
from safeload.formats.base import Storage, TensorView


def raw(tensor: torch.Tensor) -> bytes:
    """The elements of a tensor in row-major order, as this machine stores them."""
    flat = tensor.detach().reshape(-1).clone(memory_format=torch.contiguous_format).as_strided((tensor.numel(),), (1,))
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def storage_bytes(tensor: torch.Tensor) -> bytes:
    """All bytes of the storage that a tensor is a view of."""
    return torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage()).numpy().tobytes()


def view_of(tensor: torch.Tensor, *, blob: Blob | None = None, offset: int = 0, big_endian: bool = False) -> TensorView:
    """The view as a format would yield it: over the tensor's storage, which lies at `offset` of the blob."""
    data = storage_bytes(tensor) if blob is None else b""
    nbytes = len(data) if blob is None else blob.size - offset
    return TensorView(
        location=Location("weights.bin", "data.pkl"),
        dtype=str(tensor.dtype).removeprefix("torch."),
        shape=tuple(tensor.shape),
        strides=tuple(tensor.stride()),
        storage_offset=int(tensor.storage_offset()),
        storage=Storage(
            blob=MemoryBlob(bytes(offset) + data) if blob is None else blob,
            offset=offset,
            nbytes=nbytes,
            big_endian=big_endian,
        ),
    )


def bare_view(
    blob: Blob, *, shape: tuple[int, ...], strides: tuple[int, ...], dtype: str = "float32", start: int = 0
) -> TensorView:
    """A view that no tensor stands behind."""
    return TensorView(
        location=Location("weights.bin", "data.pkl"),
        dtype=dtype,
        shape=shape,
        strides=strides,
        storage_offset=start,
        storage=Storage(blob=blob, offset=0, nbytes=blob.size),
    )


class CountingBlob:
    """A blob of zeros of any size that remembers how much was read from it, and the largest piece."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.total = 0
        self.largest = 0
        self.reads = 0

    def read_at(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset))
        self.total += length
        self.largest = max(self.largest, length)
        self.reads += 1
        return bytes(length)
