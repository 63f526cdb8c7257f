"""Every entry of the allowlists: its name exists where its library is installed, and what is live takes no bait."""

from __future__ import annotations

import contextlib
import decimal
import importlib
import importlib.util
import itertools
import pickle
import re
import sysconfig
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

import safeload
from safeload import Options
from safeload import torch as safe_torch
from safeload.adapt_numpy import numpy_table
from safeload.core.errors import SafeloadError
from safeload.core.limits import Limits
from safeload.core.names import GlobalName
from safeload.engine.allowlists import default_allowlist
from safeload.engine.live import Table
from safeload.engine.live.plain import PLAIN_TABLE
from safeload.rules.catalogue import is_stdlib
from safeload.torch._memory import Memory
from safeload.torch._tensors import Tensors
from tests.rules.streams import stream as stream_of
from tools.allowlist_names import look_up

pytestmark = pytest.mark.filterwarnings("ignore")

GONE = {
    # Written by older versions; the libraries of today have them no more.
    ("numpy", "float_"),
    ("numpy", "string_"),
    ("numpy", "unicode_"),
    ("torch.tensor", "_rebuild_from_type"),
    ("torch.nn.modules.linear", "_LinearWithBias"),
    ("torch.cuda.amp.grad_scaler", "_refresh_per_optimizer_state"),
    ("transformers.trainer_utils", "EvaluationStrategy"),
    ("transformers.trainer_utils", "ShardedDDPOption"),
    ("transformers.deepspeed", "HfDeepSpeedConfig"),
    ("transformers.deepspeed", "HfTrainerDeepSpeedConfig"),
    ("pandas.core.indexes.numeric", "Float64Index"),
    ("dateutil.tz.tz", "_ttinfo"),
    ("pandas.core.indexes.numeric", "Int64Index"),
    ("pandas.core.indexes.numeric", "UInt64Index"),
    ("pandas._libs.tslibs.nattype", "__nat_unpickle"),
    ("pandas.core.arrays.sparse.dtype", "SparseDtype"),
    ("pandas.core.arrays.string_arrow", "ArrowStringArrayNumpySemantics"),
    ("pytz", "_UTC"),
    ("sklearn.linear_model._sgd_fast", "Huber"),
    ("sklearn.linear_model._sgd_fast", "Log"),
    ("sklearn.linear_model._sgd_fast", "SquaredLoss"),
    # On machines of another width.
    ("numpy", "complex192"),
    ("numpy", "float96"),
    ("numpy", "complex256"),
    ("numpy", "float128"),
}
IMPORTED = ("torch", "numpy", "transformers", "accelerate", "scipy", "pandas", "sklearn")
"""Libraries whose names are made when they are imported, or compiled, so that their sources do not show them all."""
DISTRIBUTIONS = {"sklearn": "scikit-learn"}


ALLOWLISTS = Path(safeload.__file__).parent / "allowlists"


def _installed(top: str) -> bool:
    return importlib.util.find_spec(top) is not None


def _to_come() -> set[GlobalName]:
    """Names that a file lists for newer versions than the installed one; all of a file, if it is of the next series."""
    found = set()
    for file in ALLOWLISTS.glob("*.toml"):
        document = tomllib.loads(file.read_text("utf-8"))
        library = document["library"]
        if library in ("numpy", "pandas") and _installed(library):
            series = max(Version(text).major for text in re.findall(r"\d+(?:\.\d+)*", document["versions"]))
            if Version(metadata.version(library)).major < series:
                found |= {GlobalName(one["module"], name) for one in document["globals"] for name in one["names"]}
        for table in document["globals"]:
            first = re.fullmatch(r"([\d.]+) and later", table.get("versions", ""))
            top = table["module"].partition(".")[0]
            if (
                first
                and top in IMPORTED
                and _installed(top)
                and Version(metadata.version(DISTRIBUTIONS.get(top, top))) < Version(first[1])
            ):
                found |= {GlobalName(table["module"], name) for name in table["names"]}
    return found


def _by_module() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    to_come = _to_come()
    for entry in default_allowlist():
        top = entry.name.module.partition(".")[0]
        if top in IMPORTED and _installed(top) and entry.name not in to_come:
            found.setdefault(entry.name.module, []).append(entry.name.name)
    return found


@pytest.mark.parametrize("module", sorted(_by_module()))
def test_names_of_installed_libraries_exist(module: str) -> None:
    """Each listed name of a library that is imported here is there, or known to be gone."""
    names = {name for name in _by_module()[module] if (module, name) not in GONE}
    if not names or (module.startswith("scipy.sparse.") and "._" not in module):
        return  # the modules that scipy deprecates are gone soon, and say so when they are imported
    present = importlib.import_module(module)
    assert {name for name in names if not hasattr(present, name)} == set()


def test_names_in_the_sources_of_other_libraries_exist() -> None:
    """Of libraries that happen to be installed and are not imported here, the sources say each name."""
    entries = [one for one in default_allowlist() if one.name.module.partition(".")[0] not in IMPORTED]
    found = look_up(entries, [Path(sysconfig.get_path("purelib"))])
    assert {tuple(one.entry.name) for one in found if not one.present} <= GONE


# ── what is live ────────────────────────────────────────────────────────────────────────────────────────────────


def _live() -> Table:
    tensors = Tensors(stream_of(b"N."), Memory(mapped=False, integrity="auto"), Limits(), None).table()
    return PLAIN_TABLE | (numpy_table() or Table()) | tensors


LIVE = _live()
for _module in {name.module for name in LIVE.makers if is_stdlib(name.module)} | {"tzdata"}:
    with contextlib.suppress(ModuleNotFoundError):  # of another Python, or another system
        importlib.import_module(_module)  # so that none is imported first while a test watches
WRITTEN = {"builtins": "__builtin__", "copyreg": "copy_reg"}


def _global(name: tuple[str, str]) -> bytes:
    return b"c%s\n%s\n" % (WRITTEN.get(name[0], name[0]).encode(), name[1].encode())


def _value(value: object) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def _call(marker: Path) -> bytes:
    return _global(("os", "system")) + b"(" + _value(f"touch {marker}") + b"tR"


def _arguments(marker: Path) -> list[bytes]:
    """One argument each: numbers out of bounds, text that means something elsewhere, names, calls, loops."""
    plain = [
        *(0, 1, -1, 1 << 31, 1 << 40, (1 << 63) - 1, 1 << 63, 1 << 70, -(1 << 63), 1.5, float("inf"), float("nan")),
        *(
            None,
            True,
            "",
            "a",
            "x" * 300,
            "O",
            "|O8",
            "f8,O",
            "9999999999999f8",
            "latin1",
            "rot13",
            "zip",
            "cuda:99999",
        ),
        *(b"", b"\x80\x04cos\nsystem\n.", (), (1,), (1 << 62, 1 << 62), [], [1], [[1, 2]], {}, {"a": 1}, {1: 2}),
        *("__import__('os').system('true')", f"touch {marker}", "../../etc/passwd", "{0.__class__}"),
    ]
    names = [("builtins", "eval"), ("os", "system"), ("builtins", "dict"), ("torch", "Tensor"), ("numpy", "ndarray")]
    return [*map(_value, plain), *map(_global, names), _call(marker), b"]q\x00h\x00a", b"}q\x00K\x01h\x00s"]


@pytest.mark.parametrize("name", sorted(LIVE.makers), ids=str)
def test_live_entries_take_no_bait(name: GlobalName, marker: Path) -> None:
    """Called with hostile arguments, states and items: a value or an error of ours; nothing runs, nothing is huge."""
    options = Options(unsafe_convert_dangerous=True)
    arguments = _arguments(marker)
    shapes = [b"(t", *(b"(" + one + b"t" for one in arguments)]
    few = arguments[::5]
    shapes += [b"(" + b"".join(pair) + b"t" for pair in itertools.product(few, few)]
    shapes += [b"(" + one * count + b"t" for one in few for count in (3, 4, 5, 6, 7, 8)]
    streams = [_global(name) + shape + b"R" for shape in shapes]
    streams += [_global(name) + shape + b"\x81" for shape in shapes[:: len(shapes) // 20]]
    for body in (b"(tR", b"(" + arguments[1] + b"tR"):
        streams += [_global(name) + body + one + b"b" for one in arguments]
        streams += [_global(name) + body + b"(" + one + one + b"tb" for one in few]
        streams += [_global(name) + body + b"(" + one + b"e" for one in few]
        streams += [_global(name) + body + b"(" + one + one + b"u" for one in few]
    for stream in streams:
        try:
            safe_torch.load(b"\x80\x02" + stream + b".", safeload=options)
        except SafeloadError:
            continue


@pytest.mark.parametrize("name", sorted(LIVE.constants), ids=str)
def test_live_constants_are_types_and_numbers(name: GlobalName) -> None:
    """What a name alone stands for is a type of data or a constant of torch: nothing that acts when it is called."""
    import numpy
    import torch

    value: Any = LIVE.constants[name]
    harmless = (torch.dtype, torch.qscheme, torch.memory_format, torch.layout, type(Ellipsis), type(NotImplemented))
    kinds = (numpy.generic, decimal.DecimalException)
    assert isinstance(value, harmless) or (
        isinstance(value, type) and (value.__module__ == "builtins" or issubclass(value, kinds))
    )
    assert value is not type and value not in (eval, exec, compile, open, getattr, memoryview, super, property)


def test_what_is_live_is_listed() -> None:
    """Nothing is made live that the allowlist does not hold, but for what rules excuse in one exact form."""
    live = {*LIVE.makers, *LIVE.constants}
    excused = {
        GlobalName("builtins", "type"),
        GlobalName("torch.storage", "_load_from_bytes"),
        # dill's own would call what it is given, so scans do not list it; ours takes numpy's reconstruction only.
        GlobalName("dill._dill", "_create_array"),
    }
    assert sorted(str(name) for name in live - excused if name not in default_allowlist()) == []
