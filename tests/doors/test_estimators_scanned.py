"""What a scan says of scikit-learn's estimators: safe where each number that compiled code follows was looked at."""

from __future__ import annotations

import io
import pickle as standard
from pathlib import Path
from typing import Any

import joblib
import numpy
import pytest
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from safeload import pickle, scan
from safeload.core.errors import SafeloadError
from safeload.core.finding import Status
from tests.doors.estimators import CLASSES, NAMES, VALUES, X, fitted
from tests.doors.test_estimators import HOSTILE, _As, _node, _tree, _with

pytestmark = pytest.mark.filterwarnings("ignore")

UNVOUCHED = {
    *("Birch", "BisectingKMeans"),  # trees of clusters
    *("GradientBoostingClassifier", "GradientBoostingRegressor"),  # trees in an array of objects
    # Search trees, whose places scikit-learn believes; safeload builds them again from their points.
    *("Isomap", "KNeighborsClassifier", "KNeighborsRegressor", "KNeighborsTransformer", "KernelDensity"),
    *("LocallyLinearEmbedding", "LocalOutlierFactor", "NearestNeighbors", "RadiusNeighborsClassifier"),
    *("RadiusNeighborsRegressor", "RadiusNeighborsTransformer"),
    "SplineTransformer",
}
"""Estimators that safeload makes and that a scan does not vouch for: other readers take them as they come."""


def _status(data: bytes, folder: Path) -> Status:
    (folder / "model.pkl").write_bytes(data)
    return scan(folder / "model.pkl").files[0].status


def _joblib(value: Any) -> bytes:
    file = io.BytesIO()
    joblib.dump(value, file)
    return file.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_an_estimator_as_its_library_writes_it_is_safe(name: str, tmp_path: Path) -> None:
    """By pickle and by joblib; exactly those that are named are not, and they are not dangerous either."""
    estimator, _ = fitted(name)
    expected = Status.UNVERIFIED if name in UNVOUCHED else Status.SAFE
    for data in (standard.dumps(estimator, 2), standard.dumps(estimator, 5), _joblib(estimator)):
        assert _status(data, tmp_path) is expected


TREES = {
    **{
        f"{field} {place} {value}": _node(field, place, value)
        for field, place, value in [
            *(("left_child", 0, 10_000), ("right_child", 0, 10_000), ("left_child", 0, -5), ("left_child", 0, 0)),
            *(("left_child", 1, 0), ("right_child", 0, 1), ("left_child", 0, -1), ("feature", 0, 5)),
            *(("feature", 0, -3), ("feature", 0, 1 << 40)),
        ]
    },
    "depth": lambda state: state.update(max_depth=1),
    "count": lambda state: state.update(node_count=10_000),
    "negative": lambda state: state.update(node_count=-1),
    "fewer": lambda state: state.update(nodes=state["nodes"][:1]),
    "values": lambda state: state.update(values=state["values"][:, :, :1]),
    "no values": lambda state: state.update(values=None),
    "no nodes": lambda state: state.pop("nodes"),
}


@pytest.mark.parametrize("name", TREES)
def test_a_tree_that_leads_out_of_itself_is_not_safe(name: str, tmp_path: Path) -> None:
    """Whatever the door refuses of a tree, no scan vouches for."""
    assert _status(_tree(TREES[name]), tmp_path) is Status.UNVERIFIED
    assert _status(_tree(lambda state: None), tmp_path) is Status.SAFE


@pytest.mark.parametrize(
    "args",
    [
        lambda args: (3, *args[1:]),
        lambda args: (args[0], numpy.array([50]), args[2]),
        lambda args: (args[0], args[1], 2),
        lambda args: (1 << 40, *args[1:]),
        lambda args: (True, *args[1:]),
    ],
)
def test_a_tree_of_other_sizes_is_not_safe(args: Any, tmp_path: Path) -> None:
    """What a tree is made with fits its nodes and the estimator that holds it."""
    assert _status(_tree(lambda state: None, args), tmp_path) is Status.UNVERIFIED


PYTHONS = {"hides-a-class", "memory", "files", "hides-a-constant", "hides-a-method", "odd-input", "threads"}
"""What only Python code of scikit-learn's meets, and what no other file of such an estimator is judged by."""


@pytest.mark.parametrize("name", sorted(set(HOSTILE) - PYTHONS))
def test_what_no_door_makes_no_scan_vouches_for(name: str, tmp_path: Path) -> None:
    """One judgement: every hostile state of the tests of estimators, as a scan sees it."""
    assert _status(HOSTILE[name](), tmp_path) >= Status.UNVERIFIED


@pytest.mark.parametrize(
    ("field", "value"),
    [("left", 1 << 20), ("right", 0), ("feature_idx", 99), ("feature_idx", -1), ("is_categorical", 1)],
)
def test_a_histogram_tree_that_leads_out_of_itself_is_not_safe(field: str, value: int, tmp_path: Path) -> None:
    """Nodes that boosting by histograms would follow are within their tree."""
    made = HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=2).fit(X, VALUES)
    made._predictors[0][0].nodes[field][0] = value
    assert _status(standard.dumps(made), tmp_path) is Status.UNVERIFIED
    assert _status(_joblib(made), tmp_path) is Status.UNVERIFIED


def _single() -> Any:
    return DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, CLASSES)


def _boosted() -> Any:
    return HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=2).fit(X, VALUES)


def _isolated() -> Any:
    made = IsolationForest(n_estimators=2, max_features=2, random_state=0).fit(X)
    made.estimators_features_[0] = numpy.array([0, 9])
    return made


ELSEWHERE = {
    "bare": lambda: _single().tree_,
    "in a list": lambda: [_single(), _single().tree_],
    "as a tree of bagging": lambda: _bagging(_single().tree_),
    "in another attribute": lambda: _with(_single, mine=_single().tree_),
    "the same tree twice": lambda: (one := _single(), one.tree_),
    "a bare predictor": lambda: _boosted()._predictors[0][0],
    "predictors elsewhere": lambda: (one := _boosted(), one._predictors[0]),
    "a bare mapper": lambda: _boosted()._bin_mapper,
    "columns out of bounds": _isolated,
    "trees of other features": lambda: _forest([DecisionTreeRegressor().fit(X[:, :2], VALUES)]),
    "trees in a tuple": lambda: _forest((DecisionTreeRegressor().fit(X, VALUES),)),
    "a forest in a forest": lambda: _forest([RandomForestRegressor(2).fit(X, VALUES)]),
    "validation replaced": lambda: _with(_single, _validate_X_predict=_As(list, ([1],), None)),
    "validation is a kernel": lambda: _with(lambda: SVC().fit(X, CLASSES), _validate_for_predict=_kernel()),
    "validation is a function": lambda: _with(_single, _validate_X_predict=numpy.abs),
    "a special name": lambda: _with(_single, __class__=int),
}


def _kernel() -> Any:
    from sklearn.gaussian_process.kernels import RBF

    return RBF(1.0)


def _bagging(tree: Any) -> Any:
    made = BaggingClassifier(n_estimators=2, random_state=0).fit(X, CLASSES)
    made.estimators_ = [tree, tree]
    return made


def _forest(trees: Any) -> Any:
    made = RandomForestRegressor(2, random_state=0).fit(X, VALUES)
    made.estimators_ = trees
    return made


@pytest.mark.parametrize("name", ELSEWHERE)
def test_parts_are_safe_only_where_a_checked_estimator_holds_them(name: str, tmp_path: Path) -> None:
    """A tree by itself asks nobody how many features there are; nor does one whose checks were replaced."""
    made = ELSEWHERE[name]()
    data = made if isinstance(made, bytes) else standard.dumps(made)
    assert _status(data, tmp_path) is Status.UNVERIFIED


def test_attributes_that_come_after_the_state_do_not_count(tmp_path: Path) -> None:
    """A dictionary that grows once an object took it over is another one than the object has."""
    tree = standard.dumps(_single().tree_, 2)[2:-1]
    made = b"csklearn.tree._classes\nDecisionTreeClassifier\n)\x81"
    held = b"}q\xf1(X\x05\x00\x00\x00tree_" + tree + b"u"
    count = b"X\x0e\x00\x00\x00n_features_in_K\x05s"
    assert _status(b"\x80\x02" + made + held + count + b"b.", tmp_path) is Status.SAFE
    assert _status(b"\x80\x02(" + made + held + b"bh\xf1" + count + b"t.", tmp_path) is Status.UNVERIFIED


@pytest.mark.parametrize("protocol", [0, 1])
def test_old_protocols_are_not_vouched_for(protocol: int, tmp_path: Path) -> None:
    """They make objects by a helper, and are looked at no further; safeload makes them all the same."""
    data = standard.dumps(_single(), protocol)
    assert _status(data, tmp_path) is Status.UNVERIFIED
    assert isinstance(pickle.loads(data), DecisionTreeClassifier)


@pytest.mark.parametrize("count", [2, 40])
def test_one_array_for_many_trees_takes_no_longer_than_its_file_allows(count: int, tmp_path: Path) -> None:
    """Trees that share their nodes are looked at until the file's budget is spent; then it is undecided."""
    tree = DecisionTreeRegressor(random_state=0).fit(numpy.arange(20_000.0)[:, None], numpy.arange(20_000.0))
    call, args, state = tree.tree_.__reduce__()
    trees = []
    for _ in range(count):
        one = DecisionTreeRegressor()
        vars(one).update(vars(tree), tree_=_As(call, args, state))
        trees.append(one)
    found = _status(standard.dumps(trees), tmp_path)
    assert found is (Status.SAFE if count == 2 else Status.UNDECIDED)


def test_a_forest_is_still_read_by_others(tmp_path: Path) -> None:
    """What a scan calls safe, the library reads, with the same results."""
    made = RandomForestClassifier(3, random_state=0).fit(X, CLASSES)
    data = standard.dumps(made)
    assert _status(data, tmp_path) is Status.SAFE
    assert (standard.loads(data).predict(X) == made.predict(X)).all()
    with pytest.raises(SafeloadError):
        pickle.loads(_tree(_node("left_child", 0, 10_000)))
