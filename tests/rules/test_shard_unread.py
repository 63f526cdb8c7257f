"""An index whose shards nobody read is not safe, and says which they are."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from safeload.core.blob import MemoryBlob
from safeload.core.finding import FileReport, Status
from safeload.core.limits import Limits
from safeload.engine.inspect import inspect
from safeload.engine.scan import scan, scan_stream
from tests.corpus.build import safetensors

NAMES = [f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]
INDEX = "model.safetensors.index.json"


def index(*names: str) -> bytes:
    return json.dumps({"metadata": {}, "weight_map": {f"w{n}": name for n, name in enumerate(names)}}).encode()


def of(folder: Path, name: str = INDEX) -> FileReport:
    (report,) = [file for file in scan(folder).files if file.path.endswith(name)]
    return report


def test_missing_shards_are_named(tmp_path: Path) -> None:
    """Those that are not there, in one finding, and the index is undecided."""
    (tmp_path / INDEX).write_bytes(index(*NAMES))
    (tmp_path / NAMES[1]).write_bytes(safetensors("{}"))
    report = of(tmp_path)
    (finding,) = report.findings
    assert (report.status, finding.rule) == (Status.UNDECIDED, "shard-unread")
    assert NAMES[0] in finding.message and NAMES[2] in finding.message and NAMES[1] not in finding.message
    assert "2 files of weights" in finding.message


def test_a_complete_model_has_nothing_to_say(tmp_path: Path) -> None:
    """All shards are there, below a folder as well; each has its own report."""
    (tmp_path / "unet").mkdir()
    for folder in (tmp_path, tmp_path / "unet"):
        (folder / INDEX).write_bytes(index(*NAMES))
        for name in NAMES:
            (folder / name).write_bytes(safetensors("{}"))
    report = scan(tmp_path)
    assert not [finding for file in report.files for finding in file.findings]


def test_shards_of_another_folder_do_not_count(tmp_path: Path) -> None:
    """A name means the file beside the index."""
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / INDEX).write_bytes(index(*NAMES))
    for name in NAMES:
        (tmp_path / name).write_bytes(safetensors("{}"))
    assert of(tmp_path).status is Status.UNDECIDED


@pytest.mark.parametrize(
    "name",
    [
        "pytorch_model.bin.index.json",
        "tf_model.h5.index.json",
        "flax_model.msgpack.index.json",
        "diffusion_pytorch_model.safetensors.index.fp16.json",
    ],
)
def test_every_kind_of_index_counts(tmp_path: Path, name: str) -> None:
    """Whatever format the shards are of, and whatever variant."""
    (tmp_path / name).write_bytes(index("a.bin"))
    assert of(tmp_path, name).status is Status.UNDECIDED


def test_a_shard_outside_of_the_model_is_dangerous_and_not_missing(tmp_path: Path) -> None:
    """The other rule says so; what is there is not looked for."""
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "a.bin").write_bytes(b"")
    (folder / INDEX).write_bytes(index("../a.bin", "/etc/passwd", "a\0b"))
    report = of(folder)
    assert report.status is Status.DANGEROUS
    assert {finding.rule for finding in report.findings} == {"reference-escapes"}


def test_an_index_alone_whose_shards_lie_beside_it_is_a_note(tmp_path: Path) -> None:
    """Somebody asked about one file: it is what it is, and the note says what was not looked at."""
    (tmp_path / INDEX).write_bytes(index(*NAMES))
    for name in NAMES[:2]:
        (tmp_path / name).write_bytes(safetensors("{}"))
    absent, present = of(tmp_path / INDEX).findings
    assert absent.status is Status.UNDECIDED and NAMES[2] in absent.message
    assert present.status is Status.SAFE and NAMES[0] in present.message and NAMES[2] not in present.message
    (tmp_path / NAMES[2]).write_bytes(safetensors("{}"))
    assert of(tmp_path / INDEX).status is Status.SAFE


def test_an_index_on_standard_input_has_nothing_beside_it() -> None:
    """Nobody read its shards, so it is undecided."""
    (report,) = scan_stream(io.BytesIO(index(*NAMES)), name=INDEX).files
    assert report.status is Status.UNDECIDED


def test_what_is_remembered_is_not_what_is_there(tmp_path: Path) -> None:
    """A shard that goes between two scans is missing in the second, also with the cache and with several workers."""
    (tmp_path / INDEX).write_bytes(index(*NAMES))
    for name in NAMES:
        (tmp_path / name).write_bytes(safetensors("{}"))
    for workers in (1, 2):
        assert scan(tmp_path, cache=True, workers=workers).status is Status.SAFE
    (tmp_path / NAMES[0]).unlink()
    for workers in (1, 2):
        report = scan(tmp_path, cache=True, workers=workers)
        assert report.status is Status.UNDECIDED
        assert [file.path for file in report.files] == sorted([INDEX, *NAMES[1:]])


def test_hostile_names_are_escaped_and_counted(tmp_path: Path) -> None:
    """Many names, with what a terminal would act on: a line of bounded length."""
    (tmp_path / INDEX).write_bytes(index(*(f"\x1b[31m{number}" + "x" * 5_000 for number in range(500))))
    (finding,) = of(tmp_path).findings
    assert finding.message.isprintable() and len(finding.message) < 4_000
    assert "and 480 more" in finding.message


@pytest.mark.parametrize("weight_map", [None, [], {}, {"a": None}, {"a": 1}, "text"])
def test_an_index_that_names_nothing_names_nothing(tmp_path: Path, weight_map: object) -> None:
    """There is nothing that nobody read. (A text in the place of the map is a name.)"""
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    assert of(tmp_path).status is (Status.UNDECIDED if weight_map == "text" else Status.SAFE)


@pytest.mark.parametrize("deep", [False, True], ids=["archive", "archive in archive"])
@pytest.mark.parametrize("there", [False, True], ids=["missing", "complete"])
def test_an_index_in_an_archive_is_compared_with_its_members(there: bool, deep: bool) -> None:
    """Shards of an archived model are in the archive, beside its index; those elsewhere in it do not count."""
    shard = b"\2\0\0\0\0\0\0\0{}"
    index = json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}).encode()
    members = {"m/model.safetensors.index.json": index, "m/one.safetensors": shard, "two.safetensors": shard}
    if there:
        members["m/two.safetensors"] = shard
    data = zipped(members)
    found = inspect(MemoryBlob(zipped({"in.zip": data}) if deep else data), "m.zip", Limits()).report
    named = [one for one in found.findings if one.rule == "shard-unread"]
    assert found.status is (Status.SAFE if there else Status.UNDECIDED) and len(named) == (not there)
    assert all("two.safetensors" in one.message and "one.safetensors" not in one.message for one in named)


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()
