"""Objects of compiled classes: made anew from checked parts, never by a state that a file brings along.

A search tree is built again from its points. The nodes of a decision tree are looked at one by one. Sparse matrices and
distributions are in `_scipy`, random generators in `_random`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy

from safeload.adapt_sklearn._checks import indexes, table, whole
from safeload.adapt_sklearn._random import RANDOM_MAKERS, RANDOM_NAMED
from safeload.core.construct import Named
from safeload.core.errors import MalformedInput
from safeload.core.graph import How
from safeload.core.names import GlobalName
from safeload.engine.live import Made, Maker

_METRICS = {
    f"{name}Distance{width}"
    for width in ("", "64", "32")
    for name in (
        "Euclidean", "SEuclidean", "Manhattan", "Chebyshev", "Minkowski", "Hamming", "Canberra", "BrayCurtis",
        "Jaccard", "Dice", "RogersTanimoto", "RussellRao", "SokalMichener", "SokalSneath", "Haversine",
    )
}  # fmt: skip


def _bad(what: str, why: str) -> MalformedInput:
    return MalformedInput(
        f"{what} is not what its library writes", why=f"{why}, which compiled code would follow without looking"
    )


def _one_state(made: Made) -> Any:
    if len(made.states) != 1 or made.items:
        raise _bad(str(made.name), "it has not one state")
    return made.states[0]


# ── decision trees ──────────────────────────────────────────────────────────────────────────────────────────────


def _tree(made: Made) -> object:
    from sklearn.tree._tree import NODE_DTYPE, Tree

    match made.args, _one_state(made):
        case (features, classes, outputs), {"max_depth": depth, "node_count": count, "nodes": nodes, "values": values}:
            pass
        case _:
            raise _bad("a decision tree", "its state is another one")
    sizes = all(map(whole, (features, outputs, depth, count)))
    if not sizes or not 0 < features < 1 << 31 or not 0 < outputs < 1 << 20 or not 0 <= depth < 1 << 31:
        raise _bad("a decision tree", "its sizes are none")
    if not table(classes, outputs, kinds="i") or not len(classes) or int(classes.min()) < 1:
        raise _bad("a decision tree", "its classes are not counted")
    if type(nodes) is not numpy.ndarray or nodes.dtype != NODE_DTYPE or nodes.ndim != 1:
        raise _bad("a decision tree", "its nodes are of another version of scikit-learn")
    if not 0 < count == len(nodes) or not table(values, count, outputs, int(classes.max())):
        raise _bad("a decision tree", "it has not as many nodes as it says")
    left, right = nodes["left_child"], nodes["right_child"]
    inner = left != -1
    places = numpy.arange(count)[inner]
    for side in (left[inner], right[inner]):
        if not ((side > places).all() and (side < count).all()):
            raise _bad("a decision tree", "a node leads out of it, or back")
    children = numpy.concatenate((left[inner], right[inner]))
    reached = numpy.zeros(count, dtype=bool)
    reached[children] = True
    if not len(children) == int(reached.sum()) == count - 1 or _depth(left, right) > depth:
        raise _bad("a decision tree", "its nodes make no tree, or a deeper one than it says")
    if (right[~inner] != -1).any() or not indexes(nodes["feature"][inner], features):
        raise _bad("a decision tree", "a node asks for a feature that is not there")
    found = Tree(int(features), classes.astype(numpy.intp), int(outputs))
    found.__setstate__(
        {
            "max_depth": int(depth),
            "node_count": int(count),
            "nodes": numpy.ascontiguousarray(nodes),
            "values": numpy.ascontiguousarray(values, dtype=numpy.float64),
        }
    )
    return found


def _depth(left: Any, right: Any) -> int:
    """How deep the leaves lie: each node but the first has one parent, so that each is visited once."""
    level, depth = numpy.zeros(1, dtype=numpy.int64), -1
    while len(level):
        depth += 1
        inner = level[left[level] != -1]
        level = numpy.concatenate((left[inner], right[inner]))
    return depth


# ── search trees ────────────────────────────────────────────────────────────────────────────────────────────────


def _metric(made: Made) -> object:
    """A distance: its class, and for Minkowski's its power and weights."""
    match made.args, _one_state(made):
        case (Named(name=name),), (power, vector, matrix) if name.name in _METRICS:
            pass
        case _:
            return made.record()
    del matrix
    kind = getattr(import_module("sklearn.metrics._dist_metrics"), name.name)
    if name.name.startswith("SEuclidean"):
        if not table(vector, None):
            raise _bad("a distance", "its variances are no numbers")
        return kind(vector)
    if not name.name.startswith("Minkowski"):
        return kind()
    if not isinstance(power, int | float | numpy.number) or not 0 < power < float("inf"):
        raise _bad("a distance", "its power is no number")
    if table(vector, None) and len(vector) > 1:
        return kind(power, w=vector)
    return kind(power)


def _search_tree(made: Made) -> object:
    """A tree of neighbours, built again from its points: the places that the file names are not followed."""
    from sklearn.metrics import DistanceMetric

    kind = getattr(import_module(made.name.module), "KDTree" if "kd_tree" in made.name.module else "BallTree")
    match made.args, _one_state(made):
        case (Named(name=name),), (points, _, _, _, leaf, _, _, _, _, _, _, metric, *weights) if len(weights) <= 1:
            pass
        case _:
            return made.record()
    if not name.name.startswith(kind.__name__) or not table(points, None, None) or not points.size:
        raise _bad("a search tree", "its points are no table")
    if not whole(leaf) or not 0 < leaf < 1 << 31 or not isinstance(metric, DistanceMetric):
        raise _bad("a search tree", "its leaves or its distance are none")
    weight = weights[0] if weights else None
    if weight is not None and not table(weight, len(points)):
        raise _bad("a search tree", "its weights are not those of its points")
    try:
        return kind(points, leaf_size=int(leaf), metric=metric, sample_weight=weight)
    except ValueError as error:
        raise _bad("a search tree", str(error)) from None


# ── losses, links, collections ──────────────────────────────────────────────────────────────────────────────────


def _loss(made: Made) -> object:
    """A loss function, which has at most a few numbers."""
    if made.items or any(state is not None for state in made.states) or len(made.args) > 2:
        raise _bad("a loss", "it has a state")
    if not all(isinstance(one, int | float) for one in made.args):
        raise _bad("a loss", "its parameters are no numbers")
    try:
        return getattr(import_module(home_of(made.name)), made.name.name)(*made.args)
    except (TypeError, ValueError):
        raise _bad("a loss", "its parameters are others") from None


def home_of(name: GlobalName) -> str:
    """The module that has a compiled class. scikit-learn 1.7 and older wrote its losses as those of a module `_loss`:
    whatever is called so is never imported."""
    return _LOSS_HOME if name.module == LOSS_ALIAS else name.module


def _bunch(made: Made) -> object:
    from sklearn.utils import Bunch

    if made.args or made.items or made.call.how is How.REDUCE:
        raise _bad("a Bunch", "it has arguments")
    return Bunch()


def _spline(made: Made) -> object:
    from scipy.interpolate import BSpline

    match made.args, _one_state(made):
        case (), {"k": degree, "extrapolate": beyond, "axis": axis, **rest}:
            knots, weights = rest.get("_t", rest.get("t")), rest.get("_c", rest.get("c"))
        case _:
            raise _bad("a spline", "its state is another one")
    fits = table(knots, None) and type(weights) is numpy.ndarray and weights.dtype.kind == "f"
    if (
        not fits
        or not whole(degree)
        or not 0 <= degree < 100
        or not whole(axis)
        or beyond not in (True, False, "periodic")
    ):
        raise _bad("a spline", "its parts are none")
    try:
        return BSpline(knots, weights, int(degree), extrapolate=beyond, axis=int(axis))
    except ValueError as error:
        raise _bad("a spline", str(error)) from None


# ── masked arrays ─────────────────────────────────────────────────────────────────────────────────────────────


def _masked(made: Made) -> object:
    from safeload.adapt_numpy import array_of, native
    from safeload.formats.tensors import counts

    match made.args, _one_state(made):
        case (Named(), Named(name=base), *_), (int(), shape, numpy.dtype() as kind, columns, data, mask, fill):
            pass
        case _:
            return made.record()
    if base != GlobalName("numpy", "ndarray"):
        return made.record()
    lengths, fortran = counts(shape, "shape"), bool(columns)
    values = native(array_of(data, kind, lengths, fortran=fortran))
    hidden = array_of(mask, numpy.ma.make_mask_descr(kind), lengths, fortran=fortran)
    if fill is not None and (type(fill) is not numpy.ndarray or fill.shape != ()):
        raise _bad("a masked array", "what fills it is no number")
    number: Any = fill
    try:
        return numpy.ma.MaskedArray(values, mask=hidden, fill_value=number)
    except (TypeError, ValueError):
        raise _bad("a masked array", "what fills it is of another type") from None


def _triplet(made: Made) -> object:
    """A step of `IterativeImputer`: three parts with names."""
    from sklearn.impute._iterative import _ImputerTriplet

    parts = made.args[0] if len(made.args) == 1 and isinstance(made.args[0], tuple) else made.args
    if made.kwargs or made.items or made.states or len(parts) != 3:
        raise _bad("a step of an imputer", "it has not three parts")
    return _ImputerTriplet(*parts)


def _no_value(made: Made) -> object:
    """The one masked value, which a process shares."""
    if made.args or made.kwargs or made.items or made.states:
        raise _bad("a masked value", "it has arguments or a state")
    return numpy.ma.masked


LOSS_ALIAS = "_loss"
_LOSS_HOME = "sklearn._loss._loss"
TRIPLET = GlobalName("sklearn.impute._iterative", "_ImputerTriplet")
_LOSSES = tuple(
    f"Cy{name}"
    for name in (
        "AbsoluteError", "ExponentialLoss", "HalfBinomialLoss", "HalfGammaLoss", "HalfMultinomialLoss",
        "HalfPoissonLoss", "HalfSquaredError", "HalfTweedieLoss", "HalfTweedieLossIdentity", "HuberLoss", "PinballLoss",
    )
)  # fmt: skip
_SGD = (
    "EpsilonInsensitive", "Hinge", "Huber", "Log", "ModifiedHuber", "SquaredEpsilonInsensitive", "SquaredHinge",
    "SquaredLoss",
)  # fmt: skip
MAKERS: dict[GlobalName, Maker] = {
    GlobalName("sklearn.tree._tree", "Tree"): _tree,
    GlobalName("sklearn.metrics._dist_metrics", "newObj"): _metric,
    GlobalName("sklearn.neighbors._kd_tree", "newObj"): _search_tree,
    GlobalName("sklearn.neighbors._ball_tree", "newObj"): _search_tree,
    **{GlobalName(home, name): _loss for home in (_LOSS_HOME, LOSS_ALIAS) for name in _LOSSES},
    **{GlobalName("sklearn.linear_model._sgd_fast", name): _loss for name in _SGD},
    GlobalName("sklearn.utils._bunch", "Bunch"): _bunch,
    TRIPLET: _triplet,
    GlobalName("scipy.interpolate._bsplines", "BSpline"): _spline,
    GlobalName("numpy.ma.core", "_mareconstruct"): _masked,
    GlobalName("numpy.ma.core", "MaskedConstant"): _no_value,
    **RANDOM_MAKERS,
}
NAMED = frozenset(
    {
        *(GlobalName("sklearn.metrics._dist_metrics", name) for name in _METRICS),
        *(
            GlobalName(f"sklearn.neighbors._{kind}_tree", f"{tree}Tree{width}")
            for kind, tree in (("kd", "KD"), ("ball", "Ball"))
            for width in ("", "64", "32")
        ),
        GlobalName("numpy.ma", "MaskedArray"),
        GlobalName("numpy.ma.core", "MaskedArray"),
        *RANDOM_NAMED,
        GlobalName("scipy._lib.array_api_compat.numpy._aliases", "asarray"),
    }
)
"""Classes that those makers expect as arguments."""
