"""Claims: what a file must show before a format is asked. They spare imports, and may never cost a format its file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.formats import formats
from safeload.formats.protobuf import begins, fits, shape
from safeload.formats.tar_archive import TAR, is_tar
from tests.corpus import benign

NAMES = (
    *("model.bin", "a.pb", "CONFIG.JSON", "x.PY", "m.onnx", "s.model", "x", "MLmodel", "a.YML", "requirements.TXT"),
    *("run.sh", "a.pmml", "g.PBTXT", "v.data-00000-of-00001", "m.keras", "p.distcp", "m.mlmodel"),
    *("Makefile", "x.pth", "x.HTML", "log.cfg"),
)


def allowed(data: bytes, name: str) -> None:
    head, tail = data[: 1 << 16], data[-(1 << 16) :]
    for format in formats():
        if format.claims is not None and not format.claims.allow(head, tail, name):
            assert not format.sniff(head, tail, len(data), name), format.name


def test_only_what_is_asked_last_makes_no_claims() -> None:
    """A format without claims is imported by every scan: only fallbacks may be."""
    assert {format.name for format in formats() if format.claims is None} == {"text", "opaque"}


def test_no_file_of_the_corpus_is_lost_to_claims() -> None:
    """What real libraries write is claimed by every format whose sniffer would have it."""
    for maker in benign.MAKERS.values():
        for name, data in maker():
            allowed(data, name.rpartition("/")[2])


@given(st.binary(max_size=40), st.sampled_from(NAMES))
def test_no_beginning_is_lost_to_claims(data: bytes, name: str) -> None:
    """Nor is any short file, whatever it is called."""
    allowed(data, name)


@given(st.dictionaries(st.integers(1, 40), st.sampled_from([0, 2]), min_size=1, max_size=4), st.binary(max_size=8))
def test_a_message_begins_with_one_of_the_bytes_of_its_schema(known: dict[int, int], data: bytes) -> None:
    """Whatever fits a schema begins as `begins` says, also where a tag takes more bytes than it needs."""
    if fits(shape(data, len(data)), known, needs=()):
        assert data[0] in begins(known)


@pytest.mark.parametrize("known", [{1: 2}, {16: 2}, {200: 2}])
def test_a_tag_may_be_longer_than_it_needs(known: dict[int, int]) -> None:
    """Parsers take tags with empty bytes behind them."""
    tag = next(iter(known)) << 3 | 2
    data = bytes((tag & 0x7F | 0x80, tag >> 7 | 0x80, 0, 0))
    assert fits(shape(data, len(data)), known, needs=()) and data[0] in begins(known)


@given(st.integers(0, 255), st.text("01234567 \0+-", max_size=7))
def test_a_tar_archive_without_a_signature_is_asked_about(first: int, rest: str) -> None:
    """Old archives have a right checksum and nothing else, however it is spelled."""
    block = bytearray(512)
    block[:1] = b"a"
    block[124:136] = b"00000000000\0"
    block[148:156] = bytes((first,)) + rest.encode().ljust(7, b"\0")
    if is_tar(bytes(block)):
        assert TAR.allow(bytes(block), b"", "x")


@pytest.mark.parametrize("spelled", ["{:06o}\0 ", " {:06o}\0", "\t{:06o}\0", "+{:06o}\0", "\x1c{:06o}\0", "0o{:o}\0"])
def test_a_checksum_may_be_spelled_oddly(spelled: str) -> None:
    """Whatever Python takes for a number, claims take for the beginning of one."""
    block = bytearray(512)
    block[:1] = b"a"
    block[124:136] = b"00000000000\0"
    block[148:156] = b" " * 8
    block[148:156] = spelled.format(sum(block)).encode().ljust(8, b"\0")[:8]
    assert is_tar(bytes(block)) and TAR.allow(bytes(block), b"", "x")
