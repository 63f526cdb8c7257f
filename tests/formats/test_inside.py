"""Files within files: every member of an archive, and compressed content, is read like a file of its own."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tracemalloc
import zlib
from collections.abc import Callable

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.blob import MemoryBlob
from safeload.core.errors import LimitExceeded
from safeload.core.finding import FileReport, Status
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.engine.inspect import inspect
from safeload.formats.base import Irregularity, PickleStream, Reference, TensorTable, Text
from safeload.formats.inside import LEVELS, called, member_of
from tests.corpus.build import Zipped, make_tar, make_zip, payload, safetensors
from tests.formats.helpers import kinds, of, reading, runs_system

PACKS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda raw: lzma.compress(raw, lzma.FORMAT_ALONE),
    "zlib": zlib.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "zip": lambda raw: make_zip([Zipped("inner", raw)]),
    "deflated zip": lambda raw: make_zip([Zipped("inner", raw, method=8)]),
    "tar": lambda raw: make_tar([("inner", raw)]),
}
each = pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
CONFIG = b'{"auto_map": {"AutoModel": "modeling.Model"}}'


def judged(raw: bytes, name: str = "model.bin", limits: Limits | None = None) -> FileReport:
    return inspect(MemoryBlob(raw), name, limits or Limits()).report


@each
@pytest.mark.parametrize("outer", PACKS.values(), ids=PACKS)
def test_a_call_in_two_containers_is_seen(pack: Callable[[bytes], bytes], outer: Callable[[bytes], bytes]) -> None:
    """A pickle in any container within any other one is found, whatever the file is called."""
    for protocol in (0, 4):
        assert judged(outer(pack(payload(protocol))), "weights").status is Status.DANGEROUS


@each
def test_what_is_not_a_pickle_is_read_in_its_own_format(pack: Callable[[bytes], bytes]) -> None:
    """Configurations, templates and hidden pickles count within an archive as they do outside."""
    inner = make_zip(
        [
            Zipped("config.json", CONFIG),
            Zipped("chat_template.jinja", b"{{ x.__class__ }}"),
            Zipped("kernel.so", b"\x7fELF" + bytes(64)),
        ]
    )
    result = reading(pack(inner), "model.nemo")
    assert [part.target for part in of(result, Reference)] == ["modeling.Model"]
    assert of(result, Text, role="chat-template")
    rules = {finding.rule for finding in judged(pack(inner)).findings}
    assert {"config-code-reference", "template-escape", "program"} <= rules


def test_a_place_names_every_archive_on_the_way() -> None:
    """A finding says where it is: the archive, and the members down to the file."""
    raw = make_tar([("a/inner.zip", make_zip([Zipped("config.json", CONFIG)]))])
    (reference,) = of(reading(raw, "x.tar"), Reference)
    assert reference.location.member == "a/inner.zip » config.json"
    assert called(reference.location) == "config.json" and called(Location("x.tar")) == "x.tar"


def test_a_name_cannot_pretend_to_be_several() -> None:
    """The mark between names does not stand in a name."""
    assert called(member_of(Location("x.zip"), "a » data.pkl")) == "a _ data.pkl"


def test_members_that_are_fine_are_fine() -> None:
    """An archive of data is as safe as its members."""
    weights = safetensors('{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}', bytes(16))
    members = [("model.safetensors", weights), ("config.json", b'{"a": 1}'), ("notes.txt", b"hello")]
    for raw in (make_zip([Zipped(*member) for member in members]), make_tar(members)):
        assert judged(raw, "model.nemo").status is Status.SAFE
        assert judged(gzip.compress(raw), "model.gz").status is Status.SAFE


def test_inner_tensors_are_not_those_of_the_file() -> None:
    """A table of tensors in a member is not mistaken for the archive's, and its pickles are members."""
    raw = make_zip([Zipped("m.safetensors", safetensors("{}")), Zipped("x.pkl", payload())])
    result = reading(raw, "m.zip")
    assert not of(result, TensorTable) and {part.role for part in of(result, PickleStream)} == {"member"}


def test_pickle_and_archive_in_one_member_are_both_read() -> None:
    """A member that is a pickle from its beginning and an archive from its end is both."""
    raw = make_zip([Zipped("m", b"\x80\x02}." + make_zip([Zipped("archive/data.pkl", payload())]))])
    assert "polyglot" in kinds(reading(raw, "x.zip")) and judged(raw).status is Status.DANGEROUS


def test_depth_is_bounded() -> None:
    """Too deep is undecided, and what was read until there is judged."""
    raw = payload()
    for _ in range(LEVELS + 2):
        raw = make_zip([Zipped("inner.zip", raw)])
    assert "archive-too-deep" in kinds(reading(raw, "x.zip"))
    assert judged(raw).status is Status.UNDECIDED


def test_a_bomb_of_bombs_is_bounded() -> None:
    """Archives within archives do not multiply what may be unpacked."""
    raw = bytes(32 << 20)
    for _ in range(2):
        raw = make_zip([Zipped(f"{number}.zip", raw, method=8) for number in range(8)])
    fault = reading(gzip.compress(raw), "x.zip").fault
    assert isinstance(fault, LimitExceeded)


def test_very_many_members_are_bounded() -> None:
    """An archive that is nothing but tiny members is not opened for ever."""
    raw = make_zip([Zipped(str(number), b"x") for number in range(3_000)])
    assert isinstance(reading(raw, "x.zip").fault, LimitExceeded)


def test_archives_that_list_the_same_bytes_again_and_again_are_bounded() -> None:
    """Four names for one member on every level are four thousand readings of it; they stop early."""
    raw = b"\x80\x02(" + b"]" * (1 << 16) + b"l."
    for _ in range(LEVELS):
        again = [
            Zipped(name, b"", central={"size": len(raw), "packed": len(raw), "crc": zlib.crc32(raw), "header": 0})
            for name in "bcd"
        ]
        raw = make_zip([Zipped("a", raw), *again])
    assert judged(raw).status >= Status.UNDECIDED


def test_opcodes_of_all_members_together_are_bounded() -> None:
    """A small archive of very many opcodes stops early, also where they stand behind a text."""
    for name, begin in (("x.pkl", b"\x80\x02("), ("x.txt", b"V" + b"A" * (1 << 17) + b"\n0(")):
        inner = begin + b"]" * (1 << 20) + b"l."
        raw = gzip.compress(make_tar([(f"{number}/{name}", inner) for number in range(9)]))
        assert len(raw) < 1 << 18 and isinstance(reading(raw, "x.tar.gz").fault, LimitExceeded)


@pytest.mark.parametrize("name", ["config.yaml", "chat_template.jinja", "modeling.py", "config.json", "model.pmml"])
def test_a_pointer_in_place_of_a_text_is_one_thing(name: str) -> None:
    """What Git LFS leaves behind is said to be that, whatever it is called."""
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    (finding,) = judged(pointer, name).findings
    assert finding.rule == "not-the-file"


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"#!/bin/sh\na: 1\n", "config.yaml"),
        (b"x = 1  # <PMML version='4.4'>\n", "modeling.py"),
        (b'{"example": "<PMML version=4>"}', "config.json"),
        (b'{"a": 1}', "data.rs"),
        (b"tree\nversion=v4\n", "model.txt"),
        (b"# see https://git-lfs.github.com\n", "README.md"),
    ],
)
def test_formats_without_a_signature_do_not_claim_each_others_files(raw: bytes, name: str) -> None:
    """Text that only mentions another format is no second format."""
    assert "polyglot" not in kinds(reading(raw, name))


def test_a_wrong_checksum_counts_for_every_member() -> None:
    """A member that is not what the archive recorded is read, and the archive is not safe."""
    raw = make_zip([Zipped("config.json", CONFIG, local={"crc": 1}, central={"crc": 1})])
    result = reading(raw, "x.zip")
    assert "zip-checksum" in kinds(result) and of(result, Reference)
    assert judged(raw).status is Status.UNDECIDED


def test_a_mark_of_encryption_hides_nothing() -> None:
    """A member that is marked as encrypted and is not is read all the same, and the archive stays undecided."""
    raw = make_zip([Zipped("config.json", CONFIG, flags=1)])
    assert of(reading(raw, "x.zip"), Reference) and judged(raw).status >= Status.UNDECIDED


@each
@given(data=st.data())
def test_any_damage_ends_in_parts_or_an_error_of_ours(pack: Callable[[bytes], bytes], data: st.DataObject) -> None:
    """Whatever byte is changed and wherever it is cut, reading ends, and what remains of the call is not safe."""
    raw = bytearray(pack(make_zip([Zipped("config.json", CONFIG), Zipped("m.pkl", payload(), method=8)])))
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    result = reading(bytes(raw[:cut]), "x")
    assert result.formats
    assert all(isinstance(part.kind, str) for part in result.parts if isinstance(part, Irregularity))


def test_what_cannot_be_unpacked_here_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its library a compressed file is undecided, and the remedy is the command."""
    import sys

    monkeypatch.setitem(sys.modules, "zstandard", None)
    report = judged(PACKS["zstd"](payload()), "x.joblib")
    assert report.status is Status.UNDECIDED
    assert any("safeload[formats]" in finding.remedy for finding in report.findings)


def test_a_zstd_bomb_costs_little_memory() -> None:
    """A megabyte of packed zeros is unpacked in steps."""
    raw = zstandard.ZstdCompressor().compress(bytes(100 << 20))
    tracemalloc.start()
    result = reading(raw, "x.zst")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80 << 20 and not runs_system(result)
