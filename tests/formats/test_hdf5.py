"""HDF5, as every version of the library writes it: what a file links to, and the Keras model in its attributes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy
import pytest
from hypothesis import given, settings

from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.formats.base import Component, Reference
from tests.formats.damage import bears, damaged
from tests.formats.helpers import of, reading
from tests.formats.verdicts import rules, status

VERSIONS = ["earliest", ("v108", "v108"), ("v110", "v110"), "latest"]
DENSE = {"class_name": "Dense", "config": {"units": 1, "activation": "relu"}}


def config(*layers: dict[str, Any]) -> str:
    return json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": list(layers)}})


def written(path: Path, libver: Any, layers: tuple[dict[str, Any], ...] = (DENSE,), groups: int = 3) -> bytes:
    """A model as Keras 2 writes it, with as many layers as make the library choose its layout for many."""
    with h5py.File(path, "w", libver=libver) as file:
        file.attrs["keras_version"] = b"2.15.0"
        file.attrs["backend"] = "tensorflow"
        file.attrs["model_config"] = config(*layers)
        file.attrs["training_config"] = json.dumps({"loss": "mse"})
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = numpy.array([f"layer_{index}".encode() for index in range(groups)])
        for index in range(groups):
            layer = weights.create_group(f"layer_{index}/kernel")
            layer.create_dataset("kernel:0", data=numpy.ones((2, 3), "f4"), chunks=(1, 3) if index % 2 else None)
            for number in range(groups // 3 if index == 0 else 0):
                layer.attrs[f"note_{number}"] = f"a note of some length, the number {number}"
    return path.read_bytes()


@pytest.mark.parametrize("libver", VERSIONS, ids=str)
@pytest.mark.parametrize("groups", [1, 40, 400])
def test_plain_models_are_safe(tmp_path: Path, libver: Any, groups: int) -> None:
    """Weights and a configuration of Keras's own layers are data, in every layout, read to the end."""
    raw = written(tmp_path / "model.h5", libver, groups=groups)
    result = reading(raw, "model.h5")
    assert result.formats == ("hdf5",) and result.fault is None
    assert [part.name for part in of(result, Component)] == ["Sequential", "Dense"]
    assert status(raw, "model.h5") is Status.SAFE


@pytest.mark.parametrize("libver", VERSIONS, ids=str)
@pytest.mark.parametrize("groups", [1, 40, 400])
def test_every_object_is_reached(tmp_path: Path, libver: Any, groups: int) -> None:
    """An external link is found in every group that the library itself finds, however many there are."""
    path = tmp_path / "model.h5"
    written(path, libver, groups=groups)
    with h5py.File(path, "a", libver=libver) as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Group) else None)
        for name in names:
            file[name]["outside"] = h5py.ExternalLink("other.h5", "/x")
    found = of(reading(path.read_bytes(), "model.h5"), Reference, kind="hdf5-external")
    assert {part.location.path for part in found} == {f"/{name}/outside" for name in names}


def test_links_in_the_order_of_their_making_are_reached(tmp_path: Path) -> None:
    """Groups that remember the order of their members have a second index, with other records."""
    path = tmp_path / "model.h5"
    with h5py.File(path, "w", libver="latest", track_order=True) as file:
        group = file.create_group("many", track_order=True)
        for index in range(300):
            group[f"link_{index}"] = h5py.ExternalLink("other.h5", "/x")
    result = reading(path.read_bytes(), "model.h5")
    assert result.fault is None and len(of(result, Reference, kind="hdf5-external")) == 300


@pytest.mark.parametrize("libver", VERSIONS, ids=str)
def test_files_that_lie_elsewhere_are_found(tmp_path: Path, libver: Any) -> None:
    """External links, external storage, virtual data sets: each names its file (CVE-2026-1669)."""
    path = tmp_path / "model.h5"
    with h5py.File(path, "w", libver=libver) as file:
        file["link"] = h5py.ExternalLink("/etc/link", "/x")
        file.create_dataset("raw", shape=(4,), dtype="u1", external=[("/etc/one", 0, 2), ("/etc/two", 0, 2)])
    raw = path.read_bytes()
    targets = {part.target for part in of(reading(raw, "model.h5"), Reference)}
    assert targets == {"/etc/link", "/etc/one", "/etc/two"} and status(raw, "model.h5") is Status.DANGEROUS


def test_virtual_data_sets_are_found(tmp_path: Path) -> None:
    """Of several sources at least one is named; one of the file itself is no other file."""
    path = tmp_path / "model.h5"
    for source, expected in ((".", Status.SAFE), ("other.h5", Status.UNVERIFIED), ("/etc/x", Status.DANGEROUS)):
        with h5py.File(path, "w", libver="latest") as file:
            file.create_dataset("d", data=numpy.ones(4))
            layout = h5py.VirtualLayout(shape=(4,), dtype="f8")
            layout[:] = h5py.VirtualSource(source, "d", shape=(4,))
            file.create_virtual_dataset("v", layout)
        assert status(path.read_bytes(), "model.h5") is expected


def test_names_beside_the_file_are_unverified(tmp_path: Path) -> None:
    """No framework writes such links, and one to a neighbour reads nothing else."""
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file["link"] = h5py.ExternalLink("other.h5", "/x")
        file["soft"] = h5py.SoftLink("/nowhere")
    assert rules(path.read_bytes(), "model.h5") == {"data-elsewhere"}
    assert status(path.read_bytes(), "model.h5") is Status.UNVERIFIED


@pytest.mark.parametrize("libver", VERSIONS, ids=str)
@pytest.mark.parametrize("fixed", [True, False])
def test_code_in_the_configuration_is_dangerous(tmp_path: Path, libver: Any, fixed: bool) -> None:
    """Marshalled functions of Lambda layers, in texts of both kinds; no `safe_mode` covers them (CVE-2025-9905)."""
    code = "4wEAAAABAAAAAAAAAAEAAABTAAAA8w4AAACVAFcAUAoAAAAAAAAAAAAAIgApAU4="
    layer = {"class_name": "Lambda", "config": {"function": [code, None, None], "function_type": "lambda"}}
    path = tmp_path / "model.h5"
    with h5py.File(path, "w", libver=libver) as file:
        text = config(DENSE, layer)
        file.attrs["model_config"] = numpy.bytes_(text) if fixed else text
    assert {"embedded-code", "keras-reaches-out"} <= rules(path.read_bytes(), "model.h5")


def test_pickled_attributes_are_read(tmp_path: Path) -> None:
    """PyTables, and pandas with it, unpickles attributes when it opens a file, and arrays of objects when it reads."""
    path = tmp_path / "frame.h5"
    with h5py.File(path, "w") as file:
        file.create_group("frame").attrs["info"] = numpy.bytes_(b"cos\nsystem\n(S'true'\ntR.")
    assert status(path.read_bytes(), "frame.h5") is Status.DANGEROUS
    with h5py.File(path, "w") as file:
        file.create_group("frame").attrs["info"] = numpy.bytes_(b"(dp0\nS'name'\np1\nI1\ns.")
        file["frame"].attrs["title"] = "A sentence. And another."
    assert status(path.read_bytes(), "frame.h5") is Status.SAFE
    with h5py.File(path, "w") as file:
        file.create_group("frame").attrs["PSEUDOATOM"] = numpy.bytes_(b"object")
    assert status(path.read_bytes(), "frame.h5") is Status.UNDECIDED


_EVIL = b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R."


@pytest.mark.parametrize(
    "value", [numpy.void(_EVIL), numpy.frombuffer(_EVIL, "u1"), numpy.frombuffer(_EVIL, "i1"), numpy.array([_EVIL])]
)
def test_pickles_are_found_in_attributes_of_bytes_too(tmp_path: Path, value: object) -> None:
    """Opaque bytes, and bytes written as small numbers, are what other libraries keep pickles in."""
    path = tmp_path / "frame.h5"
    with h5py.File(path, "w") as file:
        file.create_group("frame").attrs["info"] = value
    assert status(path.read_bytes(), "frame.h5") is Status.DANGEROUS


@pytest.mark.parametrize(("name", "value"), [("base_type", b"pickle"), ("type", [b"pickle"]), ("encoding", "Pickled")])
def test_data_that_is_said_to_be_a_pickle_is_undecided(tmp_path: Path, name: str, value: object) -> None:
    """hickle notes which data it unpickles; data sets are not read."""
    path = tmp_path / "frame.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=numpy.frombuffer(_EVIL, "u1")).attrs[name] = value
    assert status(path.read_bytes(), "frame.h5") is Status.UNDECIDED


@pytest.mark.parametrize("value", [b"{", b"[.", bytes(range(256)), b"\x80\x04.", b""])
def test_small_numbers_are_numbers(tmp_path: Path, value: bytes) -> None:
    """Bytes that begin like a document or a pickle are none by that."""
    path = tmp_path / "frame.h5"
    with h5py.File(path, "w") as file:
        file.create_group("frame").attrs["info"] = numpy.frombuffer(value, "u1")
    assert status(path.read_bytes(), "frame.h5") is Status.SAFE


def test_an_attribute_of_a_named_type_is_undecided(tmp_path: Path) -> None:
    """A configuration whose type is kept elsewhere is not read here, and not called clean."""
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file["type"] = h5py.string_dtype()
        file.attrs.create("model_config", config(DENSE), dtype=file["type"])
    assert isinstance(reading(path.read_bytes(), "model.h5").fault, MalformedInput)


def test_a_user_block_hides_nothing(tmp_path: Path) -> None:
    """The library looks for its signature further on, and so does this."""
    path = tmp_path / "model.h5"
    with h5py.File(path, "w", userblock_size=1024) as file:
        file["data"] = numpy.ones(100)
    assert reading(path.read_bytes(), "model.h5").fault is None
    with h5py.File(path, "w", userblock_size=1024) as file:
        file["link"] = h5py.ExternalLink("/etc/passwd", "/x")
    assert status(path.read_bytes(), "model.h5") is Status.DANGEROUS


def test_circles_end(tmp_path: Path) -> None:
    """A group may hold itself."""
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file["a/b"] = file["/"]
    assert reading(path.read_bytes(), "model.h5").fault is None


def test_objects_are_counted(tmp_path: Path) -> None:
    """A file of nothing but groups ends at the limit."""
    raw = written(tmp_path / "model.h5", "latest", groups=40)
    assert isinstance(reading(raw, "model.h5", Limits(nodes=100)).fault, LimitExceeded)


@pytest.mark.parametrize("libver", VERSIONS, ids=str)
def test_truncated_files_are_never_safe(tmp_path: Path, libver: Any) -> None:
    """Wherever the file ends early, something of it is missing, and that is said."""
    raw = written(tmp_path / "model.h5", libver)
    for cut in range(100, len(raw), 397):
        assert status(raw[:cut], "model.h5") >= Status.UNDECIDED


def _files() -> list[bytes]:
    made = []
    for libver in VERSIONS:
        out = io.BytesIO()
        with h5py.File(out, "w", libver=libver) as file:
            file.attrs["model_config"] = config(DENSE)
            for index in range(12):
                group = file.create_group(f"g{index}")
                group.attrs["note"] = "x" * index
                group["link"] = h5py.SoftLink("/x")
        made.append(out.getvalue())
    return made


@settings(max_examples=150, deadline=None)
@given(damaged(_files()))
def test_damage_is_borne(raw: bytes) -> None:
    """Parts or our error, whatever is broken."""
    bears(raw, "model.h5")
