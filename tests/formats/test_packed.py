"""Compressed pickles: every compression that joblib writes, damage, trailing bytes, bombs and reading anywhere."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import random
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import lz4.frame
import numpy
import pytest

from safeload.core.blob import MemoryBlob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Opaque, PickleStream, Text
from safeload.formats.tree import named_tensors, tree
from safeload.formats.unpack import BZIP2, GZIP, LZ4, LZMA, XZ, ZLIB, Method, Unpacking
from tests.corpus.build import Payload, payload
from tests.formats.helpers import data, kinds, of, reading, runs_system, value_of
from tests.formats.joblib_files import joblib_dump

Pack = Callable[[bytes], bytes]


def _alone(raw: bytes) -> bytes:
    return lzma.compress(raw, lzma.FORMAT_ALONE)


def _summed(raw: bytes) -> bytes:
    """joblib writes no checksum; without one, nobody can notice damage within a literal."""
    return lz4.frame.compress(raw, content_checksum=True)


WAYS: tuple[tuple[str, Pack, Method], ...] = (
    ("gzip", gzip.compress, GZIP),
    ("bzip2", bz2.compress, BZIP2),
    ("xz", lzma.compress, XZ),
    ("lz4", _summed, LZ4),
    ("lzma", _alone, LZMA),
    ("zlib", zlib.compress, ZLIB),
)
each = pytest.mark.parametrize(("name", "pack", "method"), WAYS, ids=[way[0] for way in WAYS])


@each
def test_a_packed_pickle_is_seen(name: str, pack: Pack, method: Method) -> None:
    """A call in a compressed pickle is in the trace, whatever the file is called."""
    for file in ("x.joblib", "x.bin", "x.pkl.gz"):
        result = reading(pack(payload()), file)
        assert result.formats[0] == name and runs_system(result) and result.fault is None


@each
def test_packed_arrays_of_joblib_are_tensors(name: str, pack: Pack, method: Method) -> None:
    """Arrays that stand between the opcodes equal those that were saved, rows or columns first, small or large."""
    saved = {"a": numpy.arange(30_000.0).reshape(30, 1000), "b": numpy.asfortranarray(numpy.ones((3, 4), ">i4"))}
    result = reading(pack(joblib_dump(saved)), "x.joblib")
    named = named_tensors(tree(data(result)))
    assert result.fault is None and not kinds(result) and list(named) == ["a", "b"]
    for key, array in saved.items():
        assert numpy.array_equal(value_of(named[key]).numpy(), array)


@each
def test_a_packed_pickle_that_is_cut_is_read_as_far_as_it_goes(name: str, pack: Pack, method: Method) -> None:
    """What a truncated file says before its end is judged, and the fault says that it is cut."""
    noise = numpy.random.default_rng(0).bytes(300_000)
    raw = pack(payload()[:-1] + b"0") + pack(pickle.dumps(noise, 3)[2:])
    result = reading(raw[: len(raw) * 4 // 5], "x.pkl")
    assert runs_system(result) and result.fault is not None


@each
def test_a_packed_pickle_that_is_damaged_is_refused(name: str, pack: Pack, method: Method) -> None:
    """Damage in the middle is our error, with the place, or leaves nothing that is a pickle."""
    noise = numpy.random.default_rng(0).bytes(300_000)
    raw = bytearray(pack(pickle.dumps(noise)))
    raw[len(raw) // 2 : len(raw) // 2 + 64] = bytes(64)
    result = reading(bytes(raw), "x.pkl")
    assert result.fault is not None or of(result, Opaque, what=name)


@each
def test_streams_follow_each_other(name: str, pack: Pack, method: Method) -> None:
    """Two compressed streams are one content, as their readers see it."""
    raw = payload()
    assert runs_system(reading(pack(raw[:20]) + pack(raw[20:]), "x.pkl"))


@each
def test_bytes_behind_a_stream_are_reported(name: str, pack: Pack, method: Method) -> None:
    """What follows a stream and is none is not passed over."""
    assert "trailing-data" in kinds(reading(pack(payload()) + b"and something else", "x.pkl"))


class _Once:
    """An engine that is of no use after a failure, and says so by a `ValueError`: those of newer Pythons."""

    def __init__(self, engine: Any) -> None:
        self._engine, self._failed = engine, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    @property
    def needs_input(self) -> bool:
        return not self._failed and bool(self._engine.needs_input)

    def copy(self) -> _Once:
        return _Once(self._engine.copy())

    def decompress(self, source: bytes, most: int) -> bytes:
        if self._failed:
            raise ValueError("Decompressor is unusable after a previous error")
        self._failed = True
        data: bytes = self._engine.decompress(source, most)
        self._failed = False
        return data


@each
def test_an_engine_that_failed_is_not_asked_again(name: str, pack: Pack, method: Method) -> None:
    """What is no further stream ends the content, however often it is read; damage is damage."""
    once = method._replace(start=lambda: _Once(method.start()))
    raw = payload() * 3
    unpacking = Unpacking(MemoryBlob(pack(raw) + b"and something else"), once, 0, Location("x"))
    for _ in range(2):
        assert unpacking.measure(1 << 20) == (len(raw), None) and unpacking.trailing
        assert unpacking.read_at(0, len(raw) + 9) == raw
        assert unpacking.read_at(len(raw) - 1, 9) == raw[-1:]
    packed = bytearray(pack(raw))
    packed[:4] = b"\xff\xff\xff\xff"
    broken = Unpacking(MemoryBlob(bytes(packed)), once, 99, Location("x"))
    with pytest.raises(MalformedInput, match="cannot be unpacked"):
        broken.read_at(0, 9)


@each
def test_damage_is_damage_however_often_it_is_read(name: str, pack: Pack, method: Method) -> None:
    """An engine that failed has taken its input: asked again, it has nothing, and that is no end of the content."""
    raw = bytes(random.Random(1).choices(b"abcdefgh ", k=200_000))
    packed = bytearray(pack(raw))
    middle = len(packed) // 2
    packed[middle : middle + 40] = bytes(40)
    broken = Unpacking(MemoryBlob(bytes(packed)), method, len(raw), Location("x"))
    told = set()
    for _ in range(4):
        with pytest.raises(MalformedInput) as error:
            broken.read_at(0, len(raw))
        told.add(str(error.value))
    assert len(told) == 1
    if name != "bzip2":  # whose first block is the damaged one
        assert broken.read_at(0, 10) == raw[:10]
    with pytest.raises(MalformedInput):
        broken.read_at(len(raw) - 5, 5)


@each
def test_packed_pickles_expand_within_limits(name: str, pack: Pack, method: Method) -> None:
    """A bomb stops at the limit, in little memory."""
    raw = pack(b"\x80\x04\x8e" + (70 << 20).to_bytes(8, "little") + bytes(70 << 20) + b".")
    tracemalloc.start()
    result = reading(raw, "x.pkl", Limits(expansion=1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(result.fault, LimitExceeded) and peak < 60 << 20


def test_packed_opcodes_are_bounded() -> None:
    """A few kilobytes cannot become gigabytes of objects."""
    raw = zlib.compress(b"\x80\x02(" + b"]" * (8 << 20) + b"l.")
    result = reading(raw, "x.pkl", Limits(opcodes=5_000_000))
    assert isinstance(result.fault, LimitExceeded) and result.fault.limit == "opcodes"


@each
def test_other_packed_data_is_read_like_a_file(name: str, pack: Pack, method: Method) -> None:
    """Compressed data that is no pickle is read in whatever format it is."""
    result = reading(pack(b"prose" * 100), "x.txt.gz")
    assert result.formats[0] == name and result.fault is None
    (text,) = of(result, Text)
    assert text.location == Location("x.txt.gz", "x.txt") and not of(result, PickleStream)


@each
def test_content_can_be_read_anywhere(name: str, pack: Pack, method: Method) -> None:
    """Forwards, a little backwards, far backwards and past the end."""
    raw = numpy.random.default_rng(1).bytes(1 << 16) * (6 << 4)
    content = Unpacking(MemoryBlob(pack(raw)), method, 0, Location("x"))
    assert content.measure(len(raw)) == (len(raw), None)
    for at, length in (
        (0, 10),
        (5 << 20, 100),
        ((5 << 20) - 70, 300_000),
        (5, 70_000),
        (len(raw) - 3, 9),
        (len(raw), 1),
    ):
        assert content.read_at(at, length) == raw[at : at + length]


def test_reading_on_does_not_begin_again() -> None:
    """Small steps back cost nothing: the whole is unpacked once."""
    raw = numpy.random.default_rng(1).bytes(4 << 20)
    blob = MemoryBlob(bz2.compress(raw))
    taken = []
    content = Unpacking(blob, BZIP2, len(raw), Location("x"))
    for at in range(0, len(raw) - 70_000, 65_000):
        taken.append(content.read_at(at, 65_536))
    assert content._given <= len(raw) and b"".join(piece[:65_000] for piece in taken) == raw[: 65_000 * len(taken)]


@each
def test_any_beginning_of_a_stream_is_an_error_or_data(name: str, pack: Pack, method: Method) -> None:
    """Every truncation of a small stream, and every byte of it changed, gives data or our error."""
    raw = pack(payload())
    for at in range(len(raw)):
        for damaged in (raw[:at], raw[:at] + bytes((raw[at] ^ 0xFF,)) + raw[at + 1 :]):
            content = Unpacking(MemoryBlob(damaged), method, 1 << 16, Location("x"))
            try:
                content.read_at(0, 1 << 16)
            except MalformedInput as error:
                assert error.where == Location("x")


def test_an_xz_stream_cannot_ask_for_gigabytes() -> None:
    """A dictionary of more than 256 MiB is refused."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
    out = io.BytesIO(lzma.compress(payload(), filters=filters)).getvalue()
    assert runs_system(reading(out, "x.pkl"))
    alone = bytearray(_alone(payload()))
    alone[1:5] = (1 << 30).to_bytes(4, "little")
    content = Unpacking(MemoryBlob(bytes(alone)), LZMA, 100, Location("x"))
    with pytest.raises(MalformedInput):
        content.read_at(0, 100)


def test_structured_and_object_arrays_of_joblib_are_taken_apart() -> None:
    """Fields are named after the array, and so are the arrays within an array of objects."""
    nodes = numpy.zeros(3, numpy.dtype([("left", "<i8"), ("threshold", "<f8"), ("leaf", "u1")], align=True))
    nodes["threshold"] = [0.5, 1.5, 2.5]
    inner = numpy.empty(2, object)
    inner[:] = [numpy.arange(3), {"w": numpy.ones(2, "f4")}]
    result = reading(joblib_dump({"nodes": nodes, "objects": inner, "after": numpy.ones(1)}), "x.joblib")
    named = named_tensors(tree(data(result)))
    assert result.fault is None
    assert list(named) == [
        "nodes.left",
        "nodes.threshold",
        "nodes.leaf",
        "objects.0",
        "objects.1.w",
        "after",
    ]
    assert value_of(named["nodes.threshold"]).tolist() == [0.5, 1.5, 2.5]
    assert value_of(named["objects.0"]).tolist() == [0, 1, 2]


def test_calls_in_arrays_of_objects_are_seen() -> None:
    """The pickle of an array of objects is judged as any other."""
    evil = numpy.empty(1, object)
    evil[0] = Payload()
    assert runs_system(reading(joblib_dump({"x": evil}), "x.joblib"))
    assert runs_system(reading(gzip.compress(joblib_dump({"x": evil})), "x.joblib"))
