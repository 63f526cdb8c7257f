"""`safeload.torch.load` against `torch.load(weights_only=True)`: the same values where that reads, nothing run ever."""

from __future__ import annotations

import argparse
import collections
import io
import pathlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from safeload import Options, PolicyDenied, UsageError
from safeload import torch as safe_torch
from safeload.core.construct import Record
from safeload.core.errors import MalformedInput, SafeloadError

pytestmark = pytest.mark.filterwarnings("ignore")


def saved(value: object, *, zipped: bool = True, protocol: int = 2) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def same(one: Any, other: Any) -> None:
    """Fail unless two values are of the same types and bits throughout."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert (one.dtype, one.shape, one.layout, one.requires_grad, one.device) == (
            other.dtype,
            other.shape,
            other.layout,
            other.requires_grad,
            other.device,
        )
        if one.layout is not torch.strided:
            assert torch.equal(one.to_dense(), other.to_dense())
        elif one.is_quantized:
            assert one.qscheme() == other.qscheme()
            assert torch.equal(one.int_repr(), other.int_repr())
            assert torch.equal(one.dequantize(), other.dequantize())
        elif one.device.type != "meta":
            assert one.stride() == other.stride()
            assert one.storage_offset() == other.storage_offset()
            assert bytes(one.untyped_storage()) == bytes(other.untyped_storage())
        same(vars(one), vars(other))
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            same(one[key], other[key])
        same(getattr(one, "__dict__", None), getattr(other, "__dict__", None))
    elif isinstance(one, list | tuple) and not isinstance(one, torch.Size):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            same(left, right)
    elif isinstance(one, torch.UntypedStorage | torch.TypedStorage):
        assert list(one) == list(other)
    else:
        assert one == other


def _module() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.LSTM(3, 3), nn.Embedding(3, 3))


def _views() -> object:
    base = torch.arange(12.0)
    return {
        "base": base,
        "part": base[3:7],
        "turned": base.view(3, 4).t(),
        "wide": base[:1].expand(5),
        "none": base[:0],
    }


def _marked() -> torch.Tensor:
    tensor = torch.ones(2)
    tensor.note = {"a": 1}  # type: ignore[attr-defined]
    return tensor


VALUES: dict[str, Callable[[], object]] = {
    "state-dict": lambda: _module().state_dict(),
    "optimiser": lambda: torch.optim.AdamW(_module().parameters()).state_dict(),
    "views": _views,
    "parameter": lambda: nn.Parameter(torch.ones(2)),
    "frozen": lambda: nn.Parameter(torch.ones(2), requires_grad=False),
    "grad": lambda: torch.ones(2, requires_grad=True),
    "attributes": _marked,
    "scalar": lambda: torch.tensor(3),
    "torch-types": lambda: [torch.float32, torch.Size([1, 2]), torch.device("cpu"), torch.device("cuda:1")],
}
ZIP_ONLY: dict[str, Callable[[], object]] = {
    "plain": lambda: {
        "a": (1, 2.5, None, True, "x", -(1 << 70)),
        "s": {1, 2},
        "o": collections.OrderedDict(a=1),
        "c": collections.Counter("aab"),
        "z": 1j,
        "b": bytearray(b"q"),
        3: [[]],
    },
    "dtypes": lambda: [
        torch.ones(3).to(kind)
        for kind in (
            torch.float16,
            torch.bfloat16,
            torch.float64,
            torch.float8_e4m3fn,
            torch.float8_e5m2,
            torch.bool,
            torch.int8,
            torch.int16,
            torch.int32,
            torch.int64,
            torch.uint8,
            torch.uint16,
            torch.uint32,
            torch.complex64,
            torch.complex128,
        )
    ],
    "small-dtypes": lambda: [
        torch.ones(3).to(kind) for kind in (torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32)
    ],
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 1, torch.qint8),
    "quantised-channels": lambda: torch.quantize_per_channel(
        torch.ones(2, 3), torch.tensor([0.1, 0.2]), torch.tensor([0, 1]), 0, torch.qint8
    ),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "sparse-rows": lambda: torch.eye(3).to_sparse_csr(),
    "meta": lambda: torch.empty(3, 2, device="meta"),
    "storage": lambda: torch.arange(3.0).untyped_storage(),
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("what", VALUES)
def test_what_torch_reads_is_the_same(what: str, protocol: int, zipped: bool) -> None:
    """Values, types, strides and storages are those of `torch.load(weights_only=True)`, bit for bit."""
    data = saved(VALUES[what](), zipped=zipped, protocol=protocol)
    same(safe_torch.load(io.BytesIO(data)), torch.load(io.BytesIO(data), weights_only=True))


@pytest.mark.parametrize("what", ZIP_ONLY)
def test_other_kinds_of_tensors_are_the_same(what: str) -> None:
    """Every element type, quantised, sparse and meta tensors, bare storages, and plain data of other globals."""
    data = saved(ZIP_ONLY[what]())
    same(safe_torch.load(data), torch.load(io.BytesIO(data), weights_only=True))


@pytest.mark.parametrize("protocol", [4, 5])
def test_protocols_that_torch_refuses_are_read(protocol: int) -> None:
    """A checkpoint saved with protocol 4 or 5 gives what the same one in protocol 2 gives."""
    value = _module().state_dict()
    loaded = safe_torch.load(saved(value, protocol=protocol))
    same(loaded, torch.load(io.BytesIO(saved(value)), weights_only=True))


@pytest.mark.parametrize("mmap", [True, False])
def test_shared_memory_stays_shared(tmp_path: Path, mmap: bool) -> None:
    """Writing to a tensor shows in its views, and never in the file."""
    path = tmp_path / "m.pt"
    path.write_bytes(saved(_views()))
    before = path.read_bytes()
    loaded = safe_torch.load(path, mmap=mmap)
    loaded["base"][3] = 99
    assert loaded["part"][0] == 99
    assert path.read_bytes() == before


def test_mapping_is_for_named_files() -> None:
    """A buffer cannot be mapped, and a private copy is no mapping: both are said, not ignored."""
    with pytest.raises(UsageError, match="mmap"):
        safe_torch.load(io.BytesIO(saved(1)), mmap=True)


def test_a_private_copy_is_not_mapped(tmp_path: Path) -> None:
    """`integrity='private'` and `mmap=True` contradict each other."""
    path = tmp_path / "m.pt"
    path.write_bytes(saved(torch.ones(1)))
    with pytest.raises(UsageError, match="private"):
        safe_torch.load(path, mmap=True, safeload=Options(integrity="private"))


@pytest.mark.parametrize(
    "wanted", ["cpu", torch.device("cpu"), {"cpu": "meta"}, "meta", lambda storage, place: storage, lambda *_: None]
)
def test_the_map_location_is_torchs(wanted: Any) -> None:
    """Text, devices, dictionaries and functions mean what they mean to torch."""
    data = saved(torch.ones(2))
    same(safe_torch.load(data, wanted), torch.load(io.BytesIO(data), wanted, weights_only=True))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without the device")
def test_a_missing_device_says_what_to_do() -> None:
    """A tensor of a device that is not here is an error with its remedy."""
    legacy = saved(torch.ones(2), zipped=False).replace(b"X\x03\x00\x00\x00cpu", b"X\x04\x00\x00\x00cuda", 1)
    with pytest.raises(UsageError, match="map_location='cpu'"):
        safe_torch.load(legacy)
    assert torch.equal(safe_torch.load(legacy, "cpu"), torch.ones(2))


@pytest.mark.parametrize(
    "arguments",
    [
        {"weights_only": False},
        {"pickle_module": pickle},
        {"mmap": "yes"},
        {"fix_imports": True},
        {"encoding": "bytes"},
        {"unknown": "allow"},
        {"inert": "a.B"},
        {"safeload": {}},
    ],
)
def test_what_cannot_be_honoured_is_refused(arguments: dict[str, Any]) -> None:
    """An argument that would need an unpickler, or means nothing, raises instead of being ignored."""
    with pytest.raises(UsageError):
        safe_torch.load(saved(1), **arguments)


def test_data_of_other_libraries_comes_back() -> None:
    """numpy, paths, namespaces, slices and dictionaries with factories are data."""
    value = {
        "array": numpy.arange(6).reshape(2, 3),
        "scalar": numpy.float64(1.5),
        "objects": numpy.array([1, "a"], object),
        "kind": numpy.dtype("f4"),
        "args": argparse.Namespace(lr=0.1),
        "slice": slice(1, 2),
        "lists": collections.defaultdict(list, a=[1]),
        "path": pathlib.PurePosixPath("a/b"),
        "version": torch.__version__,
    }
    for zipped in (True, False):
        loaded = safe_torch.load(saved({**value, "real": pathlib.Path("runs")}, zipped=zipped))
        assert loaded.pop("real") == pathlib.PurePosixPath("runs")
        for key, item in value.items():
            assert type(loaded[key]) is type(item)
            assert numpy.array_equal(loaded[key], item) if key == "array" else loaded[key] is not None
        assert loaded["args"] == value["args"]
        assert loaded["lists"] == value["lists"]
        assert loaded["lists"]["new"] == []
        loaded["array"][0, 0] = 7


def test_modules_are_records_with_their_tensors() -> None:
    """A module that was pickled whole comes back as an inert record that says what it was, tensors within."""
    module = nn.Linear(2, 1)
    loaded = safe_torch.load(saved({"model": module}))["model"]
    assert isinstance(loaded, Record)
    assert "torch.nn.modules.linear.Linear" in repr(loaded)
    assert torch.equal(loaded.attributes["_parameters"]["weight"], module.weight)  # type: ignore[index]


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        import os

        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_dangerous_pickles_are_refused(marker: Path, zipped: bool) -> None:
    """The default policy denies them, as admission does; asked to, `load` gives their data, and still nothing runs."""
    data = saved({"w": torch.ones(2), "x": Evil(marker)}, zipped=zipped)
    with pytest.raises(PolicyDenied):
        safe_torch.load(data)
    loaded = safe_torch.load(data, safeload=Options(unsafe_convert_dangerous=True))
    assert torch.equal(loaded["w"], torch.ones(2))
    assert isinstance(loaded["x"], Record)


def _foreign(*names: str) -> bytes:
    body = b"".join(b"c" + name.replace(".", "\n").encode() + b"\n)\x81}b" for name in names)
    return b"\x80\x02](" + body + b"e."


def test_all_unknown_names_are_in_one_refusal() -> None:
    """`unknown='refuse'` names every one of them, and the argument that lets them pass does."""
    data = _foreign("alpha.One", "beta.Two", "alpha.Three")
    with pytest.raises(PolicyDenied) as caught:
        safe_torch.load(data, unknown="refuse")
    text = str(caught.value)
    assert all(name in text for name in ("alpha.One", "beta.Two", "alpha.Three"))
    assert "inert=['alpha.One', 'alpha.Three', 'beta.Two']" in text
    kept = safe_torch.load(data, unknown="refuse", inert=["alpha.One", "beta.Two", "alpha.Three"])
    assert [str(one.name) for one in kept] == ["alpha.One", "beta.Two", "alpha.Three"]
    with pytest.raises(PolicyDenied, match=r"beta\.Two"):
        safe_torch.load(data, unknown="refuse", inert=["alpha.One", "alpha.Three"])


@pytest.mark.parametrize(
    "state",
    [
        b"}X\x05\x00\x00\x00itemsX\x01\x00\x00\x00as",  # hides a method
        b"K\x01",  # no attributes
    ],
)
def test_states_that_would_hide_methods_are_refused(state: bytes) -> None:
    """A state sets attributes by name, and never one that its type has."""
    with pytest.raises(MalformedInput):
        safe_torch.load(b"\x80\x02ccollections\nOrderedDict\n)R" + state + b"b.")


def test_a_tensor_outside_of_its_storage_is_refused() -> None:
    """Shapes and offsets are checked before torch sees them."""
    data = saved(torch.ones(2), zipped=False)
    assert data.count(b"K\x02\x85") == 1
    with pytest.raises(MalformedInput, match="outside of its storage"):
        safe_torch.load(data.replace(b"K\x02\x85", b"K\x09\x85"))


def test_sparse_tensors_are_checked() -> None:
    """Indices outside of the shape, which torch by default believes, are refused."""
    data = saved(torch.eye(3).to_sparse(), zipped=True)
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in members if name.endswith("/data/0"))
    buffer = io.BytesIO()
    members[name] = (1000).to_bytes(8, "little") * (len(members[name]) // 8)
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    with pytest.raises(MalformedInput):
        safe_torch.load(buffer.getvalue())


@pytest.mark.parametrize("cut", [0, 1, 40, 200, -1, -30])
def test_broken_files_raise_our_errors(cut: int) -> None:
    """Whatever is missing, the error is one of ours."""
    for zipped in (True, False):
        with pytest.raises(SafeloadError):
            safe_torch.load(saved(_module().state_dict(), zipped=zipped)[:cut])


def test_safetensors_are_read_as_torch_reads_them(tmp_path: Path) -> None:
    """A safetensors file gives its tensors."""
    from safetensors.torch import save_file

    path = tmp_path / "m.safetensors"
    save_file({"a": torch.ones(2), "b": torch.zeros(1, dtype=torch.int64)}, path)
    loaded = safe_torch.load(path)
    assert torch.equal(loaded["a"], torch.ones(2))
    assert loaded["b"].dtype is torch.int64


def test_state_dicts_are_lazy(tmp_path: Path) -> None:
    """`state_dict_of` reads a tensor when it is asked for, names modules as they name themselves, and outlives them."""
    module = _module()
    path = tmp_path / "m.pt"
    path.write_bytes(saved(module))
    state = safe_torch.state_dict_of(path)
    assert list(state) == list(module.state_dict())
    assert "0 of them read" in repr(state)
    weight = state["0.weight"]
    state.close()
    assert torch.equal(weight, module.state_dict()["0.weight"])
    rebuilt = _module()
    rebuilt.load_state_dict(dict(safe_torch.state_dict_of(path)))


def test_a_policy_file_has_its_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project's `safeload.toml` counts for single files as it does for models."""
    path = tmp_path / "m.pt"
    path.write_bytes(saved(torch.ones(1)))
    (tmp_path / "work").mkdir()
    policy = tmp_path / "work" / "safeload.toml"
    monkeypatch.chdir(tmp_path / "work")
    policy.write_text('version = 1\n[defaults]\nformats = ["safetensors"]\n')
    with pytest.raises(PolicyDenied, match="torch-zip"):
        safe_torch.load(path)
    policy.write_text('version = 1\n[defaults]\npickle = "convert"\n')
    assert torch.equal(safe_torch.load(path), torch.ones(1))


@pytest.mark.parametrize(
    "made",
    [
        lambda numpy: _reconstructed(numpy, (2**31 - 1, 2**31 - 1, 0), "O", []),
        lambda numpy: _reconstructed(numpy, (2**62, 0, 2**62), "f4", b""),
        lambda numpy: _Reduced(numpy._core.multiarray.scalar, (numpy.dtype("V999999999"),)),
    ],
    ids=["objects", "numbers", "scalar"],
)
def test_arrays_of_impossible_size_are_our_error(made: Any) -> None:
    """A shape that numpy cannot have, or a number without its bytes, ends in our error and takes no memory."""
    numpy = pytest.importorskip("numpy")
    with pytest.raises(SafeloadError):
        safe_torch.load(pickle.dumps(made(numpy), protocol=2))


class _Reduced:
    def __init__(self, callee: Any, args: tuple[Any, ...], state: Any = None) -> None:
        self.made = (callee, args) if state is None else (callee, args, state)

    def __reduce__(self) -> Any:
        return self.made


def _reconstructed(numpy: Any, shape: tuple[int, ...], kind: str, data: Any) -> _Reduced:
    state = (1, shape, numpy.dtype(kind), False, data)
    return _Reduced(numpy._core.multiarray._reconstruct, (numpy.ndarray, (0,), b"b"), state)


def test_programs_and_distributed_checkpoints_give_their_tensors(tmp_path: Path) -> None:
    """`state_dict_of` reads the weights of a TorchScript archive and of a distributed checkpoint, and no program."""
    import torch.distributed.checkpoint as dcp

    layer = torch.nn.Linear(3, 2)
    torch.jit.save(torch.jit.script(layer), str(tmp_path / "layer.pt"))
    dcp.save({"w": layer.weight.detach()}, checkpoint_id=tmp_path / "parts", no_dist=True)
    script = safe_torch.state_dict_of(tmp_path / "layer.pt")
    parts = safe_torch.state_dict_of(tmp_path / "parts")
    assert torch.equal(script["weight"], layer.weight) and torch.equal(parts["w"], layer.weight)
    with pytest.raises(SafeloadError):
        safe_torch.load(tmp_path / "layer.pt")


@pytest.mark.parametrize("module", ["torch._tensor", "torch.tensor"])
def test_attributes_are_kept_as_older_versions_wrote_them(module: str) -> None:
    """Before torch 1.12 another function of the same arguments stood for a tensor with attributes."""
    data = saved(_marked(), zipped=False)
    older = data.replace(b"ctorch._tensor\n_rebuild_from_type_v2\n", f"c{module}\n_rebuild_from_type\n".encode())
    assert older != data
    same(safe_torch.load(older), safe_torch.load(data))
