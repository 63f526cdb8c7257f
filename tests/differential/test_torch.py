"""The machine beside torch's weights-only unpickler, on checkpoints that torch writes."""

from __future__ import annotations

import io
import pickle
import zipfile
from typing import Any

import pytest

from safeload.core.blob import MemoryBlob
from safeload.core.construct import Mapped, Outside, construct
from safeload.core.graph import Call
from safeload.core.machine import read_pickle
from safeload.core.names import GlobalName, Location
from safeload.formats.plain import PLAIN

torch = pytest.importorskip("torch")
HERE = Location("checkpoint")


def tensors(count: int) -> dict[str, Any]:
    plain = {f"layer{i}": torch.arange(i, i + 6, dtype=torch.float32).reshape(2, 3) for i in range(count)}
    plain["half"] = torch.ones(3, dtype=torch.bfloat16)
    plain["view"] = plain["layer0"].t()
    plain["parameter"] = torch.nn.Parameter(torch.zeros(2))
    plain["plain"] = {"lr": 0.1, "steps": [1, 2, (3, None)], "name": "x", "size": torch.Size([1, 2])}
    return plain


def _tensor(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    storage, offset, size, stride = args[:4]
    _, kind, key, _, length = storage.id
    return ("tensor", str(kind.name), key, length, offset, tuple(size), tuple(stride))


def _shape(value: Any) -> Any:
    """A checkpoint as torch loads it, written like the tuples above but for the storage key."""
    if isinstance(value, torch.Tensor):
        kind = {torch.float32: "torch.FloatStorage", torch.bfloat16: "torch.BFloat16Storage"}[value.dtype]
        length = value.untyped_storage().nbytes() // value.element_size()
        return ("tensor", kind, "", length, value.storage_offset(), tuple(value.shape), value.stride())
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    return value


HANDLERS = {
    **PLAIN,
    GlobalName("torch._utils", "_rebuild_tensor_v2"): _tensor,
    GlobalName("torch._utils", "_rebuild_parameter"): lambda args, kwargs, call: args[0],
    GlobalName("torch", "Size"): lambda args, kwargs, call: args[0],
}


def _without_keys(value: Any) -> Any:
    if isinstance(value, tuple) and value[:1] == ("tensor",):
        return (*value[:2], "", *value[3:])
    if isinstance(value, (Mapped, dict)):
        return {key: _without_keys(item) for key, item in value.items()}
    return value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_state_dicts_hold_what_torch_loads(protocol: int) -> None:
    """Names, dtypes, shapes, strides, offsets and plain data equal those of `torch.load`, weights-only where it can."""
    file = io.BytesIO()
    torch.save(tensors(20), file, pickle_protocol=protocol)
    data = zipfile.ZipFile(file).read("archive/data.pkl")
    reading = read_pickle(MemoryBlob(data), location=HERE)
    assert reading.fault is None and reading.anomalies == ()
    file.seek(0)
    theirs = torch.load(file, weights_only=protocol == 2)  # its own reader knows protocol 2; we wrote this file
    assert _without_keys(construct(reading, HANDLERS, location=HERE)) == _shape(theirs)


def test_shared_storages_have_one_key() -> None:
    """A view names the storage of its base, so that tied weights stay tied."""
    file = io.BytesIO()
    torch.save(tensors(1), file)
    built: Any = construct(
        read_pickle(MemoryBlob(zipfile.ZipFile(file).read("archive/data.pkl")), location=HERE), HANDLERS, location=HERE
    )
    assert built["layer0"][2] == built["view"][2] != built["half"][2]


def test_each_pickle_of_a_legacy_file_ends_where_the_next_begins() -> None:
    """The five pickles of torch's old format are read one after the other, to the raw storages."""
    file = io.BytesIO()
    torch.save(tensors(3), file, _use_new_zipfile_serialization=False)
    data = file.getvalue()
    ends, position = [], 0
    for _ in range(5):
        reading = read_pickle(MemoryBlob(data), position, location=HERE)
        assert reading.fault is None and reading.anomalies == ()
        position = reading.end
        ends.append(position)
    stream, there = io.BytesIO(data), []
    for _ in range(3):
        pickle.load(stream)
        there.append(stream.tell())
    assert ends[:3] == there
    keys: Any = construct(reading, PLAIN, location=HERE)
    assert isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    assert not isinstance(keys, Outside)
