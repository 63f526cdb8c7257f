"""torch's distributed checkpoints: joined as torch loads them, and metadata that lies."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import checkpoint
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)

from safeload.core.blob import MemoryBlob
from safeload.core.errors import MalformedInput
from safeload.core.names import Location
from safeload.formats import dcp
from safeload.formats.base import PickleStream, ShardedTensor
from tests.corpus.build import payload
from tests.formats.helpers import data, kinds, of, reading, runs_system, saved, value_of


def _saved(state: dict[str, Any], folder: Path) -> tuple[PickleStream, dict[str, MemoryBlob]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checkpoint.save(state, checkpoint_id=folder, no_dist=True)
    parts = {path.name: MemoryBlob(path.read_bytes()) for path in folder.glob("*.distcp")}
    return data(reading((folder / ".metadata").read_bytes(), ".metadata")), parts


def _whole(tensor: ShardedTensor) -> torch.Tensor:
    """Put together as a converter would."""
    made = torch.empty(tensor.grid, dtype=getattr(torch, tensor.dtype))
    for chunk in tensor.chunks:
        box = tuple(slice(at, at + size) for at, size in zip(chunk.offsets, chunk.sizes, strict=True))
        made[box] = value_of(chunk.view)
    return made.reshape(tensor.shape)


def test_a_distributed_checkpoint_is_joined(tmp_path: Path) -> None:
    """Every tensor and object, nested names with dots, every type."""
    state = {
        "model": {"w": torch.arange(12.0).reshape(3, 4), "b": torch.ones(3).bfloat16(), "n": torch.tensor(7)},
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2, 0)}}, "step": 5},
        "flags": torch.tensor([True, False]),
    }
    metadata, parts = _saved(state, tmp_path)
    assert dcp.is_metadata(metadata) and set(dcp.part_names(metadata)) == set(parts)
    joined = dcp.join(metadata, parts)
    assert set(joined) == {"model.w", "model.b", "model.n", "optimizer.state.0.exp_avg", "flags"}
    assert torch.equal(_whole(joined["model.w"]), state["model"]["w"])
    assert torch.equal(_whole(joined["model.b"]), state["model"]["b"])
    assert _whole(joined["model.n"]).item() == 7 and joined["optimizer.state.0.exp_avg"].shape == (2, 0)
    assert dcp.objects(metadata, parts) == {"optimizer.step": 5}


def test_parts_are_read_archive_by_archive(tmp_path: Path) -> None:
    """A part is a regular file of its own kind, and every pickle in it is seen."""
    _saved({"w": torch.ones(4), "b": torch.ones(2), "step": 3}, tmp_path)
    for path in tmp_path.glob("*.distcp"):
        result = reading(path.read_bytes(), path.name)
        assert result.formats == ("torch-distcp",) and result.fault is None and not kinds(result)
        assert len(of(result, PickleStream, role="data")) == 3
        cut = reading(path.read_bytes()[:-30], path.name)
        assert cut.fault is not None or "distcp-gap" in kinds(cut)
        hidden = reading(path.read_bytes() + payload() + saved({}), path.name)
        assert "distcp-gap" in kinds(hidden)


def test_an_evil_part_is_seen(tmp_path: Path) -> None:
    """A call in any archive of a part, first or last."""
    from tests.corpus.build import checkpoint as archive
    from tests.corpus.build import make_zip

    evil = make_zip(archive(payload()))
    for raw in (evil + saved({}), saved({}) + evil):
        assert runs_system(reading(raw, "__0_0.distcp"))


_ROWS = torch.arange(24.0).reshape(6, 4)


def _fabricated(
    boxes: list[tuple[tuple[int, ...], tuple[int, ...]]], *, whole: torch.Tensor = _ROWS
) -> tuple[Metadata, dict[str, MemoryBlob]]:
    """What several ranks would write: each box in a part of its own, behind something else."""
    parts: dict[str, MemoryBlob] = {}
    stored: dict[MetadataIndex, Any] = {}
    from torch.distributed.checkpoint.filesystem import _StorageInfo

    for rank, (offsets, sizes) in enumerate(boxes):
        box = tuple(slice(at, at + size) for at, size in zip(offsets, sizes, strict=True))
        raw = saved(whole[box].clone())
        parts[f"__{rank}_0.distcp"] = MemoryBlob(b"before" * rank + raw)
        info = _StorageInfo(f"__{rank}_0.distcp", 6 * rank, len(raw))
        stored[MetadataIndex("w", torch.Size(offsets), rank)] = info
    chunks = [ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes)) for offsets, sizes in boxes]
    described = TensorStorageMetadata(TensorProperties(dtype=whole.dtype), whole.shape, chunks)
    return Metadata({"w": described}, None, stored), parts


def _join(metadata: Metadata, parts: Mapping[str, MemoryBlob]) -> dict[str, ShardedTensor]:
    return dcp.join(data(reading(pickle.dumps(metadata), ".metadata")), parts)


@pytest.mark.parametrize(
    "boxes",
    [
        [((0, 0), (2, 4)), ((2, 0), (2, 4)), ((4, 0), (2, 4))],
        [((0, 0), (6, 1)), ((0, 1), (6, 3))],
        [((0, 0), (3, 2)), ((0, 2), (3, 2)), ((3, 0), (3, 2)), ((3, 2), (3, 2))],
        [((0, 0), (6, 4)), ((6, 0), (0, 4))],
    ],
    ids=["rows", "columns", "grid", "empty-rank"],
)
def test_chunks_of_several_ranks_are_joined(boxes: list) -> None:
    """Rows, columns, both, and a rank that has nothing."""
    assert torch.equal(_whole(_join(*_fabricated(boxes))["w"]), _ROWS)


@pytest.mark.parametrize(
    ("boxes", "why"),
    [
        ([((0, 0), (2, 4)), ((2, 0), (2, 4))], "elements"),
        ([((0, 0), (4, 4)), ((2, 0), (2, 4))], "share"),
        ([((0, 0), (3, 4)), ((0, 0), (3, 4))], "twice|share|no part"),
        ([((0,), (6,))], "another number of dimensions"),
        ([], "elements"),
    ],
    ids=["gap", "overlap", "same", "dimensions", "none"],
)
def test_chunks_that_do_not_fill_a_tensor_are_refused(boxes: list, why: str) -> None:
    """A gap, a shared element or a wrong shape; the error names the tensor."""
    with pytest.raises(MalformedInput) as caught:
        _join(*_fabricated(boxes))
    assert isinstance(caught.value.where, Location) and caught.value.where.path in ("w", None)
    assert re.search(why, caught.value.why)


def _lie(change: Callable[[Metadata, dict[str, MemoryBlob]], None]) -> MalformedInput:
    metadata, parts = _fabricated([((0, 0), (3, 4)), ((3, 0), (3, 4))])
    change(metadata, parts)
    with pytest.raises(MalformedInput) as caught:
        _join(metadata, parts)
    return caught.value


def _info(metadata: Metadata, **changes: Any) -> None:
    index = next(iter(metadata.storage_data))
    metadata.storage_data[index] = replace(metadata.storage_data[index], **changes)


def test_metadata_that_lies_is_refused() -> None:
    """Parts that are missing or short, places that hold something else, transformed parts, other types."""
    assert "missing" in _lie(lambda metadata, parts: parts.clear()).why
    assert "missing" in _lie(lambda metadata, parts: _info(metadata, relative_path="../../etc/passwd")).why
    assert "truncated" in _lie(lambda metadata, parts: _info(metadata, length=1 << 40)).why
    assert "not a count" in _lie(lambda metadata, parts: _info(metadata, offset=-1)).why
    assert "neither" in _lie(lambda metadata, parts: _info(metadata, offset=5, length=100)).why
    assert "transformed" in _lie(lambda metadata, parts: _info(metadata, transform_descriptors=["zstd"])).why


@pytest.mark.parametrize(
    ("tensor", "why"),
    [(torch.zeros(3, 4).double(), "float64"), (torch.zeros(3, 3), "shape"), ({}, "no plain tensor")],
    ids=["type", "shape", "dictionary"],
)
def test_chunks_that_are_something_else_are_refused(tensor: Any, why: str) -> None:
    """A chunk has the type and the shape that the metadata says."""
    raw = saved(tensor)

    def change(metadata: Metadata, parts: dict[str, MemoryBlob]) -> None:
        parts["__0_0.distcp"] = MemoryBlob(raw)
        _info(metadata, length=len(raw))

    assert why in _lie(change).why


def test_raw_chunks_are_joined() -> None:
    """A part may hold nothing but the elements of a chunk, one after the other."""
    metadata, parts = _fabricated([((0, 0), (3, 4)), ((3, 0), (3, 4))])
    parts["__0_0.distcp"] = MemoryBlob(_ROWS[:3].numpy().tobytes())
    _info(metadata, length=48)
    assert torch.equal(_whole(_join(metadata, parts)["w"]), _ROWS)


def test_other_pickles_are_no_metadata() -> None:
    """A pickle of something else is refused, and a call in one only seen."""
    for raw in (pickle.dumps({}), payload()):
        stream = of(reading(raw, ".metadata"), PickleStream)[0]
        assert not dcp.is_metadata(stream)
        with pytest.raises(MalformedInput):
            dcp.join(stream, {})
