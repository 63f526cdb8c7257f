"""`safeload.pandas.read_pickle`: every compression that pandas writes; nothing else."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest

from safeload import pandas as safe_pandas
from safeload.core.errors import MalformedInput, PolicyDenied, SafeloadError, UsageError

pandas = pytest.importorskip("pandas")


class _Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        import os

        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("ending", ("pkl", "pkl.gz", "pkl.bz2", "pkl.xz", "pkl.zip", "pkl.zst", "pkl.tar"))
def test_what_to_pickle_wrote_comes_back(ending: str, tmp_path: Path) -> None:
    """Whatever it was compressed with."""
    if ending.endswith("zst"):
        pytest.importorskip("zstandard")
    frame = pandas.DataFrame({"a": [1, 2], "s": ["x", None]})
    frame.to_pickle(tmp_path / f"frame.{ending}")
    pandas.testing.assert_frame_equal(safe_pandas.read_pickle(tmp_path / f"frame.{ending}"), frame)


@pytest.mark.parametrize("ending", ("pkl", "pkl.gz", "pkl.zip"))
def test_what_would_run_is_refused(ending: str, marker: Path, tmp_path: Path) -> None:
    """A call is refused, in an archive as well, and nothing runs."""
    pandas.to_pickle([_Evil(marker)], tmp_path / f"evil.{ending}")
    with pytest.raises(PolicyDenied):
        safe_pandas.read_pickle(tmp_path / f"evil.{ending}")


def test_archives_of_several_files_are_refused(tmp_path: Path) -> None:
    """pandas writes one file, and reads no more."""
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a", pickle.dumps([1]))
        archive.writestr("b", pickle.dumps([2]))
    with pytest.raises(MalformedInput):
        safe_pandas.read_pickle(tmp_path / "two.zip")


def test_what_is_no_pickle_is_refused(tmp_path: Path) -> None:
    """A file of text, an empty one."""
    for data in (b"a,b\n1,2\n", b""):
        (tmp_path / "frame.pkl").write_bytes(data)
        with pytest.raises(SafeloadError):
            safe_pandas.read_pickle(tmp_path / "frame.pkl")


@pytest.mark.parametrize("wrong", ({"compression": "gzip"}, {"compression": None}, {"storage_options": {"anon": True}}))
def test_what_cannot_be_honoured_is_refused(wrong: dict[str, Any]) -> None:
    """A compression that is named, and options of a network."""
    with pytest.raises(UsageError):
        safe_pandas.read_pickle(pickle.dumps([1]), **wrong)


def test_only_the_reader_is_there() -> None:
    """Everything else is pandas' own."""
    assert dir(safe_pandas) == ["read_pickle"]
    with pytest.raises(AttributeError):
        _ = safe_pandas.DataFrame
