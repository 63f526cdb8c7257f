"""What is live of scikit-learn, scipy and pandas: called with hostile arguments, under the canary."""

from __future__ import annotations

import contextlib
import importlib
import itertools
from pathlib import Path
from types import BuiltinFunctionType, FunctionType

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("pandas")

import numpy

from safeload import Options, pickle
from safeload.adapt_pandas import pandas_table
from safeload.adapt_sklearn import sklearn_table
from safeload.adapt_sklearn._compiled import MAKERS
from safeload.adapt_sklearn._scipy import scipy_table
from safeload.core.allowlist import Use
from safeload.core.errors import SafeloadError
from safeload.core.names import GlobalName
from safeload.engine.allowlists import default_allowlist
from safeload.rules.estimators import CHECKS, LOOKED_AT
from tests.allowlists.test_entries import _arguments, _global

pytestmark = pytest.mark.filterwarnings("ignore")

DISTRIBUTIONS = {
    *(GlobalName("scipy.stats._continuous_distns", name) for name in ("norm_gen", "uniform_gen", "reciprocal_gen")),
    *(GlobalName("scipy.stats._distn_infrastructure", f"rv_{kind}frozen") for kind in ("continuous_", "discrete_")),
}
EVERY = {entry.name for entry in default_allowlist()} | set(MAKERS) | set(LOOKED_AT) | DISTRIBUTIONS
LIVE = sklearn_table(EVERY) | scipy_table(EVERY) | pandas_table(sorted(EVERY))
for _name in LIVE.makers:
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module(_name.module)  # so that none is imported first while a test watches


EMPTY = sorted(name for name in LIVE.setters if name.module.startswith("sklearn."))
"""Estimators that are made empty, all by one maker: of these every twelfth is called."""
CALLED = sorted(set(LIVE.makers) - set(EMPTY) | set(EMPTY[::12]))


@pytest.mark.parametrize("name", CALLED, ids=str)
def test_live_entries_of_libraries_take_no_bait(name: GlobalName, marker: Path) -> None:
    """With hostile arguments, states, items and entries: a value or an error of ours, and nothing runs."""
    options = Options(unsafe_convert_dangerous=True)
    arguments = _arguments(marker)
    few = arguments[::6]
    shapes = [b"(t", *(b"(" + one + b"t" for one in arguments)]
    shapes += [b"(" + one * count + b"t" for one in few for count in (2, 3, 5)]
    shapes += [
        b"(" + b"".join(three) + b"t" for three in itertools.islice(itertools.product(few, few, few), 0, None, 7)
    ]
    streams = [_global(name) + shape + b"R" for shape in shapes[::2]]
    streams += [_global(name) + shape + b"\x81" for shape in shapes[::9]]
    names = [b"X" + bytes([len(key), 0, 0, 0]) + key for key in KEYS]
    for body in (b")\x81", b"(tR"):
        streams += [_global(name) + body + one + b"b" for one in arguments]
        streams += [_global(name) + body + b"}(" + key + one + b"ub" for key in names for one in few]
        streams += [_global(name) + body + b"(" + one + one + b"u" for one in few[:4]]
    for stream in streams:
        try:
            pickle.loads(b"\x80\x02" + stream + b".", safeload=options, unknown="record")
        except SafeloadError:
            continue


KEYS = (
    b"tree_",
    b"nodes",
    b"estimators_",
    b"_shape",
    b"data",
    b"state",
    b"dist",
    b"components_",
    b"memory",
    b"__class__",
)


@pytest.mark.parametrize("name", sorted(LIVE.constants), ids=str)
def test_functions_that_are_values_compute(name: GlobalName) -> None:
    """A function that stands as a value is a function of numbers or arrays, and listed to be named only."""
    value = LIVE.constants[name]
    if isinstance(value, FunctionType | BuiltinFunctionType | numpy.ufunc):
        entry = default_allowlist().get(name)
        assert entry is not None and entry.use is Use.NAME
        assert value.__name__ not in ("load", "save", "savez", "fromfile", "memmap", "loadtxt", "savetxt", "vectorize")


def test_each_check_of_a_scan_is_one_of_the_door() -> None:
    """What a scan looks at, a door looks at as well: neither is alone with its opinion."""
    from safeload.adapt_sklearn._checks import CHECKS as OF_DOOR

    assert set(CHECKS) <= set(OF_DOOR)
