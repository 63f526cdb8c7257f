"""Shorter ways that most files take while they are scanned: each says what the longer one says."""

from __future__ import annotations

import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload import formats
from safeload.core.blob import MemoryBlob
from safeload.core.frozen import replace
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats import inside, pickle_head, zip_archive, zip_parts
from tests.corpus.build import Zipped, make_zip

_LATER = 0x0008
_CODES = b"(.012FIJKLNPQRSTUVX]abcdegh}\x80\x8a\x8c\x8e\x94\x95Gl\n\xff"
SUFFIXES = (
    *(
        ".zip.001",
        ".ZIP.0001",
        ".7z.aa",
        ".tar.gz.ab",
        ".z01",
        ".R00",
        "-split-b",
        "-\u017fplit-c",
        ".part1",
        ".PARTaa",
    ),
    *(".part-1of3", ".part1.rar", ".part02.exe", ".part_3.tar", ".zst.12", ".pt", ".json", "", "a"),
)


@given(st.text(max_size=12), st.sampled_from(SUFFIXES), st.text(max_size=2))
def test_no_part_of_a_cut_file_is_overlooked(stem: str, suffix: str, after: str) -> None:
    """Whatever name the pattern of parts matches, the first look at it lets pass."""
    name = stem + suffix + after
    assert formats._may_be_cut(name) or formats._SPLIT.search(name) is None


def test_parts_of_a_cut_file_are_known_by_their_names() -> None:
    """The names above that are parts are let pass by both looks."""
    parts = [name for name in SUFFIXES if formats._may_be_cut(f"model{name}") and formats._SPLIT.search(f"model{name}")]
    assert len(parts) == len(SUFFIXES) - 4


@given(
    st.sampled_from(
        [pickle.dumps(value, protocol) for protocol in (2, 3, 4, 5) for value in ({"a": 1}, [2.5], "x" * 40)]
    ),
    st.lists(st.tuples(st.integers(2, 26), st.sampled_from(list(_CODES))), max_size=4),
    st.integers(3, 60),
)
def test_what_goes_on_is_a_pickle_by_the_longer_way_too(data: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    """A beginning that is enough to know a pickle never makes one of what all of its bytes say is none."""
    changed = bytearray(data)
    for at, code in changes:
        changed[at % len(changed)] = code
    head = bytes(changed[:cut])
    if pickle_head.begins_with_protocol(head) and pickle_head._goes_on(head[: pickle_head._FIRST]):
        begun, ended = pickle_head._try(head, len(head), pickle_head._BEGUN)
        assert ended or begun.fault is None or bool(begun.trace) or begun.opcodes > pickle_head._SOME


@given(
    name=st.sampled_from([b"a/data.pkl", b"a\0b", b"\xc3\xa9", b""]),
    data=st.binary(max_size=40),
    flags=st.sampled_from([0, _LATER, 1, 0x0800]),
    shorts=st.dictionaries(st.sampled_from(["flags", "method"]), st.sampled_from([0, 1, 8, 0x0800, 0xFFFF])),
    longs=st.dictionaries(st.sampled_from(["crc", "packed", "size"]), st.sampled_from([0, 1, 8, 40, 0xFFFFFFFF])),
    extra=st.sampled_from([b"", b"up\x05\x00\x01abcd", b"FB\x02\x00ZZ"]),
    after=st.binary(max_size=30),
)
def test_a_regular_member_is_listed_as_by_the_longer_way(
    name: bytes, data: bytes, flags: int, shorts: dict[str, int], longs: dict[str, int], extra: bytes, after: bytes
) -> None:
    """The archive is the same, with all its irregularities, if no member is taken for a regular one."""
    first = Zipped(name, data, flags=flags, local={**shorts, **longs}, extra=extra)
    whole = make_zip([first, Zipped("b", after, before=data[:16])])
    place, limits = Location("a.zip"), Limits()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zip_archive, "_add_regular", lambda *_: False)
        longer = zip_archive.read_archive(MemoryBlob(whole), place, limits)
    shorter = zip_archive.read_archive(MemoryBlob(whole), place, limits)
    assert shorter.entries == longer.entries and shorter.irregularities == longer.irregularities
    assert str(shorter.fault) == str(longer.fault)


def test_an_account_is_what_its_constructor_makes() -> None:
    """It is put together without it, and has every field."""
    made = inside.account(Limits(opcodes=7), MemoryBlob(b"x"))
    assert made == inside.Inner(**Limits(opcodes=7).__dict__, level=0, work=made.work)
    assert re.match(r"Inner\(", repr(made)) and made.opcodes == 7


@given(st.binary(max_size=40), st.binary(max_size=40), st.sampled_from(["a.pkl", "a.txt", "a", "a.pt"]))
def test_what_has_no_opcode_after_its_first_line_is_judged_as_by_the_longer_way(
    line: bytes, rest: bytes, name: str
) -> None:
    """A zip archive begins with PERSID; whether the rest of its beginning is a pickle is the same by either way."""
    head = b"P" + line + b"\n" + rest
    for size in (len(head), 1 << 20):
        shorter = pickle_head.is_pickle(head, size, name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pickle_head, "_ends_at_once", lambda head: False)
            assert pickle_head.is_pickle(head, size, name) == shorter


@given(st.one_of(st.sampled_from(sorted(zip_parts._WORDS)), st.text("0123456789", min_size=1).map(str.encode)))
def test_a_note_that_says_little_is_no_pickle(note: bytes) -> None:
    """Digits and the words of torch's notes are no pickle by the longer way, whatever the note is called."""
    assert zip_parts._says_little(note)
    for name in ("a/version", "a/.data/serialization_id", "a.pkl", "a.bin"):
        assert not pickle_head.is_pickle(note, len(note), name)


NAMES = [
    *(b"a/data.pkl", b"A/DATA.PKL", b"a/\xc3\x9f", b"a/ss", b"\xe2\x84\xaa", b"k", b"", b"/x", b"x\0y", b"x\0/y"),
    *(b"a/../b", b"..", b"c:x", b"a\\b", b"a:b/c", b"a..b", b"\0", b"a/", b"a//b"),
]


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4))
def test_names_that_look_plain_together_are_so_one_by_one(names: list[bytes]) -> None:
    """What is said of the names of an archive is the same if none is taken for a plain one at first sight."""
    whole = MemoryBlob(make_zip([Zipped(name, b"x", flags=0x800) for name in names]))
    shorter = zip_archive.read_archive(whole, Location("a.zip"), Limits())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zip_archive, "_plain", lambda names: False)
        longer = zip_archive.read_archive(whole, Location("a.zip"), Limits())
    assert shorter.entries == longer.entries and shorter.irregularities == longer.irregularities


@given(st.text("aA/b\ufb02dtkpl.", max_size=12), st.sampled_from(["a", "a/b", "A"]))
def test_a_member_belongs_to_the_one_checkpoint_as_to_one_of_several(name: str, root: str) -> None:
    """Where there is a single root, it is looked for in the name; where there are more, in the folders above it."""
    entries = [zip_archive.Entry(each, 0, False, 0, 0, 0, 0, 0) for each in (f"{root}/data.pkl", name)]
    blob, limits = MemoryBlob(b""), Limits()
    kept = zip_parts._Kept(blob, Location("a"), limits, zip_parts.Budget(0), entries)
    shorter = kept.root_of(entries[1])
    kept._only = ""
    assert kept.root_of(entries[1]) == shorter


def test_modest_limits_are_what_replacing_a_field_makes() -> None:
    """They are put together without a constructor, and differ in opcodes alone; those of a file keep its account."""
    for limits in (Limits(), Limits(depth=3), inside.account(Limits(), MemoryBlob(b"x"))):
        made = inside.modest(limits, 10)
        assert made == replace(limits, opcodes=made.opcodes) and made.opcodes < limits.opcodes
