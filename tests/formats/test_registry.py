"""The registry: who claims a file, what happens when two do, and that anything at all can be read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import struct
import tracemalloc
import zlib
from functools import cache

import numpy
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safeload.core.blob import MemoryBlob
from safeload.core.errors import MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats import FileReading, formats, identify, read
from safeload.formats.base import Irregularity, PickleStream
from safeload.formats.tree import named_tensors, tree
from tests.corpus.build import FIXTURES, checkpoint, make_zip, many_members, payload
from tests.formats.helpers import CountingBlob, kinds, of, reading, runs_system, saved
from tests.formats.joblib_files import joblib_dump
from tests.formats.test_flax import pack as flax


def test_formats_are_found_by_their_folder() -> None:
    """Every format has a name, a title and suffixes with a dot; names are unique but for variants of one kind."""
    found = formats()
    assert {"torch-zip", "torch-legacy", "torch-tar", "safetensors", "gguf", "json", "pickle", "opaque"} <= {
        format.name for format in found
    }
    assert all(format.title and all(suffix.startswith(".") for suffix in format.suffixes) for format in found)
    assert found[-1].name == "opaque" and found[-1].fallback


def test_identifying_reads_little() -> None:
    """At most 64 KiB from each end decide what a file is."""
    blob = CountingBlob(bytes(range(256)) * 40_000)
    identify(blob, "x.bin")
    assert blob.total <= 1 << 17
    assert all(offset < 1 << 16 or offset >= blob.size - (1 << 16) for offset, _ in blob.ranges)


@pytest.mark.parametrize(
    "raw",
    [
        payload() + make_zip(checkpoint(pickle.dumps({}))),
        saved({"w": torch.ones(1)}, zipped=False) + make_zip(checkpoint(payload())),
        safetensors.torch.save({"w": torch.ones(2)}) + make_zip(checkpoint(payload())),
        b'{"a": 1}' + make_zip(checkpoint(payload())),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + make_zip(checkpoint(payload())),
    ],
    ids=["pickle", "legacy", "safetensors", "json", "gguf"],
)
@pytest.mark.parametrize("name", ["model.bin", "model.safetensors", "config.json"])
def test_an_archive_behind_another_format_is_read_as_both(raw: bytes, name: str) -> None:
    """A file that two formats claim is read by both, and said to be two things."""
    result = reading(raw, name)
    assert len(result.formats) > 1 or "zip-bytes-outside" in kinds(result)
    assert any(part.two_readings for part in of(result, Irregularity))
    assert runs_system(result)


def test_every_fixture_is_read() -> None:
    """Each fixture of the corpus gives parts or a fault, and every hostile one something to judge."""
    for name, make in FIXTURES.items():
        result = read(MemoryBlob(make()), Location(name))
        assert result.formats and (result.parts or result.fault), name
        if name.startswith("benign"):
            assert result.fault is None and not kinds(result), name


def test_a_reading_says_where() -> None:
    """Faults and parts carry the file's name."""
    for name, make in FIXTURES.items():
        result = read(MemoryBlob(make()), Location(name))
        assert all(part.location.file == name for part in result.parts)
        if result.fault is not None:
            assert isinstance(result.fault.where, Location) and result.fault.where.file == name


@pytest.mark.parametrize("name", ["hostile/bomb.bin", "hostile/deep.json"])
def test_small_hostile_files_stay_small(name: str) -> None:
    """Reading a bomb takes megabytes, not what it claims."""
    raw = FIXTURES[name]()
    tracemalloc.start()
    read(MemoryBlob(raw), Location(name))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 << 20


def test_a_million_members_stay_small() -> None:
    """A directory of a million members is refused within a few megabytes."""
    raw = many_members()
    tracemalloc.start()
    result = read(MemoryBlob(raw), Location("x.zip"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.fault is not None and peak < 10 << 20


# ── any bytes ───────────────────────────────────────────────────────────────────────────────────────────────────

_LIMITS = Limits(opcodes=20_000, nodes=20_000, members=2000, tensors=2000, streams=50)
_NAMES = st.sampled_from(
    [
        "a.bin",
        "a.safetensors",
        "a.json",
        "a.gguf",
        "a.pkl",
        "a.pt",
        "a.tar",
        "a.npy",
        "a.txt",
        "a.msgpack",
        "a.distcp",
        "a",
    ]
)


def _use(result: FileReading) -> None:
    """Do what the engine does with a reading; only our errors may come of it."""
    for part in of(result, PickleStream):
        try:
            named_tensors(tree(part, _LIMITS), _LIMITS)
        except MalformedInput as error:
            str(error)


@cache
def _real() -> tuple[bytes, ...]:
    """Real files of every format, small."""
    state = {"weight": torch.randn(3, 4), "half": torch.ones(2).half(), "view": torch.ones(4, 4).t()}
    scripted, module = io.BytesIO(), torch.nn.Sequential(torch.nn.Linear(2, 2))
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), scripted)
    array, collection = io.BytesIO(), io.BytesIO()
    numpy.save(array, numpy.zeros(3, [("a", "<f4"), ("b", ">i8", (2,))]))
    numpy.savez_compressed(collection, a=numpy.ones((20, 20)), b=numpy.array(["x"]))
    packs = (
        array.getvalue(),
        collection.getvalue(),
        flax({"params": {"w": numpy.ones((2, 3)), "n": numpy.int32(1)}, "z": 1j}),
        joblib_dump({"a": numpy.ones(9), "o": numpy.array([1, None], object)}),
        *(
            way(joblib_dump({"a": numpy.ones(9)}))
            for way in (gzip.compress, bz2.compress, lzma.compress, zlib.compress)
        ),
    )
    made = [FIXTURES[name]() for name in FIXTURES if name not in ("hostile/bomb.bin", "hostile/many-members.bin")]
    return (
        saved(state),
        saved(state, zipped=False),
        saved(module),
        saved(state, protocol=4),
        pickle.dumps(state),
        safetensors.torch.save({"w": torch.ones(3)}),
        scripted.getvalue(),
        *packs,
        *(raw for raw in made if raw and len(raw) < 50_000),
    )


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=600), _NAMES)
def test_any_bytes_can_be_read(raw: bytes, name: str) -> None:
    """Random bytes give parts or our error, never another exception."""
    _use(read(MemoryBlob(raw), Location(name), _LIMITS))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        [b"PK\x03\x04", b"GGUF\x03\0\0\0", b"\x93NUMPY\x01\0", b"\x80\x02", b"\x80\x04\x95", b"ustar", b"\x81\xa1w"]
    ),
    st.binary(max_size=300),
)
def test_any_bytes_behind_a_signature_can_be_read(signature: bytes, raw: bytes) -> None:
    """A right beginning and a wrong rest."""
    _use(read(MemoryBlob(signature + raw), Location("x.bin"), _LIMITS))


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 1), _NAMES)
def test_any_truncation_can_be_read(which: int, share: float, name: str) -> None:
    """Every real file, cut anywhere."""
    raw = _real()[which % len(_real())]
    _use(read(MemoryBlob(raw[: int(len(raw) * share)]), Location(name), _LIMITS))


@settings(max_examples=600, deadline=None)
@given(st.integers(0, 1000), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_any_damage_can_be_read(which: int, changes: list[tuple[float, int]]) -> None:
    """Every real file, with a few bytes changed."""
    raw = bytearray(_real()[which % len(_real())])
    for share, value in changes:
        raw[min(len(raw) - 1, int(len(raw) * share))] = value
    _use(read(MemoryBlob(bytes(raw)), Location("x.bin"), _LIMITS))
