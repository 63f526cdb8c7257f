"""`safeload.joblib.load` against `joblib.load`: the same values from every way of writing, and nothing run."""

from __future__ import annotations

import inspect
import io
import os
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy
import pytest

from safeload import PolicyDenied, UsageError
from safeload import joblib as safe_joblib
from safeload.core.errors import MalformedInput, SafeloadError

VALUE: dict[str, Any] = {
    "plain": numpy.arange(24.0).reshape(2, 3, 4),
    "columns": numpy.asfortranarray(numpy.ones((3, 2))),
    "texts": numpy.array(["x", "yy"]),
    "objects": numpy.array([1, "a", None, {"b": [numpy.arange(3)]}], dtype=object),
    "table": numpy.zeros(3, dtype=[("a", "i4"), ("b", "f8", (2,)), ("c", "U3")]),
    "times": numpy.array(["2026-11-28"], dtype="M8[s]"),
    "empty": numpy.zeros((0, 3)),
    "scalar": numpy.array(3),
    "turned": numpy.arange(3, dtype=">i2"),
    "matrix": numpy.arange(2).reshape(1, 2).view(numpy.matrix),
    "number": numpy.float64(2),
    "data": [1, {2}, (None, "x")],
}
BYTE_ORDER = "ensure_native_byte_order" in inspect.signature(joblib.load).parameters
WAYS = [0, 3, ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3), ("lz4", 3), ("zlib", 9)]


def same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, numpy.ndarray):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.strides == other.strides or not one.size
        assert repr(one.tolist()) == repr(other.tolist())
    else:
        assert repr(one) == repr(other)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("protocol", [0, 2, pickle.HIGHEST_PROTOCOL])
def test_every_way_of_writing_is_read(way: Any, protocol: int, tmp_path: Path) -> None:
    """Plain and compressed, in old and new protocols, from a path, an open file, and bytes."""
    path = tmp_path / "a.joblib"
    joblib.dump(VALUE, path, compress=way, protocol=protocol)
    expected = joblib.load(path)
    with path.open("rb") as file:
        for found in (safe_joblib.load(path), safe_joblib.load(file), safe_joblib.load(path.read_bytes())):
            assert list(found) == list(expected)
            for name in expected:
                same(found[name], expected[name])


def test_what_is_one_object_to_joblib_is_one_here(tmp_path: Path) -> None:
    """joblib writes a shared array each time it meets it; other objects stay shared."""
    array, data = numpy.arange(3), [1]
    joblib.dump([array, array, data, {"again": data}], tmp_path / "a")
    found, expected = safe_joblib.load(tmp_path / "a"), joblib.load(tmp_path / "a")
    assert (found[0] is found[1]) == (expected[0] is expected[1])
    assert found[2] is found[3]["again"]


def test_arrays_are_mapped_where_that_is_asked_for(tmp_path: Path) -> None:
    """Each array of a plain file is a map of its place; a compressed file is refused."""
    path = tmp_path / "a.joblib"
    joblib.dump(VALUE, path)
    found, expected = safe_joblib.load(path, mmap_mode="r"), joblib.load(path, mmap_mode="r")
    for name in ("plain", "columns", "table", "turned"):
        assert isinstance(found[name], numpy.memmap)
        assert not found[name].flags.writeable
        if name != "turned" or BYTE_ORDER:  # before it could be told, joblib turned mapped arrays as well
            same(found[name], expected[name])
    same(found["objects"], expected["objects"])
    joblib.dump(VALUE, path, compress=3)
    with pytest.raises(UsageError, match="compressed"):
        safe_joblib.load(path, mmap_mode="r")
    with pytest.raises(UsageError, match="write"):
        safe_joblib.load(path, mmap_mode="r+")


@pytest.mark.skipif(not BYTE_ORDER, reason="newer than the installed joblib")
def test_byte_order_is_turned_as_joblib_turns_it(tmp_path: Path) -> None:
    """Arrays of the other order come back in this machine's, unless that is not wanted."""
    path = tmp_path / "a.joblib"
    joblib.dump(VALUE["turned"], path)
    for wanted in (True, False, "auto"):
        same(
            safe_joblib.load(path, ensure_native_byte_order=wanted),
            joblib.load(path, ensure_native_byte_order=wanted),
        )
    with pytest.raises(UsageError):
        safe_joblib.load(path, ensure_native_byte_order="yes")
    with pytest.raises(UsageError):
        safe_joblib.load(path, ensure_native_byte_order=True, mmap_mode="r")


class _Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_payloads_are_refused_wherever_they_stand(way: Any, tmp_path: Path, marker: Path) -> None:
    """Beside arrays, in arrays of objects, compressed or not."""
    for value in (
        [numpy.arange(3), _Evil(marker)],
        numpy.array([_Evil(marker)], dtype=object),
        {"a": numpy.array([[_Evil(marker), numpy.arange(2)]], dtype=object)},
    ):
        path = tmp_path / "a.joblib"
        joblib.dump(value, path, compress=way)
        with pytest.raises(PolicyDenied):
            safe_joblib.load(path)


def _patched(tmp_path: Path, old: bytes, new: bytes, value: Any = None) -> bytes:
    path = tmp_path / "a.joblib"
    joblib.dump(VALUE["plain"] if value is None else value, path)
    data = path.read_bytes()
    assert old in data
    return data.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"K\x02K\x03K\x04\x87", b"K\x02K\x03K\x05\x87"),
        (b"K\x02K\x03K\x04\x87", b"K\x02K\x03K\xff\x87"),
        (b"K\x02K\x03K\x04\x87", b"K\x02K\x03N\x87"),
        (b"K\x02K\x03K\x04\x87", b"K\x02K\x03\x89\x87"),
        (b"\x8c\x02f8", b"\x8c\x02O8"),
        (b"\x8c\x02f8", b"\x8c\x02zz"),
        (b"\x8c\x01C", b"\x8c\x01K"),
        (b"\x8c\x07ndarray", b"\x8c\x07ndbrray"),
    ],
)
def test_wrappers_that_lie_are_refused(old: bytes, new: bytes, tmp_path: Path) -> None:
    """A shape, type, order or class that does not fit the bytes makes no array."""
    with pytest.raises(SafeloadError):
        safe_joblib.load(_patched(tmp_path, old, new))


def test_files_that_end_early_are_refused(tmp_path: Path) -> None:
    """An array is never longer than its file."""
    joblib.dump(VALUE, tmp_path / "a")
    data = (tmp_path / "a").read_bytes()
    for cut in range(10, len(data), 97):
        with pytest.raises(SafeloadError):
            safe_joblib.load(data[:cut])


def test_what_is_no_pickle_is_said_to_be_none(tmp_path: Path) -> None:
    """Another format is named, with the loader for it."""
    numpy.save(tmp_path / "a.npy", numpy.arange(3))
    with pytest.raises(MalformedInput, match=r"safeload\.numpy\.load"):
        safe_joblib.load(tmp_path / "a.npy")
    with pytest.raises(SafeloadError):
        safe_joblib.load(io.BytesIO(b""))
