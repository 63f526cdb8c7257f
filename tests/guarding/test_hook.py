"""The tripwire: code that was downloaded does not run, wherever the program said that downloads are kept."""

from __future__ import annotations

import importlib
import os
import py_compile
import runpy
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

import safeload
from safeload.core.errors import PolicyDenied
from tests.guarding import programs


@pytest.mark.parametrize(
    ("variable", "inner"),
    [
        ("HF_HOME", "modules"),
        ("HF_HOME", "hub/models--a--b/snapshots/c"),
        ("HF_MODULES_CACHE", ""),
        ("HF_HUB_CACHE", "models--a--b"),
        ("TORCH_HOME", "hub/someone_repo"),
        ("KERNELS_CACHE", "kernel"),
    ],
)
def test_downloaded_code_is_not_run(
    variable: str, inner: str, tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the program itself put its folder on the path, and set the variable when the guard was on."""
    folder = tmp_path / "cache" / inner
    folder.mkdir(parents=True)
    (folder / "downloaded_code.py").write_text(f"open({str(marker)!r}, 'w').close()")
    monkeypatch.syspath_prepend(str(folder))
    with safeload.guard() as guard:
        monkeypatch.setenv(variable, str(tmp_path / "cache"))
        with pytest.raises(PolicyDenied, match="downloaded with a model"):
            importlib.import_module("downloaded_code")
        assert len(guard.refused) == 1 and "downloaded_code" not in sys.modules


def test_a_link_does_not_hide_where_code_lies(tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link on the path to a folder of downloads is followed."""
    folder = tmp_path / "cache/modules"
    folder.mkdir(parents=True)
    (folder / "downloaded_code.py").write_text(f"open({str(marker)!r}, 'w').close()")
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path / "link"))
    with safeload.guard(), pytest.raises(PolicyDenied, match="was not executed"):
        importlib.import_module("downloaded_code")


def test_a_link_farther_up_does_not_hide_it_either(
    tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package within a linked folder lies where the link leads; the folder itself was looked at before."""
    folder = tmp_path / "cache/modules/downloaded_package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(f"open({str(marker)!r}, 'w').close()")
    (tmp_path / "link").symlink_to(folder.parent)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path / "link"))
    with safeload.guard(), pytest.raises(PolicyDenied, match="was not executed"):
        importlib.import_module("downloaded_package")


def _lying(path: Path, marker: Path, name: str) -> Path:
    """A compiled file without its source, which says of itself that it is something else."""
    source = path.with_suffix(".txt")
    source.write_text(f"open({str(marker)!r}, 'w').close()")
    py_compile.compile(str(source), cfile=str(path), dfile=name)
    source.unlink()
    return path


def _of_an_archive(folder: Path, archive: str) -> None:
    # Python keeps what it read of an archive of the same name.
    with zipfile.ZipFile(archive, "w") as file:
        file.write(folder / "downloaded_code.pyc", "archived_code.pyc")
    sys.path.insert(0, archive)
    importlib.import_module("archived_code")


LOADERS: dict[str, Callable[[Path], object]] = {
    "import": lambda folder: importlib.import_module("downloaded_code"),
    "runpy": lambda folder: runpy.run_path(str(folder / "downloaded_code.pyc")),
    "runpy, from there": lambda folder: runpy.run_path("downloaded_code.pyc"),
    "runpy of a module": lambda folder: runpy.run_module("downloaded_code"),
    "archive": lambda folder: _of_an_archive(folder, str(folder / f"{uuid4()}.zip")),
    "archive, from there": lambda folder: _of_an_archive(folder, f"{uuid4()}.zip"),
}


@pytest.mark.parametrize("name", ["<string>", os.__file__])
@pytest.mark.parametrize("how", LOADERS)
def test_compiled_code_cannot_lie_about_where_it_is(
    how: str, name: str, tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiled file carries any name its author likes; who loads it knows where it lies."""
    folder = tmp_path / "cache/hub/models--a--b/snapshots/c"
    folder.mkdir(parents=True)
    _lying(folder / "downloaded_code.pyc", marker, name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(folder)
    with safeload.guard() as guard, pytest.raises(PolicyDenied, match="was not executed"):
        LOADERS[how](folder)
    assert len(guard.refused) == 1


@pytest.mark.parametrize("name", ["downloaded.py", "downloaded.pyc"])
def test_a_process_does_not_begin_with_downloaded_code(name: str, tmp_path: Path, marker: Path) -> None:
    """A guarded program may start Python with a file of a model; no loader of Python's loads that one."""
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "downloaded.py").write_text(f"open({str(marker)!r}, 'w').close()")
    _lying(folder / "downloaded.pyc", marker, "<string>")
    app = programs.write(tmp_path / "app.py", "import subprocess, sys; subprocess.run([sys.executable, sys.argv[1]])")
    told = programs.guarded(app, str(folder / name), more={"HF_HOME": str(tmp_path)}).stderr
    assert f"{name} was not executed" in told


@pytest.mark.parametrize("how", ["set", "another", "unset"])
def test_the_environment_may_change_at_any_time(
    how: str, tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was worked out counts until a variable is set, deleted, or the whole environment is another one."""
    folder = tmp_path / "home/.cache/huggingface/modules"
    folder.mkdir(parents=True)
    (folder / "downloaded_code.py").write_text(f"open({str(marker)!r}, 'w').close()")
    (tmp_path / "own_code.py").write_text("VALUE = 3")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("XDG_CACHE_HOME", "HF_MODULES_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with safeload.guard():
        importlib.import_module("own_code")
        if how == "set":
            monkeypatch.setenv("HF_HOME", str(folder.parent))
        elif how == "unset":
            monkeypatch.delenv("HF_HOME")
        else:
            monkeypatch.setattr("os.environ", {**os.environ, "HF_HOME": str(folder.parent)})
        with pytest.raises(PolicyDenied, match="was not executed"):
            importlib.import_module("downloaded_code")
    del sys.modules["own_code"]


def test_code_of_the_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module beside those folders is none of ours."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "own_code.py").write_text("VALUE = 3")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    with safeload.guard() as guard:
        assert importlib.import_module("own_code").VALUE == 3 and not guard.refused
    del sys.modules["own_code"]


def test_a_library_in_a_folder_of_downloads_is_not_linked_in(
    tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ctypes` is stopped before the linker sees the file."""
    import ctypes

    (tmp_path / "hub").mkdir()
    library = tmp_path / "hub/native.so"
    library.write_bytes(b"not even a library")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with safeload.guard(), pytest.raises(PolicyDenied, match="was not linked in"):
        ctypes.CDLL(str(library))
    with pytest.raises(OSError, match=r"invalid ELF|file too short"):
        ctypes.CDLL(str(library))
