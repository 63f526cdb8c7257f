"""Distributed checkpoints are joined; tensors that lie in pieces come out whole."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import checkpoint

from safeload.core.blob import MemoryBlob
from safeload.core.errors import PolicyDenied, SafeloadError
from safeload.core.names import Location
from safeload.engine.convert.compare import compare
from safeload.engine.convert.job import convert
from safeload.engine.convert.mosaic import joined
from safeload.engine.convert.numbers import blocks
from safeload.formats.base import Chunk
from safeload.formats.chunks import sharded
from tests.engine import models
from tests.engine.test_convert import loaded, noise, same
from tests.engine.views import raw, view_of

STATE = {
    "model": {"w": torch.arange(12.0).reshape(3, 4), "b": torch.ones(3).bfloat16(), "n": torch.tensor(7)},
    "step": 5,
}


def distributed(folder: Path, state: dict[str, Any]) -> Path:
    """A checkpoint as `torch.distributed.checkpoint` writes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checkpoint.save(state, checkpoint_id=folder, no_dist=True)
    return folder


@pytest.mark.parametrize("name", ["", ".metadata"])
def test_distributed_checkpoints_are_joined(tmp_path: Path, name: str) -> None:
    """By the directory or its metadata; other objects are listed; comparing finds the tensors equal."""
    folder = distributed(tmp_path / "ckpt", STATE)
    conversion = convert(folder / name)
    assert conversion.path == folder / "model.safetensors"
    found = loaded(conversion)
    assert set(found) == {"model.w", "model.b", "model.n"}
    assert all(same(found[f"model.{key}"], tensor) for key, tensor in STATE["model"].items())  # type: ignore[index]
    assert [item.path for item in conversion.dropped] == ["step"]
    assert conversion.path is not None and compare(folder, conversion.path).equal


@pytest.mark.parametrize("how", ["missing", "truncated", "not metadata"])
def test_distributed_checkpoints_that_lack_something_are_refused(tmp_path: Path, how: str) -> None:
    """A part that is missing or short, or metadata that is another pickle: an error with a place, and no output."""
    folder = distributed(tmp_path / "ckpt", STATE)
    part = next(folder.glob("*.distcp"))
    if how == "missing":
        part.unlink()
    elif how == "truncated":
        part.write_bytes(part.read_bytes()[:-200])
    else:
        models.write(folder / ".metadata", b"\x80\x04N.")
    before = models.files_below(folder)
    with pytest.raises(SafeloadError) as caught:
        convert(folder)
    assert ".distcp" in str(caught.value) or ".metadata" in str(caught.value)
    assert models.files_below(folder) == before


def test_dangerous_metadata_is_refused(tmp_path: Path, marker: Path) -> None:
    """The metadata is a pickle, and judged as one."""
    folder = distributed(tmp_path / "ckpt", STATE)
    path = folder / ".metadata"
    path.write_bytes(f"cos\nsystem\n(S'touch {marker}'\ntR0".encode() + path.read_bytes())
    with pytest.raises(PolicyDenied):
        convert(folder)


@pytest.mark.parametrize("cuts", [((), ()), ((1,), ()), ((), (2,)), ((1, 2), (1, 3)), ((2,), (1,))])
@pytest.mark.parametrize("transposed", [False, True])
def test_pieces_are_put_together(cuts: tuple[tuple[int, ...], ...], transposed: bool) -> None:
    """Cut along any dimensions, each piece in any order: every range of the whole is the tensor's own bytes."""
    tensor = noise("int16", 3, 4, 5)
    bounds = [list(itertools.pairwise([0, *cut, size])) for cut, size in zip((*cuts, ()), tensor.shape, strict=True)]
    chunks = []
    for box in itertools.product(*bounds):
        piece = tensor[tuple(slice(*one) for one in box)].contiguous()
        piece = piece.transpose(0, 2).contiguous().transpose(0, 2) if transposed else piece
        offsets, sizes = tuple(low for low, _ in box), tuple(high - low for low, high in box)
        chunks.append(Chunk(offsets, sizes, view_of(piece)))
    view = joined(sharded("w", "int16", (3, 4, 5), chunks), Location("x"))
    content = raw(tensor)
    blob = view.storage.blob
    assert b"".join(blocks(view, 7)) == content
    for start, length in itertools.product(range(0, 120, 7), (1, 2, 13, 500)):
        assert blob.read_at(start, length) == content[start : start + length]
    assert blob.read_at(500, 3) == b""


def test_a_piece_of_a_flat_sequence() -> None:
    """A format may count its pieces in the flat order of elements."""
    tensor = torch.arange(12.0).reshape(3, 4)
    flat = tensor.flatten()
    chunks = [Chunk((0,), (5,), view_of(flat[:5].clone())), Chunk((5,), (7,), view_of(flat[5:].clone()))]
    view = joined(sharded("w", "float32", (3, 4), chunks, grid=(12,)), Location("x"))
    assert b"".join(blocks(view, 3)) == raw(tensor)
    assert isinstance(chunks[0].view.storage.blob, MemoryBlob)
