"""HDF5 files: datasets become tensors, bit by bit, and nothing that leads out of the file is followed."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

from safeload.core.blob import MemoryBlob
from safeload.core.errors import MalformedInput, PolicyDenied, SafeloadError, UsageError
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.engine.convert.compare import compare
from safeload.engine.convert.describe import inspect_file
from safeload.engine.convert.hdf5 import hdf5_contents
from safeload.engine.convert.job import convert
from tests.engine import models
from tests.engine.checkpoints import saved

ARRAYS: dict[str, Any] = {
    "layers/dense/vars/0": np.arange(12, dtype="f4").reshape(3, 4),
    "half": np.arange(5, dtype="f2"),
    "scalar": np.float64(3),
    "big": np.arange(7, dtype=">i4"),
    "bool": np.array([True, False]),
    "complex": np.array([1 + 2j], dtype="c8"),
    "compact": np.arange(3, dtype=">f4"),
    "empty": np.zeros((0, 3), "u2"),
}
COUNT = np.arange(1000, dtype="i8").reshape(10, 100)
PACKED: dict[str, dict[str, Any]] = {
    "plain": {"chunks": (3, 33)},
    "deflated": {"chunks": (4, 100), "compression": "gzip"},
    "shuffled": {"chunks": (3, 33), "compression": "gzip", "shuffle": True},
    "one": {"chunks": (10, 100), "compression": 9},
}


def hdf5(fill: Callable[[h5py.File], object]) -> bytes:
    """The bytes of an HDF5 file."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def everything(file: h5py.File) -> None:
    for name, array in ARRAYS.items():
        if name != "compact":
            file[name] = array
    compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    compact.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((3,))
    made = h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F32BE, space, compact)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(3, dtype=">f4"))
    for name, options in PACKED.items():
        file.create_dataset(name, data=COUNT, **options)


def keras(weights: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    """A `.keras` archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", weights)
    return buffer.getvalue()


def check(path: Path, folder: Path) -> None:
    """Convert, and compare with what was stored."""
    conversion = convert(path, into=folder / "out.safetensors")
    assert conversion.path is not None
    found = load_file(conversion.path)
    assert set(found) == {*ARRAYS, *PACKED}
    for name in found:
        wanted = np.asarray(ARRAYS.get(name, COUNT))
        assert found[name].shape == wanted.shape
        assert found[name].tobytes() == wanted.astype(wanted.dtype.newbyteorder("<")).tobytes(), name
    with safe_open(conversion.path, "np") as file:
        assert file.metadata() == {"format": "np"}


@pytest.mark.parametrize("name", ["x.h5", "x.hdf5", "model.weights.h5", "noname"])
def test_datasets_become_tensors_under_their_paths(tmp_path: Path, name: str) -> None:
    """In one piece or in chunks, deflated, shuffled or plain, of either byte order."""
    check(models.write(tmp_path / name, hdf5(everything)), tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_weights_of_a_keras_archive_are_converted(tmp_path: Path, method: int) -> None:
    """A `.keras` file holds them as a member."""
    path = models.write(tmp_path / "model.keras", keras(hdf5(everything), method))
    check(path, tmp_path)
    assert compare(path, tmp_path / "out.safetensors").equal


def test_hdf5_beside_a_pickle_hides_neither(tmp_path: Path, touch: Callable[[], tuple[str, str, str]]) -> None:
    """A member with Keras' name does not make another checkpoint Keras', nor a payload harmless."""
    module, name, argument = touch()
    buffer = io.BytesIO(saved({"w": torch.ones(2)}))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("model.weights.h5", hdf5(everything))
    converted = convert(models.write(tmp_path / "x.pt", buffer.getvalue()))
    assert [tensor.name for tensor in converted.tensors] == ["w"]
    buffer = io.BytesIO(keras(hdf5(everything)))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("x.pkl", f"c{module}\n{name}\n(S'{argument}'\ntR.")
    with pytest.raises(PolicyDenied):
        convert(models.write(tmp_path / "x.keras", buffer.getvalue()))


def test_an_archive_with_two_weights_is_refused(tmp_path: Path) -> None:
    """Readers would differ about which of them counts."""
    buffer = io.BytesIO(keras(hdf5(everything)))
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning):
        archive.writestr("model.weights.h5", hdf5(lambda file: file.update(w=np.ones(1))))
    with pytest.raises(SafeloadError):
        convert(models.write(tmp_path / "x.keras", buffer.getvalue()))


def test_files_of_every_format_version_are_read(tmp_path: Path) -> None:
    """The newest structures of HDF5 as well as the oldest."""
    for index, version in enumerate((("earliest", "v108"), ("latest", "latest"))):
        with h5py.File(tmp_path / f"{index}.h5", "w", libver=version) as file:
            everything(file)
        check(tmp_path / f"{index}.h5", tmp_path / str(index))


def test_text_and_attributes_are_listed(tmp_path: Path) -> None:
    """They are no tensors; they are named, not read."""

    def fill(file: h5py.File) -> None:
        file["w"] = np.ones(2)
        file["words"] = "text"
        file.attrs["keras_version"] = "3"

    path = models.write(tmp_path / "x.h5", hdf5(fill))
    assert {item.path for item in convert(path).dropped} == {"words", "/ (attributes)"}
    assert [tensor.name for tensor in inspect_file(path).tensors] == ["w"]


def _external_storage(file: h5py.File) -> None:
    file.create_dataset("w", shape=(4,), dtype="u1", external=[("/etc/hostname", 0, 4)])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="u1")
    layout[:] = h5py.VirtualSource("/etc/hostname", "w", shape=(4,))
    file.create_virtual_dataset("w", layout)


def _virtual_without_end(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="u1", maxshape=(None,))
    source = h5py.VirtualSource("/etc/hostname", "w", shape=(4,), maxshape=(None,))
    layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
    file.create_virtual_dataset("w", layout)


def _soft(file: h5py.File) -> None:
    file["a"] = np.ones(2)
    file["w"] = h5py.SoftLink("/a")


def _external_link(file: h5py.File) -> None:
    file["w"] = h5py.ExternalLink("/etc/hostname", "/w")


def _deep(file: h5py.File) -> None:
    group: Any = file
    for _ in range(100):
        group = group.create_group("a" * 60)
    group["w"] = np.ones(1)


def _circle(file: h5py.File) -> None:
    file.create_group("a")["w"] = file["/"]


def _unwritten(file: h5py.File) -> None:
    file.create_dataset("w", shape=(4,), dtype="f4")


def _half_written(file: h5py.File) -> None:
    file.create_dataset("w", shape=(4, 4), dtype="f4", chunks=(2, 4))[:2] = 1


def _other_filter(file: h5py.File) -> None:
    file.create_dataset("w", data=np.ones(100), chunks=(10,), compression="lzf")


def _vast(file: h5py.File) -> None:
    file.create_dataset("w", shape=(1 << 60,), dtype="f4", chunks=(1024,))


def _large_chunk(file: h5py.File) -> None:
    file.create_dataset("w", shape=(1 << 28,), dtype="f4", chunks=(1 << 28,))


@pytest.mark.parametrize(
    ("fill", "why"),
    [
        (_external_storage, "another file"),
        (_virtual, "another file"),
        (_virtual_without_end, "another file"),
        (_soft, "not followed"),
        (_external_link, "not followed"),
        (_circle, "two ways"),
        (_deep, "4,096 characters"),
        (_unwritten, "never written"),
        (_half_written, "1 of its 2 chunks"),
        (_other_filter, "filter 32000"),
        (_vast, "chunks were written"),
        (_large_chunk, "its chunks have more"),
    ],
)
def test_what_leads_elsewhere_or_is_not_read_is_refused(
    tmp_path: Path, fill: Callable[[h5py.File], None], why: str
) -> None:
    """Links, external storage, virtual datasets, filters, what was never written: an error with the dataset's path."""
    data = hdf5(fill)
    path = models.write(tmp_path / "x.h5", data)
    with pytest.raises(SafeloadError):
        convert(path)
    with pytest.raises(MalformedInput) as caught:
        hdf5_contents(MemoryBlob(data), Location("x.h5"), Limits())
    assert why in caught.value.why
    assert (caught.value.where.path or "").startswith(("w", "a"))
    assert models.files_below(tmp_path) == {"x.h5"}


def test_a_type_that_is_not_read_can_be_left_out(tmp_path: Path) -> None:
    """A dataset of pairs is an error by name; selecting others is the way around it."""

    def fill(file: h5py.File) -> None:
        file["ok/w"] = np.ones(2)
        file["odd"] = np.zeros(2, dtype=[("a", "i4"), ("b", "f4")])

    path = models.write(tmp_path / "x.h5", hdf5(fill))
    with pytest.raises(MalformedInput, match="odd"):
        convert(path)
    assert [tensor.name for tensor in convert(path, keys="ok/").tensors] == ["w"]


def test_without_h5py_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing, and the command that installs it."""
    path = models.write(tmp_path / "x.h5", hdf5(everything))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError) as caught:
        convert(path)
    assert caught.value.remedy == "pip install 'safeload[hdf5]'"


@pytest.mark.parametrize("wrap", [bytes, keras], ids=["h5", "keras"])
def test_damaged_files_are_errors(tmp_path: Path, wrap: Callable[[bytes], bytes]) -> None:
    """Cut anywhere: an error. With a bit flipped in its structure: an error, or a whole output."""
    data = wrap(hdf5(everything))
    for percent in range(0, 100, 4):
        path = models.write(tmp_path / "cut" / "x.h5", data[: len(data) * percent // 100])
        with pytest.raises(SafeloadError):
            convert(path)
        assert models.files_below(tmp_path / "cut") == {"x.h5"}
    for place in range(0, 4000, 41):
        folder = tmp_path / str(place)
        path = models.write(folder / "x.h5", data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        try:
            convert(path)
        except SafeloadError:
            assert models.files_below(folder) == {"x.h5"}
        else:
            assert "x.safetensors" in models.files_below(folder)


def test_a_chunk_that_unpacks_to_another_size_is_refused(tmp_path: Path) -> None:
    """Deflated data that is damaged, or longer than its chunk."""
    data = hdf5(lambda file: file.create_dataset("w", data=COUNT, **PACKED["one"]))
    with h5py.File(io.BytesIO(data)) as file:
        info = file["w"].id.get_chunk_info(0)
    damaged = bytearray(data)
    damaged[info.byte_offset + 10] ^= 255
    path = models.write(tmp_path / "x.h5", bytes(damaged))
    with pytest.raises(MalformedInput, match="chunk"):
        convert(path)
    assert models.files_below(tmp_path) == {"x.h5"}
