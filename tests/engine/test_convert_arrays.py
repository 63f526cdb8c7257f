"""Checkpoints of arrays, which torch did not write: joblib, Flax, numpy's own files."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
from safetensors.numpy import load_file

from safeload.engine.convert.job import convert
from tests.formats.joblib_files import joblib_dump
from tests.formats.test_flax import pack

VALUES = {
    "weights": np.arange(12, dtype=np.float32).reshape(3, 4),
    "columns": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
    "bias": np.ones(3, np.float16),
}


def outcome(folder: Path, name: str, data: bytes) -> dict[str, np.ndarray]:
    """What converting a file of these bytes gives."""
    (folder / name).write_bytes(data)
    return load_file(folder / convert(folder / name).files[0].path)


def same(found: dict[str, np.ndarray], prefix: str = "") -> None:
    assert set(found) == {prefix + name for name in VALUES}
    for name, array in VALUES.items():
        assert found[prefix + name].dtype == array.dtype
        assert np.array_equal(found[prefix + name], array), name


@pytest.mark.parametrize(
    "compress",
    [
        bytes,
        zlib.compress,
        gzip.compress,
        bz2.compress,
        lzma.compress,
        lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
        lz4.frame.compress,
    ],
    ids=["raw", "zlib", "gzip", "bz2", "xz", "lzma", "lz4"],
)
def test_joblib_files_give_their_arrays(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    """Raw or compressed in any way that joblib does, in C or Fortran order."""
    same(outcome(tmp_path, "m.joblib", compress(joblib_dump(VALUES))))


def test_flax_files_give_their_arrays(tmp_path: Path) -> None:
    """Names of nested maps are joined by dots."""
    same(outcome(tmp_path, "flax_model.msgpack", pack({"params": VALUES})), "params.")


def test_numpy_archives_give_their_arrays(tmp_path: Path) -> None:
    """`.npz` members are tensors under their names, `.npy` is one tensor."""
    file = io.BytesIO()
    np.savez(file, **VALUES)
    same(outcome(tmp_path, "m.npz", file.getvalue()))
    file = io.BytesIO()
    np.save(file, VALUES["columns"])
    assert np.array_equal(outcome(tmp_path, "one.npy", file.getvalue())["array"], VALUES["columns"])
