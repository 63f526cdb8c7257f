"""Whatever is wrong with the input or the disk: an error with a place, the input untouched, and no partial output."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from safeload.core.errors import MalformedInput, SafeloadError, SourceError, UsageError, VerificationFailed
from safeload.engine.convert import conveyor, draft, making
from safeload.engine.convert.job import convert
from safeload.sources.pinned import PinnedFile
from tests.engine import models
from tests.engine.checkpoints import saved
from tests.engine.test_convert import STATE, converted, loaded, same

BIG = {f"layer.{i}": torch.arange(i, i + 600, dtype=torch.float32) for i in range(4)}
SOURCES = {
    "zip": saved(BIG),
    "legacy": saved(BIG, _use_new_zipfile_serialization=False),
}


@contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    """Every file of a directory is afterwards what it was, and none was added."""
    before = {name: (folder / name).read_bytes() for name in models.files_below(folder)}
    yield
    assert {name: (folder / name).read_bytes() for name in models.files_below(folder)} == before
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("percent", range(100))
def test_a_truncated_file_is_refused(tmp_path: Path, kind: str, percent: int) -> None:
    """Cut at any hundredth of its length, a checkpoint is an error that says where, and no output."""
    data = SOURCES[kind]
    path = models.write(tmp_path / "x.bin", data[: len(data) * percent // 100])
    with unchanged(tmp_path), pytest.raises(MalformedInput) as caught:
        convert(path)
    assert "x.bin" in str(caught.value.where) and caught.value.why


@pytest.mark.parametrize("kind", SOURCES)
def test_one_flipped_bit_anywhere_never_leaves_half_an_output(tmp_path: Path, kind: str) -> None:
    """Flip a bit in a header or the pickle: either an error and nothing, or a whole output of a whole reading."""
    data = SOURCES[kind]
    places = [*range(120), *range(len(data) - 120, len(data))] if kind == "zip" else range(0, 700, 2)
    refused = 0
    for place in places:
        folder = tmp_path / str(place)
        flipped = bytearray(data)
        flipped[place] ^= 1 << (place % 8)
        path = models.write(folder / "x.bin", bytes(flipped))
        try:
            conversion = convert(path)
        except SafeloadError as error:
            refused += 1
            assert models.files_below(folder) == {"x.bin"}, place
            assert "x.bin" in str(error), place
        else:
            assert conversion.tensors
            assert models.files_below(folder) == {"x.bin", "x.safetensors", "conversion.intoto.json"}, place
        assert path.read_bytes() == flipped
    assert refused > len(places) // 4


def test_a_storage_that_is_too_short_is_refused(tmp_path: Path) -> None:
    """A tensor that says more than its storage holds: an error that names the tensor."""
    path = models.write(tmp_path / "x.pt", saved(STATE))
    with zipfile.ZipFile(path) as old:
        members = {info.filename: old.read(info) for info in old.infolist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, content in members.items():
            new.writestr(name, content[:-4] if name.endswith("data/0") else content)
    with unchanged(tmp_path), pytest.raises(MalformedInput) as caught:
        convert(path)
    assert "x.pt" in str(caught.value.where)
    assert "bytes wanted" in caught.value.why


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x80\x04N.", b"<html>", b"version https://git-lfs.github.com/spec/v1\n"]
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    """Empty files, text, a page of a web server, a pointer instead of the file."""
    path = models.write(tmp_path / "x.bin", content)
    with unchanged(tmp_path), pytest.raises(SafeloadError):
        convert(path)


@pytest.mark.parametrize("options", [{}, {"max_shard_size": 3000}])
def test_a_full_disk_leaves_nothing(tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file system refuses to write on, the error says so and nothing remains."""
    path = models.write(tmp_path / "x.bin", SOURCES["zip"])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000 if not options else 2_500, hard))
    try:
        with unchanged(tmp_path), pytest.raises(SourceError) as caught:
            convert(path, **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "large" in caught.value.why.lower()


def test_free_space_is_looked_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is not enough room, not one byte is written."""
    path = models.write(tmp_path / "x.bin", SOURCES["zip"])
    real = os.statvfs(tmp_path)
    fake = os.statvfs_result((*real[:4], 1, *real[5:]))
    monkeypatch.setattr(draft.os, "statvfs", lambda _: fake)
    monkeypatch.setattr(making, "make", None)
    with unchanged(tmp_path), pytest.raises(SourceError, match="nothing was converted") as caught:
        convert(path)
    assert "are free" in caught.value.why


def test_no_permission_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that may not be written to: the error names it."""
    path = models.write(tmp_path / "x.bin", SOURCES["zip"])

    def refused(*_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(draft.os, "mkdir", refused)
    with unchanged(tmp_path), pytest.raises(SourceError) as caught:
        convert(path)
    assert str(tmp_path) in str(caught.value.where)
    assert caught.value.why == "Permission denied"


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_an_output_that_is_there_is_not_replaced(tmp_path: Path, kind: str) -> None:
    """A file, a dangling link or a directory in the output's place stays, unless `force` replaces the file."""
    path = models.write(tmp_path / "x.bin", SOURCES["zip"])
    target = tmp_path / "x.safetensors"
    if kind == "file":
        target.write_bytes(b"mine")
    elif kind == "link":
        target.symlink_to("nowhere")
    else:
        target.mkdir()
    with pytest.raises(UsageError, match="there already"):
        convert(path)
    assert models.files_below(tmp_path) == {"x.bin"} | ({"x.safetensors"} if kind != "directory" else set())
    if kind != "directory":
        assert set(loaded(convert(path, force=True))) == set(BIG)
        assert not (tmp_path / "nowhere").exists()


def test_an_output_into_a_file_is_refused(tmp_path: Path) -> None:
    """A directory cannot be made where a file is."""
    path = models.write(tmp_path / "x.bin", SOURCES["zip"])
    with unchanged(tmp_path), pytest.raises(SafeloadError):
        convert(path, into=path / "out")


def test_directories_that_were_made_go_again(tmp_path: Path) -> None:
    """After an error the directories that were made for the output are gone."""
    with pytest.raises(VerificationFailed), pytest.MonkeyPatch.context() as patch:
        patch.setattr(draft, "carry", lambda *_, **__: conveyor.Carried("", {}, ["w"]))
        converted(tmp_path, STATE, into=tmp_path / "a/b")
    assert not (tmp_path / "a").exists()


def test_a_source_that_changes_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write to the source during the conversion is noticed before anything is published."""
    path = models.write(tmp_path / "x.bin", SOURCES["zip"])
    real = making.make

    def late(*arguments: Any, **options: Any) -> Any:
        made = real(*arguments, **options)
        with path.open("r+b") as stream:
            stream.write(b"X")
        return made

    monkeypatch.setattr(making, "make", late)
    with pytest.raises(VerificationFailed):
        convert(path)
    assert models.files_below(tmp_path) == {"x.bin"}


@pytest.mark.parametrize("value", [BIG, {name: tensor.reshape(20, 30).t() for name, tensor in BIG.items()}])
def test_a_disk_that_gives_other_bytes_back_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: dict[str, torch.Tensor]
) -> None:
    """The output is read back, and must be what was written, whether it was copied or put together."""
    path = models.write(tmp_path / "x.bin", saved(value))
    real = os.pwrite

    def broken(descriptor: int, data: Any, at: int) -> int:
        return real(descriptor, bytes(data[:-1]) + b"X", at)

    monkeypatch.setattr(conveyor.os, "pwrite", broken)
    with unchanged(tmp_path), pytest.raises(VerificationFailed, match="read back") as caught:
        convert(path)
    assert list(caught.value.mismatches) == ["layer.3"]


class Stop(BaseException):
    """What ends a process in the middle."""


def interrupted(path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Convert, and be stopped after some shards."""
    real, made = making.make, []

    def stopping(*arguments: Any, **options: Any) -> Any:
        if len(made) >= after:
            raise Stop
        made.append(real(*arguments, **options))
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(making, "make", stopping)
        patch.setattr(making.os, "cpu_count", lambda: 1)
        with pytest.raises(Stop):
            convert(path, max_shard_size=3000)


def test_an_interrupted_conversion_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards that were finished are not written again; nothing was visible under a final name before."""
    path = models.write(tmp_path / "x.bin", SOURCES["zip"])
    interrupted(path, monkeypatch, after=2)
    assert {item.name for item in tmp_path.iterdir()} == {"x.bin", ".x.safeload-part"}
    written: list[str] = []
    real = draft._write

    def counting(target: str, *rest: Any) -> Any:
        written.append(target)
        return real(target, *rest)

    monkeypatch.setattr(draft, "_write", counting)
    conversion = convert(path, max_shard_size=3000)
    assert len(written) == 2
    assert all(same(loaded(conversion)[name], tensor) for name, tensor in BIG.items())
    assert not (tmp_path / ".x.safeload-part").exists()


def test_leftovers_of_another_conversion_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the source or the options are others, everything is written anew."""
    path = models.write(tmp_path / "x.bin", SOURCES["zip"])
    interrupted(path, monkeypatch, after=2)
    other = {name: tensor + 1 for name, tensor in BIG.items()}
    models.write(path, saved(other))
    conversion = convert(path, max_shard_size=3000)
    assert all(same(loaded(conversion)[name], tensor) for name, tensor in other.items())


def test_damaged_leftovers_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished shard that is no longer what its note says is noticed; the next attempt begins anew."""
    path = models.write(tmp_path / "x.bin", SOURCES["zip"])
    interrupted(path, monkeypatch, after=2)
    shard = next(item for item in (tmp_path / ".x.safeload-part").iterdir() if item.name.endswith(".safetensors"))
    with shard.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"X")
    with pytest.raises(VerificationFailed):
        convert(path, max_shard_size=3000)
    assert set(loaded(convert(path, max_shard_size=3000))) == set(BIG)


@pytest.mark.parametrize("kind", ["writable", "link"])
def test_unfinished_work_of_others_is_not_trusted(tmp_path: Path, kind: str) -> None:
    """A directory of that name that others may write to, or a link, is not used."""
    path = models.write(tmp_path / "x.bin", SOURCES["zip"])
    place = tmp_path / ".x.safeload-part"
    if kind == "writable":
        place.mkdir()
        place.chmod(0o777)
    else:
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        place.symlink_to("elsewhere")
    with pytest.raises(UsageError, match="nothing was converted"):
        convert(path)
    assert not (tmp_path / "x.safetensors").exists()


def test_two_conversions_to_one_place_do_not_meet(tmp_path: Path) -> None:
    """While one process converts there, another one is refused."""
    path = models.write(tmp_path / "x.bin", SOURCES["zip"])
    held = draft.Draft(str(tmp_path), "x", "plan")
    held.open()
    try:
        with pytest.raises(UsageError) as caught:
            convert(path)
        assert "another process" in caught.value.why
    finally:
        held.discard()
    assert set(loaded(convert(path))) == set(BIG)


def test_a_folder_where_drafts_lie_is_in_nobodys_way(tmp_path: Path) -> None:
    """An archive may hold a folder of that name with anything in it: links are removed, and not followed."""
    path = models.write(tmp_path / "x.bin", SOURCES["zip"])
    precious = models.write(tmp_path / "precious/file", b"precious")
    place = tmp_path / ".x.safeload-part"
    models.write(place / "folder/file", b"")
    (place / "folder/link").symlink_to(precious.parent)
    (place / "link").symlink_to(precious.parent)
    place.chmod(0o700)
    held = draft.Draft(str(tmp_path), "x", "plan")
    held.open()
    assert list(place.iterdir()) == []
    held.leave()
    models.write(place / "folder/file", b"")
    assert set(loaded(convert(path))) == set(BIG)
    assert not place.exists() and precious.read_bytes() == b"precious"


@pytest.mark.parametrize("what", ["pipe", "link", "folder"])
@pytest.mark.parametrize("name", ["conversion.intoto.json", "checkpoint.json"])
def test_what_lies_beside_the_source_stops_no_conversion(tmp_path: Path, name: str, what: str) -> None:
    """A pipe under the name of our account is not waited for, a link not followed, and nothing there is replaced."""
    path = models.write(tmp_path / "x.bin", saved({**BIG, "step": 3}))
    precious = models.write(tmp_path / "precious", b'{"subject": [], "source": "x.bin"}')
    beside = tmp_path / name
    {"pipe": os.mkfifo, "link": lambda at: at.symlink_to(precious), "folder": os.mkdir}[what](beside)  # type: ignore[operator]
    kind = stat.S_IFMT(beside.lstat().st_mode)
    conversion = convert(path, keep_data=True)
    assert set(loaded(conversion)) == set(BIG)
    assert what == "link" or stat.S_IFMT(beside.lstat().st_mode) == kind
    assert precious.read_bytes() == b'{"subject": [], "source": "x.bin"}'


def test_what_was_to_be_replaced_stays_where_the_output_could_not_be_written(tmp_path: Path) -> None:
    """A file that cannot be replaced costs none of those that were replaced before it."""
    path = models.write(tmp_path / "x.bin", SOURCES["zip"])
    first = convert(path, max_shard_size=3000)
    assert first.path is not None
    first.path.unlink()
    (first.path / "in-the-way").mkdir(parents=True)
    with unchanged(tmp_path), pytest.raises(SourceError, match="could not be written"):
        convert(path, max_shard_size=3000, force=True)


def test_outputs_have_the_rights_that_files_have(tmp_path: Path) -> None:
    """The output is not private because its draft was: the umask decides."""
    conversion = converted(tmp_path, STATE)
    assert conversion.path is not None
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(conversion.path.stat().st_mode) == 0o666 & ~mask


def test_the_source_is_opened_for_reading_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor of the source could write to it."""
    modes: list[int] = []
    real = PinnedFile.__init__

    def watched(self: PinnedFile, descriptor: int, **rest: Any) -> None:
        modes.append(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE)
        real(self, descriptor, **rest)

    monkeypatch.setattr(PinnedFile, "__init__", watched)
    converted(tmp_path, STATE)
    assert modes and set(modes) == {os.O_RDONLY}
