"""scikit-learn estimators: every one of the installed version, and what a hostile state must not do to them."""

from __future__ import annotations

import copy
import io
import pickle as standard
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy
import pytest
from scipy import sparse
from sklearn.cluster import HDBSCAN, Birch, BisectingKMeans, KMeans
from sklearn.decomposition import NMF
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from safeload import PolicyDenied, pickle
from safeload import joblib as safe_joblib
from safeload.core.construct import Record
from safeload.core.errors import MalformedInput, SafeloadError
from safeload.engine.scan import scan_stream
from tests.doors.estimators import CLASSES, NAMES, VALUES, X, fitted, results, same

pytestmark = pytest.mark.filterwarnings("ignore")

LEFT_OUT: dict[str, str] = {}
"""Estimators that do not come back, each with its reason."""
THREE = (X[:, 0] * 3).astype(int)


def _dumped(value: Any) -> bytes:
    file = io.BytesIO()
    joblib.dump(value, file)
    return file.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_an_estimator_does_what_it_did(name: str) -> None:
    """Fitted, written by pickle and by joblib, and read here: the same results as from the plain libraries."""
    estimator, data = fitted(name)
    written = standard.dumps(estimator)
    if name in LEFT_OUT:
        with pytest.raises(SafeloadError):
            pickle.loads(written)
        return
    expected = results(standard.loads(written), data)
    for found in (pickle.loads(written), safe_joblib.load(_dumped(estimator))):
        assert type(found) is type(estimator)
        got = results(found, data)
        assert list(got) == list(expected)
        assert [method for method in got if not same(got[method], expected[method])] == []


def test_none_of_the_estimators_is_left_out() -> None:
    """The list of those that do not come back is as long as the documentation says."""
    assert len(LEFT_OUT) == 0
    assert len(NAMES) >= 200


@pytest.mark.parametrize("protocol", range(standard.HIGHEST_PROTOCOL + 1))
def test_a_pipeline_comes_back_in_every_protocol(protocol: int) -> None:
    """The usual file: scaling, a forest, their steps by name."""
    pipeline = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=3, random_state=0)).fit(X, CLASSES)
    found = pickle.loads(standard.dumps(pipeline, protocol))
    assert isinstance(found, Pipeline)
    assert same(found.predict_proba(X), pipeline.predict_proba(X))


def test_another_version_is_warned_of_as_scikit_learn_does() -> None:
    """The warning is scikit-learn's own, and the version that the file says is escaped."""
    data = standard.dumps(Ridge().fit(X, VALUES))
    import sklearn

    other = data.replace(sklearn.__version__.encode(), b"0\x1b.0.0"[: len(sklearn.__version__)].ljust(5, b"1"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pickle.loads(other)
    (warning,) = [one for one in caught if one.category is InconsistentVersionWarning]
    assert "\x1b" not in str(warning.message)


# ── what a file must not do ─────────────────────────────────────────────────────────────────────────────────────


class _As:
    """Pickles as a call of something, with a state."""

    def __init__(self, call: Any, args: tuple[Any, ...], state: Any) -> None:
        self.parts = call, args, state

    def __reduce__(self) -> Any:
        return self.parts


def _tree(
    change: Callable[[dict[str, Any]], None], args: Callable[[tuple[Any, ...]], tuple[Any, ...]] = tuple
) -> bytes:
    whole = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, THREE)
    made, arguments, state = whole.tree_.__reduce__()
    state = {key: copy.copy(value) for key, value in state.items()}
    change(state)
    whole.tree_ = _As(made, args(arguments), state)
    return standard.dumps(whole)


def _node(field: str, place: int, value: int) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        state["nodes"][field][place] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _node("left_child", 0, 10_000),
        _node("right_child", 0, 10_000),
        _node("left_child", 0, -5),
        _node("left_child", 0, 0),
        _node("left_child", 1, 0),
        _node("right_child", 0, 1),
        lambda state: state.update(max_depth=1),
        _node("feature", 0, 5),
        _node("feature", 0, -3),
        _node("feature", 0, 1 << 40),
        lambda state: state.update(node_count=10_000),
        lambda state: state.update(node_count=-1),
        lambda state: state.update(max_depth=-1),
        lambda state: state.update(nodes=state["nodes"][:1]),
        lambda state: state.update(nodes=state["nodes"]["left_child"]),
        lambda state: state.update(values=state["values"][:, :, :1]),
        lambda state: state.update(values=state["values"].astype("f4")[:1]),
        lambda state: state.update(values=None),
        lambda state: state.pop("nodes"),
    ],
)
def test_no_tree_leads_out_of_itself(change: Callable[[dict[str, Any]], None]) -> None:
    """Children, features, counts and values of a decision tree are within it, and no way leads back."""
    with pytest.raises(MalformedInput):
        pickle.loads(_tree(change))


@pytest.mark.parametrize(
    "args",
    [
        lambda args: (3, *args[1:]),
        lambda args: (args[0], numpy.array([50]), args[2]),
        lambda args: (args[0], args[1], 2),
        lambda args: (args[0], args[1]),
        lambda args: (1 << 40, *args[1:]),
        lambda args: (True, *args[1:]),
    ],
)
def test_no_tree_is_of_other_sizes_than_its_estimator(args: Any) -> None:
    """What a tree is made with fits its nodes and the estimator that holds it."""
    with pytest.raises(MalformedInput):
        pickle.loads(_tree(lambda state: None, args))


def _with(make: Callable[[], Any], **attributes: Any) -> bytes:
    estimator = make()
    vars(estimator).update(attributes)
    return standard.dumps(estimator)


def _small_tree() -> Any:
    return DecisionTreeRegressor(max_depth=1).fit(X[:, :2], VALUES)


def _linkage() -> Any:
    tree = HDBSCAN().fit(X)._single_linkage_tree_.copy()
    tree["left_node"][0] = 1 << 40
    return tree


HOSTILE: dict[str, Callable[[], bytes]] = {
    "tree-features": lambda: _with(lambda: DecisionTreeClassifier().fit(X, CLASSES), n_features_in_=2),
    "tree-outputs": lambda: _with(lambda: DecisionTreeClassifier().fit(X, CLASSES), n_outputs_=2),
    "tree-none": lambda: _with(lambda: DecisionTreeClassifier().fit(X, CLASSES), tree_=[1]),
    "forest-features": lambda: _with(lambda: RandomForestClassifier(2).fit(X, CLASSES), n_features_in_=3),
    "forest-no-features": lambda: _with(lambda: RandomForestClassifier(2).fit(X, CLASSES), n_features_in_=None),
    "forest-other-trees": lambda: _with(lambda: RandomForestClassifier(2).fit(X, CLASSES), estimators_=[_small_tree()]),
    "forest-no-trees": lambda: _with(lambda: RandomForestClassifier(2).fit(X, CLASSES), estimators_=[Ridge()]),
    "isolation": lambda: _with(lambda: IsolationForest(n_estimators=2).fit(X), estimators_=[_small_tree()]),
    "isolation-columns": lambda: _with(
        lambda: IsolationForest(n_estimators=2).fit(X), _max_features=1, estimators_features_=[numpy.array([0])] * 2
    ),
    "hides-a-constant": lambda: _with(lambda: Ridge(), _parameter_constraints={}),
    "odd-types": lambda: _with(lambda: SVC().fit(X, THREE), kernel=numpy.array(["rbf", "rbf"])),
    "odd-input": lambda: _with(lambda: CountVectorizer(), input=numpy.array(["content"] * 2)),
    "linkage": lambda: _with(lambda: HDBSCAN().fit(X), _single_linkage_tree_=_linkage()),
    "boosting-none": lambda: _with(
        lambda: GradientBoostingClassifier(n_estimators=2).fit(X, CLASSES), estimators_=numpy.array([[None]])
    ),
    "boosting-tree": lambda: _with(
        lambda: GradientBoostingClassifier(n_estimators=2).fit(X, CLASSES),
        estimators_=numpy.array([[_small_tree()]], dtype=object),
    ),
    "boosting-columns": lambda: _with(
        lambda: GradientBoostingClassifier(n_estimators=2).fit(X, THREE), init_=Ridge().fit(X, VALUES)
    ),
    "boosting-loss": lambda: _with(
        lambda: GradientBoostingClassifier(n_estimators=2).fit(X, THREE),
        _loss=GradientBoostingClassifier(n_estimators=1).fit(X, CLASSES)._loss,
    ),
    "svc-counts": lambda: _with(lambda: SVC().fit(X, THREE), _n_support=numpy.array([999, 1, 1], dtype=numpy.int32)),
    "svc-vectors": lambda: _with(lambda: SVC().fit(X, THREE), support_vectors_=X[:3]),
    "svc-coefficients": lambda: _with(lambda: SVC().fit(X, THREE), _dual_coef_=numpy.zeros((1, 1))),
    "svc-intercept": lambda: _with(lambda: SVC().fit(X, THREE), _intercept_=numpy.zeros(1)),
    "svc-type": lambda: _with(lambda: SVC().fit(X, THREE), _impl="epsilon_svr"),
    "svc-kernel": lambda: _with(lambda: SVC().fit(X, THREE), kernel="precomputed"),
    "svc-features": lambda: _with(lambda: SVC().fit(X, THREE), n_features_in_=4),
    "svr-counts": lambda: _with(lambda: SVR().fit(X, VALUES), _n_support=numpy.zeros(900, dtype=numpy.int32)),
    "svr-probabilities": lambda: _with(lambda: SVR().fit(X, VALUES), _probA=numpy.zeros(7)),
    "knn-labels": lambda: _with(
        lambda: KNeighborsClassifier(algorithm="brute").fit(X, CLASSES), _y=numpy.full(40, 1_000_000)
    ),
    "knn-negative": lambda: _with(lambda: KNeighborsClassifier().fit(X, CLASSES), _y=numpy.full(40, -1)),
    "knn-fewer": lambda: _with(lambda: KNeighborsClassifier().fit(X, CLASSES), _y=CLASSES[:3]),
    "knn-points": lambda: _with(lambda: NearestNeighbors().fit(X), _fit_X=X[:, :2].copy()),
    "knn-parameters": lambda: _with(
        lambda: NearestNeighbors(algorithm="brute").fit(X), effective_metric_params_={"Y_norm_squared": numpy.zeros(1)}
    ),
    "knn-tree": lambda: _with(lambda: NearestNeighbors(algorithm="kd_tree").fit(X), _tree=Ridge()),
    "kmeans-centres": lambda: _with(lambda: KMeans(2).fit(X), cluster_centers_=X[:2, :2].copy()),
    "kmeans-threads": lambda: _with(lambda: KMeans(2).fit(X), _n_threads=10**6),
    "bisecting": lambda: _with(lambda: BisectingKMeans(3).fit(X), n_features_in_=9),
    "birch-norms": lambda: _with(lambda: Birch().fit(X), _subcluster_norms=numpy.zeros(1)),
    "nmf-components": lambda: _with(lambda: NMF(2).fit(X), _n_components=50),
    "hasher-zero": lambda: _with(lambda: FeatureHasher(), n_features=0),
    "histogram-features": lambda: _with(
        lambda: HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=2).fit(X, VALUES), _n_features=9
    ),
    "memory": lambda: standard.dumps(Pipeline([("a", StandardScaler())], memory="/somewhere")),
    "files": lambda: standard.dumps(CountVectorizer(input="filename")),
    "threads": lambda: standard.dumps(LogisticRegression(n_jobs=10**9)),
    "hides-a-method": lambda: _with(lambda: Ridge(), predict="mine"),
    "hides-a-class": lambda: _with(lambda: Ridge(), __class__=int),
    "function": lambda: standard.dumps(FunctionTransformer(numpy.save)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_state_makes_no_estimator(name: str) -> None:
    """Nothing that compiled code would follow blindly, and nothing that would open, start or hide anything."""
    with pytest.raises(SafeloadError):
        pickle.loads(HOSTILE[name]())


@pytest.mark.parametrize(
    ("field", "value"),
    [("left", 1 << 20), ("right", 0), ("feature_idx", 99), ("feature_idx", -1), ("is_categorical", 1)],
)
def test_no_node_of_a_histogram_tree_leads_out_of_it(field: str, value: int) -> None:
    """Nodes that boosting by histograms would follow are within their tree."""
    made = HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=2).fit(X, VALUES)
    made._predictors[0][0].nodes[field][0] = value
    with pytest.raises(MalformedInput):
        pickle.loads(standard.dumps(made))


def test_nothing_is_slipped_in_behind_a_check() -> None:
    """A list that is filled after the estimator was made, because it holds it, is still looked at."""
    forest = RandomForestClassifier(2, random_state=0).fit(X, CLASSES)
    trap: list[Any] = [forest, _small_tree()]
    forest.estimators_ = trap
    for value in (trap, forest, {"a": trap, "b": forest}):
        for protocol in range(standard.HIGHEST_PROTOCOL + 1):
            with pytest.raises(MalformedInput):
                pickle.loads(standard.dumps(value, protocol))


def test_search_trees_are_built_again_from_their_points() -> None:
    """The places that a file gives for the nodes of a search tree are not followed."""
    made = NearestNeighbors(algorithm="kd_tree", leaf_size=2).fit(X)
    call, args, state = made._tree.__reduce__()
    changed = list(state)
    changed[1] = numpy.full_like(state[1], 1 << 40)
    changed[2] = numpy.zeros_like(state[2])
    made._tree = _As(call, args, tuple(changed))
    found = pickle.loads(standard.dumps(made))
    expected = NearestNeighbors(algorithm="kd_tree", leaf_size=2).fit(X)
    assert same(found.kneighbors(X), expected.kneighbors(X))


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, sparse.csc_array])
def test_sparse_matrices_come_back(kind: Any) -> None:
    """Compressed matrices, as scipy writes them."""
    made = kind(numpy.diag([1.0, 0.0, 2.0]))
    found = pickle.loads(standard.dumps(made))
    assert type(found) is type(made)
    assert same(found.toarray(), made.toarray())


@pytest.mark.parametrize(
    "change",
    [
        {"indices": numpy.array([1 << 20, 0], dtype=numpy.int32)},
        {"indices": numpy.array([-1, 0], dtype=numpy.int32)},
        {"indptr": numpy.array([0, 9, 1, 2], dtype=numpy.int32)},
        {"indptr": numpy.array([0, 1, 1, 1 << 20], dtype=numpy.int32)},
        {"indptr": numpy.array([0, 2], dtype=numpy.int32)},
        {"_shape": (10**9, 3)},
        {"_shape": (-1, 3)},
        {"_shape": (3, 1)},
        {"data": numpy.zeros(1)},
        {"data": numpy.array([None, None], dtype=object)},
    ],
)
def test_no_sparse_matrix_leads_out_of_itself(change: dict[str, Any]) -> None:
    """Each index of a sparse matrix is within it."""
    made = sparse.csr_matrix(numpy.diag([1.0, 0.0, 2.0]))
    vars(made).update(change)
    with pytest.raises(SafeloadError):
        pickle.loads(standard.dumps(made))


@pytest.mark.parametrize("place", [-1, 625, 1 << 40])
def test_no_random_generator_reads_beyond_its_state(place: int) -> None:
    """The place within a generator's numbers is one of them."""
    made = numpy.random.RandomState(0)
    call, args, state = made.__reduce__()
    state["state"]["pos"] = place
    with pytest.raises(MalformedInput):
        pickle.loads(standard.dumps(_As(call, args, state)))


def test_random_generators_go_on_where_they_were() -> None:
    """The next numbers are the same."""
    for made in (numpy.random.RandomState(3), numpy.random.default_rng(3)):
        made.random(5)
        found = pickle.loads(standard.dumps(made))
        assert found.random(5).tolist() == made.random(5).tolist()


class _Old:
    """A generator as numpy before 2 wrote it: its kind by name, since 1.24 with what makes it, and its numbers."""

    def __init__(self, maker: str, *args: object, state: object) -> None:
        self.reduced = getattr(numpy.random._pickle, maker), args, state

    def __reduce__(self) -> Any:
        return self.reduced


_SOURCE = getattr(numpy.random._pickle, "__bit_generator_ctor")


@pytest.mark.parametrize("more", [(), (_SOURCE,)], ids=["1.17", "1.24"])
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_generators_of_numpy_1_go_on_where_they_were(more: tuple[object, ...], protocol: int) -> None:
    """Whichever numpy is installed, the next numbers are the same; the scan calls the file safe."""
    for kind in ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"):
        made = numpy.random.Generator(getattr(numpy.random, kind)(3))
        made.integers(0, 9, 5, dtype=numpy.uint8)
        data = standard.dumps(_Old("__generator_ctor", kind, *more, state=made.bit_generator.state), protocol)
        assert pickle.loads(data).random(5).tolist() == made.random(5).tolist()
    state = numpy.random.RandomState(3)
    state.normal()
    data = standard.dumps(_Old("__randomstate_ctor", "MT19937", *more, state=state.get_state(legacy=False)), protocol)
    assert pickle.loads(data).normal(size=5).tolist() == state.normal(size=5).tolist()
    assert str(scan_stream(io.BytesIO(data)).files[0].status) == "safe"


@pytest.mark.parametrize(
    "args",
    [
        ("PCG64", _SOURCE),
        ("no such",),
        ("Generator", _SOURCE),
        ("MT19937", numpy.random._pickle.__dict__["__generator_ctor"]),
        ("MT19937", "x"),
        ("MT19937", _SOURCE, _SOURCE),
        (1, _SOURCE),
    ],
    ids=["another kind", "no kind", "another class", "another maker", "text", "two makers", "number"],
)
def test_a_generator_of_another_making_is_refused(args: tuple[object, ...]) -> None:
    """A kind that numpy has none of, one with the numbers of another, or another maker than numpy's."""
    state = numpy.random.RandomState(3).get_state(legacy=False)
    for maker in ("__randomstate_ctor", "__generator_ctor"):
        with pytest.raises(SafeloadError):
            pickle.loads(standard.dumps(_Old(maker, *args, state=state)))


@pytest.mark.parametrize("name", ["GradientBoostingClassifier", "PoissonRegressor"])
def test_losses_by_their_old_name_come_back(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """scikit-learn 1.7 and older wrote them as those of a module `_loss`. Whatever is called so is not imported."""
    (tmp_path / "_loss.py").write_text("raise SystemExit('imported')\n", "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    estimator, data = fitted(name)
    written = standard.dumps(estimator, 2).replace(b"csklearn._loss._loss\n", b"c_loss\n")
    assert b"c_loss\n" in written
    got, expected = results(pickle.loads(written), data), results(estimator, data)
    assert all(same(got[method], expected[method]) for method in expected)
    with pytest.raises(PolicyDenied, match="_loss"):
        pickle.loads(b"\x80\x02c_loss\nAnother\n)\x81.")
    with pytest.raises(SafeloadError):
        pickle.loads(b"\x80\x02c_loss\nCyPinballLoss\nX\x01\x00\x00\x00x\x85R.")


def test_masked_arrays_come_back() -> None:
    """Values, mask and what fills it."""
    made = numpy.ma.array([1.0, 2.0], mask=[0, 1], fill_value=7)
    found = pickle.loads(standard.dumps(made))
    assert found.filled().tolist() == made.filled().tolist()


@pytest.mark.parametrize("kind", [">i4", ">f8", ">U2", ">M8[s]", [("a", ">i4"), ("b", "f4")]], ids=str)
@pytest.mark.parametrize("protocol", range(standard.HIGHEST_PROTOCOL + 1))
def test_masked_arrays_have_the_byte_order_that_numpy_gives_them(kind: Any, protocol: int) -> None:
    """Written on a machine of the other order, they come back in this machine's, as numpy does it."""
    data = standard.dumps(numpy.ma.array(numpy.zeros(3, dtype=kind), mask=[0, 1, 0]), protocol)
    found, expected = pickle.loads(data), standard.loads(data)
    assert found.dtype == expected.dtype and found.mask.dtype == expected.mask.dtype
    assert repr(found) == repr(expected)


def test_a_foreign_step_is_refused_or_inert() -> None:
    """A transformer of the program's own is refused by name; as a record, its data can be read."""
    pipeline = Pipeline([("mine", _Mine()), ("ridge", Ridge())])
    with pytest.raises(PolicyDenied, match="_Mine"):
        pickle.loads(standard.dumps(pipeline))
    found = pickle.loads(standard.dumps(pipeline), unknown="record")
    assert isinstance(found.steps[0][1], Record)
    assert isinstance(pickle.loads(standard.dumps(pipeline), classes=[_Mine]).steps[0][1], _Mine)


class _Mine:
    def __init__(self) -> None:
        self.factor = 2
