"""TensorFlow Lite: custom operators, what those of TensorFlow really run, and files appended to a model."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import pytest
from hypothesis import given, settings

from safeload.core.blob import MemoryBlob
from safeload.core.errors import MalformedInput
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Operator
from safeload.formats.flatbuffer import Tables
from safeload.formats.inside import Overdrawn
from tests.formats.damage import bears, damaged
from tests.formats.flat import Vector, flatbuffer
from tests.formats.helpers import kinds, of, reading
from tests.formats.proto import node
from tests.formats.verdicts import status


def model(*operators: tuple[int, str, bytes]) -> bytes:
    """Operators by number, name, and what they are told."""
    codes = Vector({0: min(number, 127), 1: name, 3: number} for number, name, _ in operators)
    used = Vector({0: index, 5: options} for index, (_, _, options) in enumerate(operators))
    root: dict[int, Any] = {
        0: 3,
        1: codes,
        2: Vector([{3: used, 4: "main"}]),
        3: "a model",
        4: Vector([{0: b"\0" * 16}]),
    }
    return flatbuffer(root, b"TFL3")


def appended(raw: bytes, **members: bytes) -> bytes:
    out = io.BytesIO(raw)
    with zipfile.ZipFile(out, "a") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


PLAIN = model((3, "", b""), (150, "", b""), (32, "TFLite_Detection_PostProcess", b"\1"))


def test_a_plain_model_is_safe() -> None:
    """Built-in operators are the runtime's own; a model of them that was read to its end is data."""
    result = reading(PLAIN, "model.tflite")
    assert result.formats == ("tflite",) and result.fault is None and len(of(result, Operator)) == 3
    assert status(PLAIN, "model.tflite") is Status.SAFE


def test_custom_operators_are_unverified() -> None:
    """They come from a library of somebody else."""
    assert status(model((32, "MyOp", b"")), "model.tflite") is Status.UNVERIFIED


def test_operators_of_tensorflow_are_judged_by_its_list() -> None:
    """By their names, and by the node that they carry."""
    add, write = node("AddV2", "a"), node("WriteFile", "w")
    assert status(model((32, "FlexAddV2", add)), "model.tflite") is Status.SAFE
    assert status(model((32, "FlexWriteFile", b"")), "model.tflite") is Status.DANGEROUS
    assert status(model((32, "FlexAddV2", b"\7AddV2\0" + write)), "model.tflite") is Status.DANGEROUS


def test_appended_files_are_read() -> None:
    """Labels in an archive behind the model are usual; anything else there is judged as in any archive."""
    good = appended(PLAIN, **{"labels.txt": b"cat\ndog\n"})
    assert reading(good, "model.tflite").formats == ("tflite",) and not kinds(reading(good, "model.tflite"))
    assert status(good, "model.tflite") is Status.SAFE
    assert status(appended(PLAIN, **{"x.pkl": b"cos\nsystem\n(S'true'\ntR."}), "model.tflite") is Status.DANGEROUS
    assert status(appended(PLAIN, **{"data.pkl": b"N."}), "model.tflite") is Status.DANGEROUS  # torch reads it too


@pytest.mark.parametrize("cut", range(2, 200, 23))
def test_a_truncated_model_is_undecided(cut: int) -> None:
    """Offsets lead out of what is left."""
    assert isinstance(reading(PLAIN[:-cut], "model.tflite").fault, MalformedInput)


def test_impossible_operators_are_refused() -> None:
    """An index without a kind, and a number that no version has."""
    assert isinstance(reading(model((9999, "", b"")), "model.tflite").fault, MalformedInput)


@settings(max_examples=200, deadline=None)
@given(damaged([PLAIN, model((32, "FlexAdd", node("Add"))), appended(PLAIN, **{"labels.txt": b"x"})]))
def test_damage_is_borne(raw: bytes) -> None:
    """Parts or our error, whatever is broken."""
    bears(raw, "model.tflite")


class Shared(Tables):
    """A file in which each of many tables leads to the same many."""

    def follow(self, at: int) -> int:
        return 64


def test_offsets_that_all_lead_to_one_place_are_counted() -> None:
    """Tables that lead to one vector of tables, whose tables lead to it again, end at a limit and not after hours."""
    raw = bytes(64) + struct.pack("<I", 5_000) + bytes(4 * 5_000)
    tables = Shared(MemoryBlob(raw), Location("x"), Limits())
    with pytest.raises(Overdrawn, match="too long"):
        for _ in range(100):
            tables.slot = lambda table, index: 0  # type: ignore[method-assign]
            tables.tables(0, 0)


def test_a_long_text_is_counted_each_time() -> None:
    """Thousands of tables may have one text."""
    raw = bytes(4) + b"a" * 100_000
    tables = Tables(MemoryBlob(raw), Location("x"), Limits())
    with pytest.raises(Overdrawn):
        for _ in range(100):
            tables.take(4, 65_536)
