"""Pseudo-source is shown and never run; whatever fickling makes of a pickle, nothing acts and nothing is raised."""

from __future__ import annotations

import json
import pickle
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safeload.cli.main import main
from safeload.core.blob import MemoryBlob
from safeload.core.errors import UsageError
from safeload.core.graph import Reading
from safeload.core.machine import read_pickle
from safeload.core.names import Location
from safeload.rules import fickling
from safeload.rules.fickling import pseudo_source
from tests.property.test_machine_laws import streams

PLACE = Location("x.pkl")


def reading(data: bytes) -> Reading:
    return read_pickle(MemoryBlob(data), location=PLACE)


def test_a_harmless_pickle_is_python(tmp_path: Path) -> None:
    """Imports, calls and data, as somebody would write them."""
    text = pseudo_source(reading(pickle.dumps({"a": OrderedDict(x=[1, 2])})), PLACE)
    assert "from collections import OrderedDict" in text and "result = " in text


def test_a_payload_is_shown_and_does_not_run(marker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command that it would run stands there; the exit code is that of a hostile file."""
    path = marker.parent / "x.pkl"
    path.write_bytes(f"cos\nsystem\n(S'touch {marker}'\ntR.".encode())
    assert main(["inspect", "--pseudo", str(path)]) == 1
    assert f"system('touch {marker}')" in capsys.readouterr().out


def test_the_pickle_in_a_checkpoint_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its place in the archive, for people and for programs."""
    torch.save({"w": torch.ones(2)}, tmp_path / "x.pt")
    assert main(["inspect", "--json", "--pseudo", str(tmp_path / "x.pt")]) == 0
    (one,) = json.loads(capsys.readouterr().out)["pseudo"]
    assert "data.pkl" in one["place"] and "_rebuild_tensor_v2" in one["source"]


def test_without_being_asked_nothing_is_decompiled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """fickling is not even imported."""
    torch.save({"w": torch.ones(2)}, tmp_path / "x.pt")
    monkeypatch.setitem(sys.modules, "fickling.fickle", None)
    assert main(["inspect", "--json", str(tmp_path / "x.pt")]) == 0
    assert json.loads(capsys.readouterr().out)["pseudo"] == []


def test_text_of_the_file_cannot_steer_a_terminal() -> None:
    """Escape sequences, line ends and reversed text in names and strings are shown as escapes."""
    text = pseudo_source(reading(b"c\xe2\x80\xaeevil\nna\x1b[31mme\n(S'\\x1b[2J\\r'\ntR."), PLACE)
    assert not {"\x1b", "\r", "\u202e"} & set(text)


def test_what_is_too_long_is_not_decompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle beyond the limits gets a comment with its size."""
    monkeypatch.setattr(fickling, "_OPCODES", 5)
    assert pseudo_source(reading(pickle.dumps([1, 2, 3])), PLACE).startswith("# not decompiled")


@pytest.mark.parametrize(
    "data", [b"", b".", b"\x80\x04", b"hello", b"(" * 3000 + b"t" * 3000 + b".", b"]" * 99 + b"a" * 98]
)
def test_what_cannot_be_followed_is_a_comment(data: bytes) -> None:
    """Damaged and senseless pickles, and those nested deeper than Python's stack."""
    assert pseudo_source(reading(data), PLACE).startswith("#") or data.startswith((b"]", b"("))


@pytest.mark.parametrize("tuple_of", [b"h\0h\0\x86", b"](h\0h\0e", b"}(h\0h\0h\0h\0u"])
def test_what_would_be_vast_is_not_written_out(tuple_of: bytes) -> None:
    """Sixty pairs within each other are a short pickle, and more text than there are disks."""
    text = pseudo_source(reading(b"\x80\x02)" + (b"q\0" + tuple_of) * 60 + b"."), PLACE)
    assert text.startswith("#")


@given(st.binary(max_size=200) | streams)
def test_any_bytes_give_text(data: bytes) -> None:
    """Total: text, and no other error; the canary hears whatever acts."""
    assert isinstance(pseudo_source(reading(data), PLACE), str)


def test_without_fickling_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing, and the command that installs it."""
    monkeypatch.setitem(sys.modules, "fickling.fickle", None)
    with pytest.raises(UsageError) as caught:
        pseudo_source(reading(b"N."), PLACE)
    assert caught.value.remedy == "pip install 'safeload[fickling]'"
