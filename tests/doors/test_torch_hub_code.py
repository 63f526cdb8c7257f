"""`safeload.torch.hub.load`: the code of a repository runs if it was approved, and no other byte of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from safeload import Options
from safeload.core.errors import ConfigError, PolicyDenied, SourceError, UsageError, VerificationFailed
from safeload.engine.audit.approve import approve
from safeload.torch import hub

_HUBCONF = """\
dependencies = ["torch"]

import collections

import parts.layers as layers
from parts import sizes
from parts.deep.inner import INNER


def net(width=2, *, pretrained=False):
    '''A little net.'''
    import late

    return layers.Layer(width * sizes.FACTOR), INNER, late.LATE, pretrained, collections.OrderedDict


def _hidden():
    raise AssertionError
"""
_FILES = {
    "hubconf.py": _HUBCONF,
    "parts/__init__.py": "",
    "parts/layers.py": """\
from parts.sizes import FACTOR

class Layer:
    def __init__(self, width):
        self.width = width + 0 * FACTOR
""",
    "parts/sizes.py": "FACTOR = 3\n",
    "parts/deep/inner.py": "from ..sizes import FACTOR\nINNER = FACTOR + 1\n",
    "late.py": "LATE = 'late'\n",
    "collections.py": "raise AssertionError('a file of the repository stood before the standard library')\n",
    "unused.py": "raise AssertionError('nobody imports this')\n",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    for name, text in _FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """A project beside the repository, without records yet."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return Options(store=str(tmp_path / "store"))


def _approve(folder: Path, options: Options, **more: Any) -> None:
    approve(str(folder), criteria=["safe-to-run"], who="Ada", options=options, **more)


def test_approved_code_runs(repository: Path, options: Options) -> None:
    """The entry gets its arguments; absolute and relative imports mean files of the repository, also late ones."""
    _approve(repository, options)
    before, path = set(sys.modules), list(sys.path)
    layer, inner, late, pretrained, ordered = hub.load(
        str(repository), "net", 5, source="local", pretrained=True, trust_repo=True, safeload=options
    )
    assert (layer.width, inner, late, pretrained) == (15, 4, "late", True) and ordered.__module__ == "collections"
    assert sys.path == path
    assert all(name.startswith("safeload_approved") for name in set(sys.modules) - before if "parts" in name)
    assert not {"parts", "late", "hubconf"} & set(sys.modules)


def test_names_and_help_of_entries(repository: Path, options: Options) -> None:
    """As torch has them, of approved code."""
    _approve(repository, options)
    assert "net" in hub.list(str(repository), source="local", safeload=options)
    assert "_hidden" not in hub.list(str(repository), source="local", safeload=options)
    assert hub.help(str(repository), "net", source="local", safeload=options) == "A little net."


def test_without_an_approval_every_file_is_named(repository: Path, options: Options) -> None:
    """One message: the files that would run, and the command; the rest of the repository is not named."""
    with pytest.raises(PolicyDenied, match="safeload approve") as caught:
        hub.load(str(repository), "net", source="local", safeload=options)
    told = str(caught.value)
    for name in _FILES:
        assert (name in told) is (name != "unused.py")


@pytest.mark.parametrize(
    "name", ["hubconf.py", "parts/layers.py", "parts/deep/inner.py", "late.py", "parts/__init__.py"]
)
def test_one_byte_more_is_other_code(name: str, repository: Path, options: Options) -> None:
    """Also in a file that is only imported when the entry is called."""
    _approve(repository, options)
    with open(repository / name, "a") as file:
        file.write("\n")
    with pytest.raises(PolicyDenied, match="safeload approve"):
        hub.load(str(repository), "net", source="local", safeload=options)


def test_a_new_file_that_an_import_could_mean_is_other_code(repository: Path, options: Options) -> None:
    """A package stands before a module of the same name."""
    _approve(repository, options)
    (repository / "parts" / "sizes").mkdir()
    (repository / "parts" / "sizes" / "__init__.py").write_text("FACTOR = 4\n")
    with pytest.raises(PolicyDenied):
        hub.load(str(repository), "net", source="local", safeload=options)


def test_what_changes_afterwards_has_no_effect(repository: Path, options: Options) -> None:
    """What runs are the bytes that were read, also those of imports within functions."""
    _approve(repository, options)
    (layer, *_) = hub.load(str(repository), "net", source="local", safeload=options)
    (repository / "late.py").write_text("raise AssertionError\n")
    from importlib import import_module

    module = import_module(type(layer).__module__.rpartition(".parts")[0] + ".hubconf")
    assert module.net()[2] == "late"


def test_code_that_is_not_approved_does_not_run(repository: Path, options: Options, marker: Path) -> None:
    """Not the module, not an entry, whatever it is asked for."""
    (repository / "hubconf.py").write_text(f"open({str(marker)!r}, 'w')\n")
    for call in (hub.load, hub.help):
        with pytest.raises(PolicyDenied):
            call(str(repository), "net", source="local", safeload=options)
    with pytest.raises(PolicyDenied):
        hub.list(str(repository), source="local", safeload=options)


def test_records_within_the_repository_count_for_nothing(repository: Path, options: Options) -> None:
    """Nothing in a repository may vouch for it."""
    _approve(repository, options)
    inside = repository / "audits.toml"
    os.rename("audits.toml", inside)
    with pytest.raises(ConfigError):
        hub.load(str(repository), "net", source="local", safeload=Options(audits=str(inside)))
    with pytest.raises(PolicyDenied):
        hub.load(str(repository), "net", source="local", safeload=options)


@pytest.mark.parametrize("entry", ["_hidden", "dependencies", "nothing", "net.__globals__", "", 5])
def test_only_entries_are_given_out(entry: Any, repository: Path, options: Options) -> None:
    """Functions of `hubconf.py` by their public names."""
    _approve(repository, options)
    with pytest.raises(UsageError):
        hub.load(str(repository), entry, source="local", safeload=options)


def test_what_it_depends_on_must_be_there(repository: Path, options: Options) -> None:
    """All that is missing is said at once."""
    (repository / "hubconf.py").write_text("dependencies = ['torch', 'no_such_a', 'no_such_b']\ndef net(): pass\n")
    _approve(repository, options)
    with pytest.raises(UsageError, match="no_such_a, no_such_b"):
        hub.load(str(repository), "net", source="local", safeload=options)


def test_a_repository_that_torch_has_fetched_is_found(
    repository: Path, options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`owner/name:ref` means the directory where torch keeps it; nothing is fetched."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    import torch.hub

    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    kept = Path(hub.get_dir()) / "some_net_main"
    kept.parent.mkdir(parents=True)
    os.rename(repository, kept)
    with pytest.raises(PolicyDenied, match="safeload approve"):
        hub.load("some/net", "net", safeload=options)
    _approve(kept, options)
    assert hub.load("some/net", "net", safeload=options)[0].width == 6
    assert hub.load("some/net:main", "net", safeload=options)[0].width == 6
    for other in ("some/net:other", "some/other"):
        with pytest.raises(PolicyDenied, match="git clone"):
            hub.load(other, "net", safeload=options)


@pytest.mark.parametrize(
    ("repo", "arguments", "error"),
    [
        ("/no/such/place", {"source": "local"}, SourceError),
        ("some/net", {"force_reload": True}, UsageError),
        ("../../etc", {}, UsageError),
        ("some/net:../../x", {}, PolicyDenied),
        ("some", {}, UsageError),
        (5, {"source": "local"}, UsageError),
        ("some/net", {"source": "gitlab"}, UsageError),
    ],
)
def test_what_cannot_be_honoured_raises(repo: Any, arguments: dict[str, Any], error: type[Exception]) -> None:
    """Instead of fetching, or looking elsewhere."""
    with pytest.raises(error):
        hub.load(repo, "net", **arguments)


def test_a_directory_without_hubconf_is_none(tmp_path: Path) -> None:
    """The caller's mistake."""
    with pytest.raises(UsageError, match="hubconf"):
        hub.load(str(tmp_path), "net", source="local")


def test_another_module_in_its_place_is_noticed(
    repository: Path, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who puts a module under the approved name is found out."""
    _approve(repository, options)
    (layer, *_) = hub.load(str(repository), "net", source="local", safeload=options)
    name = type(layer).__module__
    monkeypatch.setitem(sys.modules, f"{name}_more", type(sys)("x"))
    with pytest.raises(VerificationFailed):
        hub.load(str(repository), "net", source="local", safeload=options)
