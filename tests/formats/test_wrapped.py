"""Pickles in disguise within pickles: spelled, compressed, archived, and all of it at once."""

from __future__ import annotations

import base64
import bz2
import gzip
import lzma
import pickle
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.blob import MemoryBlob
from safeload.core.errors import LimitExceeded
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.engine.inspect import inspect
from safeload.formats.base import PickleStream
from tests.corpus.build import Zipped, make_tar, make_zip, payload
from tests.formats.helpers import of, reading

WAYS: dict[str, Callable[[bytes], bytes | str]] = {
    "base64": base64.b64encode,
    "base64 text": lambda raw: base64.b64encode(raw).decode(),
    "base64 lines": base64.encodebytes,
    "base64 for addresses": lambda raw: base64.urlsafe_b64encode(zlib.compress(raw)).decode(),
    "base64 twice": lambda raw: base64.b64encode(base64.b64encode(raw)).decode(),
    "hexadecimal": lambda raw: raw.hex(),
    "hexadecimal bytes": lambda raw: raw.hex(" ").encode(),
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": lambda raw: make_zip([Zipped("archive/data.pkl", raw)]),
    "tar": lambda raw: make_tar([("x.bin", raw)]),
    "base64 of zip of gzip": lambda raw: base64.b64encode(make_zip([Zipped("x", gzip.compress(raw))])).decode(),
}


def status(value: object, protocol: int) -> Status:
    return inspect(MemoryBlob(pickle.dumps(value, protocol)), "x.pkl", Limits()).report.status


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("outer", [0, 2, 4])
@pytest.mark.parametrize("inner", [0, 4])
def test_a_pickle_in_disguise_is_judged(way: Callable[[bytes], bytes | str], outer: int, inner: int) -> None:
    """A call in a constant counts however the constant is written, in any protocol on either side."""
    assert status({"state": way(payload(inner))}, outer) is Status.DANGEROUS


@pytest.mark.parametrize(
    "value",
    [
        gzip.compress(b"prose" * 99),
        zlib.compress(bytes(range(256)) * 9),
        make_zip([Zipped("config.json", b"{}"), Zipped("weights", bytes(range(256)))]),
        b"x\x9c" + b"no zlib" * 20,
        "deadbeef" * 8,
        "gAAAABcdEFgh" * 30,
        base64.b64encode(bytes(range(256))).decode(),
        base64.b64encode(pickle.dumps({"a": 1})),
    ],
    ids=["gzip", "zlib", "zip", "no zlib", "hexadecimal", "token", "base64", "pickle"],
)
def test_constants_without_calls_are_data(value: object) -> None:
    """What libraries keep in constants (packed arrays, archives, tokens) leaves a pickle as safe as it was."""
    assert status([value], 4) is Status.SAFE


def test_a_pickle_that_ends_in_an_archive_of_data_is_one_file() -> None:
    """A model kept as an archive in a constant does not make two formats of the pickle; an appended archive does."""
    archive = make_zip([Zipped("config.json", b"{}")])
    assert status({"model": archive}, 4) is Status.SAFE
    assert inspect(MemoryBlob(pickle.dumps(1) + archive), "x.pkl", Limits()).report.status is Status.DANGEROUS


def test_streams_in_disguise_say_where_they_are() -> None:
    """Each is nested, below the constant it came from."""
    result = reading(pickle.dumps({"a": base64.b64encode(payload())}), "x.pkl")
    (inner,) = of(result, PickleStream, role="nested")
    assert inner.location.path == "pickle.nested[0]"


def test_a_bomb_in_a_constant_is_bounded() -> None:
    """A constant that unpacks to far more than a file should hold leaves the file undecided."""
    bomb = gzip.compress(bytes(300 << 20), 9)
    assert isinstance(reading(pickle.dumps(bomb), "x.pkl").fault, LimitExceeded)


@given(st.text("gASVeJH4sI80049ABCDEFabcdef+/=_- \n", max_size=200) | st.binary(max_size=100))
def test_any_constant_ends_in_parts(value: object) -> None:
    """Whatever a constant looks like, the pickle that only holds it is not worse than irregular."""
    assert status([value], 4) <= Status.UNVERIFIED
