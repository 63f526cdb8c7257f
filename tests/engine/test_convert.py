"""Converting a checkpoint writes its tensors bit by bit, says what it left out, and touches nothing else."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import safeload
from safeload.core.errors import MalformedInput, PolicyDenied, SourceError, UsageError
from safeload.engine.convert import provenance
from safeload.engine.convert.conversion import Conversion
from safeload.engine.convert.job import convert
from safeload.engine.options import Options
from safeload.sources.resolve import resolve
from tests.architecture.test_start import BLOCK, python
from tests.engine import models
from tests.engine.checkpoints import saved
from tests.engine.views import raw

W, B = torch.arange(12, dtype=torch.float32).reshape(3, 4), torch.tensor([1.5, -2.0])
STATE = {"w": W, "b": B}


def converted(folder: Path, value: Any, name: str = "x.ckpt", **options: Any) -> Conversion:
    """What becomes of a saved value."""
    path = models.write(folder / name, value if isinstance(value, bytes) else saved(value))
    return convert(path, **options)


def loaded(conversion: Conversion) -> dict[str, torch.Tensor]:
    """All tensors of an output, by the library's own reader."""
    assert conversion.path is not None
    found: dict[str, torch.Tensor] = {}
    for file in conversion.files:
        if file.path.endswith(".safetensors"):
            found |= load_file(conversion.path.parent / file.path)
    return found


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal in type, shape and every bit."""
    return one.dtype == other.dtype and one.shape == other.shape and raw(one) == raw(other)


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("pytorch_model.bin", "model.safetensors"),
        ("pytorch_model.fp16.bin", "model.fp16.safetensors"),
        ("adapter_model.bin", "adapter_model.safetensors"),
        ("epoch=12.ckpt", "epoch=12.safetensors"),
        ("best.pth.tar", "best.safetensors"),
        ("noname", "noname.safetensors"),
        ("pytorch_model-00001-of-00002.bin", "model-00001-of-00002.safetensors"),
    ],
)
def test_the_output_is_beside_the_source(tmp_path: Path, name: str, output: str) -> None:
    """Without `into` the output has the source's name, and `pytorch_model` becomes `model`."""
    conversion = converted(tmp_path, STATE, name)
    assert conversion.path == tmp_path / output
    assert models.files_below(tmp_path) == {name, output, "conversion.intoto.json"}
    assert all(same(loaded(conversion)[key], STATE[key]) for key in STATE)


def test_convert_is_public(tmp_path: Path) -> None:
    """`safeload.convert` is the same function, and returns a `safeload.Conversion`."""
    assert safeload.convert is convert
    assert isinstance(converted(tmp_path, STATE), safeload.Conversion)


@pytest.mark.parametrize("into", ["deep/er/out.safetensors", "deep/er"])
def test_into_names_a_file_or_a_directory(tmp_path: Path, into: str) -> None:
    """What ends with `.safetensors` is a file, anything else a directory; both are made with those above them."""
    conversion = converted(tmp_path, STATE, into=tmp_path / into)
    assert conversion.path == tmp_path / "deep/er" / ("out.safetensors" if into.endswith("s") else "x.safetensors")
    assert (tmp_path / "deep/er/conversion.intoto.json").exists()


def test_nested_containers_give_dotted_names(tmp_path: Path) -> None:
    """Dictionaries, lists and numbers on the way to a tensor are joined by dots."""
    value = {"state_dict": STATE, "optimizer": {"state": {0: {"exp_avg": B}}}, "list": [W, (B,)]}
    assert set(loaded(converted(tmp_path, value))) == {
        "state_dict.w", "state_dict.b", "optimizer.state.0.exp_avg", "list.0", "list.1.0",
    }  # fmt: skip


class Net(torch.nn.Module):
    """Parameters, buffers that are saved and not saved, and a module inside."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(2))
        self.register_buffer("mean", torch.ones(4))
        self.register_buffer("cache", torch.ones(9), persistent=False)
        self.body = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))


def test_whole_modules_have_the_names_of_their_state_dict(tmp_path: Path) -> None:
    """A pickled module gives what `state_dict()` would, though its class is never imported."""
    net = Net()
    assert {k: v.shape for k, v in loaded(converted(tmp_path, net)).items()} == {
        k: v.shape for k, v in net.state_dict().items()
    }


def test_names_are_selected_stripped_and_renamed(tmp_path: Path) -> None:
    """`keys` selects and takes itself off, then `strip`, then `rename`, whole names before beginnings of names."""
    value = {"state_dict": {"model.a.w": W, "model.a.b": B, "head": B}, "other": W}
    conversion = converted(
        tmp_path, value, keys="state_dict.", strip="model.", rename={"a.": "enc.", "head": "out", "a.b": "bias"}
    )
    assert set(loaded(conversion)) == {"enc.w", "bias", "out"}
    assert (conversion.tensors[0].name, conversion.tensors[0].source) == ("enc.w", "state_dict.model.a.w")
    assert [item.path for item in conversion.dropped] == ["other"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"rename": {"w": "b"}}, "'w' gets the same name"),
        ({"rename": {"w": "__metadata__"}}, "keeps that name"),
        ({"rename": {"w": ""}}, "nothing is left"),
        ({"strip": "w"}, "nothing is left"),
        ({"rename": {"w": "\ud800"}}, "not Unicode"),
    ],
)
def test_names_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, Any], why: str) -> None:
    """Two tensors with one name, a reserved name or none: an error with the tensor's place, and no output."""
    with pytest.raises(MalformedInput) as caught:
        converted(tmp_path, STATE, **options)
    assert why in caught.value.why
    assert "» " in str(caught.value.where)
    assert models.files_below(tmp_path) == {"x.ckpt"}


def test_a_reserved_name_in_the_file_is_refused_and_can_be_renamed(tmp_path: Path) -> None:
    """A tensor called `__metadata__` has no place in safetensors until it has another name."""
    with pytest.raises(MalformedInput, match="__metadata__"):
        converted(tmp_path, {"__metadata__": W})
    assert set(loaded(converted(tmp_path, {"__metadata__": W}, rename={"__metadata__": "meta"}))) == {"meta"}


def test_a_file_that_is_one_tensor_calls_it_tensor(tmp_path: Path) -> None:
    """`torch.save(tensor)` gives no name; the output needs one."""
    assert same(loaded(converted(tmp_path, W))["tensor"], W)


@pytest.mark.parametrize("value", [{"epoch": 3}, {}, 5])
def test_a_file_without_tensors_is_refused(tmp_path: Path, value: Any) -> None:
    """There is nothing to write."""
    with pytest.raises(UsageError, match="no tensor was selected"):
        converted(tmp_path, value)


def test_a_prefix_that_selects_nothing_says_what_there_is(tmp_path: Path) -> None:
    """A typing error in `keys` is answered with a name that exists."""
    with pytest.raises(UsageError) as caught:
        converted(tmp_path, STATE, keys="model.")
    assert "'w'" in caught.value.why


# ── shared memory ───────────────────────────────────────────────────────────────────────────────────────────────


def tied() -> dict[str, torch.Tensor]:
    return {"embed": W, "head": W, "part": W[1:], "turned": W.t(), "none": W[:0], "empty": W[:0]}


def test_shared_memory_is_written_for_each_name(tmp_path: Path) -> None:
    """By default every name is complete, so that the file loads everywhere."""
    found = loaded(converted(tmp_path, tied()))
    assert all(same(found[name], tensor) for name, tensor in tied().items())


def test_shared_memory_can_be_written_once(tmp_path: Path) -> None:
    """`drop` leaves out names of exactly the same memory, and the metadata says which name stands for them; views of
    a part, or in another order, stay."""
    conversion = converted(tmp_path, tied(), shared="drop")
    assert set(loaded(conversion)) == {"embed", "part", "turned", "none", "empty"}
    assert [(item.path, item.reason) for item in conversion.dropped] == [("head", "it is the same memory as embed")]
    with safe_open(conversion.path, "pt") as file:
        assert file.metadata() == {"format": "pt", "head": "embed"}


# ── other formats ───────────────────────────────────────────────────────────────────────────────────────────────

ARRAYS = {
    "a": np.arange(12.0).reshape(3, 4),
    "f": np.asfortranarray(np.ones((2, 3), "f4")),
    "big": np.arange(4, dtype=">i4"),
}


def test_numpy_files(tmp_path: Path) -> None:
    """`.npz` and `.npy` give their arrays, with `format: np`."""
    np.savez_compressed(tmp_path / "a.npz", **ARRAYS)
    np.save(tmp_path / "b.npy", ARRAYS["f"])
    conversion = convert(tmp_path / "a.npz")
    assert all(np.array_equal(loaded(conversion)[name].numpy(), array) for name, array in ARRAYS.items())
    with safe_open(conversion.path, "np") as file:
        assert file.metadata()["format"] == "np"
    assert np.array_equal(loaded(convert(tmp_path / "b.npy"))["array"].numpy(), ARRAYS["f"])


class Scripted(torch.nn.Module):
    """A parameter, a buffer and a module inside."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 2)
        self.register_buffer("mean", torch.ones(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) + self.mean


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_gives_its_tensors_and_no_code(tmp_path: Path, canary: Any) -> None:
    """Parameters and buffers of an archive are taken; its program is not."""
    module = torch.jit.script(Scripted())
    module.save(str(tmp_path / "x.pt"))
    canary.heard()
    found = loaded(convert(tmp_path / "x.pt"))
    assert {name for name in found if not name.startswith("constants.")} == set(module.state_dict())
    assert all(same(found[name], tensor) for name, tensor in module.state_dict().items())


# ── element types and layouts ───────────────────────────────────────────────────────────────────────────────────

DTYPES = [
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "bfloat16", "float32",
    "float64", "complex64", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "float8_e4m3fnuz", "float8_e5m2fnuz",
]  # fmt: skip
LAYOUTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "plain": lambda t: t,
    "turned": lambda t: t.transpose(0, 2),
    "sliced": lambda t: t[1:, ::2, 1:3],
    "expanded": lambda t: t[:1].expand(5, -1, -1),
    "element": lambda t: t[1, 2, 3],
    "nothing": lambda t: t[:, :0],
    "windows": lambda t: t.as_strided((3, 4), (2, 1), 5),
}


def noise(dtype: str, *shape: int) -> torch.Tensor:
    """Random bits in a dtype."""
    kind = getattr(torch, dtype)
    count = torch.Size(shape).numel() * kind.itemsize
    bits = torch.randint(0, 2 if dtype == "bool" else 256, (count,), dtype=torch.uint8)
    return bits.view(kind).reshape(shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_every_type_and_layout_is_bit_equal(tmp_path: Path, dtype: str, legacy: bool) -> None:
    """Every element type that safetensors has, in every order of memory: the output has the same bits."""
    tensor = noise(dtype, 3, 4, 6)
    value = {name: view(tensor) for name, view in LAYOUTS.items()}
    found = loaded(converted(tmp_path, saved(value, _use_new_zipfile_serialization=not legacy)))
    for name, view in value.items():
        assert same(found[name], view), name


def test_packed_floats_of_four_bits(tmp_path: Path) -> None:
    """Two numbers in one byte: safetensors counts the numbers."""
    tensor = torch.randint(0, 256, (3, 4), dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    conversion = converted(tmp_path, {"w": tensor})
    with safe_open(conversion.path, "pt") as file:
        assert file.get_slice("w").get_dtype() == "F4"
        assert file.get_slice("w").get_shape() == [3, 8]


@pytest.mark.filterwarnings("ignore:.*Complex.*support")
@pytest.mark.parametrize(
    ("dtype", "seen", "wide"),
    [
        *(("complex128", "float64", 2), ("complex64", "float32", 2), ("complex32", "float16", 2)),
        ("bits8", "uint8", 1),
        pytest.param(
            *("bcomplex32", "bfloat16", 2),
            marks=pytest.mark.skipif(not hasattr(torch, "bcomplex32"), reason="newer than the installed torch"),
        ),
    ],
)
def test_types_that_safetensors_lacks_can_be_seen_as_others(tmp_path: Path, dtype: str, seen: str, wide: int) -> None:
    """A view writes the same bytes as another type: a complex number as a last dimension of two."""
    kind = getattr(torch, dtype)
    tensor = torch.randint(0, 256, (3 * 4 * kind.itemsize,), dtype=torch.uint8).view(kind).reshape(3, 4).t()
    conversion = converted(tmp_path, {"w": tensor}, views={dtype: seen})
    found = loaded(conversion)["w"]
    assert found.dtype == getattr(torch, seen)
    assert list(found.shape) == [4, 3, *([2] if wide == 2 else [])]
    assert raw(found) == raw(tensor)
    with safe_open(conversion.path, "pt") as file:
        assert file.metadata()["safeload.views"] == f"{dtype}={seen}"


@pytest.mark.parametrize(("dtype", "hint"), [("complex128", "--view complex128=float64"), ("bits16", "bits16=uint16")])
def test_types_that_safetensors_lacks_are_refused_with_the_view_to_take(tmp_path: Path, dtype: str, hint: str) -> None:
    """Nothing is rounded in silence: the error names the tensor, the type, and the option."""
    with pytest.raises(MalformedInput) as caught:
        converted(tmp_path, {"w": W, "z": torch.zeros(2, 16, dtype=torch.uint8).view(getattr(torch, dtype))})
    assert "'z'" in caught.value.what and dtype in caught.value.why and hint in caught.value.remedy
    assert models.files_below(tmp_path) == {"x.ckpt"}


@pytest.mark.parametrize("view", [{"float32": "float16"}, {"complex128": "float32"}, {"nothing": "uint8"}])
def test_views_that_change_numbers_do_not_exist(view: dict[str, str]) -> None:
    """A view is the same bytes under another name, never a conversion of numbers."""
    with pytest.raises(UsageError, match="cannot be written as"):
        convert("x", views=view)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_components_of_quantised_and_sparse_tensors(tmp_path: Path) -> None:
    """A quantised tensor becomes its integers, scale and zero point; a sparse one its indices and values."""
    quantised = torch.quantize_per_channel(
        torch.randn(4, 3), torch.rand(4) + 0.1, torch.zeros(4).long(), 0, torch.qint8
    )
    sparse = torch.tensor([[0.0, 2.0], [3.0, 0.0]]).to_sparse()
    found = loaded(converted(tmp_path, {"q": quantised, "s": sparse}))
    assert set(found) == {"q.values", "q.scale", "q.zero_point", "s.indices", "s.values"}
    assert torch.equal(found["q.values"], quantised.int_repr())
    assert torch.equal(found["s.values"], sparse.coalesce().values())


def test_big_endian_files_are_turned(tmp_path: Path) -> None:
    """A file from a big-endian machine gives the numbers it means."""
    value = {"w": W, "h": W.half(), "c": torch.complex(W, W)}
    swapped = {name: tensor.clone() for name, tensor in value.items()}
    for tensor in swapped.values():
        tensor.untyped_storage().byteswap(torch.float32 if tensor.is_complex() else tensor.dtype)
    path = models.write(tmp_path / "big.pt", b"")
    torch.save(swapped, path)
    with zipfile.ZipFile(path) as old:
        members = {info.filename: old.read(info) for info in old.infolist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, content in members.items():
            new.writestr(name, b"big" if name.endswith("/byteorder") else content)
    found = loaded(convert(path))
    assert all(same(found[name], tensor) for name, tensor in value.items())


def test_meta_tensors_are_refused_unless_left_out(tmp_path: Path) -> None:
    """A tensor without data has nothing to write; the others can be taken without it."""
    value = {"real": {"w": W}, "meta": {"w": torch.empty(3, device="meta")}}
    with pytest.raises(MalformedInput) as caught:
        converted(tmp_path, value)
    assert "meta.w" in caught.value.what and "meta device" in caught.value.why
    assert set(loaded(converted(tmp_path, value, keys="real."))) == {"w"}


def test_a_tensor_without_data_that_carries_other_tensors_is_still_refused(tmp_path: Path) -> None:
    """Attributes of a meta tensor do not stand for its data."""
    empty = torch.empty(3, device="meta")
    empty.extra = W  # type: ignore[attr-defined]
    with pytest.raises(MalformedInput, match="'m'"):
        converted(tmp_path, {"w": W, "m": empty})


# ── what is no tensor ───────────────────────────────────────────────────────────────────────────────────────────

EXTRA = {
    "state_dict": OrderedDict(STATE),
    "epoch": 3,
    "args": argparse.Namespace(lr=0.1),
    "optimizer": {"state": {0: {"m": B}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.99)}]},
    "big": 2**70,
    "nan": float("nan"),
    "bytes": b"\0\xff",
    "set": {1},
    "array": np.arange(3.0),
}


def test_what_is_no_tensor_is_listed(tmp_path: Path) -> None:
    """Each entry that holds no tensor is named once, with the class of foreign objects."""
    told = {item.path for item in converted(tmp_path, EXTRA).dropped}
    assert told == {
        "epoch", "args (an object of argparse.Namespace)", "optimizer.param_groups", "big", "nan", "bytes", "set",
    }  # fmt: skip


def test_what_is_no_tensor_can_be_kept(tmp_path: Path) -> None:
    """`checkpoint.json` has everything, with its types, and refers to tensors by their new names."""
    conversion = converted(tmp_path, EXTRA, keep_data=True, rename={"state_dict.": "m."})
    assert conversion.dropped == ()
    assert {"x.safetensors", "checkpoint.json"} == {file.path for file in conversion.files}
    document = json.loads((tmp_path / "checkpoint.json").read_text())
    assert document["schema"] == "safeload.checkpoint/1"
    data = document["data"]
    assert data["state_dict"]["w"] == {"$": "tensor", "name": "m.w", "dtype": "float32", "shape": [3, 4]}
    assert data["epoch"] == 3
    assert data["args"] == {"$": "object", "class": "argparse.Namespace", "state": [{"lr": 0.1}]}
    assert data["optimizer"]["param_groups"][0]["betas"] == {"$": "tuple", "items": [0.9, 0.99]}
    assert data["optimizer"]["state"]["pairs"][0][0] == 0
    assert data["big"] == {"$": "int", "value": str(2**70)}
    assert data["nan"] == {"$": "float", "value": "nan"}
    assert data["bytes"] == {"$": "bytes", "base64": "AP8="}
    assert data["array"]["$"] == "tensor"


def test_sharing_and_cycles_in_the_data_are_references(tmp_path: Path) -> None:
    """A container that is reached twice, or from itself, is written once."""
    one: dict[str, Any] = {"a": 1}
    loop: list[Any] = [one, one]
    loop.append(loop)
    converted(tmp_path, {"w": W, "loop": loop}, keep_data=True)
    data = json.loads((tmp_path / "checkpoint.json").read_text())["data"]
    assert data["loop"] == [{"a": 1}, {"$": "same", "path": "loop.0"}, {"$": "same", "path": "loop"}]


def test_data_that_is_nested_too_deep_is_refused(tmp_path: Path) -> None:
    """A thousand lists in each other are more than readers of JSON take: an error, and no output."""
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(MalformedInput, match="depth"):
        converted(tmp_path, {"w": W, "deep": deep}, keep_data=True)
    assert models.files_below(tmp_path) == {"x.ckpt"}


# ── several files ───────────────────────────────────────────────────────────────────────────────────────────────


def test_large_checkpoints_are_spread_over_files(tmp_path: Path) -> None:
    """No file is above the size, the index says where each tensor is, and transformers' names are kept."""
    state = {f"layer.{i}": torch.full((100,), float(i)) for i in range(5)}
    conversion = converted(tmp_path, state, "pytorch_model.bin", max_shard_size=900)
    assert conversion.path == tmp_path / "model.safetensors.index.json"
    assert conversion.path is not None
    document = json.loads(conversion.path.read_text())
    assert document["metadata"] == {"total_size": 2000}
    assert document["weight_map"] == {f"layer.{i}": f"model-0000{i // 2 + 1}-of-00003.safetensors" for i in range(5)}
    assert all(same(loaded(conversion)[name], tensor) for name, tensor in state.items())


def test_a_tensor_larger_than_a_shard_is_alone(tmp_path: Path) -> None:
    """A tensor is never cut."""
    conversion = converted(tmp_path, STATE, max_shard_size=1)
    assert [len(json.dumps(file.path)) > 0 for file in conversion.files] == [True] * 3
    assert len(loaded(conversion)) == 2


@pytest.mark.parametrize("size", ["0", "5XB", "", "-1GB", 0])
def test_sizes_that_are_none_are_refused(size: str | int) -> None:
    """A shard size is a positive number with a unit that exists."""
    with pytest.raises(UsageError, match="shard size"):
        convert("x", max_shard_size=size)


@pytest.mark.parametrize("how", ["index", "pattern", "directory"])
def test_shards_are_joined(tmp_path: Path, how: str) -> None:
    """By their index, by a pattern, or as the only checkpoint of a directory: shards become one file."""
    folder = models.sharded(tmp_path / "m", pickle=True)
    (folder / "config.json").unlink()
    if how != "index":
        (folder / "pytorch_model.bin.index.json").unlink()
    source = {"index": "pytorch_model.bin.index.json", "pattern": "pytorch_model-*.bin", "directory": ""}[how]
    conversion = convert(f"{folder}/{source}".rstrip("/"))
    assert conversion.path == folder / "model.safetensors"
    assert all(same(loaded(conversion)[name], tensor) for name, tensor in models.STATE.items())


@pytest.mark.parametrize("change", ["missing file", "wrong file", "missing tensor", "extra tensor", "outside", "none"])
def test_an_index_that_lies_is_refused(tmp_path: Path, change: str) -> None:
    """An index that names what is not there, or not all that is there, is an error; nothing is written."""
    folder = models.sharded(tmp_path / "m", pickle=True)
    path = folder / "pytorch_model.bin.index.json"
    document = json.loads(path.read_text())
    first, second = document["weight_map"]
    shard = document["weight_map"][first]
    document["weight_map"] |= {
        "missing file": {first: "gone.bin"},
        "wrong file": {second: shard},
        "missing tensor": {"ghost": shard},
        "extra tensor": {},
        "outside": {first: "../x.bin"},
        "none": {},
    }[change]
    if change == "extra tensor":
        models.write(folder / shard, models.pickled({first: models.STATE[first], "more": B}))
    if change == "none":
        document = {"weight_map": {}}
    models.write(path, document)
    before = models.files_below(folder)
    with pytest.raises(MalformedInput) as caught:
        convert(path)
    assert "weight_map" in str(caught.value.where) or change == "none"
    assert models.files_below(folder) == before


def test_missing_shards_are_noticed_without_an_index(tmp_path: Path) -> None:
    """Files that count themselves say when one is not there."""
    folder = models.sharded(tmp_path / "m", pickle=True)
    next(iter(sorted(folder.glob("*-00002-of-*")))).unlink()
    with pytest.raises(MalformedInput, match="not complete"):
        convert(f"{folder}/pytorch_model-*.bin")


def test_two_files_with_one_name_are_refused(tmp_path: Path) -> None:
    """A pattern that takes the same tensor twice is not joined."""
    models.write_all(tmp_path, {"a.bin": models.pickled(), "b.bin": models.pickled()})
    with pytest.raises(MalformedInput, match="same name"):
        convert(f"{tmp_path}/*.bin")


# ── whole models ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_whole_model_is_admitted(tmp_path: Path) -> None:
    """A directory with configs becomes one with safetensors, admitted configs, and the provenance."""
    source = models.model(tmp_path / "m", pickle=True, auto_map={"AutoModel": "m.M"})
    conversion = convert(source, into=tmp_path / "out")
    assert models.files_below(tmp_path / "out") == {
        "config.json", "vocab.txt", "model.safetensors", "admission.json", "conversion.intoto.json",
    }  # fmt: skip
    assert "auto_map" not in json.loads((tmp_path / "out/config.json").read_text())
    found = load_file(tmp_path / "out/model.safetensors")
    assert all(same(found[name], tensor) for name, tensor in models.STATE.items())
    assert {one.name for one in conversion.tensors} == set(models.STATE)
    statement = json.loads((tmp_path / "out/conversion.intoto.json").read_text())
    assert "model.safetensors" in {subject["name"] for subject in statement["subject"]}
    inputs = {item["name"] for item in statement["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert inputs == {"config.json", "vocab.txt", "pytorch_model.bin"}


@pytest.mark.parametrize("options", [{}, {"into": "out", "keys": "x"}, {"into": "out", "dry_run": True}])
def test_options_that_a_whole_model_cannot_honour_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    """Without a place, or with options about names, a directory with configs is not converted."""
    source = models.model(tmp_path / "m", pickle=True)
    with pytest.raises(UsageError, match="whole model"):
        convert(source, **{key: tmp_path / value if key == "into" else value for key, value in options.items()})


def test_the_checkpoint_of_a_model_can_be_converted_alone(tmp_path: Path) -> None:
    """`--into X.safetensors` takes only the weights of a directory."""
    source = models.model(tmp_path / "m", pickle=True)
    assert set(loaded(convert(source, into=tmp_path / "w.safetensors"))) == set(models.STATE)


# ── already safe ────────────────────────────────────────────────────────────────────────────────────────────────


def test_safetensors_are_already_safe(tmp_path: Path) -> None:
    """There is nothing to do, which is said and is no error; with options, the tensors are written anew."""
    path = models.write(tmp_path / "a.safetensors", models.safe())
    conversion = convert(path)
    assert (conversion.already_safe, conversion.path, models.files_below(tmp_path)) == (True, None, {"a.safetensors"})
    assert "nothing to convert" in conversion.notes[-1]
    renamed = convert(path, into=tmp_path / "b.safetensors", rename={"embed.weight": "e"})
    assert set(loaded(renamed)) == {"e", "head.bias"}


@pytest.mark.parametrize("into", [None, "out.safetensors"])
def test_gguf_is_already_safe(tmp_path: Path, into: str | None) -> None:
    """There is nothing to do; an output that cannot be made is refused."""
    path = models.write(tmp_path / "a.gguf", b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
    if into is None:
        assert convert(path).already_safe
    else:
        with pytest.raises(UsageError, match="GGUF"):
            convert(path, into=tmp_path / into)
    assert models.files_below(tmp_path) == {"a.gguf"}


# ── preview, provenance, policy ─────────────────────────────────────────────────────────────────────────────────


def test_a_preview_writes_nothing(tmp_path: Path) -> None:
    """`dry_run` gives names, types and files, without digests."""
    conversion = converted(tmp_path, STATE, dry_run=True)
    assert [(one.name, one.dtype, one.shape, one.file) for one in conversion.tensors] == [
        ("w", "float32", (3, 4), "x.safetensors"),
        ("b", "float32", (2,), "x.safetensors"),
    ]
    assert models.files_below(tmp_path) == {"x.ckpt"}


def test_the_provenance_names_inputs_and_outputs_by_digest(tmp_path: Path) -> None:
    """The statement's digests are those of the files, and it holds no path of this machine."""
    conversion = converted(tmp_path, STATE, keys="", strip="x.")
    assert conversion.statement is not None
    text = conversion.statement.read_text()
    statement = json.loads(text)
    for subject in statement["subject"]:
        content = (tmp_path / subject["name"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == subject["digest"]["sha256"]
    (source,) = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    digest = hashlib.sha256((tmp_path / "x.ckpt").read_bytes()).hexdigest()
    assert source == {"name": "x.ckpt", "digest": {"sha256": digest}}
    assert statement["predicate"]["buildDefinition"]["externalParameters"]["strip"] == "x."
    assert str(tmp_path) not in text


def test_models_on_the_hub_are_named_by_their_package_url(tmp_path: Path) -> None:
    """An input from the hub or its cache has the URL of its commit."""
    commit = "c0ffee" * 6 + "c0ff"
    folder = tmp_path / "models--acme--demo/snapshots" / commit
    models.model(folder, pickle=True)
    (folder.parents[1] / "blobs").mkdir()
    origin = provenance.origin_of(resolve(folder))
    assert provenance.origin_of(resolve(folder / "pytorch_model.bin")) == origin
    with pytest.raises(UsageError, match="nothing was converted"):
        convert(folder / "pytorch_model.bin")
    conversion = convert(folder / "pytorch_model.bin", into=tmp_path / "x.safetensors")
    assert conversion.statement is not None and f"{origin}#pytorch_model.bin" in conversion.statement.read_text()
    assert origin == f"pkg:huggingface/acme/demo@{commit}"
    text = provenance.statement(origin, {"a b.bin": "0" * 64}, [], {}).dump().decode()
    assert f"{origin}#a%20b.bin" in text
    assert provenance.origin_of(resolve(models.model(tmp_path / "local"))) == ""


def test_converting_needs_no_library(tmp_path: Path) -> None:
    """With torch, numpy, safetensors and rich out of reach, a strided checkpoint converts all the same."""
    path = models.write(tmp_path / "x.bin", saved({"w": W.t()}))
    names = ["torch", "transformers", "numpy", "huggingface_hub", "rich", "safetensors", "cryptography"]
    result = python(BLOCK.format(names=names) + f"import safeload; print(safeload.convert({str(path)!r}).path)")
    assert (result.stdout.strip(), result.returncode) == (str(tmp_path / "x.safetensors"), 0), result.stderr
    assert same(load_file(tmp_path / "x.safetensors")["w"], W.t())


def test_two_conversions_in_one_directory_have_two_statements(tmp_path: Path) -> None:
    """The second one's account has its name in front, and does not replace the first one's."""
    converted(tmp_path, STATE, "a.pt", keep_data=True)
    converted(tmp_path, STATE, "b.pt", keep_data=True)
    assert models.files_below(tmp_path) == {
        "a.pt", "b.pt", "a.safetensors", "b.safetensors", "checkpoint.json", "b.checkpoint.json",
        "conversion.intoto.json", "b.conversion.intoto.json",
    }  # fmt: skip


def test_digests_of_tensors_are_those_of_their_bytes(tmp_path: Path) -> None:
    """Each tensor's sha256 is over its elements in row-major order."""
    conversion = converted(tmp_path, {"t": W.t()})
    assert conversion.tensors[0].sha256 == hashlib.sha256(raw(W.t())).hexdigest()


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def test_a_dangerous_file_is_refused_as_for_loading(tmp_path: Path, marker: Path) -> None:
    """A pickle that would run a command is refused, runs nothing, and leaves nothing."""
    with pytest.raises(PolicyDenied):
        converted(tmp_path, {"w": W, "x": Evil(f"touch {marker}")})
    assert models.files_below(tmp_path) == {"x.ckpt"}


def test_a_dangerous_file_is_converted_only_where_it_is_asked_for(tmp_path: Path, marker: Path) -> None:
    """With the unsafe option its tensors are written; still nothing runs."""
    options = Options(unsafe_convert_dangerous=True)
    conversion = converted(tmp_path, {"w": W, "x": Evil(f"touch {marker}")}, options=options)
    assert same(loaded(conversion)["w"], W)
    assert conversion.report.status.name == "DANGEROUS"


def test_a_policy_of_ones_own_decides(tmp_path: Path) -> None:
    """An empty policy denies a conversion as it denies a load."""
    with pytest.raises(PolicyDenied):
        converted(tmp_path, STATE, options=Options(policy=safeload.AllOf(())))


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A path that does not exist, and a pattern that fits nothing."""
    with pytest.raises(SourceError):
        convert(tmp_path / "gone.bin")
    with pytest.raises(UsageError, match="no file"):
        convert(f"{tmp_path}/*.bin")
    with pytest.raises(UsageError, match="no checkpoint"):
        convert(tmp_path)
