"""Which files belong to the code of a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safeload.core.errors import SourceError
from safeload.core.finding import Status
from safeload.engine.audit.approval import unfollowed
from safeload.engine.audit.report import Audit, audit, changes
from safeload.engine.request import Access, Request


def write(folder: Path, **files: str) -> Path:
    """A model of these files; `__` in a name stands for a directory, and what is not JSON is Python."""
    for name, text in files.items():
        suffix = ".json" if text.startswith(("{", "[")) else ".py"
        path = folder / (name.replace("__", "/").replace("INIT", "__init__") + suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


CONFIG = json.dumps({"model_type": "x", "auto_map": {"AutoModel": "modeling_x.XModel"}})


def names(found: Audit) -> list[str]:
    return [file.name for file in found.closure.files]


def test_a_model_without_code_has_an_empty_closure(tmp_path: Path) -> None:
    """A model that brings no code along has no file in its closure, and nothing to decide."""
    found = audit(write(tmp_path, config='{"model_type": "bert"}'))
    assert not found.closure.files and found.report.status.exit_code == 0


def test_code_that_nothing_names_is_not_part_of_it(tmp_path: Path) -> None:
    """A script beside the model that no config names and no code imports is left out."""
    found = audit(write(tmp_path, config=CONFIG, modeling_x="class XModel: ...\n", train="import os\n"))
    assert names(found) == ["modeling_x.py"]


@pytest.mark.parametrize(
    "statement",
    [
        "from .blocks import Block",
        "from . import blocks",
        "def f():\n    from .blocks import Block",
        "try:\n    from .blocks import Block\nexcept ImportError:\n    pass",
        "import importlib\nb = importlib.import_module('.blocks', __package__)",
        "from importlib import import_module as i\nb = i('.' + 'blocks', __package__)",
        "if True:\n    from .blocks import *",
        "import blocks",
        "__import__('blocks')",
    ],
)
def test_imports_of_every_form_are_followed(tmp_path: Path, statement: str) -> None:
    """An import is followed whether it stands at the top, in a function, in a condition, or is made by a call."""
    model = write(tmp_path, config=CONFIG, modeling_x=f"{statement}\nclass XModel: ...\n", blocks="class Block: ...\n")
    assert names(audit(model)) == ["blocks.py", "modeling_x.py"]


def test_packages_are_followed(tmp_path: Path) -> None:
    """Imports go up and down through packages, whose `__init__` is part of the code."""
    model = write(
        tmp_path,
        config=CONFIG,
        modeling_x="from .parts.attention import A\n",
        parts__INIT="",
        parts__attention="from ..common import C\nfrom . import heads\n",
        parts__heads="",
        common="",
    )
    assert names(audit(model)) == [
        "common.py",
        "modeling_x.py",
        "parts/__init__.py",
        "parts/attention.py",
        "parts/heads.py",
    ]


def test_every_config_is_an_entry(tmp_path: Path) -> None:
    """Tokenizers, processors, nested configs, pipelines, generation and modules.json bring code as well."""
    model = write(
        tmp_path,
        config=json.dumps(
            {"text_config": {"auto_map": {"AutoConfig": "a.A"}}, "custom_pipelines": {"t": {"impl": "b.B"}}}
        ),
        tokenizer_config=json.dumps({"auto_map": {"AutoTokenizer": ["c.C", None]}}),
        modules=json.dumps([{"idx": 0, "name": "0", "path": "", "type": "d.D"}]),
        custom_generate__generate="def generate(): ...\n",
        **dict.fromkeys("abcd", "x = 1\n"),
    )
    assert names(audit(model)) == ["a.py", "b.py", "c.py", "custom_generate/generate.py", "d.py"]


def test_what_is_imported_and_not_there_is_undecided(tmp_path: Path) -> None:
    """Code that cannot be read cannot be approved: a missing file makes the audit undecided, at the line."""
    found = audit(write(tmp_path, config=CONFIG, modeling_x="import torch\nfrom .gone import G\n"))
    [finding] = [finding for finding in found.report.findings if finding.rule == "code-missing"]
    assert finding.location.path == "line 2" and finding.status is Status.UNDECIDED
    assert found.report.status.exit_code == 2


def test_an_import_above_the_model_is_undecided(tmp_path: Path) -> None:
    """A relative import cannot leave the model."""
    (tmp_path / "outside.py").write_text("x = 1\n")
    found = audit(write(tmp_path / "model", config=CONFIG, modeling_x="from ..outside import x\n"))
    assert names(found) == ["modeling_x.py"] and found.report.status.exit_code == 2


def test_a_symbolic_link_out_of_the_model_is_not_followed(tmp_path: Path) -> None:
    """A file of code that is a link to somewhere else is not read."""
    (tmp_path / "outside.py").write_text("SECRET = 1\n")
    model = write(tmp_path / "model", config=CONFIG)
    (model / "modeling_x.py").symlink_to(tmp_path / "outside.py")
    with pytest.raises(SourceError):
        audit(model)


def test_source_that_cannot_be_read_is_undecided(tmp_path: Path) -> None:
    """A syntax error, or a Python that is newer than ours, is a finding and never a crash."""
    found = audit(write(tmp_path, config=CONFIG, modeling_x="def f(:\n"))
    assert found.report.status.exit_code == 2 and names(found) == ["modeling_x.py"]


def test_the_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    """The same code in another model has the same digest; one byte or one name more has another."""
    code = {"config": CONFIG, "modeling_x": "from .b import B\n", "b": "class B: ...\n"}
    first = audit(write(tmp_path / "one", **code, weights="x = 1\n")).closure.digest
    again = audit(write(tmp_path / "two", **code)).closure.digest
    byte = audit(write(tmp_path / "three", **(code | {"b": "class B:  ...\n"}))).closure.digest
    name = audit(
        write(tmp_path / "four", config=CONFIG, modeling_x="from .c import B\n", c="class B: ...\n")
    ).closure.digest
    assert first == again and len({first, byte, name}) == 3


def test_changes_are_what_differs(tmp_path: Path) -> None:
    """Two closures are compared file by file; the same code has no changes."""
    code = {"config": CONFIG, "modeling_x": "from .b import B\n", "b": "class B: ...\n"}
    old = audit(write(tmp_path / "one", **code)).closure
    new = audit(write(tmp_path / "two", **(code | {"b": "import os\nclass B: ...\n"}))).closure
    assert not list(changes(old, old))
    [change] = changes(old, new)
    assert (change.name, change.kind) == ("b.py", "changed") and "+import os" in change.diff


def test_a_model_of_another_repository_that_is_not_there_is_undecided(tmp_path: Path) -> None:
    """Code that lies in another repository belongs to the closure; if that cannot be had, nothing is approved."""
    other = tmp_path / "org" / "other"
    config = json.dumps({"auto_map": {"AutoModel": "org/none--modeling_x.XModel"}})
    found = audit(write(other, config=config), request=Request(access=Access(local_files_only=True)))
    assert found.report.status.exit_code == 2 and not found.closure.files


def test_third_party_packages_are_listed(tmp_path: Path) -> None:
    """What the code needs beside the standard library is said."""
    source = "import os, torch\nfrom einops import rearrange\n__import__('flash' + '_attn')\n"
    assert audit(write(tmp_path, config=CONFIG, modeling_x=source)).third_party == ("einops", "flash_attn", "torch")


@pytest.mark.parametrize(
    "statement",
    [
        "__import__('blocks', globals(), locals(), ['Block'], 1)",
        "__import__('blocks', globals(), level=1)",
        "__import__('', globals(), None, ['blocks'], 1)",
    ],
)
def test_a_level_makes_an_import_relative(tmp_path: Path, statement: str) -> None:
    """`__import__` with a level means a file of the code, and no installed package of that name."""
    found = audit(write(tmp_path, config=CONFIG, modeling_x=f"{statement}\n", blocks="class Block: ...\n"))
    assert names(found) == ["blocks.py", "modeling_x.py"] and not found.closure.imports


@pytest.mark.parametrize(
    "statement",
    [
        "def f(n):\n    __import__('blocks', globals(), None, [], n)",
        "def f(n):\n    __import__(n, globals(), None, [], 1)",
        "def f(n):\n    __import__('', globals(), None, [n], 1)",
        "def f(n):\n    __import__('', globals(), None, n, 1)",
        "import importlib\nimportlib.import_module(__package__ + '.blocks')",
    ],
)
def test_a_relative_import_that_is_computed_must_be_named(tmp_path: Path, statement: str) -> None:
    """Where the name or the level is computed, an approval has to name the place."""
    found = audit(write(tmp_path, config=CONFIG, modeling_x=f"{statement}\n", blocks="class Block: ...\n"))
    assert unfollowed(found.closure)


@pytest.mark.parametrize(
    ("package", "statement"),
    [
        ("__all__ = ['inner']\n", "from .p import *"),
        ("_structure = {'inner': ['A']}\n", "from .p import A"),
        ("from . import inner\n", "from .p import A"),
    ],
)
def test_modules_that_a_package_names_are_part_of_it(tmp_path: Path, package: str, statement: str) -> None:
    """What `__all__` names is imported by a star; what a package names in texts, it may import when it is asked for."""
    files = {"p__INIT": package, "p__inner": "A = 1\n", "p__other": "B = 1\n"}
    found = audit(write(tmp_path, config=CONFIG, modeling_x=f"{statement}\n", **files))
    assert names(found) == ["modeling_x.py", "p/__init__.py", "p/inner.py"] and not found.closure.missing


def test_a_name_of_the_package_itself_is_no_file(tmp_path: Path) -> None:
    """`from . import WIDTH` means a name in `__init__.py`, where there is one; it is missing where there is none."""
    files = {"p__INIT": "WIDTH = 1\n", "p__inner": "from . import WIDTH\n"}
    found = audit(write(tmp_path / "a", config=CONFIG, modeling_x="from .p import inner\n", **files))
    assert names(found) == ["modeling_x.py", "p/__init__.py", "p/inner.py"] and not found.closure.missing
    found = audit(write(tmp_path / "b", config=CONFIG, modeling_x="from . import WIDTH\n"))
    assert [one.what for one in found.closure.missing] == ["WIDTH.py"]
