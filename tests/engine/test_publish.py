"""`into`: real files that outlive the process, written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from safeload.core.errors import (
    MalformedInput,
    PolicyDenied,
    SafeloadError,
    SourceError,
    UsageError,
    VerificationFailed,
)
from safeload.engine.admission import publish
from safeload.engine.admit import admit
from safeload.engine.cache import pruned
from safeload.engine.options import Options
from safeload.sources.pinned import PinnedFile
from tests.engine.models import CONFIG, STATE, age, files_below, model, pickled, safe, sharded, write, write_all
from tests.engine.test_admit import SAVED, adapter, evil, state_of
from tests.engine.test_tensorfile import small_disk  # noqa: F401  (a fixture)

WHOLE = {"config.json", "vocab.txt", "model.safetensors", "admission.json"}


@pytest.mark.parametrize("pickle", [False, True])
@pytest.mark.parametrize("exists", [False, True])
def test_the_directory_holds_real_files_and_stays(tmp_path: Path, pickle: bool, exists: bool) -> None:
    """Independent of store, original and process: no link, no pickle, readable by safetensors, equal."""
    folder, into = model(tmp_path / "m", pickle=pickle), tmp_path / "deep" / "out"
    if exists:
        into.mkdir(parents=True)
    with admit(folder, into=into) as admission:
        assert admission.path == into
    pruned(Options(), everything=True)
    for path in folder.iterdir():
        path.unlink()
    assert files_below(into) == WHOLE
    assert all(stat.S_ISREG(path.lstat().st_mode) and path.stat().st_nlink == 1 for path in into.iterdir())
    assert state_of(into) == SAVED
    account = json.loads((into / "admission.json").read_text())
    assert account["schema"] == "safeload.admission/1" and account["reference"] == str(folder)
    assert not list(into.parent.glob("out.*"))


def test_shards_and_folders_are_written(tmp_path: Path) -> None:
    """Several files and files in folders come along."""
    folder = write_all(sharded(tmp_path / "m", pickle=True), {"additional_chat_templates/tool.jinja": "{{ x }}"})
    admit(folder, into=tmp_path / "out").close()
    assert state_of(tmp_path / "out") == SAVED
    assert (tmp_path / "out" / "additional_chat_templates" / "tool.jinja").read_text() == "{{ x }}"


@pytest.mark.parametrize("kind", ["file", "full", "hidden", "link", "broken link", "the model itself"])
def test_a_place_that_is_taken_is_refused_before_anything_else(tmp_path: Path, kind: str) -> None:
    """Nothing is overwritten, mixed or followed: whatever is there stays, and nothing was read."""
    folder, into = model(tmp_path / "m"), tmp_path / "out"
    if kind == "file":
        write(into, "x")
    elif kind in ("full", "hidden"):
        write(into / (".x" if kind == "hidden" else "x"), "x")
    elif kind in ("link", "broken link"):
        into.symlink_to(tmp_path / "elsewhere")
        if kind == "link":
            (tmp_path / "elsewhere").mkdir()
    else:
        into = folder
    before = files_below(tmp_path)
    with pytest.raises(UsageError, match="not empty"):
        admit(folder, into=into)
    assert files_below(tmp_path) == before
    store = Path(os.environ["SAFELOAD_HOME"]) / "v1"
    assert not store.exists() or not list((store / "admitted").iterdir())


def test_a_place_that_cannot_be_looked_at_is_our_error(tmp_path: Path) -> None:
    """A file where a folder should be, on the way."""
    write(tmp_path / "file", "x")
    with pytest.raises(SourceError) as refused:
        admit(model(tmp_path / "m"), into=tmp_path / "file" / "out")
    assert refused.value.remedy


def test_admitting_twice_gives_the_same(tmp_path: Path) -> None:
    """A recalled model is written like a fresh one."""
    folder = age(model(tmp_path / "m", pickle=True))
    admit(folder, into=tmp_path / "a").close()
    admit(folder, into=tmp_path / "b").close()
    for name in WHOLE:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_result_is_a_model_that_is_admitted_again(tmp_path: Path) -> None:
    """What safeload wrote is safe by its own judgement, and comes out as it is; its account is made anew."""
    admit(model(tmp_path / "m", pickle=True, auto_map={"AutoModel": "a.B"}), into=tmp_path / "a").close()
    with admit(tmp_path / "a", into=tmp_path / "b") as admission:
        assert {file.how for file in admission.files} == {"copy", "link"}
    for name in WHOLE - {"admission.json"}:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert json.loads((tmp_path / "b" / "admission.json").read_text())["reference"] == str(tmp_path / "a")


# ── links ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_linked_weights_are_those_of_the_model(tmp_path: Path) -> None:
    """With `link`, safetensors are links to the originals; everything else is written."""
    folder = model(tmp_path / "m")
    with admit(folder, into=tmp_path / "out", link=True):
        pass
    assert os.readlink(tmp_path / "out" / "model.safetensors") == str(folder / "model.safetensors")
    assert not (tmp_path / "out" / "config.json").is_symlink()
    assert state_of(tmp_path / "out") == SAVED


def test_linked_conversions_are_copies(tmp_path: Path) -> None:
    """What lies in the store may be pruned at any time, so nobody is pointed there."""
    admit(model(tmp_path / "m", pickle=True), into=tmp_path / "out", link=True).close()
    pruned(Options(), everything=True)
    assert not (tmp_path / "out" / "model.safetensors").is_symlink()
    assert state_of(tmp_path / "out") == SAVED


# ── adapters ────────────────────────────────────────────────────────────────────────────────────────────────────


def base_of(folder: Path) -> str:
    return str(json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"])


@pytest.mark.parametrize("link", [False, True])
def test_an_adapter_has_its_base_inside(tmp_path: Path, link: bool) -> None:
    """The base lies in `base_model`, the adapter's config names that place, and the admissions do as well."""
    into = tmp_path / "out"
    with admit(adapter(tmp_path / "a", model(tmp_path / "b"), pickle=True), into=into, link=link) as admission:
        assert admission.base is not None and admission.base.path == into / "base_model"
    assert base_of(into) == str(into / "base_model")
    assert state_of(into / "base_model") == SAVED
    assert set(load_file(into / "adapter_model.safetensors")) == set(STATE)
    assert not [path for path in tmp_path.iterdir() if path.name not in ("a", "b", "out")]


def test_an_adapter_on_an_adapter_points_at_where_it_stands_in_the_end(tmp_path: Path) -> None:
    """Two levels: every pointer names a directory inside, none the place it was first written to."""
    into = tmp_path / "out"
    below = adapter(tmp_path / "a1", model(tmp_path / "b"))
    with admit(adapter(tmp_path / "a2", below), into=into) as admission:
        assert admission.base is not None and admission.base.base is not None
        assert admission.base.base.path == into / "base_model" / "base_model"
    assert base_of(into) == str(into / "base_model")
    assert base_of(into / "base_model") == str(into / "base_model" / "base_model")
    assert state_of(into / "base_model" / "base_model") == SAVED


FAILING_BASES: dict[str, Callable[[Path, Path], Path]] = {
    "evil": evil,
    "missing": lambda path, marker: path,
    "broken": lambda path, marker: write_all(path, {"config.json": CONFIG | {"transformers_weights": "../x"}}),
}


@pytest.mark.parametrize("kind", FAILING_BASES)
def test_a_base_that_is_refused_leaves_nothing(tmp_path: Path, marker: Path, kind: str) -> None:
    """Neither the adapter nor a part of the base is there afterwards."""
    folder = adapter(tmp_path / "a", FAILING_BASES[kind](tmp_path / "b", marker))
    with pytest.raises((PolicyDenied, SourceError, MalformedInput)):
        admit(folder, into=tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} <= {"a", "b"}


def test_an_adapter_that_cannot_be_written_takes_its_base_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base was written already: it is removed again."""
    folder = adapter(tmp_path / "a", model(tmp_path / "b"))
    monkeypatch.setattr(publish, "point_adapter", no_space)
    with pytest.raises(SourceError):
        admit(folder, into=tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


# ── whole or nothing ────────────────────────────────────────────────────────────────────────────────────────────


def no_space(*args: Any, **named: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("pickle", [False, True])
def test_a_full_disk_leaves_nothing(tmp_path: Path, small_disk: Path, pickle: bool) -> None:  # noqa: F811
    """Four megabytes do not fit into one: our error, and not even an empty directory."""
    folder = model(tmp_path / "m", pickle=pickle, state={"a": torch.zeros(1 << 20)})
    with pytest.raises(SourceError) as refused:
        admit(folder, into=small_disk / "out")
    assert "df -h" in refused.value.remedy
    assert not list(small_disk.iterdir())


@pytest.mark.parametrize("step", ["makedirs", "rename", "fsync", "symlink", "copy"])
def test_a_refusal_of_the_disk_at_any_step_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Making, filling, linking, forcing to disk, renaming: whichever fails, nothing is there."""
    folder = age(model(tmp_path / "m"))
    admit(folder).close()
    with monkeypatch.context() as patch:
        if step == "copy":
            patch.setattr(publish, "copy_to", no_space)
        else:
            patch.setattr(publish.os, step, no_space)
        with pytest.raises(SourceError):
            admit(folder, into=tmp_path / "out", link=step == "symlink")
    assert {path.name for path in tmp_path.iterdir()} == {"m"}


@pytest.mark.parametrize("link", [False, True])
def test_a_model_that_changes_while_it_is_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: bool
) -> None:
    """The bytes that arrive are compared with those that were judged; with links, the file with what it was."""
    folder = age(model(tmp_path / "m"))
    genuine = publish._original

    def meanwhile(source: PinnedFile, *rest: Any, **named: Any) -> None:
        with (folder / "model.safetensors").open("r+b") as stream:
            stream.seek(-4, os.SEEK_END)
            stream.write(b"evil")
        genuine(source, *rest, **named)

    monkeypatch.setattr(publish, "_original", meanwhile)
    with pytest.raises(VerificationFailed, match=r"model\.safetensors"):
        admit(folder, into=tmp_path / "out", link=link)
    assert {path.name for path in tmp_path.iterdir()} == {"m"}


def test_a_conversion_that_goes_missing_is_our_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process prunes between converting and writing: an error that says what to do."""
    folder = age(model(tmp_path / "m", pickle=True))
    genuine = publish._conversion

    def meanwhile(*args: Any) -> None:
        pruned(Options(), everything=True)
        genuine(*args)

    monkeypatch.setattr(publish, "_conversion", meanwhile)
    with pytest.raises(SafeloadError, match="gone from the store") as refused:
        admit(folder, into=tmp_path / "out")
    assert refused.value.remedy
    assert {path.name for path in tmp_path.iterdir()} == {"m"}


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_the_users_umask_decides_who_may_read(tmp_path: Path, umask: None) -> None:
    """A published model is no more open than the user's other files."""
    admit(model(tmp_path / "m"), into=tmp_path / "out").close()
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (tmp_path / "out").iterdir())


def test_nobody_else_can_write_what_was_admitted(tmp_path: Path, umask: None) -> None:
    """Also where the umask keeps nobody out: who can put a file into the directory changes the model."""
    os.umask(0)
    folder = model(tmp_path / "m")
    write(folder / "additional_chat_templates/tool.jinja", "{{ x }}")
    admit(folder, into=tmp_path / "out").close()
    admit(folder, into=tmp_path / "linked", link=True).close()
    for top in ("out", "linked"):
        paths = [tmp_path / top, *(tmp_path / top).rglob("*")]
        assert not [path for path in paths if not path.is_symlink() and path.stat().st_mode & 0o022]
    assert (tmp_path / "out/additional_chat_templates/tool.jinja").is_file()


def test_weights_that_are_pickled_and_safe_are_equal_after_writing(tmp_path: Path) -> None:
    """The same tensors from both forms of one model give the same tensors."""
    write_all(tmp_path / "s", {"config.json": CONFIG, "model.safetensors": safe()})
    write_all(tmp_path / "p", {"config.json": CONFIG, "pytorch_model.bin": pickled()})
    for name in "sp":
        admit(tmp_path / name, into=tmp_path / f"{name}-out").close()
    assert state_of(tmp_path / "s-out") == state_of(tmp_path / "p-out") == SAVED
