"""Zip archives that say two things: each is reported, and each way of reading them is read."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from functools import partial

import pytest

from safeload.core.blob import MemoryBlob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Irregularity, Member, PickleStream
from safeload.formats.zip_archive import read_archive
from tests.corpus.build import Zipped, bomb, checkpoint, make_zip, many_members, payload
from tests.effort import lines
from tests.formats.helpers import kinds, of, reading, runs_system, saved

PLAIN = pickle.dumps({}, 2)


def _both(result: object) -> bool:
    return any(part.two_readings for part in of(result, Irregularity))  # type: ignore[arg-type]


def test_archives_of_python_are_regular() -> None:
    """What zipfile writes, stored or deflated, to a file or to a stream, has nothing to report."""

    class Stream(io.BytesIO):
        def seekable(self) -> bool:
            return False

    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        for target in (io.BytesIO(), Stream()):
            with zipfile.ZipFile(target, "w", method) as archive:
                archive.writestr("a/data.pkl", payload())
                archive.writestr("a/note.txt", "x" * 1000)
            result = reading(target.getvalue())
            assert result.fault is None and not kinds(result)
            assert runs_system(result)


def test_archives_of_torch_are_regular() -> None:
    """torch's descriptors, alignment fields and unwritten checksums are as they should be."""
    import torch

    torch.serialization.set_crc32_options(False)
    try:
        unchecked = saved({"w": torch.ones(3), "e": torch.empty(0)})
    finally:
        torch.serialization.set_crc32_options(True)
    for raw in (unchecked, saved({"w": torch.ones(3), "e": torch.empty(0)})):
        result = reading(raw)
        assert result.fault is None and not kinds(result)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"local": {"name": b"a/other.pkl"}}, "zip-local-disagrees"),
        ({"local": {"method": 8}}, "zip-local-disagrees"),
        ({"local": {"size": 3}}, "zip-local-disagrees"),
        ({"local": {"packed": 3}}, "zip-local-disagrees"),
        ({"local": {"crc": 1}}, "zip-local-disagrees"),
        ({"local": {"flags": 0x800}}, "zip-local-disagrees"),
        ({"central": {"size": 3}}, "zip-stored-size"),
        ({"flags": 8}, "zip-local-disagrees"),
        ({"local": {"flags": 1}}, "zip-encrypted"),
        ({"central": {"flags": 1}}, "zip-encrypted"),
        ({"flags": 0x20}, "zip-encrypted"),
        ({"flags": 0x40}, "zip-encrypted"),
        ({"flags": 0x2000}, "zip-encrypted"),
        ({"before": b"between"}, "zip-bytes-outside"),
        ({"extra": struct.pack("<HHBI", 0x7075, 16, 1, 0) + b"a/other.pkl"}, "zip-second-name"),
    ],
    ids=str,
)
def test_a_contradiction_is_reported_and_the_pickle_still_read(change: dict, kind: str) -> None:
    """Whatever two places of the archive disagree about, the payload behind them is seen."""
    first = Zipped("a/first", b"")
    result = reading(make_zip([first, Zipped("a/data.pkl", payload(), **change)]))
    assert kind in kinds(result)
    assert runs_system(result)


@pytest.mark.parametrize("name", ["/etc/x.pkl", "../x.pkl", "a/../../x.pkl", "C:/x.pkl", "..\\x.pkl"])
def test_names_outside_of_the_archive_are_reported(name: str) -> None:
    """Traversal and absolute names are found in every spelling, and the member is read."""
    result = reading(make_zip([*checkpoint(PLAIN), Zipped(name, payload())]))
    assert "zip-traversal-name" in kinds(result) and runs_system(result)


@pytest.mark.parametrize("other", ["archive/data.pkl", "archive/DATA.PKL", "archive/data.pkl\0.txt"])
def test_two_members_that_a_reader_may_confuse_are_both_read(other: str) -> None:
    """Equal names, names equal but for case, and names that a NUL makes equal are two readings."""
    result = reading(make_zip([*checkpoint(PLAIN), Zipped(other, payload())]))
    assert "zip-duplicate-name" in kinds(result) and _both(result)
    assert len([part for part in of(result, PickleStream) if part.role != "nested"]) >= 2
    assert runs_system(result)


def test_a_member_that_no_directory_lists_is_read() -> None:
    """A reader that goes from header to header finds it, so this one does too."""
    hidden = Zipped("archive/data.pkl", payload(), listed=False)
    result = reading(make_zip([*checkpoint(PLAIN), hidden]))
    assert "zip-hidden-member" in kinds(result) and runs_system(result)


def test_bytes_around_the_archive_are_reported() -> None:
    """Nothing may stand before the first member, between members, or after the end record."""
    raw = make_zip(checkpoint(PLAIN))
    assert "zip-bytes-outside" in kinds(reading(b"\x7fnot a pickle" + raw))
    assert "zip-shifted" in kinds(reading(b"\x7fnot a pickle" + raw))
    assert "zip-bytes-outside" in kinds(reading(raw + b"trailing"))


def test_overlapping_members_are_reported() -> None:
    """Members that share bytes are the usual way to make a bomb."""
    inner = Zipped("a/b", PLAIN)
    raw = make_zip([Zipped("a/data.pkl", bytes(64)), inner])
    at = raw.rfind(b"PK\x01\x02")
    overlapping = raw[: at + 42] + struct.pack("<I", 0) + raw[at + 46 :]
    assert "zip-local-disagrees" in kinds(reading(overlapping))
    longer = make_zip([Zipped("a/data.pkl", PLAIN, central={"packed": 90, "size": 90}), inner])
    assert "zip-overlap" in kinds(reading(longer))


def test_an_end_record_in_the_comment_is_followed() -> None:
    """A comment that ends in another end record gives two archives; both are read."""
    evil = make_zip([Zipped("a/data.pkl", payload())])
    directory = evil[evil.rfind(b"PK\x01\x02") : evil.rfind(b"PK\x05\x06")]
    local = evil[: evil.rfind(b"PK\x01\x02")]
    plain = checkpoint(PLAIN)
    base = make_zip(plain)
    start = len(base) - 22 - 0
    comment_at = start + 22
    fake_directory = directory[:42] + struct.pack("<I", comment_at) + directory[46:]
    inner = local + fake_directory
    inner_end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, len(fake_directory), comment_at + len(local), 0)
    result = reading(make_zip(plain, comment=inner + inner_end))
    assert "zip-several-ends" in kinds(result) and _both(result)
    assert runs_system(result)


def test_a_wrong_checksum_of_a_pickle_is_reported() -> None:
    """Pickles are small enough to check."""
    result = reading(make_zip([Zipped("a/data.pkl", PLAIN, local={"crc": 5}, central={"crc": 5})]))
    assert "zip-checksum" in kinds(result)


@pytest.mark.parametrize("end", [{"count": 3}, {"count": 1}, {"disk": 1}])
def test_an_end_record_that_miscounts_is_reported(end: dict) -> None:
    """Some readers go by the number of members, others by the directory's size."""
    result = reading(make_zip([Zipped("a/data.pkl", PLAIN), Zipped("a/b", b"")], end=end))
    assert kinds(result) & {"zip-count-disagrees", "zip-multi-disk"}


def test_a_bomb_is_refused_before_it_expands() -> None:
    """A member that would expand a thousandfold is a limit, not a memory error."""
    assert isinstance(reading(bomb(1 << 26)).fault, LimitExceeded)


def test_a_pickle_that_expands_a_hundredfold_is_refused() -> None:
    """A few kilobytes cannot become a stream of millions of opcodes."""
    data = b"\x80\x02" + b"N0" * (8 << 20) + b"N."
    result = reading(make_zip([Zipped("a/data.pkl", data, method=8)]))
    assert isinstance(result.fault, LimitExceeded)


@pytest.mark.parametrize("size", [1 << 30, 0xFFFFFFFE])
def test_a_pickle_that_lies_about_its_size_is_still_read(size: int) -> None:
    """Readers that stop where the stream ends run the payload, so its beginning is read before the limit is raised."""
    lie = {"size": size}
    result = reading(make_zip([Zipped("a/data.pkl", payload(), method=8, local=lie, central=lie)]))
    assert isinstance(result.fault, LimitExceeded) and runs_system(result)


def test_members_that_overlap_cannot_be_read_without_end() -> None:
    """Two thousand names for one pickle of 60,000 opcodes are a limit, not two thousand readings."""
    raw = make_zip([Zipped("a/b", b"N0" * 30_000 + b"N.")])
    at = raw.rfind(b"PK\x01\x02")
    directory = raw[at : raw.rfind(b"PK\x05\x06")] * 2000
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 2000, 2000, len(directory), at, 0)
    result = reading(raw[:at] + directory + end)
    assert isinstance(result.fault, LimitExceeded)


def test_a_large_deflated_pickle_is_read_without_being_held() -> None:
    """A deflated member beyond the memory budget is inflated piece by piece."""
    data = pickle.dumps([os.urandom(25_000) * 4 for _ in range(200)], 4)
    assert len(data) > 16 << 20
    result = reading(make_zip([Zipped("a/data.pkl", data, method=8)]))
    stream = of(result, PickleStream)[0]
    assert result.fault is None and len(stream.reading.value.items) == 200


def test_a_member_that_inflates_to_less_than_it_says_is_reported() -> None:
    """The archive's size and the stream's size are compared."""
    result = reading(make_zip([Zipped("a/data.pkl", PLAIN, method=8, local={"size": 99}, central={"size": 99})]))
    assert "zip-size-wrong" in kinds(result)


def test_a_million_members_are_refused_at_once() -> None:
    """The number of members is checked before any of them is read."""
    archive = read_archive(MemoryBlob(many_members(1_000_000)), Location("x.zip"), Limits())
    assert isinstance(archive.fault, LimitExceeded) and archive.fault.limit == "members"


@pytest.mark.parametrize("method", [1, 6, 9, 12, 14, 93, 99])
def test_other_methods_leave_the_file_undecided(method: int) -> None:
    """A member that cannot be unpacked is never taken for harmless."""
    change = {"method": method}
    assert isinstance(
        reading(make_zip([Zipped("a/data.pkl", b"xx", local=change, central=change)])).fault, MalformedInput
    )


def test_a_damaged_deflate_stream_leaves_the_file_undecided() -> None:
    """A broken stream is an error with the member in its place."""
    broken = Zipped("a/data.pkl", b"\xff" * 40, local={"method": 8}, central={"method": 8})
    fault = reading(make_zip([broken])).fault
    assert fault is not None and isinstance(fault.where, Location) and fault.where.member == "a/data.pkl"


def test_other_members_are_listed() -> None:
    """What no reader looks into is still in the report, by name and size."""
    result = reading(make_zip([*checkpoint(PLAIN), Zipped("archive/readme.txt", b"hello")]))
    assert [(part.name, part.size) for part in of(result, Member)] == [("archive/readme.txt", 5)]


def test_a_sparse_archive_over_four_gigabytes_is_regular(tmp_path: object) -> None:
    """torch's ZIP64 records, written for a tensor of five gigabytes that is a hole in the file, are read cleanly."""
    import pathlib

    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    path = pathlib.Path(str(tmp_path)) / "big.pt"
    with FakeTensorMode():
        big, small = torch.empty(5 << 30, dtype=torch.uint8), torch.ones(3)
    with torch.serialization.skip_data(materialize_fake_tensors=True):
        torch.save({"big": big, "small": small}, path)

    class File:
        size = path.stat().st_size

        def read_at(self, offset: int, length: int) -> bytes:
            return os.pread(descriptor, length, offset)

    descriptor = os.open(path, os.O_RDONLY)
    try:
        from safeload.formats import read

        result = read(File(), Location("big.pt"))
    finally:
        os.close(descriptor)
    assert result.fault is None and not kinds(result)
    sizes = {key: part.nbytes for key, part in of(result, PickleStream)[0].storages.items()}
    assert sizes == {"0": 5 << 30, "1": 12}


def test_zlib_is_only_asked_for_bounded_pieces() -> None:
    """A deflated member beside the pickle that nobody needs is not inflated whole."""
    member = Zipped("a/notes.txt", b"\0" * (40 << 20), method=8)
    assert reading(make_zip([*checkpoint(PLAIN), member]), limits=Limits(expansion=2000)).fault is None


def test_pickles_of_an_archive_are_counted() -> None:
    """Thousands of two-byte pickles cost far more than their bytes, whether in many members or in few."""
    many = make_zip([Zipped(f"{index}.pkl", b"N.") for index in range(50)])
    few = make_zip([Zipped(f"{index}.pkl", b"N." * 10) for index in range(5)])
    for raw in (many, few):
        fault = reading(raw, "x.zip", Limits(streams=30)).fault
        assert isinstance(fault, LimitExceeded) and fault.limit == "streams"
        assert reading(raw, "x.zip").fault is None


def test_many_roots_are_read_in_little_time() -> None:
    """Each directory with a `data.pkl` is a root; finding them is no product of roots and members."""

    def roots(count: int) -> bytes:
        return make_zip([Zipped(f"r{index}/data.pkl", b"N.") for index in range(count)])

    assert "torch-several-roots" in kinds(reading(roots(2_000), "x.bin", Limits(streams=10)))
    few, many = (lines(partial(reading, roots(count), "x.bin", Limits(streams=10))) for count in (200, 1_600))
    assert many < 10 * few
