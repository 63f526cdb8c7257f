"""What is loaded when, counted in modules and not by the clock; and what must work where little is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import safeload
from tests.architecture.source import ROOT
from tests.corpus.build import checkpoint, make_zip, safetensors, state_dict, tensor

COUNT = """
import json, sys
before = set(sys.modules)
{code}
loaded = {{name.partition(".")[0] for name in set(sys.modules) - before}}
ours = sorted(name for name in set(sys.modules) - before if name.startswith("safeload"))
foreign = sorted(loaded - set(sys.stdlib_module_names) - {{"safeload"}})
sys.stderr.write(json.dumps([foreign, ours]))
"""

BLOCK = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that sees this checkout."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def loaded(code: str) -> tuple[list[str], list[str]]:
    """`(third-party packages, modules of ours)` that running `code` loads."""
    result = python(COUNT.format(code=code))
    assert result.returncode == 0, result.stderr
    foreign, ours = json.loads(result.stderr.splitlines()[-1])
    return foreign, ours


def test_importing_safeload_imports_nothing() -> None:
    """`import safeload` loads one module: itself."""
    assert loaded("import safeload") == ([], ["safeload"])


def test_the_command_line_helps_without_any_library() -> None:
    """`safeload --help` loads no third-party module, and of safeload only the command line and its errors."""
    code = """
import contextlib, io
from safeload.cli.main import main
with contextlib.redirect_stdout(io.StringIO()):
    assert main(["--help"]) == 0
"""
    foreign, ours = loaded(code)
    assert foreign == []
    assert [name for name in ours if not name.startswith(("safeload.cli", "safeload.core"))] == ["safeload"]


def test_the_public_names_are_all_there() -> None:
    """Every promised name resolves, is listed, and has a static twin for type checkers."""
    source = Path(safeload.__file__).read_text(encoding="utf-8")
    twin = source.partition("if TYPE_CHECKING:")[2].partition("__version__")[0]
    for name in safeload.__all__:
        assert getattr(safeload, name) is not None
        assert name in dir(safeload)
        assert name == "__version__" or f" {name}" in twin, f"{name} has no static twin"


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    """A name that we do not promise is not found, by its own name."""
    with pytest.raises(AttributeError, match="'safeload' has no attribute 'nothing'"):
        safeload.nothing  # type: ignore[attr-defined]


def test_the_core_loads_where_nothing_else_is_installed() -> None:
    """Every module of core but `keys` imports with the standard library alone."""
    modules = [f"safeload.core.{path.stem}" for path in sorted((ROOT / "safeload/core").glob("*.py"))]
    modules = [name for name in modules if not name.endswith(("__init__", ".keys"))]
    foreign, _ = loaded("\n".join(f"import {name}" for name in modules))
    assert foreign == []


def test_scanning_needs_no_library(tmp_path: Path) -> None:
    """A pickle is scanned with torch, transformers, numpy, huggingface_hub, rich and safetensors out of reach."""
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    names = ["torch", "transformers", "numpy", "huggingface_hub", "rich", "safetensors", "cryptography"]
    code = BLOCK.format(names=names) + f"import safeload; print(safeload.scan({str(path)!r}).status)"
    result = python(code)
    assert (result.stdout.strip(), result.returncode) == ("dangerous", 0), result.stderr


def test_a_scan_loads_only_what_it_uses(tmp_path: Path) -> None:
    """Scanning one checkpoint to a pipe loads no third-party module, no store, no hub, no other format's reader, and
    of the standard library nothing that is only needed for tables, digests or connections."""
    path = tmp_path / "model.bin"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("model/version", b"3\n")
    code = f"""
import contextlib, io
from safeload.cli.main import main
with contextlib.redirect_stdout(io.StringIO()):
    assert main(["scan", "--no-cache", {str(path)!r}]) == 0
assert not {{"tomllib", "datetime", "hashlib", "logging", "urllib", "tempfile", "random",
            "concurrent", "multiprocessing", "asyncio", "socket", "ssl"}} & set(sys.modules), "too much"
"""
    foreign, ours = loaded(code)
    assert foreign == []
    modules = {name.removeprefix("safeload.") for name in ours}
    assert not modules & {"sources.store", "sources.digest_memo", "sources.hub", "formats.flax", "formats.gguf"}
    assert not modules & {"engine.admit", "engine.convert", "formats.json_config", "formats.safetensors"}


@pytest.mark.parametrize("name", ["model.pkl", "model.pt", "model.safetensors", "config.json"])
def test_a_scan_generates_no_classes(name: str, tmp_path: Path) -> None:
    """What any scan imports uses `core.frozen`, named tuples and plain classes: `dataclasses` imports `inspect`, and
    writes and compiles six methods for each class."""
    files = {
        "model.pkl": b"\x80\x04}.",
        "model.pt": make_zip(checkpoint(state_dict({"w": tensor()}), {"0": bytes(16)})),
        "model.safetensors": safetensors('{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"\0"),
        "config.json": b'{"model_type": "bert"}',
    }
    (tmp_path / name).write_bytes(files[name])
    code = f"""
import contextlib, io
from safeload.cli.main import main
with contextlib.redirect_stdout(io.StringIO()):
    assert main(["scan", "--no-cache", {str(tmp_path / name)!r}]) == 0
assert not {{"dataclasses", "inspect", "ast"}} & (set(sys.modules) - before), "a class is generated"
"""
    loaded(code)


def test_a_small_pickle_makes_few_classes(tmp_path: Path) -> None:
    """What a pickle cannot need is not imported: policies, options, baselines, archives, tensors, and parts that it has
    not."""
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x04}.")
    code = f"""
import contextlib, io
from safeload.cli.main import main
with contextlib.redirect_stdout(io.StringIO()):
    assert main(["scan", "--no-cache", {str(path)!r}]) == 0
"""
    modules = {name.removeprefix("safeload.") for name in loaded(code)[1]}
    assert "formats.pickle_file" in modules
    assert not modules & {"core.policy", "core.evidence", "core.construct", "engine.options", "engine.request"}
    assert not modules & {"engine.scanning.baseline", "formats.parts", "formats.tensors", "formats.overlap"}
    assert not modules & {"formats.protobuf", "formats.zip_archive", "formats.tar_archive", "formats.joblib_pickle"}
