"""The registry of doors, held against the libraries that are installed and the counterparts that safeload has."""

from __future__ import annotations

import importlib
import importlib.util
import re

import pytest

from safeload.guarding.doors import Function, Library, Makers, Methods, Unpicklers
from safeload.guarding.libraries import ALSO, libraries, packages
from tests.guarding import programs

LIBRARIES = libraries()
DOORS = [door for library in LIBRARIES for door in library.doors]
FUNCTIONS = [door for door in DOORS if isinstance(door, Function) and door.after is None]

THERE = {
    "safeload.joblib.load",
    "safeload.numpy.load",
    "safeload.pickle.load",
    "safeload.pickle.loads",
    "safeload.torch.distributed.checkpoint.load",
    "safeload.torch.export.load",
    "safeload.torch.hub.help",
    "safeload.torch.hub.list",
    "safeload.torch.hub.load",
    "safeload.torch.hub.load_state_dict_from_url",
    "safeload.torch.jit.load",
    "safeload.torch.load",
    "safeload.transformers.pipeline",
}
"""Counterparts that must be there: what they stand for would be refused without."""


def _has(module: object, name: str) -> bool:
    """Whether a module has this attribute, or a class of it has: `Class.method`."""
    for part in name.split("."):
        module = getattr(module, part, None)
    return module is not None


def importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_a_library_that_is_installed_has_its_doors(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each door, at least one of the places where versions keep the loader exists; so does each class's method."""
    if not importable(library.name):
        assert library.name in {"diffusers", "timm", "keras", "kernels"}, "the tests' environment holds the others"
        return
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    for door in library.doors:
        homes = [home.partition(":") for home in getattr(door, "homes", ())]
        homes = [home for home in homes if importable(home[0].partition(".")[0])]
        found = (_has(importlib.import_module(module), name) for module, _, name in homes if importable(module))
        optional = isinstance(door, Function) and "dynamic" not in door.name and not door.ours
        assert any(found) or not homes or optional, door


@pytest.mark.parametrize("name", sorted(THERE))
def test_a_counterpart_is_there(name: str) -> None:
    """The doors of today's libraries lead somewhere."""
    assert programs.has(name) and any(door.ours == name for door in FUNCTIONS)


def test_every_other_counterpart_is_a_known_gap() -> None:
    """Those are the adapters; where they are not part of this version, what they stand for is refused."""
    other = {door.ours for door in FUNCTIONS if door.ours} - THERE
    adapters = re.compile(r"safeload\.(accelerate|huggingface_hub|peft|timm|guarding\.libraries\.yaml)\.\w+")
    assert all(adapters.fullmatch(name) for name in other), other


@pytest.mark.parametrize("door", FUNCTIONS, ids=lambda door: door.name)
def test_a_function_leads_somewhere_or_says_why_not(door: Function) -> None:
    """A door either has a counterpart that mirrors the library's name, or a reason; and it names real places."""
    assert bool(door.ours) != bool(door.why) and bool(door.why) == bool(door.remedy)
    assert all(re.fullmatch(r"[\w.]+:\w+(?:\.\w+)?", home) for home in door.homes)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_a_file_is_about_the_package_that_it_is_named_after(library: Library) -> None:
    """It is read when that package is imported: a door into another one would never be put in."""
    own = {library.name} | {name for name, file in ALSO.items() if file == library.name}
    homes = {home.partition(".")[0].partition(":")[0] for door in library.doors for home in getattr(door, "homes", ())}
    assert homes <= own and own <= packages()
    assert all(door.library == library.name for door in library.doors if isinstance(door, Methods))


def test_doors_have_different_places() -> None:
    """No place is named by two doors."""
    homes = [home for door in DOORS if not isinstance(door, Methods) for home in door.homes]
    assert len(homes) == len(set(homes))


@pytest.mark.parametrize("door", [door for door in DOORS if isinstance(door, Methods)], ids=lambda door: door.ours)
def test_methods_are_those_that_load(door: Methods) -> None:
    """`from_pretrained` is among them everywhere, and `from_dict` nowhere."""
    assert re.fullmatch(door.pattern, "from_pretrained") and not re.fullmatch(door.pattern, "from_dict")
    assert door.ours == f"safeload.{door.library}"


def test_there_is_one_of_each_kind() -> None:
    """The kinds of doors are all in use."""
    assert {type(door) for door in DOORS} == {Function, Methods, Makers, Unpicklers}
