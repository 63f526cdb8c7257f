"""The oldest version of a library that safeload supports is said once, and everywhere the same."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from safeload.transformers import _surface
from tests.architecture.source import ROOT
from tools.contract import CONTRACTS, declared, environment, is_optional, oldest_of, wanted

ADAPTERS = [name for name in CONTRACTS if CONTRACTS[name].module]
TESTS = ("adapters", "guarding")
LIBRARIES = sorted({each for name, contract in CONTRACTS.items() for each in contract.together or (name,)})
IMPORTED = {"scikit-learn": "sklearn"}
"""What a package is imported as, where that is not its name."""


@pytest.mark.parametrize("library", ADAPTERS)
def test_the_oldest_version_is_the_same_everywhere(library: str) -> None:
    """In the adapter, in the extra that installs it, and in the documentation."""
    oldest = import_module(CONTRACTS[library].module).OLDEST
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert any(f"{library}>={oldest}" in lines for lines in extras.values())
    page = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
    name = library.replace("-", "_")
    assert re.search(rf"^\| `{name}` \| `safeload\.{name}` \| {re.escape(oldest)} \|", page, re.MULTILINE)


def test_what_is_installed_is_what_is_asked_for() -> None:
    """transformers and torch: the check at the first use and the extra say the same."""
    for name, oldest in _surface.NEEDED.items():
        assert oldest_of(name) == ".".join(map(str, oldest)) + ".0"


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_says_only_one_oldest_version(library: str) -> None:
    """No extra asks for less than another, nor for more than the tests."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    asked = {line for lines in extras.values() for line in lines if re.match(rf"{library}[<>=]", line)}
    assert {Version(re.findall(r">=([\d.]+)", line)[0]) for line in asked} <= {Version(oldest_of(library))}


def test_a_contract_is_run_at_a_version() -> None:
    """The first release of the oldest series, what the tests are installed with at most, or what was asked for."""
    assert wanted("peft", "oldest") == f"peft=={oldest_of('peft')}" and oldest_of("peft").count(".") == 2
    assert wanted("peft", "newest") == str(declared()["peft"])
    assert wanted("peft", "0.19.0") == "peft==0.19.0"


@pytest.mark.parametrize("library", CONTRACTS)
def test_a_contract_names_every_test_of_its_library(library: str) -> None:
    """All that it names is there; a file of the adapters or the guard that imports the library is among it."""
    listed = [ROOT / "tests" / name for name in CONTRACTS[library].tests]
    assert all(path.exists() for path in listed)
    name = IMPORTED.get(library, library.replace("-", "_"))
    imports = re.compile(rf"^\s*(?:from|import) (?:safeload\.)?{name}\b", re.MULTILINE)
    files = [path for folder in TESTS for path in (ROOT / "tests" / folder).glob("test_*.py")]
    missing = [
        path.name
        for path in files
        if imports.search(path.read_text(encoding="utf-8")) and path not in listed and path.parent not in listed
    ]
    assert library in {"numpy", "safetensors"} or not missing, missing


def test_programs_of_a_contract_have_its_version(tmp_path: Path) -> None:
    """What lies in the environment comes before what this interpreter has, and all of that is there behind it: also for
    an interpreter that heeds no variable, as programs that tests start do not."""
    python, packages = environment(tmp_path / "one")
    (packages / "packaging.py").write_text("__version__ = 'of the contract'\n")
    code = "import sys, packaging, pytest; assert not sys.flags.no_site; print(packaging.__version__, pytest.__file__)"
    ran = subprocess.run([python, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout == f"of the contract {pytest.__file__}\n"


def test_what_only_an_extra_asks_for_may_be_missing() -> None:
    """A library may name a release that is not out; what it needs for itself is never left out."""
    assert is_optional(Requirement('kernels>=0.18.2; extra == "kernels"'))
    assert not is_optional(Requirement('kernels>=0.18.2; python_version >= "3.10"'))
    assert not is_optional(Requirement("kernels>=0.18.2"))


def test_every_contract_is_run_each_week() -> None:
    """The workflow has a job for each library at each end."""
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "contracts.yml").read_text(encoding="utf-8"))["jobs"]
    matrix = jobs["contract"]["strategy"]["matrix"]
    assert matrix == {"library": list(CONTRACTS), "version": ["oldest", "newest"]}
