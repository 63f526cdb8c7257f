"""What safeload writes is safetensors as the genuine reader knows it, equal bit for bit; or nothing at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file

from safeload.core.blob import Extent, MemoryBlob
from safeload.core.errors import MalformedInput, SourceError, VerificationFailed
from safeload.engine import tensorfile
from safeload.formats.base import TensorView
from safeload.sources.pinned import pin_file
from tests.engine.views import bare_view, raw, storage_bytes, view_of

WRITTEN = {
    torch.bool: 1, torch.uint8: 1, torch.int8: 1, torch.uint16: 2, torch.int16: 2, torch.uint32: 4, torch.int32: 4,
    torch.uint64: 8, torch.int64: 8, torch.float16: 2, torch.bfloat16: 2, torch.float32: 4, torch.float64: 8,
    torch.complex64: 8, torch.float8_e4m3fn: 1, torch.float8_e5m2: 1, torch.float8_e4m3fnuz: 1,
    torch.float8_e5m2fnuz: 1,
}  # fmt: skip
"""Every dtype that the genuine Python reader gives back as a tensor."""


def bits(seed: int, *shape: int, dtype: torch.dtype) -> torch.Tensor:
    """Random bits, NaNs and denormals included, as elements of a dtype."""
    generator = torch.Generator().manual_seed(seed)
    size = int(torch.tensor(shape).prod()) if shape else 1
    if dtype is torch.bool:
        return torch.randint(0, 2, shape, generator=generator).bool()
    data = torch.randint(0, 256, (size * dtype.itemsize,), generator=generator, dtype=torch.uint8)
    return data.view(dtype).reshape(shape)


def written(path: Path, tensors: dict[str, TensorView]) -> tensorfile.Written:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        return tensorfile.write(descriptor, tensors)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("dtype", WRITTEN, ids=str)
def test_every_dtype_comes_back_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    """Contiguous, transposed, scalar and empty tensors of random bits are read back by safetensors unchanged."""
    tensors = {
        "plain": bits(1, 5, 7, dtype=dtype),
        "transposed": bits(2, 6, 9, dtype=dtype).t(),
        "scalar": bits(3, dtype=dtype),
        "empty": bits(4, 3, 0, 2, dtype=dtype),
    }
    written(tmp_path / "m", {name: view_of(tensor, offset=3) for name, tensor in tensors.items()})
    made = load_file(tmp_path / "m")
    assert {name: (tensor.dtype, tensor.shape, raw(tensor)) for name, tensor in made.items()} == {
        name: (tensor.dtype, tensor.shape, raw(tensor)) for name, tensor in tensors.items()
    }


def test_a_dtype_that_only_other_readers_know_is_in_the_header(tmp_path: Path) -> None:
    """`float8_e8m0fnu`, the scales of microscaled weights, is written under the format's name for it."""
    written(tmp_path / "m", {"scale": bare_view(MemoryBlob(bytes(range(16))), shape=(16,), strides=(1,),
                                                 dtype="float8_e8m0fnu")})  # fmt: skip
    data = (tmp_path / "m").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert header["scale"] == {"dtype": "F8_E8M0", "shape": [16], "data_offsets": [0, 16]}


@pytest.mark.parametrize("dtype", ["complex128", "complex32", "quint8", "bits16", "uint3", "no such \x1b[31m dtype"])
def test_a_dtype_without_a_form_is_refused(tmp_path: Path, dtype: str) -> None:
    """What safetensors cannot hold is never stored as something else; the message names tensor and dtype, escaped."""
    view = bare_view(MemoryBlob(bytes(64)), shape=(2,), strides=(1,), dtype=dtype)
    with pytest.raises(MalformedInput, match="cannot be stored") as refused:
        written(tmp_path / "m", {"a.weight": view})
    assert "a.weight" in str(refused.value) and "\x1b" not in str(refused.value)
    assert refused.value.remedy


def big(tensor: torch.Tensor) -> bytes:
    """The storage of a tensor as a big-endian machine writes it."""
    width = tensor.dtype.itemsize // (2 if tensor.dtype.is_complex else 1)
    data = storage_bytes(tensor)
    return b"".join(data[i : i + width][::-1] for i in range(0, len(data), width))


@pytest.mark.parametrize("dtype", WRITTEN, ids=str)
def test_big_endian_storages_are_turned_around(tmp_path: Path, dtype: torch.dtype) -> None:
    """A checkpoint from a big-endian machine holds the same numbers afterwards; both halves of a complex one."""
    plain, transposed = bits(5, 40, 30, dtype=dtype), bits(6, 40, 30, dtype=dtype).t()
    written(
        tmp_path / "m",
        {
            "plain": view_of(plain, blob=MemoryBlob(big(plain)), big_endian=True),
            "transposed": view_of(transposed, blob=MemoryBlob(big(transposed)), big_endian=True),
        },
    )
    made = load_file(tmp_path / "m")
    assert raw(made["plain"]) == raw(plain)
    assert raw(made["transposed"]) == raw(transposed)


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda name: name != "__metadata__")


@settings(max_examples=60)
@given(st.dictionaries(names, st.tuples(st.sampled_from(list(WRITTEN)), st.lists(st.integers(0, 4), max_size=3))))
def test_any_names_and_shapes_are_accepted_by_the_genuine_reader(
    tmp_path_factory: pytest.TempPathFactory, wanted: dict[str, tuple[torch.dtype, list[int]]]
) -> None:
    """Quotes, control characters, the empty name and no tensors at all: safetensors opens it and finds each tensor."""
    path = tmp_path_factory.mktemp("any") / "m"
    tensors = {name: bits(i, *shape, dtype=dtype) for i, (name, (dtype, shape)) in enumerate(wanted.items())}
    result = written(path, {name: view_of(tensor) for name, tensor in tensors.items()})
    assert result.size == path.stat().st_size
    assert result.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == set(tensors)
        assert file.metadata() == {"format": "pt"}
        for name, tensor in tensors.items():
            assert raw(file.get_tensor(name)) == raw(tensor)


def test_every_tensor_starts_at_a_multiple_of_its_element(tmp_path: Path) -> None:
    """The data begins at a multiple of eight, and odd sizes never push a wider tensor off its grid."""
    tensors = {f"t{i}": bits(i, 3, dtype=dtype) for i, dtype in enumerate(WRITTEN)}
    written(tmp_path / "m", {name: view_of(tensor) for name, tensor in tensors.items()})
    data = (tmp_path / "m").read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert (8 + length) % 8 == 0
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            assert entry["data_offsets"][0] % tensors[name].dtype.itemsize == 0


@pytest.mark.parametrize("name", ["__metadata__", "a\ud800b", "\udfff"], ids=["metadata", "surrogate", "lone"])
def test_a_name_that_the_format_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    """A reserved name, or half of a surrogate pair, is our error; it never reaches the file."""
    with pytest.raises(MalformedInput, match="cannot be stored") as refused:
        written(tmp_path / "m", {name: view_of(bits(1, 2, dtype=torch.float32))})
    str(refused.value).encode()
    assert (tmp_path / "m").stat().st_size == 0


def test_names_that_no_reader_would_accept_are_refused(tmp_path: Path) -> None:
    """A header of more than a hundred megabytes would be a file that nobody can open."""
    view = view_of(bits(1, 2, dtype=torch.float32))
    with pytest.raises(MalformedInput, match="in one safetensors file"):
        written(tmp_path / "m", {letter * 30_000_000: view for letter in "abcd"})


def test_a_hundred_thousand_tensors(tmp_path: Path) -> None:
    """Many small tensors are written one after the other, and all of them are there."""
    blob = MemoryBlob(bytes(range(256)) * 4)
    views = {
        f"layer.{i}.bias": bare_view(blob, shape=(4,), strides=(1,), start=i % 200, dtype="uint8")
        for i in range(100_000)
    }
    written(tmp_path / "m", views)
    with safe_open(tmp_path / "m", "pt") as file:
        assert len(file.keys()) == 100_000
        assert file.get_tensor("layer.123.bias").tolist() == [123, 124, 125, 126]


def test_pinned_files_and_ranges_of_them_are_copied_from(tmp_path: Path) -> None:
    """A storage that is a range of a range of an open file gives the bytes that lie there."""
    (tmp_path / "source").write_bytes(b"....." + bytes(range(100)))
    with pin_file(tmp_path / "source") as file:
        inner = Extent(Extent(file, 3, 100), 2, 90)
        view = bare_view(inner, shape=(8,), strides=(1,), start=10, dtype="uint8")
        written(tmp_path / "m", {"a": view})
    assert load_file(tmp_path / "m")["a"].tolist() == list(range(10, 18))


@pytest.mark.parametrize("strides", [(1,), (2,)], ids=["contiguous", "strided"])
def test_a_source_that_became_shorter_is_noticed(tmp_path: Path, strides: tuple[int, ...]) -> None:
    """If somebody cuts the file off meanwhile, nothing is made up for what is missing."""
    (tmp_path / "source").write_bytes(bytes(4096))
    with pin_file(tmp_path / "source") as file:
        view = bare_view(file, shape=(1000,), strides=strides, dtype="uint8")
        os.truncate(tmp_path / "source", 100)
        with pytest.raises((VerificationFailed, MalformedInput)):
            written(tmp_path / "m", {"a": view})


def test_a_blob_that_ends_within_a_tensor_is_noticed(tmp_path: Path) -> None:
    """The same where no file stands behind the bytes."""
    view = bare_view(MemoryBlob(bytes(100)), shape=(1000,), strides=(1,), dtype="uint8")
    with pytest.raises(MalformedInput, match="end early"):
        written(tmp_path / "m", {"a": view})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, where this user may mount one; else a limit on the size of files."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=False, stderr=subprocess.DEVNULL
        ).returncode
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if not mounted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        yield folder
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_our_error_and_says_what_to_do(small_disk: Path) -> None:
    """Four megabytes do not fit into one: the reason is told before anything was copied."""
    view = view_of(torch.zeros(1 << 20))
    with pytest.raises(SourceError, match="could not be written") as refused:
        written(small_disk / "m", {"a": view})
    assert refused.value.remedy


def test_a_disk_that_cannot_reserve_space_still_gives_our_error(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where space cannot be taken beforehand, the write itself fails, and in the same way."""

    def unsupported(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    with pytest.raises(SourceError, match="could not be written"):
        written(small_disk / "m", {"a": view_of(torch.zeros(1 << 20))})


def test_a_closed_descriptor_is_our_error(tmp_path: Path) -> None:
    """Whatever the operating system refuses is a `SourceError`."""
    descriptor = os.open(tmp_path / "m", os.O_RDONLY | os.O_CREAT)
    try:
        with pytest.raises(SourceError):
            tensorfile.write(descriptor, {"a": view_of(torch.zeros(4))})
    finally:
        os.close(descriptor)


def test_neither_torch_nor_numpy_is_needed(tmp_path: Path) -> None:
    """Contiguous and strided tensors are written by a process in which both cannot be imported."""
    script = f"""
import sys
sys.modules["torch"] = sys.modules["numpy"] = sys.modules["safetensors"] = None
import os
from safeload.core.blob import MemoryBlob
from safeload.core.names import Location
from safeload.engine import tensorfile
from safeload.formats.base import Storage, TensorView
storage = Storage(blob=MemoryBlob(bytes(range(64))), offset=0, nbytes=64)
def view(strides):
    return TensorView(location=Location("f"), dtype="float32", shape=(4, 4), strides=strides, storage_offset=0,
                      storage=storage)
out = os.open({str(tmp_path / "m")!r}, os.O_RDWR | os.O_CREAT)
tensorfile.write(out, {{"a": view((4, 1)), "b": view((1, 4))}})
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    made = load_file(tmp_path / "m")
    assert torch.equal(made["a"], made["b"].t())
