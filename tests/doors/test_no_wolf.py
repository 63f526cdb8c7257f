"""Data that nobody should be warned of: what the standard library, numpy and pandas pickle is never called dangerous.

Values are drawn by Hypothesis, from every kind of data that is listed, in every protocol. What is loaded is what was
written, but where a page says otherwise: paths are pure ones, and zones are the standard library's.
"""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import http
import inspect
import io
import ipaddress
import os
import pathlib
import pickle
import random
import re
import signal
import time
import types
import urllib.parse
import uuid
import zoneinfo
from typing import Any

import hypothesis.strategies as st
import numpy
import pytest
from hypothesis import assume, example, given, settings

from safeload import pickle as safe_pickle
from safeload.core.errors import MalformedInput, SafeloadError
from safeload.engine.scan import scan_stream

ZONES = ("Europe/Berlin", "US/Eastern", "Asia/Kolkata", "Etc/GMT+5", "UTC", "America/Argentina/Buenos_Aires")
PROTOCOLS = st.integers(0, pickle.HIGHEST_PROTOCOL)


def status(data: bytes) -> str:
    return str(scan_stream(io.BytesIO(data)).files[0].status)


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, BaseException):
        return type(found) is type(wanted) and found.args == wanted.args
    if isinstance(wanted, random.Random):
        return type(found) is random.Random and found.getstate() == wanted.getstate()
    if isinstance(wanted, io.BytesIO):
        return (found.getvalue(), found.tell()) == (wanted.getvalue(), wanted.tell())
    if isinstance(wanted, decimal.Context):
        return repr(found) == repr(wanted)
    if isinstance(wanted, decimal.Decimal | float | complex) and wanted != wanted:
        return type(found) is type(wanted) and found != found
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_same, found, wanted))
    equal = found == wanted and type(found) is type(wanted)
    if isinstance(wanted, datetime.datetime | datetime.time):
        return bool(equal and found.fold == wanted.fold and found.tzinfo == wanted.tzinfo)
    return bool(equal)


_zones = st.one_of(
    st.none(),
    st.sampled_from(ZONES).map(zoneinfo.ZoneInfo),
    st.timedeltas(datetime.timedelta(hours=-23), datetime.timedelta(hours=23)).map(datetime.timezone),
)
_moments = st.one_of(
    st.datetimes(timezones=_zones),
    st.dates(),
    st.times(timezones=_zones),
    st.builds(lambda one, fold: one.replace(fold=fold), st.datetimes(), st.integers(0, 1)),
    st.builds(lambda one, fold: one.replace(fold=fold), st.times(), st.integers(0, 1)),
    st.timedeltas(),
    st.sampled_from(ZONES).map(zoneinfo.ZoneInfo),
)
_words = st.text(max_size=12)
_addresses = st.one_of(
    st.ip_addresses(),
    st.ip_addresses(v=4).map(lambda one: ipaddress.ip_network((int(one), 32))),
    st.builds(lambda one, width: ipaddress.ip_interface((int(one), width)), st.ip_addresses(v=6), st.integers(0, 128)),
)
_ERRORS: list[Any] = [
    ValueError,
    KeyError,
    OSError,
    LookupError,
    RuntimeError,
    StopIteration,
    AssertionError,
    UserWarning,
]
_exceptions = st.one_of(
    st.builds(lambda kind, words: kind(*words), st.sampled_from(_ERRORS), st.lists(_words, max_size=1)),
    st.just(ImportError("x", name="y")),
    st.just(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")),
)
_members = st.sampled_from(
    [
        *http.HTTPStatus, *signal.Signals, *inspect._ParameterKind, *uuid.SafeUUID, re.I | re.M, re.DOTALL,
    ]
)  # fmt: skip
_containers = st.one_of(
    st.builds(collections.deque, st.lists(st.integers()), st.integers(0, 9)),
    st.dictionaries(_words, st.integers()).map(collections.Counter),
    st.dictionaries(_words, st.integers()).map(collections.OrderedDict),
    st.dictionaries(_words, st.integers()).map(lambda one: collections.defaultdict(list, one)),
    st.dictionaries(_words, st.integers()).map(collections.UserDict),
    st.dictionaries(_words, st.integers()).map(collections.ChainMap),
    st.lists(st.integers()).map(collections.UserList),
    _words.map(collections.UserString),
    st.dictionaries(st.sampled_from("abc"), st.integers()).map(lambda one: types.SimpleNamespace(**one)),
)
_plain = st.one_of(
    st.decimals().filter(lambda one: not one.is_snan()),
    st.fractions(),
    st.uuids(),
    st.complex_numbers(),
    st.binary(max_size=40),
    st.binary(max_size=40).map(bytearray),
    st.text(max_size=40),
    st.builds(range, st.integers(), st.integers(), st.integers(1, 9)),
    st.builds(slice, st.integers(), st.none(), st.integers()),
    st.builds(
        lambda code, numbers: array.array(code, numbers), st.sampled_from("bhilqfd"), st.lists(st.integers(-9, 9))
    ),
    st.integers().map(random.Random),
    st.binary().map(io.BytesIO),
    _words.map(lambda one: re.compile(re.escape(one), re.I)),
    st.builds(pathlib.PurePosixPath, _words.filter(lambda one: "\0" not in one)),
    st.builds(decimal.Context, st.integers(1, 99)),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda one: one.as_tuple()),
    st.integers(0, 1 << 31).map(time.gmtime),
    st.just(os.stat_result(range(10))),
    _words.map(lambda one: urllib.parse.ParseResult("https", one, "/", "", "", "")),
    st.sampled_from([type(None), type(Ellipsis), type(NotImplemented), Ellipsis, NotImplemented, int, ValueError]),
)
_everything = st.one_of(_moments, _addresses, _exceptions, _members, _containers, _plain)


@settings(max_examples=250, deadline=None)
@example(datetime.time(2, 1, 46, fold=1), 4)
@example(datetime.time(0, 2, 46, fold=1), 4)
@example(b"\x82\x01.", 4)
@example(b"\x80\x02\x93\x94 not a pickle", 4)
@example("ca\nb", 0)
@given(_everything, PROTOCOLS)
def test_the_standard_librarys_data_is_safe_and_itself_again(value: Any, protocol: int) -> None:
    """No finding, and the same value, of the same type."""
    if isinstance(value, io.BytesIO) and protocol < 2:
        return
    data = pickle.dumps(value, protocol)
    assert status(data) == "safe"
    if protocol < 4 and isinstance(value, datetime.datetime | datetime.time):
        value = value.replace(fold=0)  # earlier protocols have no place for it
    assert _same(safe_pickle.loads(data), value)


_KINDS = st.sampled_from(
    ["b1", "i1", "<i4", ">i8", "u2", "f2", "f4", ">f8", "c8", "S3", "U4", "V5", "M8[s]", "M8[25ns]", "m8[D]", "O"]
)


@st.composite
def _arrays(draw: st.DrawFn) -> Any:
    kind: Any = draw(_KINDS)
    if draw(st.booleans()) and kind != "O":
        kind = numpy.dtype([("a", kind), (("title", "b"), draw(_KINDS.filter(lambda one: one != "O")), (2,))])
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    count = int(numpy.prod(shape)) * numpy.dtype(kind).itemsize
    if kind == "O":
        made = numpy.empty(shape, dtype=object)
    else:
        made = numpy.frombuffer(draw(st.binary(min_size=count, max_size=count)) or b"", dtype=numpy.uint8)
        made = made.view(kind).reshape(shape) if count else numpy.empty(shape, dtype=kind)
    how = draw(st.integers(0, 4))
    if how == 1:
        return numpy.asfortranarray(made)
    if how == 2 and made.dtype.names:
        return made.view(numpy.recarray)
    if how == 3 and isinstance(kind, str) and kind != "O":
        return numpy.ma.MaskedArray(made)
    return made[0] if how == 4 and len(shape) == 1 and shape[0] and kind != "O" else made


@settings(max_examples=150, deadline=None)
@given(_arrays(), PROTOCOLS)
def test_arrays_are_safe_and_themselves_again(value: Any, protocol: int) -> None:
    """Arrays, records, masked arrays and scalars of every kind, whatever their bytes spell that imports nothing."""
    if value.dtype != object:
        assume(not any(opcode in value.tobytes() for opcode in (b"c", b"i", b"\x93")))  # or it may be a pickle itself
    data = pickle.dumps(value, protocol)
    assert status(data) == "safe"
    found, plain = safe_pickle.loads(data), pickle.loads(data)
    order = plain.dtype.newbyteorder("=")  # protocols before 5 do not always keep the order of bytes
    assert type(found) is type(plain) and found.dtype.newbyteorder("=") == order
    if value.dtype == object:
        assert numpy.shape(found) == numpy.shape(plain)
    else:
        assert numpy.ma.getdata(found).astype(order).tobytes() == numpy.ma.getdata(plain).astype(order).tobytes()


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"]),
    st.integers(0, 1 << 200),
    st.integers(0, 9),
    PROTOCOLS,
)
def test_generators_go_on_where_they_were(kind: str, seed: int, drawn: int, protocol: int) -> None:
    """The same numbers come next, and the same children are spawned."""
    generator = numpy.random.Generator(getattr(numpy.random, kind)(seed))
    generator.integers(0, 9, drawn, dtype=numpy.uint8)
    data = pickle.dumps(generator, protocol)
    assert status(data) == "safe"
    found = safe_pickle.loads(data)
    if b"SeedSequence" in data:  # numpy before 2 does not write what it was seeded from
        assert found.spawn(1)[0].integers(0, 1 << 60) == generator.spawn(1)[0].integers(0, 1 << 60)
    assert found.integers(0, 1 << 60, 5).tolist() == generator.integers(0, 1 << 60, 5).tolist()


@pytest.mark.skipif(not hasattr(numpy.dtypes, "StringDType"), reason="newer than the installed numpy")
def test_text_of_any_length_in_arrays() -> None:
    """numpy's own type of text, with and without a value for what is missing."""
    for kind in (numpy.dtypes.StringDType(), numpy.dtypes.StringDType(na_object=None)):
        value = numpy.array([["a", "é"], ["", "long " * 9]], dtype=kind)
        found = safe_pickle.loads(pickle.dumps(value))
        assert found.dtype == kind and found.tolist() == value.tolist()
        assert status(pickle.dumps(value)) == "safe"


def _frames() -> list[Any]:
    pandas = pytest.importorskip("pandas")
    days = pandas.date_range("2020-10-24", periods=3, tz="Europe/Berlin")
    return [
        pandas.DataFrame({"a": [1, 2, 3]}, index=days),
        pandas.Series(days),
        pandas.Timestamp("2020-10-25 02:30", tz="US/Eastern"),
        pandas.DatetimeTZDtype("ns", "Asia/Tokyo"),
        pandas.Series([datetime.datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris"))], dtype=object),
        pandas.SparseDtype("float"),
        pandas.DataFrame({"a": pandas.arrays.SparseArray([0, 1, 0])}),
        *(pandas.DateOffset(months=2, days=1), pandas.offsets.CustomBusinessDay(holidays=["2020-01-01"])),
        *(pandas.offsets.BusinessHour(start="08:00"), pandas.offsets.FY5253(weekday=3), pandas.offsets.Easter()),
        pandas.arrays.NumpyExtensionArray(numpy.arange(3)),
    ]


@pytest.mark.parametrize("number", range(13))
@pytest.mark.parametrize("protocol", (0, 2, 5))
def test_frames_with_named_zones_are_safe(number: int, protocol: int) -> None:
    """Zones by name, sparse columns, and frequencies of working days."""
    value = _frames()[number]
    if number in (0, 1, 3) and b"pytz" in pickle.dumps(value):
        pytest.skip("this pandas makes zones of pytz; what is loaded has those of the standard library")
    try:
        data = pickle.dumps(value, protocol)
    except TypeError:
        pytest.skip("this pandas cannot write it so")
    assert status(data) == "safe"
    found = safe_pickle.loads(data)
    assert type(found) is type(value)
    assert found.equals(value) if hasattr(value, "equals") else bool(numpy.all(found == value))


# ── time zones ──────────────────────────────────────────────────────────────────────────────────────────────────


def _zone(
    key: bytes = b"VEurope/Berlin\n", *, owner: bytes = b"czoneinfo\nZoneInfo\n", method: bytes = b"_unpickle"
) -> bytes:
    """The call in protocol 0."""
    return b"cbuiltins\ngetattr\n(" + owner + b"V" + method + b"\ntR(" + key + b"I01\ntR"


def test_the_exact_form_is_taken() -> None:
    """The builder of these tests makes what the standard library writes."""
    assert status(_zone() + b".") == "safe"
    assert safe_pickle.loads(_zone() + b".") is zoneinfo.ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    "stream",
    [
        _zone(b"V../../etc/passwd\n"),
        _zone(b"V/etc/passwd\n"),
        _zone(b"VEurope//Berlin\n"),
        _zone(b"VEurope/./Berlin\n"),
        _zone(b"VEurope/Berlin\\u000a\n"),
        _zone(b"V\n"),
        _zone(b"N"),
        _zone(b"cos\ngetcwd\n"),
        _zone(b"VEurope/Berlin\nI1\n"),
        _zone(method=b"from_file"),
        _zone(method=b"no_cache"),
        _zone(method=b"__reduce__"),
        _zone(owner=b"cos\nenviron\n"),
        _zone(owner=b"cbuiltins\nobject\n"),
        b"cbuiltins\ngetattr\n(czoneinfo\nZoneInfo\nV_unpickle\ntR",
        b"(cbuiltins\ngetattr\n(czoneinfo\nZoneInfo\nV_unpickle\ntRp0\ng0\n(VUTC\nI1\ntRt",
        b"cbuiltins\ngetattr\n(czoneinfo\nZoneInfo\nV_unpickle\ntR(VUTC\nI1\ntR}Va\nI1\nsb",
        b"cbuiltins\ngetattr\n(czoneinfo\nZoneInfo\nV_unpickle\ntR}Va\nI1\nsb(VUTC\nI1\ntR",
        b"cbuiltins\ngetattr\n(cbuiltins\ngetattr\n(czoneinfo\nZoneInfo\nV_unpickle\ntRV__self__\ntR(VUTC\nI1\ntR",
        b"ccollections\ndefaultdict\n(cbuiltins\ngetattr\n(czoneinfo\nZoneInfo\nV_unpickle\ntRtR",
        b"cbuiltins\ngetattr\np1\n" + _zone()[18:] + b"0g1\n",
    ],
)
def test_anything_beside_the_exact_form_is_a_finding(stream: bytes) -> None:
    """Another name, another method, another class, or anything else done with what was looked up."""
    assert status(stream + b".") in ("dangerous", "undecided")
    with pytest.raises(SafeloadError):
        safe_pickle.loads(stream + b".")


def test_a_zone_that_is_not_here_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a database there is no zone; the message says what to install."""
    from safeload.engine.live import zones as live_zones

    monkeypatch.setattr(zoneinfo, "TZPATH", ())
    monkeypatch.setattr(live_zones, "_packaged", frozenset)
    with pytest.raises(MalformedInput, match="pip install tzdata"):
        safe_pickle.loads(_zone() + b".")


@pytest.mark.parametrize(
    ("stream", "wanted"),
    [
        (b"cpytz\n_p\n(VEurope/Berlin\nI7200\nI3600\nVCEST\ntR", zoneinfo.ZoneInfo("Europe/Berlin")),
        (b"cpytz\n_p\n(VEtc/GMT+5\ntR", zoneinfo.ZoneInfo("Etc/GMT+5")),
        (b"cpytz\nFixedOffset\n(I60\ntR", datetime.timezone(datetime.timedelta(hours=1))),
        (b"cpytz\n_UTC\n(tR", datetime.UTC),
        (b"cdateutil.tz.tz\ntzutc\n)\x81", datetime.UTC),
        (
            b"cdateutil.tz.tz\ntzfile\n(NV/usr/share/zoneinfo/US/Eastern\ntR}V_x\nI1\nsb",
            zoneinfo.ZoneInfo("US/Eastern"),
        ),
        (
            b"cdateutil.tz._tzfile\n_unpickle\n(cdateutil.tz._tzfile\ntzfile\nVUS/Eastern\nN(ttR",
            zoneinfo.ZoneInfo("US/Eastern"),
        ),
    ],
)
def test_zones_of_others_become_the_standard_librarys(stream: bytes, wanted: Any) -> None:
    """As pytz 2026.6 and dateutil 2.9 and 4.0 write them; neither is imported."""
    data = b"\x80\x02" + stream + b"."
    assert status(data) == "safe"
    assert safe_pickle.loads(data) == wanted


@pytest.mark.parametrize(
    "stream",
    [
        b"cpytz\n_p\n(V../x\ntR",
        b"cpytz\ntimezone\n(VUTC\ntR",
        b"cdateutil.tz.tz\ntzfile\n(V/etc/passwd\ntR",
        b"cdateutil.tz._tzfile\n_unpickle\n(cfoo\nBar\nVUS/Eastern\nN(ttR",
        b"cdateutil.tz.tz\ngettz\n(VUTC\ntR",
    ],
)
def test_zones_of_others_are_made_in_no_other_way(stream: bytes) -> None:
    """A path, a file to open, or a method of another class."""
    assert status(b"\x80\x02" + stream + b".") == "dangerous"


@pytest.mark.parametrize(("offset", "fold"), [(7200, 0), (3600, 1)])
def test_the_hour_that_comes_twice_keeps_its_offset(offset: int, fold: int) -> None:
    """pytz wrote the offset beside the zone; the standard library needs `fold` for it."""
    reduced = datetime.datetime(2020, 10, 25, 2, 30).__reduce_ex__(2)
    raw: bytes = reduced[1][0]
    name = b"VEurope/Berlin\nI%d\nI0\nVX\n" % offset
    stream = b"\x80\x03cdatetime\ndatetime\n(C\x0a" + raw + b"cpytz\n_p\n(" + name + b"tRtR."
    found = safe_pickle.loads(stream)
    assert found.utcoffset() == datetime.timedelta(seconds=offset) and found.fold == fold


# ── pickles in constants ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "inner",
    [b"cos\nsystem\n(S'id'\ntR.", b"\x80\x04cos\nsystem\n.", b"(ios\nsystem\n.", b"\x80\x02\x82\x01."],
)
def test_pickles_in_constants_are_still_found(inner: bytes) -> None:
    """What imports or begins as pickles do is judged as one, also where a time would hold its bytes."""
    assert status(pickle.dumps(inner)) != "safe"
    assert status(pickle.dumps([{"a": inner}], 0)) != "safe"


# ── labels of one hash ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["objects", "numbers", "pairs", "floats"])
def test_labels_of_one_hash_are_refused(kind: str) -> None:
    """A few thousand labels that pandas would compare with each other take seconds; a million take days."""
    pandas = pytest.importorskip("pandas")

    count = 400
    if kind == "objects":
        values: Any = numpy.array([number * ((1 << 61) - 1) for number in range(1, count)], dtype=object)
    elif kind == "pairs":
        values = numpy.empty(count, dtype=object)
        values[:] = [(number << 32 | number, 1) for number in range(1, count + 1)]
    elif kind == "numbers":
        lows = []
        for number in range(count):
            low = number
            for _ in range(4):
                low = (number ^ low << 11) & 0xFFFFFFFF
            lows.append(number << 33 | low)
        values = numpy.array(lows, dtype=numpy.int64)
    else:
        values = _floats_of_one_hash(count)
    index = pandas.Index(values, tupleize_cols=False)
    with pytest.raises(MalformedInput, match="the same hash"):
        safe_pickle.loads(pickle.dumps(index))
    assert len(safe_pickle.loads(pickle.dumps(index[:200]))) == 200
    assert len(safe_pickle.loads(pickle.dumps(index.repeat([1] + [9] * 99 + [0] * (len(index) - 100))))) == 892


def _floats_of_one_hash(count: int) -> Any:
    """Numbers that MurmurHash2 maps to one: its last half can be chosen for any first half."""
    word, factor = 0xFFFFFFFF, 0x5BD1E995
    back = pow(factor, -1, 1 << 32)

    def mixed(part: int) -> int:
        part = part * factor & word
        return (part ^ part >> 24) * factor & word

    def unmixed(part: int) -> int:
        part = part * back & word
        found = part
        for _ in range(2):
            found = part ^ found >> 24
        return found * back & word

    found = []
    for low in range(1, 4 * count):
        state = (((0xC70F6907 ^ 4) * factor & word) ^ mixed(low)) * factor & word
        high = unmixed(state ^ 12345)
        if high >> 20 & 0x7FF != 0x7FF:
            found.append(high << 32 | low)
    return numpy.array(found[:count], dtype=numpy.uint64).view(numpy.float64)


def test_labels_that_nobody_chose_are_taken() -> None:
    """Counted, spread, random, and many times the same."""
    pandas = pytest.importorskip("pandas")
    from safeload.adapt_pandas._crowds import refuse_crowded

    random_ones = numpy.random.default_rng(1)
    for values in (
        numpy.arange(50_000) * 86_400_000_000_000,
        numpy.arange(50_000) << 33,
        random_ones.random(50_000),
        random_ones.integers(0, 1 << 62, 50_000),
        numpy.zeros(50_000),
        numpy.arange(50_000).astype(object),
        pandas.MultiIndex.from_product([range(200), range(200)]).to_numpy(),
    ):
        refuse_crowded(values)
