"""A module gets its doors when it has run, before its importer sees it."""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from safeload.guarding.imports import Finder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path whose modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def seen(folder: Path) -> Iterator[list[str]]:
    """The names of modules that were done, in order; each then says so."""
    found: list[str] = []

    def done(module: ModuleType) -> None:
        found.append(module.__name__)
        module.load = "ours"  # type: ignore[attr-defined]

    finder = Finder(lambda name: name.startswith("guarded_"), done)
    finder.install()
    yield found
    finder.remove()
    assert finder not in sys.meta_path


def test_importers_see_only_the_door(folder: Path, seen: list[str]) -> None:
    """What another module takes by name is ours already, also within the same package."""
    (folder / "guarded_one.py").write_text("load = 'genuine'\n")
    (folder / "guarded_two.py").write_text("from guarded_one import load\nkept = load\n")
    assert importlib.import_module("guarded_two").kept == "ours"
    assert seen == ["guarded_one", "guarded_two"]


def test_a_reload_comes_by_again(folder: Path, seen: list[str]) -> None:
    """`importlib.reload` does not bring the genuine one back."""
    (folder / "guarded_one.py").write_text("load = 'genuine'\n")
    module = importlib.import_module("guarded_one")
    assert importlib.reload(module).load == "ours" and seen == ["guarded_one"] * 2


def test_modules_that_are_built_in_get_doors(seen: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Their loader is one for all of them: it is the module's again when the module runs, and is itself unchanged."""
    finder = Finder(lambda name: name == "_symtable", lambda module: seen.append(module.__name__))
    monkeypatch.delitem(sys.modules, "_symtable", raising=False)
    finder.install()
    try:
        module = importlib.import_module("_symtable")
        importlib.reload(module)
    finally:
        finder.remove()
    assert seen == ["_symtable"] * 2 and module.__spec__ is not None
    assert module.__loader__ is module.__spec__.loader is importlib.machinery.BuiltinImporter


def test_other_modules_are_left_alone(folder: Path, seen: list[str]) -> None:
    """A module without doors is imported as if nobody watched."""
    (folder / "plain_one.py").write_text("load = 'genuine'\n")
    module = importlib.import_module("plain_one")
    assert module.load == "genuine" and not seen
    assert "exec_module" not in vars(module.__spec__.loader)


def test_a_module_that_fails_has_no_doors(folder: Path, seen: list[str]) -> None:
    """Its own error comes out, and it can be imported once it is mended."""
    path = folder / "guarded_one.py"
    path.write_text("raise ValueError('mine')\n")
    with pytest.raises(ValueError, match="mine"):
        importlib.import_module("guarded_one")
    assert not seen
    path.write_text("load = 'genuine'  # longer than before\n")
    importlib.invalidate_caches()
    assert importlib.import_module("guarded_one").load == "ours"


def test_a_module_that_is_not_there_is_not_there(seen: list[str]) -> None:
    """The error is Python's own."""
    with pytest.raises(ModuleNotFoundError, match="guarded_nothing"):
        importlib.import_module("guarded_nothing")


def test_loaders_and_specs_stay_as_they_are(folder: Path, seen: list[str]) -> None:
    """Sources can be read, and files are named, as ever."""
    (folder / "guarded_one.py").write_text("load = 'genuine'\n")
    module = importlib.import_module("guarded_one")
    assert module.__spec__.loader is module.__loader__ and "exec_module" not in vars(module.__loader__)
    assert module.__loader__.get_source("guarded_one") == "load = 'genuine'\n"
    assert module.__file__ == str(folder / "guarded_one.py")
