"""What one more small file costs a scan, counted in lines and calls: it may not creep up again."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from safeload.core.finding import Status
from safeload.engine.scan import scan
from tests import effort


def _config(number: int) -> bytes:
    return json.dumps({"model_type": "bert", "hidden_size": number, "layers": list(range(20))}).encode()


def _pickle(number: int) -> bytes:
    return pickle.dumps({"step": number, "names": ["a", "b"], "losses": [0.5] * 20})


def _archive(number: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"step": number}, protocol=2))
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")
    return stream.getvalue()


KINDS: dict[str, tuple[Callable[[int], bytes], int, int]] = {
    ".json": (_config, 720, 335),
    ".pkl": (_pickle, 1_110, 480),
    ".pt": (_archive, 1_460, 830),
}
"""How files of a kind are made, and how many lines and calls one of them may take."""


@pytest.mark.parametrize("suffix", KINDS)
def test_one_more_small_file_costs_little(tmp_path: Path, suffix: str) -> None:
    """The difference between thirty files and ten, so that starting and the first of its kind do not count."""
    make, lines, calls = KINDS[suffix]
    spent = {}
    for count in (10, 30):
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            (folder / f"{number}{suffix}").write_bytes(make(number))
        assert scan(folder).status is Status.SAFE  # and everything that this needs is imported now

        def again(folder: Path = folder) -> None:
            scan(folder)

        spent[count] = effort.lines(again), effort.calls(again)
    assert (spent[30][0] - spent[10][0]) / 20 <= lines
    assert (spent[30][1] - spent[10][1]) / 20 <= calls
