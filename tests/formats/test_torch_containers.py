"""Files written by the real torch.save, read without torch, compared bit for bit."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from safeload.core.errors import MalformedInput
from safeload.formats.base import Code, Irregularity, Opaque, PickleStream
from safeload.formats.tree import named_tensors, tree
from tests.corpus import build
from tests.formats.helpers import CountingBlob, data, kinds, of, reading, runs_system, same, saved, value_of

DTYPES = [
    "bool uint8 int8 uint16 int16 uint32 int32 uint64 int64 float16 bfloat16 float32 float64 complex64 complex128",
    "complex32 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu",
]


def _state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    base = torch.randn(6, 8)
    state = {
        "plain": torch.randn(3, 4),
        "tied": base,
        "transposed": base.t(),
        "slice": base[1:3, 2:5],
        "stepped": base[::2, ::3],
        "expanded": torch.ones(1, 3).expand(4, 3),
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 5),
        "nan": torch.tensor([float("nan"), -0.0]),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "bfloat16": torch.randn(5).bfloat16(),
    }
    return OrderedDict(state)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_saved_state_dicts_come_back_bit_for_bit(zipped: bool, protocol: int) -> None:
    """Strided, tied, expanded, empty and scalar tensors have their names, strides and bytes, in every protocol."""
    state = _state()
    result = reading(saved(state, zipped=zipped, protocol=protocol))
    assert result.formats == (("torch-zip",) if zipped else ("torch-legacy",))
    assert result.fault is None and not kinds(result)
    named = named_tensors(tree(data(result)))
    assert list(named) == list(state)
    assert all(same(value_of(named[name]), state[name]) for name in state)
    assert named["tied"].storage_key == named["slice"].storage_key


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("dtype", " ".join(DTYPES).split())
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_every_element_type_comes_back(dtype: str, zipped: bool) -> None:
    """Each type of torch is read under its own name with its own bytes."""
    raw = torch.arange(64, dtype=torch.uint8)
    tensor = (raw % 2 if dtype == "bool" else raw).view(getattr(torch, dtype))
    named = named_tensors(tree(data(reading(saved({"w": tensor}, zipped=zipped)))))
    assert named["w"].dtype == dtype
    assert same(value_of(named["w"]), tensor)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_quantised_sparse_nested_and_shapeless_tensors_are_taken_apart() -> None:
    """What is several tensors to torch becomes its parts, and a tensor without data has none."""
    state = {
        "coo": torch.eye(3).to_sparse(),
        "csr": torch.eye(3).to_sparse_csr(),
        "quantised": torch.quantize_per_tensor(torch.randn(4), 0.1, 0, torch.quint8),
        "channels": torch.quantize_per_channel(torch.randn(2, 3), torch.ones(2), torch.zeros(2), 0, torch.qint8),
        "nested": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "meta": torch.empty(3, device="meta"),
    }
    named = named_tensors(tree(data(reading(saved(state)))))
    assert {name.partition(".")[0] for name in named} == set(state) - {"meta"}
    assert torch.equal(value_of(named["csr.values"]), state["csr"].values())
    assert torch.equal(value_of(named["coo.indices"]), state["coo"].coalesce().indices())
    assert named["quantised.values"].dtype == "quint8"


def test_a_whole_module_gives_the_names_of_its_state_dict() -> None:
    """Parameters, persistent buffers and submodules are named as state_dict() names them; tied ones under each name."""
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    module[0].register_buffer("transient", torch.ones(1), persistent=False)
    module.add_module("again", module[0])
    named = named_tensors(tree(data(reading(saved(module)))))
    expected = module.state_dict()
    assert list(named) == list(expected)
    assert all(torch.equal(value_of(named[name]), expected[name]) for name in expected)
    assert named["0.weight"].kind == "parameter" and named["1.running_mean"].kind == "buffer"


def test_a_tensor_subclass_with_attributes_is_its_tensor() -> None:
    """A tensor that carries Python attributes is saved through another function, and read all the same."""
    tensor = torch.ones(3)
    tensor.note = "kept"  # type: ignore[attr-defined]
    assert torch.equal(value_of(named_tensors(tree(data(reading(saved({"w": tensor})))))["w"]), torch.ones(3))


def test_tensors_pickled_without_torch_save_are_read() -> None:
    """Plain pickle writes each storage as a legacy file in a bytes constant."""
    weight = torch.randn(3, 4)
    result = reading(pickle.dumps({"w": weight, "v": weight[1:]}), "weights.pkl")
    named = named_tensors(tree(data(result)))
    assert same(value_of(named["v"]), weight[1:])


def test_big_endian_storages_are_marked() -> None:
    """The byte order that a zip checkpoint records reaches every storage."""
    members = build.checkpoint(build.state_dict({"w": build.tensor()}), {"0": struct.pack(">4f", 1, 2, 3, 4)})
    members[1].data = b"big"
    view = named_tensors(tree(data(reading(build.make_zip(members)))))["w"]
    assert view.storage.big_endian
    assert value_of(view).tolist() == [1, 2, 3, 4]


def test_the_tar_format_gives_tensors_and_views() -> None:
    """Persistent ids of the oldest format are tensors, and a view of a storage is its part."""
    raw = build.torch_tar([1.0, 2.0, 3.0, 4.0])
    named = named_tensors(tree(data(reading(raw, "old.pt"))))
    assert value_of(named["weight"]).tolist() == [[1, 2], [3, 4]]
    assert value_of(named["view"]).tolist() == [3, 4]


def test_the_tar_format_agrees_with_torch_load(tmp_path: Path) -> None:
    """torch reads the tar fixture, which this test suite built, to the same values."""
    path = tmp_path / "old.pt"
    path.write_bytes(build.torch_tar([5.0, 6.0, 7.0, 8.0]))
    real = torch.load(path, weights_only=False)
    named = named_tensors(tree(data(reading(path.read_bytes(), "old.pt"))))
    assert all(torch.equal(value_of(named[name]), real[name]) for name in real)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_weights_are_never_read(zipped: bool) -> None:
    """Reading a checkpoint touches headers and the pickle, not the bytes of its tensors."""
    from safeload.core.names import Location
    from safeload.formats import read

    blob = CountingBlob(saved({f"w{i}": torch.ones(1 << 18) for i in range(40)}, zipped=zipped))
    result = read(blob, Location("model.bin"))
    assert result.fault is None
    assert blob.size > 40 << 20 and blob.total < 1 << 20


def test_torchscript_is_named_and_never_weights() -> None:
    """A TorchScript archive is opaque, its program is code, and its pickles are still read."""
    out = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), out)
    result = reading(out.getvalue(), "model.pt")
    assert result.formats == ("torchscript",)
    assert of(result, Opaque, what="torchscript") and of(result, Code, language="torchscript")
    assert of(result, PickleStream)


def test_exported_programs_are_named() -> None:
    """A .pt2 archive is opaque: torch.export would unpickle parts of it."""
    out = io.BytesIO()
    torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),)), out)
    result = reading(out.getvalue(), "model.pt2")
    assert result.formats == ("pt2",) and of(result, Opaque, what="pt2")


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_truncated_zip_checkpoint_still_shows_its_pickle(cut: int) -> None:
    """Without its directory an archive is undecided, and the pickle at its beginning is read."""
    raw = saved({"w": torch.ones(64)})
    result = reading(raw[:-cut])
    assert isinstance(result.fault, MalformedInput)
    assert of(result, PickleStream)


def test_a_truncated_legacy_checkpoint_names_the_storage() -> None:
    """The error says which storage is short, and by how much."""
    raw = saved({"w": torch.ones(64)}, zipped=False)
    result = reading(raw[:-10])
    assert result.fault is not None and "10 of them are missing" in result.fault.why
    assert of(result, PickleStream, role="data")


def test_a_legacy_storage_that_contradicts_the_data_is_refused() -> None:
    """The number of elements before a storage must be the one in the pickle."""
    raw = build.legacy(build.state_dict({"w": build.legacy_tensor()}), ["0"], [(3, bytes(16))])
    result = reading(raw)
    assert result.fault is not None and "3 elements here and 4" in result.fault.why


@pytest.mark.parametrize("place", range(5))
def test_a_call_in_any_legacy_pickle_is_seen(place: int) -> None:
    """All five pickles are run by torch.load, so all five are read."""
    pickles = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {}, {}, [])]
    pickles[place] = build.payload()
    assert runs_system(reading(b"".join(pickles)))


def test_bytes_after_the_last_storage_are_reported() -> None:
    """A legacy checkpoint ends with its last storage."""
    raw = build.FIXTURES["benign/legacy.bin"]()
    assert "trailing-data" in kinds(reading(raw + b"more"))


def test_a_pickle_outside_of_data_pkl_is_read() -> None:
    """Any member that begins like a pickle is read as one."""
    result = reading(build.FIXTURES["hostile/side-door.bin"]())
    assert [part.location.member for part in of(result, PickleStream, role="member")] == ["archive/x.bin"]
    assert runs_system(result)


def test_two_checkpoints_in_one_archive_are_two_readings() -> None:
    """torch takes the root of the first member; other readers may take another."""
    other = [build.Zipped("other/data.pkl", build.payload())]
    result = reading(build.make_zip([*build.checkpoint(pickle.dumps({})), *other]))
    found = of(result, Irregularity, kind="torch-several-roots")
    assert found and found[0].two_readings and runs_system(result)


def test_a_checkpoint_that_was_zipped_again_gives_the_same_tensors() -> None:
    """Deflated storages are inflated piece by piece, forwards and backwards."""
    state = {"a": torch.arange(300_000.0), "b": torch.arange(300_000.0).flip(0)}
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(state))) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    named = named_tensors(tree(data(reading(out.getvalue()))))
    assert all(same(value_of(named[name]), state[name]) for name in state)
    storage = named["a"].storage
    assert storage.blob.read_at(1_000_000, 8) == state["a"].numpy().tobytes()[1_000_000:1_000_008]
    assert storage.blob.read_at(0, 8) == state["a"].numpy().tobytes()[:8]
    assert storage.blob.read_at(1_199_996, 100) == state["a"].numpy().tobytes()[-4:]


def test_distributed_checkpoints_are_pickles_and_never_clean(tmp_path: Path) -> None:
    """The index of a distributed checkpoint is a pickle; its shards are no regular archives."""
    from torch.distributed import checkpoint

    checkpoint.save({"w": torch.ones(4)}, checkpoint_id=tmp_path, no_dist=True)
    index = reading((tmp_path / ".metadata").read_bytes(), ".metadata")
    assert index.formats == ("pickle",) and index.fault is None and of(index, PickleStream)
    for shard in tmp_path.glob("*.distcp"):
        result = reading(shard.read_bytes(), shard.name)
        assert of(result, Opaque) or kinds(result) or of(result, PickleStream)
