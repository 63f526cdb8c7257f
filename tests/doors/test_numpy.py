"""`safeload.numpy.load` against `numpy.load`: the same arrays, objects included, and nothing unpickled."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload import Options, PolicyDenied, UsageError
from safeload import numpy as safe_numpy
from safeload.core.errors import MalformedInput, SafeloadError

ARRAYS: dict[str, Any] = {
    "plain": numpy.arange(24.0).reshape(2, 3, 4),
    "columns": numpy.asfortranarray(numpy.ones((3, 2))),
    "texts": numpy.array(["x", "yy"]),
    "bytes": numpy.array([b"ab", b"c"]),
    "objects": numpy.array([1, "a", None, {"b": [1]}, numpy.float32(2)], dtype=object),
    "table": numpy.array([(1, 2.0, "z")], dtype=[("a", "i4"), ("b", ">f8"), ("c", "U3")]),
    "nested": numpy.zeros(2, dtype=[("a", [("b", "i2", (2, 3))]), (("title", "d"), "u1")]),
    "aligned": numpy.zeros(3, dtype=numpy.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "times": numpy.array(["2026-11-28", "NaT"], dtype="M8[25s]"),
    "durations": numpy.array([3], dtype="m8[D]"),
    "empty": numpy.zeros((0, 3)),
    "scalar": numpy.array(3),
    "booleans": numpy.array([True, False]),
    "complex": numpy.array([1j]),
    "half": numpy.array([1.5], dtype="f2"),
    "turned": numpy.arange(3, dtype=">i2"),
    "void": numpy.array([b"abc"], dtype="V3"),
}


def saved(array: Any) -> bytes:
    file = io.BytesIO()
    numpy.save(file, array)
    return file.getvalue()


def same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    assert one.strides == other.strides or not one.size
    assert repr(one.tolist()) == repr(other.tolist())


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_what_numpy_gives(name: str) -> None:
    """Every kind of element, from memory."""
    data = saved(ARRAYS[name])
    same(safe_numpy.load(data), numpy.load(io.BytesIO(data), allow_pickle=True))


def test_arrays_follow_each_other_in_a_stream() -> None:
    """A stream stands behind the array that was read."""
    file = io.BytesIO(saved(ARRAYS["plain"]) + saved(ARRAYS["objects"]) + saved(ARRAYS["texts"]) + b"rest")
    for name in ("plain", "objects", "texts"):
        same(safe_numpy.load(file), ARRAYS[name])
    assert file.read() == b"rest"


@pytest.mark.parametrize("save", [numpy.savez, numpy.savez_compressed])
def test_collections_are_read_array_by_array(save: Any, tmp_path: Path) -> None:
    """An `.npz` is a mapping, whose arrays are those of numpy's."""
    path = tmp_path / "a.npz"
    save(path, **ARRAYS)
    with safe_numpy.load(path) as found:
        assert sorted(found.files) == sorted(ARRAYS)
        assert "plain" in found
        assert "plain.npy" in found
        assert "none" not in found
        for name, array in found.items():
            same(array, ARRAYS[name])
        with pytest.raises(KeyError):
            found["none"]
    with pytest.raises(SafeloadError):
        found["plain"]


def test_a_collection_that_changes_is_noticed(tmp_path: Path) -> None:
    """Each access says if the file is no longer what was judged."""
    path = tmp_path / "a.npz"
    numpy.savez(path, a=numpy.zeros(3))
    found = safe_numpy.load(path)
    os.utime(path)
    with pytest.raises(SafeloadError, match="no longer"):
        found["a"]
    with pytest.raises(SafeloadError, match="no longer"):
        found.close()


def test_mapped_arrays_never_write_to_the_file(tmp_path: Path) -> None:
    """`r` cannot be written to, `c` writes to memory; other modes are refused."""
    path = tmp_path / "a.npy"
    numpy.save(path, ARRAYS["columns"])
    before = path.read_bytes()
    mapped = safe_numpy.load(path, mmap_mode="r")
    assert isinstance(mapped, numpy.memmap)
    assert not mapped.flags.writeable
    copied = safe_numpy.load(path, mmap_mode="c")
    copied[:] = 7
    same(numpy.asarray(mapped), ARRAYS["columns"])
    assert path.read_bytes() == before
    for mode in ("r+", "w+", "readwrite", "nonsense"):
        with pytest.raises(UsageError, match="write"):
            safe_numpy.load(path, mmap_mode=mode)


def test_what_others_can_write_is_not_mapped(tmp_path: Path) -> None:
    """An array that somebody else could change afterwards is not handed out, unless it is asked for."""
    folder = tmp_path / "open"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    path = folder / "a.npy"
    numpy.save(path, ARRAYS["plain"])
    with pytest.raises(UsageError, match="others can write"):
        safe_numpy.load(path, mmap_mode="r")
    assert isinstance(safe_numpy.load(path, mmap_mode="r", safeload=Options(integrity="pinned")), numpy.memmap)
    with pytest.raises(UsageError, match="private"):
        safe_numpy.load(path, mmap_mode="r", safeload=Options(integrity="private"))
    with pytest.raises(UsageError, match="named"):
        safe_numpy.load(io.BytesIO(path.read_bytes()), mmap_mode="r")


@pytest.mark.parametrize("allow_pickle", [True, False])
def test_objects_that_act_are_refused(allow_pickle: bool, marker: Path) -> None:
    """`allow_pickle=True` allows nothing more."""

    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {marker}",)

    with pytest.raises(PolicyDenied):
        safe_numpy.load(saved(numpy.array([Evil()], dtype=object)), allow_pickle=allow_pickle)


def _npy(header: str, data: bytes = b"", version: int = 1) -> bytes:
    text = header.encode()
    return b"\x93NUMPY" + bytes((version, 0)) + len(text).to_bytes(2 if version == 1 else 4, "little") + text + data


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1 << 60,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 4)}",
        "{'descr': '<f8', 'fortran_order': 1, 'shape': (1,)}",
        "{'descr': 'os.system', 'fortran_order': False, 'shape': ()}",
        "{'descr': '<q9', 'fortran_order': False, 'shape': ()}",
        "{'descr': [('a', '<f8'), ('a', '<f8')], 'fortran_order': False, 'shape': ()}",
        "{'descr': [('a', '<f8', (-1,))], 'fortran_order': False, 'shape': ()}",
        "{'descr': " + "[('a', " * 40 + "'<f8'" + ")]" * 40 + ", 'fortran_order': False, 'shape': ()}",
        "{'descr': __import__('os').system('x'), 'fortran_order': False, 'shape': ()}",
        "{'descr': '<M8[99999999999s]', 'fortran_order': False, 'shape': (1,)}",
        "{}",
        "",
    ],
)
def test_headers_that_lie_are_refused(header: str) -> None:
    """No array is made of what a header merely claims."""
    with pytest.raises(SafeloadError):
        safe_numpy.load(_npy(header, b"\0" * 8))


def test_long_headers_are_the_callers_to_allow() -> None:
    """`max_header_size` means what it means to numpy."""
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}" + " " * 20_000
    with pytest.raises(MalformedInput, match="header"):
        safe_numpy.load(_npy(header, b"\0" * 8))
    assert safe_numpy.load(_npy(header, b"\0" * 8), max_header_size=30_000).tolist() == [0.0]


@given(st.binary(max_size=200), st.integers(0, 150))
def test_any_bytes_give_an_array_or_our_error(noise: bytes, at: int) -> None:
    """Whatever the bytes are, there is a value or an error of ours."""
    data = bytearray(saved(ARRAYS["table"]))
    data[at : at + len(noise)] = noise
    for one in (bytes(data), b"\x93NUMPY" + noise):
        try:
            safe_numpy.load(one)
        except SafeloadError as error:
            assert str(error)


def test_arguments_that_cannot_be_honoured_are_refused(tmp_path: Path) -> None:
    """Nothing is ignored."""
    for arguments in ({"encoding": "utf-8"}, {"unknown": "x"}, {"safeload": 1}):
        with pytest.raises(UsageError):
            safe_numpy.load(saved(ARRAYS["plain"]), **arguments)
    with pytest.raises(UsageError):
        safe_numpy.load(io.StringIO("x"))
    with pytest.raises(SafeloadError):
        safe_numpy.load(tmp_path / "missing.npy")
