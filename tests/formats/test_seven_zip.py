"""7-Zip archives: every member is read like a file of its own, whatever packs it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.blob import MemoryBlob
from safeload.core.errors import LimitExceeded
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.engine.inspect import inspect
from safeload.formats.base import Member, Reference
from tests.corpus.build import payload
from tests.formats.helpers import kinds, of, reading, runs_system
from tests.formats.seven import METHODS, make_7z

MEMBERS = [("config.json", b'{"auto_map": {"AutoModel": "m.C"}}'), ("a/notes.txt", b"prose" * 99), ("w.bin", payload())]
each = pytest.mark.parametrize("method", METHODS)


def status(raw: bytes, name: str = "model.7z") -> Status:
    return inspect(MemoryBlob(raw), name, Limits()).report.status


@each
@pytest.mark.parametrize("packed_header", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])
def test_members_are_read_in_their_own_formats(method: str, packed_header: bool, reverse: bool) -> None:
    """Names, sizes, pickles and settings, with the directory packed or not and the coders in either order."""
    result = reading(make_7z(MEMBERS, method, packed_header=packed_header, reverse=reverse), "model.7z")
    assert result.formats == ("7z",) and result.fault is None and not kinds(result)
    assert [(part.name, part.size) for part in of(result, Member)] == [(name, len(data)) for name, data in MEMBERS]
    assert runs_system(result) and of(result, Reference)[0].location.member == "config.json"


@each
def test_an_archive_of_data_is_safe_and_one_with_a_call_is_not(method: str) -> None:
    """An archive is what its worst member is."""
    assert status(make_7z(MEMBERS[1:2], method)) is Status.SAFE
    assert status(make_7z(MEMBERS, method), "weights.bin") is Status.DANGEROUS


def test_names_that_escape_or_repeat_are_dangerous() -> None:
    """Unpacking would write elsewhere, or one member over the other."""
    assert "7z-traversal-name" in kinds(reading(make_7z([("../x", b"hello")]), "x.7z"))
    assert status(make_7z([("../x", b"hello")])) is Status.DANGEROUS
    assert status(make_7z([("a", b"hello"), ("a", b"other")])) is Status.DANGEROUS


def test_what_cannot_be_unpacked_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encryption and unknown methods say what they are."""
    for identity, word in ((b"\x06\xf1\x07\x01", "encrypted"), (b"\x03\x04\x01", "not supported")):
        monkeypatch.setitem(METHODS, "other", ([(identity, b"\1")], bytes))
        result = reading(make_7z(MEMBERS, "other"), "x.7z")
        assert result.fault is not None and word in result.fault.why


def test_wrong_checksums_and_trailing_bytes_are_said() -> None:
    """Readers that recover an archive would find another directory."""
    raw = bytearray(make_7z(MEMBERS[1:2]))
    assert "trailing-data" in kinds(reading(bytes(raw) + b"more", "x.7z"))
    raw[8] ^= 1
    assert status(bytes(raw)) is Status.UNDECIDED


def test_a_bomb_is_bounded() -> None:
    """What unpacks to far more than a file should hold stops at the limit."""
    assert isinstance(reading(make_7z([("a", bytes(300 << 20))]), "x.7z").fault, LimitExceeded)


@given(st.sampled_from(sorted(METHODS)), st.booleans(), st.data())
def test_any_damage_ends_in_parts_or_an_error_of_ours(method: str, packed: bool, data: st.DataObject) -> None:
    """Whatever byte is changed and wherever it is cut, reading ends."""
    raw = bytearray(make_7z(MEMBERS, method, packed_header=packed))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, 31) | st.integers(-140, -1) | st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    assert reading(bytes(raw[: data.draw(st.integers(0, len(raw)) | st.just(len(raw)))]), "x.7z").formats


@given(st.binary(max_size=80))
def test_any_directory_ends(noise: bytes) -> None:
    """A directory of any bytes is read to an error or an end."""
    for kind in (b"\x01", b"\x17", b"\x01\x04\x06\0\x01\x09\x05\0\x07", b"\x01\x05"):
        directory = kind + noise
        start = (0).to_bytes(8, "little") + len(directory).to_bytes(8, "little") + bytes(4)
        assert reading(b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(4) + start + directory, "x.7z").formats == ("7z",)
