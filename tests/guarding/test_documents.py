"""YAML that names functions, and compiled models: doors beneath the loaders that programs make for themselves."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import safeload
from safeload.core.errors import PolicyDenied, UsageError


def acting(marker: Path) -> str:
    return f"!!python/object/apply:os.mkdir ['{marker}']\n"


def own(base: Any) -> Callable[[str], Any]:
    """A loader of the program's own, as programs make them to read tags of theirs."""
    loader = type("Own", (base,), {})
    loader.add_constructor("!mine", lambda loader, node: "mine")
    return lambda text: yaml.load(text, Loader=loader)


LOADERS: dict[str, Callable[[str], Any]] = {
    "made of Loader": own(yaml.Loader),
    "made of UnsafeLoader": own(yaml.UnsafeLoader),
    "the class itself": lambda text: yaml.Loader(text).get_data(),
    "of events": lambda text: yaml.UnsafeLoader("").construct_document(yaml.compose(text, Loader=yaml.SafeLoader)),
}


@pytest.mark.parametrize("way", LOADERS)
def test_a_yaml_loader_of_the_programs_own_calls_nothing(way: str, tmp_path: Path, marker: Path) -> None:
    """Whatever a loader is made of, a document that names a function is refused; before the guard, it acted."""
    LOADERS[way](acting(tmp_path / "plain"))
    assert (tmp_path / "plain").exists()
    with safeload.guard() as guard, pytest.raises(PolicyDenied, match=r"find_python_name|make_python_instance"):
        LOADERS[way](acting(marker))
    assert guard.refused and not marker.exists()
    LOADERS[way](acting(tmp_path / "after"))
    assert (tmp_path / "after").exists()


def test_a_yaml_loader_of_the_programs_own_reads_on() -> None:
    """Its own tags, and plain data, are as ever."""
    with safeload.guard():
        assert own(yaml.Loader)("a: !mine 1\nb: [1, 2.5, null]\n") == {"a": "mine", "b": [1, 2.5, None]}


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of the library, for unsafe documents
def test_a_document_of_ruamel_calls_nothing(tmp_path: Path, marker: Path) -> None:
    """`YAML(typ="unsafe")` makes objects of any class; under a guard it makes none, and safe documents load."""
    ruamel = pytest.importorskip("ruamel.yaml")

    def load(text: str, kind: str = "unsafe") -> Any:
        return ruamel.YAML(typ=kind, pure=True).load(io.StringIO(text))

    load(acting(tmp_path / "plain"))
    assert (tmp_path / "plain").exists()
    with safeload.guard():
        with pytest.raises(PolicyDenied):
            load(acting(marker))
        assert load("a: [1, b]\n") == load("a: [1, b]\n", "safe") == {"a": [1, "b"]}
    assert not marker.exists()


@pytest.mark.parametrize("name", ["_inductor.aoti_load_package", "_inductor.package.load_package", "_export.aot_load"])
def test_a_compiled_model_is_refused(name: str, tmp_path: Path) -> None:
    """Native code of a model is not linked in: nothing can read it."""
    import torch._export
    import torch._inductor.package

    path = tmp_path / "model.pt2"
    path.write_bytes(b"PK")
    with safeload.guard() as guard:
        owner: Any = torch
        for part in name.split("."):
            owner = getattr(owner, part)
        with pytest.raises((PolicyDenied, UsageError), match="native code"):
            owner(str(path), "cpu") if name.startswith("_export") else owner(str(path))
    assert guard.refused
