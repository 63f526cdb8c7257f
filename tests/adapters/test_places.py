"""Where an installed library can run code is known: a release that can do it elsewhere is read before it is taken."""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from tests.adapters.places import places, places_of, root_of

_PAGE = Path(__file__).with_suffix("").with_name("places.toml")
GROUPS = tomllib.loads(_PAGE.read_text(encoding="utf-8"))["place"]
LIBRARIES = sorted({group["library"] for group in GROUPS})


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_place_of_a_library_is_known(library: str) -> None:
    """In the version that is installed here; `make contract` installs others."""
    root = root_of(library)
    if root is None:
        pytest.skip(f"needs {library}")
    known = {place for group in GROUPS if group["library"] == library for place in group["at"].split()}
    found = set(places(root))
    assert not found - known
    assert found, "the library lies there as source"


def test_no_place_is_listed_twice_or_without_a_reason() -> None:
    """A second reason for one place would hide that the first no longer holds."""
    listed = Counter((group["library"], place) for group in GROUPS for place in group["at"].split())
    assert [place for place, times in listed.items() if times > 1] == []
    assert all(len(group["why"]) > 20 and group["at"].split() for group in GROUPS)


FOUND = {
    "import pickle\ndef f(x):\n    return pickle.load(x)": "f:pickle.load",
    "import pickle as p\nclass A:\n    def f(x): p.loads(x)": "A.f:pickle.loads",
    "from torch import load as read\ndef f(x): read(x)": "f:torch.load",
    "import torch.distributed.checkpoint as dcp\ndcp.load(1)": ":torch.distributed.checkpoint.load",
    "import torch\ndef f(): return map(torch.load, [])": "f:torch.load",
    "import numpy as np\nasync def f(x): np.load(x)": "f:numpy.load",
    "from importlib import import_module\nx = lambda y: import_module(y)": ":importlib.import_module",
    "import importlib.util\ndef f(s): s.loader.exec_module(1)": "f:exec_module",
    "from ..dynamic_module_utils import get_class_in_module as g\ndef f(x): g(x)": "f:get_class_in_module",
    "import pickle\nclass U(pickle.Unpickler): pass": "U:pickle.Unpickler",
    "def f(x): exec(x)": "f:exec",
    "def f(x):\n    if x:\n        return eval(x)": "f:eval",
    "import ctypes\nctypes.CDLL('x')": ":ctypes.CDLL",
    "import sys\nsys.path.append('x')": ":sys.path",
}


@pytest.mark.parametrize("source", FOUND)
def test_a_place_is_found_under_any_name(source: str) -> None:
    """Renamed at the import, handed on instead of called, inherited from, or in a function of a class."""
    assert set(places_of(ast.parse(source))) == {FOUND[source]}


@pytest.mark.parametrize(
    "source",
    ["model.eval()", "import re\nre.compile('x')", "import json\njson.load(1)", "from .own import eval\neval(1)"],
)
def test_what_only_sounds_alike_is_no_place(source: str) -> None:
    """A method `eval`, another module's `load`, a function of one's own."""
    assert list(places_of(ast.parse(source))) == []


@pytest.mark.parametrize("source", FOUND)
def test_a_file_with_a_place_is_read(source: str, tmp_path: Path) -> None:
    """The words that spare most files do not spare one that matters; programs apart are left out."""
    for name in ("sub/one.py", "cli/one.py"):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text(source)
    assert list(places(tmp_path)) == [f"sub/one.py:{FOUND[source]}"]
