"""Files that one reader takes for harmless and another one unpickles. Found by attacking safeload itself.

Each was read by `torch.load(weights_only=False)` or `pickle.load`, which made the marker, while a scan saw nothing.
"""

from __future__ import annotations

import struct

import pytest

from safeload.core.blob import MemoryBlob
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.engine.inspect import inspect
from tests.corpus.build import make_tar

PAYLOAD = b"cos\nsystem\n(S'touch MARKER'\ntR."
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00.\x80\x02}q\x00.\x80\x02]q\x00."
LONG = 100_000
NUMBER, VIEWS = b"\x80\x02K\x00.", b"\x80\x02]."
TABLES = [("storages", NUMBER + VIEWS), ("tensors", NUMBER)]


def status(data: bytes, name: str = "pytorch_model.bin") -> Status:
    return inspect(MemoryBlob(data), name, Limits()).report.status


def header(name: bytes, size: int = 0, kind: bytes = b"0", form: bytes = b"%06o\0 ", link: bytes = b"") -> bytes:
    """One tar header with its checksum in the given form."""
    block = bytearray(512)
    for at, value in ((0, name), (124, b"%011o\0" % size), (156, kind), (157, link), (257, b"ustar\x0000")):
        block[at : at + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = (form % sum(block)).ljust(8, b"\0")
    return bytes(block)


def member(name: bytes, data: bytes, **more: bytes) -> bytes:
    return header(name, len(data), **more) + data + bytes(-len(data) % 512)


def archive(*, end: bytes) -> bytes:
    """torch's tables and a harmless pickle, and further members at the end."""
    return make_tar([*TABLES, ("pickle", b"\x80\x02}.")])[: 6 * 512] + end + bytes(10_240)


@pytest.mark.parametrize(
    "first", [b"S'%s'\n0", b"V%s\n0", b"GIF89aAAA0V%s\n0", b"U\x10\0\0\0ftypisom\0\0\0\0\00V%s\n0"]
)
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model", "logo.gif", "notes.txt"])
def test_a_pickle_that_opens_with_a_text_longer_than_any_sniffing(first: bytes, name: str) -> None:
    """What reads as text, an image or a film at its beginning is read as a pickle to the end as well."""
    assert status(first % (b"A" * LONG) + PAYLOAD, name) is Status.DANGEROUS


def test_a_legacy_checkpoint_that_opens_with_a_text() -> None:
    """torch.load takes a magic number that stands behind a long text, and then unpickles what follows."""
    opening = b"V" + b"A" * LONG + b"\n0" + LEGACY[2 : LEGACY.index(b".") + 1]
    assert status(opening + b"\x80\x02M\xe9\x03.\x80\x02}." + PAYLOAD + b"].") is Status.DANGEROUS


def test_safetensors_whose_header_is_one_line_of_a_pickle() -> None:
    """A valid safetensors file whose length is an opcode, and whose data continues the pickle, is both."""
    data = b"0" + PAYLOAD
    for filler in range(LONG, LONG + 256):
        text = '{"__metadata__":{"x":"%s"},"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}\n}'
        raw = (text % ("A" * filler, len(data), len(data))).encode()
        if len(raw) % 256 == ord("V"):
            break
    assert status(struct.pack("<Q", len(raw)) + raw + data, "model.safetensors") is Status.DANGEROUS


def test_a_line_longer_than_any_text_is_undecided() -> None:
    """A text that may be a pickle and is too long to be passed over is not called safe."""
    limits = Limits(text_bytes=1 << 10)
    assert inspect(MemoryBlob(b"V" + b"A" * LONG), "model", limits).report.status is Status.UNDECIDED


@pytest.mark.parametrize(
    "text", [b"cat\ndog\nRed\n", b"I am\n", b"V\n", b"in\nof\nthe\n.", b"P\n0\n", b"(cat\ndog\n)\n"]
)
def test_word_lists_are_text(text: bytes) -> None:
    """Words whose letters are opcodes stay text."""
    assert status(text, "vocab.txt") is Status.SAFE


def test_prose_that_begins_with_any_letter_is_text() -> None:
    """No first letter makes a pickle of prose, however long the text would have to be that it announces."""
    prose = "he quick brown fox jumps over the lazy dog.\n" * 2000
    assert {status((chr(first) + prose).encode(), "README") for first in range(33, 127)} == {Status.SAFE}


@pytest.mark.parametrize("form", [b"+%06o\0", b"0o%05o\0", b"%05o_0"])
def test_a_legacy_checkpoint_that_is_also_a_tar(form: bytes) -> None:
    """torch.load looks for a tar first, by Python's reading of numbers; so do we."""
    if form == b"%05o_0":  # an underscore within the digits
        total = sum(header(LEGACY, 0)) - sum(header(LEGACY, 0)[148:156]) + 256
        form = b"%%s_%s" % (b"%o" % total)[1:]
        first = bytearray(header(LEGACY, 0))
        first[148:156] = (form % (b"%o" % total)[:1]).ljust(8, b"\0")
        first_block = bytes(first)
    else:
        first_block = header(LEGACY, 0, form=form)
    assert status(first_block + archive(end=member(b"pickle", PAYLOAD))) is Status.DANGEROUS


def test_a_tar_whose_first_name_is_empty() -> None:
    """A name that begins with NUL does not keep tarfile from reading an archive."""
    assert status(member(b"\0x", b"") + archive(end=member(b"pickle", PAYLOAD))) is Status.DANGEROUS


@pytest.mark.parametrize("kind", [b"7", b"S", b"Z", b"V"])
def test_tar_members_of_rare_kinds_are_read(kind: bytes) -> None:
    """tarfile gives out the content of contiguous, sparse and unknown members like that of files."""
    assert status(archive(end=member(b"pickle", PAYLOAD, kind=kind))) is Status.DANGEROUS


@pytest.mark.parametrize("kind", [b"1", b"2"])
def test_a_link_with_the_name_of_a_torch_member(kind: bytes) -> None:
    """A link lends torch's name to a member that looks like text."""
    hidden = b"V" + b"A" * LONG + b"\n0" + PAYLOAD
    end = member(b"x.txt", hidden) + header(b"pickle", 0, kind, link=b"x.txt")
    assert status(archive(end=end)) is Status.DANGEROUS


@pytest.mark.parametrize("kind", [b"1", b"2", b"5", b"6"])
def test_members_without_content_hide_no_others(kind: bytes) -> None:
    """tarfile goes on right after a directory or link, whatever size it states."""
    inside = member(b"pickle", PAYLOAD)
    assert status(archive(end=header(b"x", len(inside), kind) + inside)) is Status.DANGEROUS


@pytest.mark.parametrize(
    "before",
    [
        member(b"././@LongLink", b"pickle\0" + b"A" * LONG, kind=b"L"),
        member(b"././@LongLink", b"pickle\0", kind=b"L") + member(b"././@LongLink", b"other\0", kind=b"L"),
        member(b"x", b"15 path=pickle\n", kind=b"x"),
        member(b"x", b"12 size=1024\n", kind=b"X"),
        member(b"x", b"0 mtime=15 path=pickle\n", kind=b"x"),
    ],
    ids=["very long name", "two names", "pax name", "Solaris size", "length of nothing"],
)
def test_headers_that_rename_what_follows(before: bytes) -> None:
    """A name or size that only some readers apply makes two archives of one."""
    hidden = b"V" + b"A" * LONG + b"\n0" + PAYLOAD
    assert status(archive(end=before + member(b"x.txt", hidden))) is Status.DANGEROUS


def test_times_in_extended_headers_change_nothing() -> None:
    """What Python's tarfile writes beside every member with a fraction of a second is no second reading."""
    before = member(b"x", b"20 mtime=1234.56789\n", kind=b"x")
    assert status(archive(end=before + member(b"notes.txt", b"hello"))) is Status.UNVERIFIED
