"""What the allowlists hold, and what must never be in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safeload.core.allowlist import Effect, Use
from safeload.core.construct import Handler
from safeload.core.names import GlobalName
from safeload.engine.allowlists import default_allowlist
from safeload.formats.plain import PLAIN
from safeload.rules.catalogue import ALIASES, KNOWN, is_stdlib
from tests.rules.gadgets import ALIASED, DOTTED, INDIRECT, LOADERS, UNLISTED, pairs

ENTRIES = tuple(default_allowlist())
SETS = json.loads((Path(__file__).parents[1] / "data" / "real-imports.json").read_text("utf-8"))["sets"]

NEVER = {
    *pairs(UNLISTED),
    *pairs(INDIRECT),
    *pairs(LOADERS),
    *DOTTED,
    *ALIASED,
    ("builtins", "getattr"),
    ("builtins", "type"),
    ("functools", "partial"),
    ("dill._dill", "_load_type"),
    ("flair.embeddings.token", "TransformerWordEmbeddings"),
}


@pytest.mark.parametrize(("module", "name"), sorted(NEVER), ids=lambda part: part)
def test_what_acts_is_not_listed(module: str, name: str) -> None:
    """Nothing that executes, imports, opens, resolves names or rebuilds by fetching is in any allowlist."""
    assert GlobalName(module, name) not in default_allowlist()


def test_nothing_listed_is_in_the_catalogue_of_dangers() -> None:
    """No exact entry of the catalogue is allowlisted, nor a name that means a module or a shell wherever it is."""
    for entry in ENTRIES:
        assert entry.name.name not in ALIASES, entry.name
        assert not KNOWN.get(entry.name.module, {}).get(entry.name.name), entry.name


def test_only_few_modules_of_the_standard_library_are_listed() -> None:
    """The modules of the standard library that are named at all, so that a new one is a decision."""
    assert {entry.name.module for entry in ENTRIES if is_stdlib(entry.name.module)} == {
        *("_codecs", "_io", "argparse", "array", "builtins", "collections", "copyreg", "datetime", "decimal"),
        *("fractions", "io", "logging", "pathlib", "pathlib._local", "random", "re", "types", "typing", "uuid"),
        # Zones by name, addresses, tuples of numbers, and enumerations: nothing of these that asks a system or a host.
        *("http", "inspect", "ipaddress", "os", "plistlib", "posix", "signal", "socket", "ssl", "time", "urllib.parse"),
        "zoneinfo",
    }


def test_all_that_torch_allows_is_listed() -> None:
    """Every default of torch's weights-only unpickler is allowed here as well."""
    from torch._weights_only_unpickler import _get_allowed_globals

    missing = [name for name in _get_allowed_globals() if GlobalName(*name.rsplit(".", 1)) not in default_allowlist()]
    assert missing == []


def test_real_files_are_covered() -> None:
    """At least 99 % of 3,119 real files name only what is listed, by exact names."""
    covered = total = 0
    for entry in SETS:
        total += entry["files"]
        if all(GlobalName(*name.rsplit(".", 1)) in default_allowlist() for name in entry["globals"]):
            covered += entry["files"]
    assert total == 3119
    assert covered / total >= 0.99


def test_entries_of_installed_libraries_exist() -> None:
    """Names of torch, numpy, transformers and accelerate that are listed for current versions are really there."""
    import accelerate.state
    import numpy
    import torch
    import transformers.training_args

    checked = {
        ("torch", "float32"): torch.float32,
        ("torch.nn.modules.conv", "Conv2d"): torch.nn.Conv2d,
        ("torch.optim.adamw", "AdamW"): torch.optim.AdamW,
        ("numpy", "float32"): numpy.float32,
        ("transformers.training_args", "TrainingArguments"): transformers.training_args.TrainingArguments,
        ("accelerate.state", "PartialState"): accelerate.state.PartialState,
    }
    for (module, name), value in checked.items():
        assert GlobalName(module, name) in default_allowlist()
        assert getattr(value, "__module__", module) in (module, "torch", "numpy")


def test_classes_are_not_constructed_with_foreign_arguments() -> None:
    """Of other libraries' classes only small value types may be called with arguments."""
    called = {entry.name for entry in ENTRIES if entry.effect is Effect.RECORD and entry.use is Use.CALL}
    outside = {
        name for name in called if name.module.partition(".")[0] in ("transformers", "accelerate", "ultralytics")
    }
    assert outside == set()
    assert {name for name in called if name.module.startswith("torch")} == {
        GlobalName("torch.torch_version", "TorchVersion"),
        GlobalName("torch.nn.backends.thnn", "_get_thnn_function_backend"),
        GlobalName("torch.distributed.tensor._dtensor_spec", "ShardOrderEntry"),
        GlobalName("torch.distributed.tensor._dtensor_spec", "TensorMeta"),
    }


def test_plain_handlers_are_listed() -> None:
    """Whatever the core rebuilds as plain data is allowed by name."""
    handlers: dict[GlobalName, Handler] = dict(PLAIN)
    assert [name for name in handlers if name not in default_allowlist()] == []
