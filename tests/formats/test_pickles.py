"""Pickles by content: whatever their protocol, their name, what follows them and what is hidden in them."""

from __future__ import annotations

import io
import pickle

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.formats.base import Irregularity, PickleStream, TensorTable
from safeload.formats.pickle_head import begins_with_protocol, is_legacy, is_pickle, trial
from safeload.formats.tree import named_tensors, tree
from tests.corpus.build import Payload, make_zip, named, payload, text
from tests.corpus.build import Zipped as Member
from tests.formats.helpers import data, kinds, of, reading, runs_system, value_of

NAMES = ["model.safetensors", "pytorch_model.bin", "config.json", "vocab.txt", "weights", "x.gguf", "x.pkl"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("protocol", range(6))
def test_a_payload_is_found_whatever_the_file_is_called(name: str, protocol: int) -> None:
    """Content decides: a pickle is read as one under any name and in any protocol."""
    result = reading(payload(protocol), name)
    assert "pickle" in result.formats and runs_system(result)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "vocab.txt", "x.gguf"])
def test_a_name_that_announces_something_else_is_reported(name: str) -> None:
    """A pickle that is called otherwise is a disagreement."""
    assert "name-disagrees" in kinds(reading(payload(), name))


@pytest.mark.parametrize(
    "raw",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"(cos\nsystem\nS'true'\no.",
        b"\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
        b"N0cos\nsystem\n(S'true'\ntRgarbage",
        b"]\x94(\x8c\x02os\x94\x8c\x06system\x94e0h\x01h\x02\x93\x8c\x04true\x85R.",
        b"\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
    ],
)
@pytest.mark.parametrize("name", ["model.safetensors", "vocab.txt"])
def test_streams_without_a_protocol_mark_are_found(raw: bytes, name: str) -> None:
    """Protocols 0 and 1 have no signature, and an attacker may leave it out of any other."""
    assert runs_system(reading(raw, name))


@pytest.mark.parametrize(
    "content",
    [
        b"cat\ndog\nbird\n",
        b"c\na\nt\n",
        b"Paris\nis\na\ncity\n",
        b"(in Germany)\n(in France)\n",
        b"Some prose. And more of it.\n",
        b"I am a text.\n",
        b"the quick brown fox\njumps\n",
        b"N.\n",
        b"(items.\n",
        b"# A model card\n\n- one\n",
        "Über alles geht nichts.\n".encode(),
    ],
)
@pytest.mark.parametrize("name", ["vocab.txt", "README.md", "LICENSE", "notes"])
def test_prose_and_vocabularies_are_not_pickles(content: bytes, name: str) -> None:
    """Text that happens to begin with opcodes is text."""
    assert reading(content, name).formats == ("text",)


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=200))
def test_ordinary_lines_are_not_pickles(line: str) -> None:
    """No line of printable text is taken for a pickle by its content alone."""
    assert not is_pickle(line.encode() + b"\n", len(line) + 1, "vocab.txt")


def test_pickles_in_a_row_are_all_read() -> None:
    """Ordinary loaders stop at the first; the rest is read with another role."""
    result = reading(pickle.dumps(1) + pickle.dumps(2) + payload(), "x.pkl")
    assert [part.role for part in of(result, PickleStream)] == ["data", "trailing", "trailing"]
    assert runs_system(result)


def test_other_bytes_after_a_pickle_are_reported() -> None:
    """Trailing data is an irregularity with an offset."""
    raw = pickle.dumps({})
    found = of(reading(raw + b"\xff\xfe", "x.pkl"), Irregularity, kind="trailing-data")
    assert found[0].location.offset == len(raw)


def test_a_payload_before_a_deliberate_break_is_read() -> None:
    """What comes before a fault is part of the reading, and the file is undecided."""
    result = reading(payload()[:-1] + b"\xff", "x.pkl")
    assert result.fault is not None and runs_system(result)


@pytest.mark.parametrize("inner", range(6))
@pytest.mark.parametrize("outer", range(6))
def test_a_pickle_inside_a_pickle_is_read(inner: int, outer: int) -> None:
    """Bytes constants are looked into, however the protocol spells bytes."""
    result = reading(pickle.dumps({"state": payload(inner)}, outer), "x.pkl")
    assert of(result, PickleStream, role="nested") and runs_system(result)


@pytest.mark.parametrize("size", [10, 70_000])
def test_pickles_in_bytearrays_and_long_bytes_are_read(size: int) -> None:
    """Constants that are left in the file are looked into as well."""
    hidden = pickle.dumps([b"x" * size, Payload()], 4)
    assert runs_system(reading(pickle.dumps([hidden, bytearray(hidden)], 5), "x.pkl"))


def test_nesting_is_followed_and_bounded() -> None:
    """Eight levels are read; deeper ones are reported."""
    raw = payload()
    for _ in range(6):
        raw = pickle.dumps(raw, 4)
    assert runs_system(reading(raw, "x.pkl"))
    for _ in range(6):
        raw = pickle.dumps(raw, 4)
    assert "nested-too-deep" in kinds(reading(raw, "x.pkl"))


def test_one_constant_used_often_is_read_once() -> None:
    """A million references to one nested pickle cost no more than one."""
    inner = pickle.dumps([0] * 20_000, 4)
    raw = b"\x80\x04B" + len(inner).to_bytes(4, "little") + inner + b"q\x000](" + b"h\x00" * 200_000 + b"e."
    assert len(of(reading(raw, "x.pkl"), PickleStream, role="nested")) == 1


@pytest.mark.parametrize(
    "constant", [b"\x80\x02\xff\xff", b"\x80\x04", b"\x80\x07N.", bytes(range(64, 128)), b"N.", b"plain text."]
)
def test_bytes_that_are_no_pickle_are_left_alone(constant: bytes) -> None:
    """Random bytes are not reported as nested pickles."""
    assert not of(reading(pickle.dumps({"a": constant}, 4), "x.pkl"), PickleStream, role="nested")


def test_too_many_pickles_are_a_limit() -> None:
    """Streams in one constant are bounded."""
    raw = pickle.dumps(pickle.dumps(1, 2) * 50, 4)
    assert isinstance(reading(raw, "x.pkl", Limits(streams=10)).fault, LimitExceeded)


def test_arrays_of_objects_are_pickles() -> None:
    """numpy writes them so, alone and in collections."""
    alone, collection = io.BytesIO(), io.BytesIO()
    array = numpy.array([Payload(), 1], dtype=object)
    numpy.save(alone, array)
    numpy.savez(collection, good=numpy.ones(3), bad=array)
    assert runs_system(reading(alone.getvalue(), "x.npy"))
    assert runs_system(reading(collection.getvalue(), "x.npz"))


def test_arrays_of_numbers_are_named() -> None:
    """There is nothing to run in them."""
    out = io.BytesIO()
    numpy.save(out, numpy.ones(3))
    result = reading(out.getvalue(), "x.npy")
    assert list(of(result, TensorTable)[0].tensors) == ["array"] and not of(result, PickleStream)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("protocol", range(6))
def test_pickled_arrays_are_tensors(protocol: int, order: str) -> None:
    """Arrays of every protocol come back with their values."""
    array = numpy.asarray(numpy.arange(12.0).reshape(3, 4), order=order)  # type: ignore[call-overload]
    raw = pickle.dumps({"a": array, "n": numpy.float32(1.5), "s": numpy.str_("é"), "b": numpy.bool_(True)}, protocol)
    value = tree(data(reading(raw, "x.pkl")))
    assert isinstance(value, dict) and (value["n"], value["s"], value["b"]) == (1.5, "é", True)
    assert value_of(named_tensors(value)["a"]).tolist() == array.tolist()


def test_a_big_endian_array_is_marked() -> None:
    """The byte order of the type reaches the storage."""
    raw = pickle.dumps({"a": numpy.arange(3, dtype=">i4")}, 2)
    view = named_tensors(tree(data(reading(raw, "x.pkl"))))["a"]
    assert view.storage.big_endian and value_of(view).tolist() == [0, 1, 2]


def test_an_array_longer_than_its_bytes_is_refused() -> None:
    """Shape and bytes of a pickled array must fit."""
    raw = pickle.dumps({"a": numpy.arange(6, dtype="u1")}, 2).replace(b"K\x06\x85", b"K\x09\x85")
    with pytest.raises(MalformedInput, match="outside of its storage"):
        tree(data(reading(raw, "x.pkl")))


def _joblib(value: bytes, after: bytes = b"") -> bytes:
    """What joblib writes for `{"a": array of 8 float64, "z": …}`: sixty-four raw bytes between opcodes."""
    dtype = named("numpy", "dtype") + b"(" + text("f8") + b"\x89\x88tR"
    wrapper = named("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81"
    state = b"}(" + text("subclass") + named("numpy", "ndarray") + text("shape") + b"(K\x08t"
    state += text("order") + text("C") + text("dtype") + dtype + text("allow_mmap") + b"\x88u"
    return b"\x80\x03}(" + text("a") + wrapper + state + b"b" + value + text("z") + (after or b"K\x01") + b"u."


def test_arrays_of_joblib_are_skipped_and_what_follows_is_read() -> None:
    """The bytes of an array between opcodes are a tensor, and the payload behind them is found."""
    raw = _joblib(numpy.arange(8.0).tobytes(), payload(2)[2:-1])
    result = reading(raw, "x.joblib")
    assert result.formats == ("joblib",) and result.fault is None and runs_system(result)
    assert value_of(named_tensors(tree(data(result)))["a"]).tolist() == list(range(8))


def test_an_array_that_is_opcodes_to_pickle_is_two_readings() -> None:
    """joblib skips the array's bytes, pickle runs them: both are read."""

    result = reading(_joblib(b"cposix\nsystem\n(S'true'\ntR.".ljust(64, b".")), "x.joblib")
    assert "joblib-two-readings" in kinds(result) and runs_system(result)


def test_an_array_cut_short_leaves_the_file_undecided() -> None:
    """A truncated array is a fault, not an end."""
    raw = _joblib(numpy.arange(8.0).tobytes())
    assert reading(raw[: raw.index(b"b" + numpy.arange(8.0).tobytes()) + 20], "x.joblib").fault is not None


def test_an_archive_member_that_is_a_pickle_is_one_in_any_protocol() -> None:
    """Members of archives are told by content as well."""
    members = [Member(f"m{protocol}", payload(protocol)) for protocol in range(6)]
    result = reading(make_zip(members), "x.zip")
    assert len(of(result, PickleStream, role="member")) == 6


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "first",
    [[1_000_000 + i for i in range(30_000)], ["abc"] * 60_000, [["a"] for _ in range(30_000)], [b"z" * 70_000]],
    ids=["numbers", "shared", "lists", "bytes"],
)
def test_a_payload_far_behind_the_beginning_is_found(first: list, protocol: int) -> None:
    """A beginning that is nothing but plain data, for longer than a sniff looks, is still a pickle."""
    assert runs_system(reading(pickle.dumps([first, Payload()], protocol), "model.safetensors"))


@pytest.mark.parametrize("protocol", range(6))
def test_torchs_number_is_recognised_however_it_is_written(protocol: int) -> None:
    """As bytes or as text, behind opcodes that leave nothing; and a number beside it is not it."""
    number = 0x1950A86A20F9469CFC6C
    assert is_legacy(pickle.dumps(number, protocol))
    assert is_legacy(b"\x80\x02N0" + pickle.dumps(number, protocol))
    assert is_legacy(b"\x80\x02\x8b\x0a\0\0\0" + number.to_bytes(10, "little") + b".")
    assert is_legacy(b"\x80\x02\x8a\x0c" + number.to_bytes(12, "little") + b".")
    assert not is_legacy(pickle.dumps(number + 1, protocol))
    assert not is_legacy(pickle.dumps([number], protocol))


@given(st.binary(max_size=40))
def test_a_few_opcodes_say_what_all_of_them_say(rest: bytes) -> None:
    """Whether bytes begin a pickle is decided by their first opcodes as it would be by all."""
    head = b"\x80\x04" + rest
    whole = trial(head)
    if begins_with_protocol(head):
        expected = whole.fault is None or bool(whole.trace) or whole.opcodes > 4
        assert is_pickle(head, len(head), "x.bin") is expected
