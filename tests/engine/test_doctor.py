"""`doctor` sees what makes this machine unsafe, and imports and runs none of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from safeload.engine import doctor
from safeload.engine.doctor import diagnose
from safeload.engine.doctor.base import Grade, Note
from safeload.engine.options import Options

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment whose caches are all below `tmp_path`, which only this user can write."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("SAFELOAD_HOME", str(tmp_path / "store"))
    return {
        "HF_HOME": str(tmp_path / "hf"),
        "SAFELOAD_HOME": str(tmp_path / "store"),
        "TORCH_HOME": str(tmp_path / "t"),
    }


def problems(environ: dict[str, str]) -> list[Note]:
    return [note for note in diagnose(environ=environ).notes if note.grade is Grade.PROBLEM]


def write(path: Path, data: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_plain_machine_has_no_problem(machine: dict[str, str]) -> None:
    """Nothing set and nothing cached: no note, exit code 0."""
    diagnosis = diagnose(environ=machine)
    assert diagnosis.notes == ()
    assert diagnosis.exit_code == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1"),
        ("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "True"),
        ("TRUST_REMOTE_CODE", "yes"),
        ("DIFFUSERS_TRUST_REMOTE_KERNELS", "on"),
        ("PYTHONHTTPSVERIFY", "0"),
        ("CURL_CA_BUNDLE", ""),
        ("REQUESTS_CA_BUNDLE", ""),
        ("PYTHONPATH", "relative"),
        ("PYTHONPATH", "/nonexistent:"),
        ("HF_ENDPOINT", "http://models.example"),
    ],
)
def test_an_environment_variable_that_loosens_something_is_a_problem(
    machine: dict[str, str], name: str, value: str
) -> None:
    """Each variable that makes a library run or trust more is named, with what to do."""
    (note,) = problems({**machine, name: value})
    assert note.what.startswith(name)
    assert note.why
    assert note.remedy


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "0"),
        ("TRUST_REMOTE_CODE", "False"),
        ("PYTHONPATH", ""),
        ("PYTHONHTTPSVERIFY", "1"),
        ("HF_ENDPOINT", "https://huggingface.co"),
        ("HF_ENDPOINT", "http://127.0.0.1:8000"),
        ("HF_ENDPOINT", "https://mirror.example"),
        ("USE_HUB_KERNELS", "YES"),
    ],
)
def test_a_harmless_value_is_no_problem(machine: dict[str, str], name: str, value: str) -> None:
    """A variable that is switched off, or points to where it may, does not fail the check."""
    assert problems({**machine, name: value}) == []


def test_a_python_path_that_others_can_write_is_a_problem(machine: dict[str, str], tmp_path: Path) -> None:
    """Whoever can write to a folder of PYTHONPATH decides what `import` runs."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (note,) = problems({**machine, "PYTHONPATH": str(shared)})
    assert "others can write" in note.why


def test_a_copy_that_equals_the_cached_file_is_no_problem(machine: dict[str, str]) -> None:
    """Remote code that is what the hub's cache holds at that commit is as it should be."""
    home = Path(machine["HF_HOME"])
    write(home / f"hub/models--o--n/snapshots/{COMMIT}/modeling.py", b"x = 1\n")
    write(home / f"modules/transformers_modules/o/n/{COMMIT}/modeling.py", b"x = 1\n")
    write(home / "modules/transformers_modules/__init__.py")
    assert problems(machine) == []


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (f"o/n/{COMMIT}/modeling.py", b"x = 2\n"),
        (f"o/n/{COMMIT}/other.py", b"x = 1\n"),
        (f"o/n/{'f' * 40}/modeling.py", b"x = 1\n"),
        ("o/n/modeling.py", b"x = 1\n"),
        (f"o/n/{COMMIT}/__init__.py", b"import os\n"),
        (f"o/n/{COMMIT}/__pycache__/modeling.cpython-311.pyc", b"\xa7\r\r\n"),
        (f"o/n/{COMMIT}/fast.so", b"\x7fELF"),
    ],
)
def test_planted_code_in_the_modules_cache_is_a_problem(machine: dict[str, str], name: str, data: bytes) -> None:
    """Every file there that runs on import and is not a copy of a cached file is named."""
    home = Path(machine["HF_HOME"])
    write(home / f"hub/models--o--n/snapshots/{COMMIT}/modeling.py", b"x = 1\n")
    planted = write(home / "modules/transformers_modules" / name, data)
    (note,) = problems(machine)
    assert note.what == str(planted)


def test_a_folder_that_cannot_be_read_is_a_problem(machine: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be looked at is not called clean."""
    (Path(machine["HF_HOME"]) / "modules/hidden").mkdir(parents=True)
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("hidden"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    (note,) = problems(machine)
    assert note.what.endswith("hidden")
    assert "cannot be read" in note.why


def test_a_cache_out_of_reach_is_no_defect(machine: dict[str, str]) -> None:
    """A home that may not even be asked about is treated as not there."""
    assert problems({**machine, "HF_HOME": "/proc/1/root/nothing"}) == []


def test_planted_code_is_not_run(machine: dict[str, str], marker: Path) -> None:
    """Looking at the modules cache imports nothing of it."""
    write(Path(machine["HF_HOME"]) / "modules/__init__.py", f"open({str(marker)!r}, 'w')".encode())
    assert problems(machine)


def test_a_name_in_the_modules_cache_cannot_steer_the_terminal(machine: dict[str, str]) -> None:
    """Control characters of planted names are escaped."""
    write(Path(machine["HF_HOME"]) / "modules/\x1b[2J.py", b"x")
    (note,) = problems(machine)
    assert "\x1b" not in note.what + note.remedy


@pytest.mark.parametrize("folder", ["SAFELOAD_HOME", "HF_HOME", "TORCH_HOME"])
def test_a_cache_that_others_can_write_is_a_problem(machine: dict[str, str], folder: str) -> None:
    """Models could be exchanged in it after they were checked."""
    path = Path(machine[folder]) / ("hub" if folder == "HF_HOME" else "")
    path.mkdir(parents=True)
    path.chmod(0o777)
    (note,) = problems(machine)
    assert note.what == f"others can write to {path}"


@pytest.mark.parametrize(("name", "found"), [("torch", "2.9.1"), ("torch", "1.13.1+cpu"), ("transformers", "4.57.0")])
def test_an_old_library_is_a_problem(
    machine: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str, found: str
) -> None:
    """A version from before what safeload is made for is named, with the command to upgrade."""
    monkeypatch.setattr(doctor, "_version", lambda asked: found if asked == name else None)
    (note,) = problems(machine)
    assert note.what.startswith(f"{name} {found} is older")
    assert note.remedy.startswith("pip install --upgrade")


def test_missing_libraries_are_no_problem(machine: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who only scans needs none of them."""
    monkeypatch.setattr(doctor, "_version", lambda asked: None)
    assert diagnose(environ=machine).notes == ()


def test_the_store_need_not_exist(tmp_path: Path) -> None:
    """The file system is tried where the store would be, and nothing remains there."""
    diagnosis = diagnose(environ={}, options=Options(store=tmp_path / "a/b"))
    assert set(diagnosis.integrity) == {"reflink", "lease", "sealed memfd"}
    assert os.listdir(tmp_path) == []


def test_no_library_is_imported(machine: dict[str, str]) -> None:
    """The versions come from metadata: neither torch nor transformers is loaded to learn them."""
    code = "import sys; from safeload.engine.doctor import diagnose; diagnose(); print('torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **machine}, capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\n"
