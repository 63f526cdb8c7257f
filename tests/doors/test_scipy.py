"""Sparse matrices and distributions of scipy: what comes back, and what compiled code never gets to see."""

from __future__ import annotations

import copyreg
import io
import pickle as standard
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

numpy = pytest.importorskip("numpy")
sparse = pytest.importorskip("scipy.sparse")
stats = pytest.importorskip("scipy.stats")
pytest.importorskip("sklearn")

import joblib  # noqa: E402
from sklearn.impute._iterative import IterativeImputer  # noqa: E402
from sklearn.svm import SVC, NuSVR, OneClassSVM  # noqa: E402

from safeload import Options  # noqa: E402
from safeload import joblib as safe_joblib  # noqa: E402
from safeload import pickle as safe_pickle  # noqa: E402
from safeload.core.construct import Record  # noqa: E402
from safeload.core.errors import MalformedInput, PolicyDenied, SafeloadError  # noqa: E402
from safeload.core.finding import Status  # noqa: E402
from safeload.engine.scan import scan_stream  # noqa: E402

FORMS = [f"{form}_{kind}" for form in ("coo", "csc", "csr", "bsr", "dia", "lil", "dok") for kind in ("matrix", "array")]
TABLE = numpy.array([[0.0, 1.5, 0, 0], [2, 0, 0, 0], [0, 0, 0, 3], [0, 0, 0, 0]])


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("form", FORMS)
def test_matrices_come_back(form: str, protocol: int) -> None:
    """Of their own class and type of numbers."""
    if form.startswith("dok") and protocol < 3:
        pytest.skip("scipy writes these so that an unpickler fills and changes them by their own methods: refused")
    for kind in ("float64", "bool", "complex64"):
        value = getattr(sparse, form)(TABLE.astype(kind))
        found = safe_pickle.loads(standard.dumps(value, protocol))
        assert type(found) is type(value) and found.dtype == value.dtype and found.shape == value.shape
        assert (found.toarray() == value.toarray()).all()
        assert ((found @ numpy.eye(4))[:] == (value @ numpy.eye(4))[:]).all()


def test_joblib_keeps_them_too() -> None:
    """Their arrays lie behind the pickle there."""
    file = io.BytesIO()
    joblib.dump([getattr(sparse, form)(TABLE) for form in FORMS], file)
    for form, found in zip(FORMS, safe_joblib.load(io.BytesIO(file.getvalue())), strict=True):
        assert type(found) is getattr(sparse, form) and (found.toarray() == TABLE).all()


@pytest.mark.parametrize("form", FORMS[1::2])
def test_empty_and_odd_shapes_come_back(form: str) -> None:
    """No rows, no columns, nothing in it."""
    for shape in ((0, 3), (3, 0), (2, 5)):
        value = getattr(sparse, form)(shape)
        found = safe_pickle.loads(standard.dumps(value))
        assert found.shape == shape and found.nnz == 0


def test_arrays_of_one_and_three_dimensions_come_back() -> None:
    """Where scipy has them."""
    made = 0
    for kind, table in ((sparse.coo_array, TABLE[0]), (sparse.coo_array, numpy.ones((2, 3, 2))),
                        (sparse.dok_array, TABLE[0])):  # fmt: skip
        try:
            value = kind(table)
        except (ValueError, TypeError):
            continue
        made += 1
        found = safe_pickle.loads(standard.dumps(value))
        assert found.shape == value.shape and (found.toarray() == value.toarray()).all()
    assert made


def test_names_from_before_scipy_1_8_are_read() -> None:
    """Modules had no underscore then, and coordinates were called rows and columns."""
    data = standard.dumps(sparse.csr_matrix(TABLE), 2).replace(b"scipy.sparse._csr", b"scipy.sparse.csr")
    assert (safe_pickle.loads(data).toarray() == TABLE).all()
    old = sparse.coo_matrix(TABLE)
    state = {"_shape": old.shape, "row": old.row, "col": old.col, "data": old.data}
    assert (safe_pickle.loads(_with(sparse.coo_matrix, state)).toarray() == TABLE).all()


def _with(kind: Any, state: object, protocol: int = 4) -> bytes:
    file = io.BytesIO()
    pickler = standard.Pickler(file, protocol)
    pickler.dispatch_table = {kind: lambda value: (copyreg.__newobj__, (kind,), state)}
    pickler.dump(kind.__new__(kind))
    return file.getvalue()


_I = numpy.array


def _changes() -> list[tuple[str, dict[str, Any]]]:
    return [
        ("coo_array", {"coords": (_I([0, 9]), _I([0, 1])), "data": _I([1.0, 2])}),
        ("coo_array", {"coords": (_I([0, -1]), _I([0, 1])), "data": _I([1.0, 2])}),
        ("coo_array", {"coords": (_I([0]), _I([0, 1])), "data": _I([1.0, 2])}),
        ("coo_array", {"coords": (_I([0.0, 1]), _I([0, 1])), "data": _I([1.0, 2])}),
        ("coo_array", {"coords": (_I([0, 1]),), "data": _I([1.0, 2])}),
        ("coo_array", {"data": _I([[1.0]])}),
        ("coo_array", {"_shape": (4, -1)}),
        ("coo_array", {"_shape": (1 << 62, 4)}),
        ("coo_array", {"_shape": [4, 4]}),
        ("coo_array", {"_shape": ()}),
        ("coo_matrix", {"_shape": (4,), "coords": (_I([1]),), "data": _I([1.0])}),
        ("dia_array", {"offsets": _I([0, 0]), "data": numpy.ones((2, 4))}),
        ("dia_array", {"offsets": _I([0]), "data": numpy.ones((2, 4))}),
        ("dia_array", {"offsets": _I([1 << 31]), "data": numpy.ones((1, 4))}),
        ("dia_array", {"offsets": _I([-(1 << 31) + 2]), "data": numpy.ones((1, 4))}),
        ("dia_array", {"data": numpy.ones(4)}),
        ("bsr_array", {"indices": _I([9]), "indptr": _I([0, 1, 1]), "data": numpy.ones((1, 2, 2))}),
        ("bsr_array", {"indices": _I([0]), "indptr": _I([0, 5, 1]), "data": numpy.ones((1, 2, 2))}),
        ("bsr_array", {"indices": _I([0]), "indptr": _I([0, 1]), "data": numpy.ones((1, 2, 2))}),
        ("bsr_array", {"indices": _I([0]), "indptr": _I([0, 1, 1]), "data": numpy.ones((1, 3, 2))}),
        ("bsr_array", {"indices": _I([], dtype="i4"), "indptr": _I([0]), "data": numpy.ones((0, 0, 0))}),
        ("bsr_array", {"data": numpy.ones(4)}),
        ("lil_array", {"rows": _objects([9], [], [], []), "data": _objects([1.0], [], [], [])}),
        ("lil_array", {"rows": _objects([1, 1], [], [], []), "data": _objects([1.0, 2.0], [], [], [])}),
        ("lil_array", {"rows": _objects([-1], [], [], []), "data": _objects([1.0], [], [], [])}),
        ("lil_array", {"rows": _objects([0], [], [], []), "data": _objects([], [], [], [])}),
        ("lil_array", {"rows": _objects([0], [], [], []), "data": _objects(["x"], [], [], [])}),
        ("lil_array", {"rows": _objects((0,), [], [], []), "data": _objects((1,), [], [], [])}),
        ("lil_array", {"rows": _objects([], [], [])}),
        ("lil_array", {"dtype": numpy.dtype("O")}),
        ("lil_array", {"dtype": "f8"}),
        ("lil_array", {"_shape": (1 << 40, 4)}),
        ("dok_array", {"_dict": {(0, 9): 1.0}}),
        ("dok_array", {"_dict": {(-1, 0): 1.0}}),
        ("dok_array", {"_dict": {(0, 0, 0): 1.0}}),
        ("dok_array", {"_dict": {0: 1.0}}),
        ("dok_array", {"_dict": {("0", 0): 1.0}}),
        ("dok_array", {"_dict": {(0, 0): "1"}}),
        ("dok_array", {"_dict": [((0, 0), 1.0)]}),
        ("dok_array", {"dtype": numpy.dtype("V8")}),
    ]


def _objects(*items: Any) -> Any:
    found = numpy.empty(len(items), dtype=object)
    for at, item in enumerate(items):
        found[at] = item
    return found


@pytest.mark.parametrize(("form", "change"), _changes(), ids=lambda value: value if isinstance(value, str) else "")
def test_no_matrix_leads_out_of_itself(form: str, change: dict[str, Any]) -> None:
    """Kernels of scipy follow these numbers without looking."""
    kind = getattr(sparse, form)
    state = vars(kind(TABLE))
    assert safe_pickle.loads(_with(kind, state)).shape == (4, 4)
    with pytest.raises(MalformedInput):
        safe_pickle.loads(_with(kind, {**state, **change}))


@pytest.mark.parametrize("form", FORMS[::2])
@pytest.mark.parametrize("state", [None, {}, [], 3, ({}, {}), {"_shape": (4, 4)}])
def test_no_matrix_is_made_without_its_parts(form: str, state: object) -> None:
    """scipy would make one, and crash when it is used."""
    kind = getattr(sparse, form)
    with pytest.raises(MalformedInput):
        safe_pickle.loads(_with(kind, state))


# ── distributions ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize(
    "make",
    [
        lambda: stats.uniform(1, 2),
        lambda: stats.loguniform(1e-3, 1e2),
        lambda: stats.norm(loc=1, scale=numpy.float64(3)),
        lambda: stats.gamma(2.0, scale=numpy.array([1.0, 2.0])),
        lambda: stats.beta(a=1, b=2),
    ],
)
def test_distributions_of_a_search_come_back(make: Callable[[], Any], protocol: int) -> None:
    """As `RandomizedSearchCV` keeps them; they give the same numbers."""
    value = make()
    found = safe_pickle.loads(standard.dumps(value, protocol))
    assert type(found) is type(value) and type(found.dist) is type(value.dist) and found.dist.name == value.dist.name
    assert numpy.array_equal(found.cdf(1.5), value.cdf(1.5))
    assert numpy.array_equal(found.rvs(size=2, random_state=3), value.rvs(size=2, random_state=3))


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_discrete_distributions_are_refused(protocol: int) -> None:
    """scipy writes methods into them, by name, which a file can use to reach any other."""
    with pytest.raises(PolicyDenied, match=r"numpy\.vectorize"):
        safe_pickle.loads(standard.dumps(stats.randint(1, 9), protocol))


def test_the_program_of_a_distribution_is_never_run(marker: Path) -> None:
    """scipy runs `_parse_arg_template` when it restores one: here it is the library's own, whatever the file says."""
    kind = type(stats.norm)
    state = {**vars(stats.norm.__class__(name="norm")), "name": "norm"}
    state = {key: value for key, value in state.items() if not callable(value)}
    for key in ("_parse_arg_template", "__doc__", "extradoc"):
        state[key] = f"__import__('os').system('touch {marker}')"
    for unknown in ("refuse", "record"):
        try:
            found = safe_pickle.loads(_with(kind, state), unknown=unknown)
        except SafeloadError:
            continue
        assert found.cdf(0) == 0.5 and "touch" not in str(vars(found))
    assert not marker.exists()


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        vars(stats.gamma)["_parse_arg_template"] + "import os\n",
        vars(stats.gamma)["_parse_arg_template"].replace("loc=0", "loc=print(0)"),
        vars(stats.gamma)["_parse_arg_template"].replace("(a, )", "(print(a), )"),
        vars(stats.gamma)["_parse_arg_template"].replace("self, a", "self, b"),
        b"bytes",
        ["computed"],
        None,
    ],
    ids=range(8),
)
def test_a_scan_calls_another_program_dangerous(text: object, protocol: int) -> None:
    """An ordinary unpickler runs it: `scipy.stats` restores a distribution with `exec`."""
    state = {"name": "norm", "_parse_arg_template": text}
    data = _with(type(stats.norm), state, protocol)
    (found,) = scan_stream(io.BytesIO(data)).files
    assert found.status is Status.DANGEROUS
    assert any("scipy would run the program" in one.message for one in found.findings)
    with pytest.raises(PolicyDenied):
        safe_pickle.loads(data)


def test_programs_that_scipy_wrote_are_none() -> None:
    """Of every continuous distribution that it has."""
    names = [name for name in dir(stats) if isinstance(getattr(stats, name), stats.rv_continuous)]
    assert len(names) > 90
    for name in names:
        text = vars(getattr(stats, name))["_parse_arg_template"]
        data = standard.dumps({"_parse_arg_template": text})
        assert scan_stream(io.BytesIO(data)).files[0].status is Status.SAFE
        data = _with(type(getattr(stats, name)), {"name": name, "_parse_arg_template": text})
        assert scan_stream(io.BytesIO(data)).files[0].status is Status.UNVERIFIED


def test_a_thousand_distributions_are_enough() -> None:
    """scipy takes milliseconds for each, and a file ten bytes."""
    kind = type(stats.norm)
    file = io.BytesIO()
    pickler = standard.Pickler(file, 4)
    pickler.dispatch_table = {kind: lambda value: (copyreg.__newobj__, (kind,), {"name": "norm"})}
    pickler.dump([kind.__new__(kind) for _ in range(1_001)])
    with pytest.raises(MalformedInput, match="too many distributions"):
        safe_pickle.loads(file.getvalue())


@pytest.mark.parametrize(
    "change", [{"name": "nothing"}, {"name": "gamma"}, {"name": 3}, {"a": 5.0}, {"shapes": "x, y"}, {"numargs": 9}]
)
def test_another_distribution_than_scipys_is_refused(change: dict[str, Any]) -> None:
    """Whose names and bounds are others."""
    with pytest.raises(SafeloadError):
        safe_pickle.loads(_with(type(stats.norm), {"name": "norm", **change}))


@pytest.mark.parametrize(
    "change",
    [
        {"args": ("x",)},
        {"args": [1]},
        {"args": (1, 2, 3, 4, 5)},
        {"kwds": {"loc": "x"}},
        {"kwds": {"other": 1}},
        {"kwds": {1: 2}},
        {"dist": None},
        {"dist": numpy.arange(3)},
        {"args": (_I(["x"], dtype=object),)},
    ],
    ids=str,
)
def test_parameters_that_are_none_are_refused(change: dict[str, Any]) -> None:
    """scipy parses them when it makes one."""
    kind = type(stats.norm())
    state = {"args": (), "kwds": {}, "dist": stats.norm, "a": 0.0, "b": 1.0}
    assert not isinstance(safe_pickle.loads(_with(kind, state)), Record)
    with pytest.raises(SafeloadError):
        safe_pickle.loads(_with(kind, {**state, **change}))


# ── estimators that were fitted on such matrices ────────────────────────────────────────────────────────────────

_POINTS = numpy.random.RandomState(0).rand(40, 3)
_CLASSES = numpy.digitize(_POINTS.sum(1), [1.2, 1.6])


@pytest.mark.parametrize("make", [lambda: SVC(kernel="linear"), SVC, NuSVR, OneClassSVM])
def test_sparse_support_vectors_come_back(make: Callable[[], Any]) -> None:
    """And decide as before."""
    points = sparse.csr_matrix(_POINTS)
    model = make().fit(points, _CLASSES * 1.0)
    found = safe_pickle.loads(standard.dumps(model))
    assert numpy.array_equal(found.predict(points), model.predict(points))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("support_vectors_", sparse.csr_matrix(_POINTS[:, :2])),
        ("support_vectors_", sparse.csr_matrix(_POINTS)),
        ("support_vectors_", sparse.csc_matrix(_POINTS)),
        ("support_vectors_", _POINTS),
        ("_dual_coef_", sparse.csr_matrix((2, 20))),
        ("_dual_coef_", numpy.ones((2, 20))),
        ("_sparse", False),
        ("_sparse", 1),
        ("_sparse", None),
        ("_n_support", _I([1, 2, 1 << 20], dtype="i4")),
    ],
)
def test_sparse_support_vectors_that_do_not_fit_are_refused(name: str, value: Any) -> None:
    """libsvm copies as many numbers as the counts say."""
    model = SVC().fit(sparse.csr_matrix(_POINTS), _CLASSES)
    setattr(model, name, value)
    with pytest.raises(MalformedInput):
        safe_pickle.loads(standard.dumps(model))


@pytest.mark.filterwarnings("ignore")
def test_an_iterative_imputer_comes_back() -> None:
    """Its steps are named tuples of its own."""
    points = numpy.where(_POINTS > 0.9, numpy.nan, _POINTS)
    model = IterativeImputer(max_iter=2, random_state=0).fit(points)
    for protocol in (0, 2, 5):
        found = safe_pickle.loads(standard.dumps(model, protocol), safeload=Options())
        assert numpy.array_equal(found.transform(points), model.transform(points))
