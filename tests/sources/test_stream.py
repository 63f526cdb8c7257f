"""A stream becomes a file that nobody else can find."""

from __future__ import annotations

import io
import tempfile

import pytest

from safeload.core.errors import SourceError
from safeload.sources.stream import StreamSnapshot


def test_the_bytes_are_those_of_the_stream() -> None:
    """The one file has all of them, and no name in the file system."""
    data = bytes(range(256)) * 10_000
    with StreamSnapshot(io.BytesIO(data), name="a.bin") as snapshot, snapshot.open("a.bin") as file:
        assert (file.size, file.read_at(0, len(data)), file.real_path) == (len(data), data, "")
        assert snapshot.listing["a.bin"].size == len(data)


def test_a_stream_without_end_is_stopped() -> None:
    """More than the limit is an error, not a full disk."""
    with pytest.raises(SourceError, match="not read to its end"):
        StreamSnapshot(io.BytesIO(b"x" * 11), most=10)


def test_there_is_no_other_file_and_none_after_closing() -> None:
    """Any other name, and the right one after the end, is not found."""
    with StreamSnapshot(io.BytesIO(b"x")) as snapshot, pytest.raises(SourceError):
        snapshot.open("other")
    with pytest.raises(SourceError):
        snapshot.open("stdin")


def test_no_place_for_temporary_files_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be written, not even looked for a place, the error is ours."""

    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_get_default_tempdir", nowhere)
    with pytest.raises(SourceError, match="standard input was not read"):
        StreamSnapshot(io.BytesIO(b"x"))


class Broken(io.RawIOBase):
    """A stream that fails."""

    def read(self, size: int = -1) -> bytes:
        raise OSError(5, "input/output error")


def test_a_stream_that_fails_is_our_error() -> None:
    """A broken pipe or disk is said as such."""
    with pytest.raises(SourceError):
        StreamSnapshot(Broken())
