"""What an estimator must be like before compiled code may read it, or it may be handed out at all.

Compiled code of scikit-learn trusts what `fit` wrote: it follows indexes, and takes shapes for granted. A file can hold
anything, so each number that it would follow is looked at here. Each check was written against the sources of 1.9.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy

from safeload.core.errors import MalformedInput
from safeload.core.names import GlobalName

Check = Callable[[Any], None]
_THREADS = 1024
_METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "auto")


def wrong(estimator: object, what: str) -> MalformedInput:
    return MalformedInput(
        f"a {type(estimator).__name__} is not what scikit-learn writes",
        why=f"{what}, which its code would follow without looking",
        remedy="unknown='record' where only the data is wanted, or ask its author",
    )


def need(estimator: object, condition: object, what: str) -> None:
    if not condition:
        raise wrong(estimator, what)


def whole(value: object) -> bool:
    return isinstance(value, int | numpy.integer) and not isinstance(value, bool)


def table(value: object, *shape: int | None, kinds: str = "f") -> bool:
    """Whether a value is a plain array of such a shape (`None`: any length) and such a kind of numbers."""
    return (
        type(value) is numpy.ndarray
        and value.dtype.kind in kinds
        and value.ndim == len(shape)
        and all(wanted in (None, there) for wanted, there in zip(shape, value.shape, strict=True))
    )


def indexes(value: object, most: int) -> bool:
    """Whether an array holds whole numbers from 0 to below `most`."""
    return (
        type(value) is numpy.ndarray
        and value.dtype.kind in "iu"
        and (not value.size or (int(value.min()) >= 0 and int(value.max()) < most))
    )


def everywhere(estimator: Any) -> None:
    """What no estimator may bring along: things that its own Python code would open, call or start."""
    state = vars(estimator) if hasattr(estimator, "__dict__") else {}
    need(estimator, state.get("memory") is None, "it caches in a folder that the file names (memory)")
    need(estimator, state.get("input", "content") == "content", "it opens what it is given (input)")
    for key in ("n_jobs", "_n_threads", "n_threads"):
        count = state.get(key)
        need(estimator, count is None or (whole(count) and abs(count) <= _THREADS), f"{key} is no number of threads")
    for key in ("response_method", "_response_method", "importance_getter"):
        method = state.get(key)
        plain = isinstance(method, str) and all(part.isidentifier() and "__" not in part for part in method.split("."))
        names = [method] if not isinstance(method, list | tuple) else method
        fits = plain if key == "importance_getter" else all(one in _METHODS for one in names)
        need(estimator, method is None or fits, f"{key} names something else than a method of estimators")
    for key in ("stack_method_", "stack_method"):
        methods = state.get(key, "auto")
        for one in methods if isinstance(methods, list | tuple) else (methods,):
            need(estimator, one in _METHODS, f"{key} names something else than a method of estimators")


def _features(estimator: Any) -> int:
    count = vars(estimator).get("n_features_in_")
    need(estimator, whole(count) and count > 0, "the number of features is missing")
    return int(count)


# ── trees ───────────────────────────────────────────────────────────────────────────────────────────────────────


def tree(estimator: Any) -> None:
    """One decision tree: `_compiled` made its nodes, which are sound; here they meet their estimator."""
    from sklearn.tree._tree import Tree

    found = vars(estimator).get("tree_")
    if found is None:
        return
    need(estimator, type(found) is Tree, "its tree is none")
    need(estimator, found.n_features == _features(estimator), "its tree asks for other features")
    need(estimator, found.n_outputs == vars(estimator).get("n_outputs_", 1), "its tree has other outputs")


def _trees(estimator: Any, found: Any, features: int) -> None:
    from sklearn.tree import BaseDecisionTree

    for one in found:
        need(
            estimator, isinstance(one, BaseDecisionTree) and "tree_" in vars(one), "it holds something else than trees"
        )
        tree(one)
        need(estimator, one.tree_.n_features == features, "a tree asks for other features")


def forest(estimator: Any) -> None:
    found = vars(estimator).get("estimators_")
    if found is None:
        return
    need(estimator, isinstance(found, list), "its trees are no list")
    _trees(estimator, found, _features(estimator))


def isolation(estimator: Any) -> None:
    """As a forest, but each tree may look at some of the features only."""
    state = vars(estimator)
    found = state.get("estimators_")
    if found is None:
        return
    features, chosen = _features(estimator), state.get("estimators_features_")
    need(estimator, isinstance(found, list), "its trees are no list")
    if state.get("_max_features") == features:
        _trees(estimator, found, features)
        return
    need(estimator, isinstance(chosen, list) and len(chosen) == len(found), "its trees have no features")
    for one, columns in zip(found, chosen, strict=True):
        need(estimator, table(columns, None, kinds="iu") and indexes(columns, features), "a tree has no features")
        _trees(estimator, [one], len(columns))


def boosting(estimator: Any) -> None:
    """Gradient boosting adds the value of each tree's leaf to a column of a table that another estimator shaped."""
    state = vars(estimator)
    found = state.get("estimators_")
    if found is None:
        return
    need(
        estimator, type(found) is numpy.ndarray and found.ndim == 2 and found.dtype == object, "its trees are no table"
    )
    need(estimator, found.size, "it has no trees")
    _trees(estimator, found.flat, _features(estimator))
    need(
        estimator,
        all(one.tree_.n_outputs == 1 and int(one.tree_.max_n_classes) == 1 for one in found.flat),
        "a tree has several values in a leaf",
    )
    columns = found.shape[1]
    need(estimator, state.get("n_trees_per_iteration_", columns) == columns, "it has other columns than trees")
    start = state.get("init_")
    if columns == 1 or (isinstance(start, str) and start == "zero"):
        return
    _starts_with(estimator, start, columns)


def _starts_with(estimator: Any, start: Any, columns: int) -> None:
    from sklearn._loss.loss import HalfMultinomialLoss
    from sklearn.dummy import DummyClassifier

    loss = vars(estimator).get("_loss")
    need(estimator, type(loss) is HalfMultinomialLoss and "is_multiclass" not in vars(loss), "its loss is of one class")
    need(estimator, type(start) is DummyClassifier, "it begins with something else than a DummyClassifier")
    known = vars(start)
    need(
        estimator,
        table(known.get("class_prior_"), columns)
        and known.get("n_classes_") == columns
        and known.get("n_outputs_") == 1
        and known.get("strategy") == "prior"
        and table(known.get("classes_"), columns, kinds="iufbUSO"),
        "what it begins with has other classes",
    )


def histogram_boosting(estimator: Any) -> None:
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

    from safeload.adapt_sklearn._categories import bitsets, categories

    state = vars(estimator)
    found = state.get("_predictors")
    if found is None:
        return
    features = _features(estimator)
    need(estimator, state.get("_n_features", features) == features, "it has two numbers of features")
    flags = categories(estimator, features)
    mapper = state.get("_bin_mapper")
    if mapper is not None:
        marks = vars(mapper).get("is_categorical_")
        need(estimator, table(marks, features, kinds="biu"), "its bins are of other features")
        need(estimator, (marks.astype(bool) == flags).all(), "its bins have other categories")
    need(estimator, isinstance(found, list) and all(isinstance(one, list) for one in found), "its trees are no lists")
    for one in (one for row in found for one in row):
        need(estimator, type(one) is TreePredictor, "it holds something else than trees")
        nodes = vars(one).get("nodes")
        _predictor(estimator, nodes, features)
        bitsets(estimator, one, nodes, flags)


def _predictor(estimator: Any, nodes: Any, features: int) -> None:
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

    need(
        estimator,
        type(nodes) is numpy.ndarray and nodes.dtype == PREDICTOR_RECORD_DTYPE,
        "its nodes are of another type",
    )
    need(estimator, nodes.ndim == 1 and nodes.size, "it has no nodes")
    inner = nodes["is_leaf"] == 0
    places = numpy.arange(len(nodes))[inner]
    for side in ("left", "right"):
        children = nodes[side][inner].astype(numpy.int64)
        need(
            estimator,
            (children > places).all() and (children < len(nodes)).all(),
            "a node leads out of its tree, or back",
        )
    need(estimator, indexes(nodes["feature_idx"][inner], features), "a node asks for a feature that is not there")


# ── support vectors ─────────────────────────────────────────────────────────────────────────────────────────────


def _matrix(value: Any, rows: int | None, columns: int, *, sparse: Any) -> bool:
    """Whether a value is a table, or a matrix of compressed rows, of such a shape."""
    if not sparse:
        return table(value, rows, columns)
    from scipy.sparse import csr_matrix

    return type(value) is csr_matrix and value.dtype.kind == "f" and value.shape == (rows or value.shape[0], columns)


def support(estimator: Any) -> None:
    """libsvm copies as many numbers as the counts say."""
    state = vars(estimator)
    if "support_vectors_" not in state:
        return
    features, vectors, counts = _features(estimator), state["support_vectors_"], state.get("_n_support")
    need(estimator, state.get("kernel") in ("linear", "poly", "rbf", "sigmoid"), "its kernel is no known one")
    sparse = state.get("_sparse")
    need(estimator, isinstance(sparse, bool) and "_impl" not in state, "nobody knows whether it is sparse")
    need(estimator, _matrix(vectors, None, features, sparse=sparse), "its vectors have other features")
    rows = vectors.shape[0]
    need(estimator, table(counts, None, kinds="i") and len(counts) >= 2, "it does not count its vectors")
    classes = len(counts)
    several = estimator._impl in ("c_svc", "nu_svc")
    pairs = classes * (classes - 1) // 2 if several else 1
    need(estimator, several or classes == 2, "it counts its vectors for more than one function")
    if several:
        need(estimator, indexes(counts, rows + 1) and int(counts.sum()) == rows, "it counts its vectors wrongly")
        need(estimator, len(state.get("classes_", ())) == classes, "it has other classes than vectors")
    need(estimator, table(state.get("support_"), rows, kinds="i"), "its vectors have no places")
    for key in ("dual_coef_", "_dual_coef_"):
        fits = _matrix(state.get(key), classes - 1 if several else 1, rows, sparse=sparse)
        need(estimator, fits and (not sparse or state[key].nnz == prod(state[key].shape)), f"{key} has another shape")
    for key in ("intercept_", "_intercept_"):
        need(estimator, table(state.get(key), pairs), f"{key} has another shape")
    for key in ("_probA", "_probB"):
        found = state.get(key)
        need(estimator, table(found, 0) or (several and table(found, pairs)), f"{key} has another shape")


# ── neighbours and clusters ─────────────────────────────────────────────────────────────────────────────────────


def neighbours(estimator: Any) -> None:
    from sklearn.neighbors._ball_tree import BallTree
    from sklearn.neighbors._kd_tree import KDTree

    state = vars(estimator)
    if "_fit_X" not in state:
        return
    points, features = state["_fit_X"], _features(estimator)
    sparse = type(points).__module__.startswith("scipy.sparse.")
    need(estimator, sparse or table(points, None, None, kinds="f"), "its points are no table")
    rows, columns = points.shape
    precomputed = state.get("effective_metric_") == "precomputed"
    need(estimator, columns == features or precomputed, "its points have other features")
    need(estimator, isinstance(state.get("effective_metric_"), str), "its metric is no name")
    for key in ("effective_metric_params_", "metric_params"):
        for name, value in (state.get(key) or {}).items():
            fits = (name == "p" and isinstance(value, int | float | numpy.number)) or (
                name == "w" and (value is None or table(value, features))
            )
            need(estimator, fits, f"{name} is a parameter of its metric that is not checked")
    found = state.get("_tree")
    need(estimator, found is None or type(found) in (KDTree, BallTree), "its tree is none")
    need(estimator, found is None or found.data.shape == points.shape, "its tree holds other points")
    need(estimator, state.get("n_samples_fit_", rows) == rows, "it counts its points wrongly")
    _labels(estimator, state, rows)


def _labels(estimator: Any, state: Mapping[str, Any], rows: int) -> None:
    classes, labels = state.get("classes_"), state.get("_y")
    if labels is None:
        return
    need(estimator, type(labels) is numpy.ndarray and len(labels) == rows, "it has other labels than points")
    if isinstance(classes, list):
        need(estimator, labels.ndim == 2 and labels.shape[1] == len(classes), "it has other labels than outputs")
        for column, one in enumerate(classes):
            need(estimator, indexes(labels[:, column].copy(), len(one)), "a label is no class")
    elif classes is not None:
        need(estimator, indexes(labels, len(classes)), "a label is no class")


def centres(estimator: Any) -> None:
    state = vars(estimator)
    if "cluster_centers_" not in state:
        return
    features, found = _features(estimator), state["cluster_centers_"]
    need(estimator, table(found, None, features) and len(found), "its centres have other features")
    need(estimator, state.get("n_clusters") == len(found), "it counts its clusters wrongly")
    need(estimator, "_counts" not in state or table(state["_counts"], len(found)), "it counts its points wrongly")
    waiting, seen = [state.get("_bisecting_tree")], 0
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        seen += 1
        known = vars(node)
        need(estimator, seen <= 2 * len(found) and "center" in known, "its tree has more nodes than clusters")
        need(estimator, table(known["center"], features), "a centre has other features")
        need(estimator, known["center"].dtype == found.dtype, "a centre is of another type")
        waiting += [known.get("left"), known.get("right")]
    mean = state.get("_X_mean")
    need(estimator, mean is None or table(mean, features), "its mean has other features")


def linkage(estimator: Any) -> None:
    """`HDBSCAN.dbscan_clustering` joins clusters by their numbers."""
    found = vars(estimator).get("_single_linkage_tree_")
    if found is None:
        return
    need(estimator, type(found) is numpy.ndarray and found.ndim == 1, "its tree is none")
    numbers = numpy.arange(len(found)) + len(found) + 1
    for side in ("left_node", "right_node"):
        need(estimator, indexes(found[side], 2 * len(found) + 1) and (found[side] < numbers).all(), "a node is none")


def birch(estimator: Any) -> None:
    state = vars(estimator)
    if "subcluster_centers_" not in state:
        return
    found = state["subcluster_centers_"]
    need(estimator, table(found, None, _features(estimator)), "its centres have other features")
    need(estimator, table(state.get("_subcluster_norms"), len(found)), "its norms are not those of its centres")


def density(estimator: Any) -> None:
    from sklearn.neighbors._ball_tree import BallTree
    from sklearn.neighbors._kd_tree import KDTree

    found = vars(estimator).get("tree_")
    need(estimator, found is None or type(found) in (KDTree, BallTree), "its tree is none")
    need(estimator, found is None or found.data.shape[1] == _features(estimator), "its tree has other features")


# ── decompositions and texts ────────────────────────────────────────────────────────────────────────────────────


def factors(estimator: Any) -> None:
    state = vars(estimator)
    found = state.get("components_")
    if found is None:
        return
    need(estimator, table(found, None, _features(estimator)), "its components have other features")
    need(estimator, state.get("_n_components", len(found)) == len(found), "it counts its components wrongly")
    need(estimator, state.get("n_components_", len(found)) == len(found), "it counts its components wrongly")
    more = state.get("exp_dirichlet_component_")
    need(estimator, more is None or table(more, *found.shape), "its components have two shapes")


def hashing(estimator: Any) -> None:
    count = vars(estimator).get("n_features", 2)
    need(estimator, whole(count) and 0 < count < 1 << 31, "n_features is no number of features")


def isotonic(estimator: Any) -> None:
    """The function is not in the file: scikit-learn makes it from its points."""
    state = vars(estimator)
    one, other = state.get("X_thresholds_"), state.get("y_thresholds_")
    if one is None or other is None:
        return
    need(estimator, table(one, None) and table(other, len(one)) and len(one), "its points are no points")
    need(estimator, "f_" not in state and state.get("out_of_bounds") in ("nan", "clip", "raise"), "its bounds are none")
    estimator._build_f(one, other)


def _later(name: str) -> Check:
    """A check of `_sparse_rows`, which builds on this module."""

    def check(estimator: Any) -> None:
        from safeload.adapt_sklearn import _sparse_rows

        getattr(_sparse_rows, name)(estimator)

    return check


def _named(module: str, names: str, check: Check) -> dict[GlobalName, Check]:
    return {GlobalName(f"sklearn.{module}", name): check for name in names.split()}


CHECKS: Mapping[GlobalName, Check] = {
    **_named(
        "tree._classes", "DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor", tree
    ),
    **_named(
        "ensemble._forest",
        "RandomForestClassifier RandomForestRegressor ExtraTreesClassifier ExtraTreesRegressor RandomTreesEmbedding",
        forest,
    ),
    **_named("ensemble._iforest", "IsolationForest", isolation),
    **_named("ensemble._gb", "GradientBoostingClassifier GradientBoostingRegressor", boosting),
    **_named(
        "ensemble._hist_gradient_boosting.gradient_boosting",
        "HistGradientBoostingClassifier HistGradientBoostingRegressor",
        histogram_boosting,
    ),
    **_named("svm._classes", "SVC NuSVC SVR NuSVR OneClassSVM", support),
    **_named("neighbors._classification", "KNeighborsClassifier RadiusNeighborsClassifier", neighbours),
    **_named("neighbors._regression", "KNeighborsRegressor RadiusNeighborsRegressor", neighbours),
    **_named("neighbors._graph", "KNeighborsTransformer RadiusNeighborsTransformer", neighbours),
    **_named("neighbors._unsupervised", "NearestNeighbors", neighbours),
    **_named("neighbors._lof", "LocalOutlierFactor", neighbours),
    **_named("neighbors._kde", "KernelDensity", density),
    **_named("cluster._kmeans", "KMeans MiniBatchKMeans", centres),
    **_named("cluster._bisect_k_means", "BisectingKMeans", centres),
    **_named("cluster._birch", "Birch", birch),
    **_named("cluster._hdbscan.hdbscan", "HDBSCAN", linkage),
    **_named("decomposition._nmf", "NMF MiniBatchNMF", factors),
    **_named("decomposition._lda", "LatentDirichletAllocation", factors),
    **_named("feature_extraction._hash", "FeatureHasher", hashing),
    **_named("feature_extraction.text", "HashingVectorizer", hashing),
    **_named("isotonic", "IsotonicRegression", isotonic),
    **_named("feature_extraction.text", "CountVectorizer TfidfVectorizer", _later("vocabulary")),
    **_named("feature_extraction._dict_vectorizer", "DictVectorizer", _later("vocabulary")),
    **_named("preprocessing._encoders", "OneHotEncoder", _later("one_hot")),
    **_named("preprocessing._label", "MultiLabelBinarizer", _later("labels")),
}
"""Estimators whose attributes are looked at, each by its check."""
UNCHECKED = frozenset(
    {
        GlobalName("sklearn.ensemble._hist_gradient_boosting.predictor", "TreePredictor"),
        GlobalName("sklearn.ensemble._hist_gradient_boosting.binning", "_BinMapper"),
        GlobalName("sklearn.cluster._bisect_k_means", "_BisectingTree"),
        GlobalName("sklearn.cluster._birch", "_CFNode"),
        GlobalName("sklearn.cluster._birch", "_CFSubcluster"),
        GlobalName("sklearn.preprocessing._polynomial", "SplineTransformer"),
        GlobalName("sklearn.manifold._isomap", "Isomap"),
        GlobalName("sklearn.manifold._locally_linear", "LocallyLinearEmbedding"),
    }
)
"""Parts of those, which they check; and estimators whose compiled parts are made or checked by themselves."""
