"""Objects of compiled classes: made anew from checked parts, never by a state that a file brings along.

A search tree is built again from its points. The nodes of a decision tree are looked at one by one. Random generators
get a state whose places are within it. Sparse matrices are checked index by index.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy

from safeload.adapt_sklearn._checks import indexes, table, whole
from safeload.core.construct import Named
from safeload.core.errors import MalformedInput
from safeload.core.graph import How
from safeload.core.names import GlobalName
from safeload.engine.live import Made, Maker

_KEY = 624
_METRICS = {
    f"{name}Distance{width}"
    for width in ("", "64", "32")
    for name in ("Euclidean", "SEuclidean", "Manhattan", "Chebyshev", "Minkowski")
}


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
    if len(children) != count - 1 or len(numpy.unique(children)) != count - 1 or _depth(left, right) > depth:
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
        return getattr(import_module(made.name.module), made.name.name)(*made.args)
    except (TypeError, ValueError):
        raise _bad("a loss", "its parameters are others") from None


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


# ── sparse matrices ─────────────────────────────────────────────────────────────────────────────────────────────


def _sparse(made: Made) -> object:
    """A compressed sparse matrix, with every index looked at."""
    kind = getattr(import_module(made.name.module), made.name.name)
    match made.args, _one_state(made):
        case (), {"_shape": (rows, columns), "data": data, "indices": minor, "indptr": major, **_rest}:
            pass
        case _:
            raise _bad("a sparse matrix", "its state is another one")
    del _rest
    if not whole(rows) or not whole(columns) or min(rows, columns) < 0 or max(rows, columns) >= 1 << 62:
        raise _bad("a sparse matrix", "its shape is none")
    long, short = (columns, rows) if "csc" in made.name.name else (rows, columns)
    if not table(data, None, kinds="biufc") or not table(minor, len(data), kinds="i") or not indexes(minor, short):
        raise _bad("a sparse matrix", "an index leads out of it")
    if not table(major, long + 1, kinds="i") or int(major[0]) != 0 or int(major[-1]) > len(data):
        raise _bad("a sparse matrix", "its rows are not where it says")
    if (numpy.diff(major) < 0).any() or int(major[-1]) != len(data):
        raise _bad("a sparse matrix", "its rows are not in order")
    return kind((data, minor, major), shape=(int(rows), int(columns)))


# ── masked arrays and random generators ─────────────────────────────────────────────────────────────────────────


def _masked(made: Made) -> object:
    from safeload.adapt_numpy import array_of
    from safeload.formats.tensors import counts

    match made.args, _one_state(made):
        case (Named(), Named(name=base), *_), (int(), shape, numpy.dtype() as kind, columns, data, mask, fill):
            pass
        case _:
            return made.record()
    if base != GlobalName("numpy", "ndarray") or kind.names is not None:
        return made.record()
    lengths, fortran = counts(shape, "shape"), bool(columns)
    values = array_of(data, kind, lengths, fortran=fortran)
    hidden = array_of(mask, numpy.dtype(bool), lengths, fortran=fortran)
    if fill is not None and (type(fill) is not numpy.ndarray or fill.shape != ()):
        raise _bad("a masked array", "what fills it is no number")
    number: Any = fill
    try:
        return numpy.ma.MaskedArray(values, mask=hidden, fill_value=number)
    except (TypeError, ValueError):
        raise _bad("a masked array", "what fills it is of another type") from None


def _bits(made: Made) -> object:
    """A source of random bits. What it was seeded from is forgotten: only `spawn` would ask for it."""
    match made.args, made.states:
        case (Named() | str() as named,), (dict() as state,):
            pass
        case (Named() | str() as named,), ((dict() as state, _),):
            pass
        case _:
            return made.record()
    kind = named if isinstance(named, str) else named.name.name
    match kind, state:
        case "MT19937", {"bit_generator": "MT19937", "state": {"key": key, "pos": place}}:
            if (
                not table(key, _KEY, kinds="u")
                or key.dtype != numpy.uint32
                or not whole(place)
                or not 0 <= place <= _KEY
            ):
                raise _bad("a random generator", "its place is outside of it")
            found: Any = numpy.random.MT19937(0)
            found.state = {"bit_generator": kind, "state": {"key": key, "pos": int(place)}}
            return found
        case "PCG64", {"bit_generator": "PCG64", "state": {"state": int() as one, "inc": int() as two}, **rest}:
            if not all(0 <= number < 1 << 128 for number in (one, two)):
                raise _bad("a random generator", "its state is too large")
            has, last = rest.get("has_uint32", 0), rest.get("uinteger", 0)
            if has not in (0, 1) or not whole(last) or not 0 <= last < 1 << 32:
                raise _bad("a random generator", "its state is another one")
            found = numpy.random.PCG64(0)
            found.state = {
                "bit_generator": kind, "state": {"state": one, "inc": two}, "has_uint32": has, "uinteger": int(last),
            }  # fmt: skip
            return found
    return made.record()


def _random_state(made: Made) -> object:
    match made.args, made.states:
        case (numpy.random.MT19937() as bits,), () | (None,):
            return numpy.random.RandomState(bits)
        case (numpy.random.MT19937() as bits,), (
            {"has_gauss": has, "gauss": float() as gauss, "state": state, **_rest},
        ):
            if has not in (0, 1) or not isinstance(state, dict):
                raise _bad("a random generator", "its state is another one")
            key: Any = state.get("key")
            place: Any = state.get("pos")
            if not table(key, _KEY, kinds="u") or not whole(place) or not 0 <= place <= _KEY:
                raise _bad("a random generator", "its place is outside of it")
            found = numpy.random.RandomState(bits)
            found.set_state(("MT19937", key.astype(numpy.uint32), int(place), int(has), gauss))
            return found
    return made.record()


def _generator(made: Made) -> object:
    match made.args, made.states:
        case (numpy.random.MT19937() | numpy.random.PCG64() as bits,), () | (None,):
            return numpy.random.Generator(bits)
    return made.record()


def _seeds(made: Made) -> object:
    """What a generator was seeded from: known, and forgotten."""
    return None


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
    **{GlobalName("sklearn._loss._loss", name): _loss for name in _LOSSES},
    **{GlobalName("sklearn.linear_model._sgd_fast", name): _loss for name in _SGD},
    GlobalName("sklearn.utils._bunch", "Bunch"): _bunch,
    GlobalName("scipy.interpolate._bsplines", "BSpline"): _spline,
    **{
        GlobalName(f"scipy.sparse._{kind}", f"{kind}_{form}"): _sparse
        for kind in ("csr", "csc")
        for form in ("matrix", "array")
    },
    GlobalName("numpy.ma.core", "_mareconstruct"): _masked,
    GlobalName("numpy.random._pickle", "__bit_generator_ctor"): _bits,
    GlobalName("numpy.random._pickle", "__randomstate_ctor"): _random_state,
    GlobalName("numpy.random._pickle", "__generator_ctor"): _generator,
    GlobalName("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"): _seeds,
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
        GlobalName("numpy.random._mt19937", "MT19937"),
        GlobalName("numpy.random._pcg64", "PCG64"),
        GlobalName("numpy.random.bit_generator", "SeedSequence"),
        GlobalName("scipy._lib.array_api_compat.numpy._aliases", "asarray"),
    }
)
"""Classes that those makers expect as arguments."""
