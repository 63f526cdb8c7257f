"""A part of a file that was cut in several is never safe, and the report names it as one."""

from __future__ import annotations

import lzma
import os

import pytest

from safeload.core.blob import MemoryBlob
from safeload.core.finding import FileReport, Status
from safeload.core.limits import Limits
from safeload.engine.inspect import inspect
from tests.corpus.build import Zipped, gguf, make_zip, payload

WHOLE = make_zip([Zipped("weights.bin", os.urandom(400)), Zipped("data.pkl", payload(4))])


def report(name: str, data: bytes) -> FileReport:
    return inspect(MemoryBlob(data), name, Limits()).report


def is_named(found: FileReport) -> bool:
    return any(finding.rule == "opaque-file" and "one part of several" in finding.message for finding in found.findings)


NAMES = (
    *("model.zip.001", "model.zip.002", "model.7z.001", "m.tar.gz.aa", "M.ZIP.01", "m.z01", "m.r00", "m.tgz.ab"),
    *("model.part1.rar", "model.part01.rar", "m.part2.exe", "w.bin.part-aa", "w.bin.part1of3", "w.gguf-split-a"),
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "data",
    [
        WHOLE[:300],
        WHOLE[300:],
        b"7z\xbc\xaf\x27\x1c\0\4" + bytes(24),
        b"Rar!\x1a\x07\x01\0" + bytes(50),
        b"\x80\x02N.",
        b"{}",
        b"some text\n",
        lzma.compress(b"some text\n")[:40],
        gguf()[:90],
        b"",
    ],
    ids=["zip", "zip-rest", "7z", "rar", "pickle", "json", "text", "xz", "gguf", "empty"],
)
def test_a_part_is_undecided_and_named(name: str, data: bytes) -> None:
    """Whatever stands in it, also what would be safe alone: the whole is something else."""
    found = report(name, data)
    assert found.status >= Status.UNDECIDED
    assert is_named(found)


def test_what_a_part_holds_still_counts() -> None:
    """A whole archive under the name of a part: what is found in it stays found."""
    found = report("model.zip.001", WHOLE)
    assert found.status is Status.DANGEROUS
    assert is_named(found)


@pytest.mark.parametrize(
    "name",
    [
        "model-00001-of-00003.safetensors",
        "model.pth.10",
        "checkpoint.001",
        "a.zip",
        "notes.part",
        "v.data-00000-of-00001",
        "department.zip",
        "rag.tar.bz",
        "train.r",
        "counterpart12",
        "epoch.part",
    ],
)
def test_other_numbers_are_no_parts(name: str) -> None:
    """Shards and steps are files of their own."""
    assert not is_named(report(name, b"\x80\x02N."))
