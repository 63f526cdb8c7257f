"""Boosting by histograms with categorical features: the columns that its code reads are those that come out before it.

Its preprocessor puts the categories first, as numbers, and all other columns behind them. Nothing checks afterwards
how many columns there are, so each part of the preprocessor must be what `fit` makes of it.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy

from safeload.adapt_sklearn._checks import indexes, need, table
from safeload.core.construct import Named
from safeload.core.errors import MalformedInput
from safeload.engine.live import Made

_CATEGORIES = 255


def partial_check(made: Made) -> object:
    """`partial(check_array, …)`: the only partial that is made, and only in the form that rules excuse."""
    from sklearn.utils.validation import check_array

    match made.args, made.states:
        case (first,), ((second, (), dict() as options, None | {}),) if first is check_array is second:
            pass
        case _:
            return made.record()
    kinds = options.get("dtype", [])
    known = set(options) <= {"dtype", "ensure_all_finite", "force_all_finite"} and isinstance(kinds, list | tuple)
    if not known or any(isinstance(one, Named) or one not in (numpy.float32, numpy.float64) for one in kinds):
        raise MalformedInput("a check of arrays has other options than scikit-learn writes", why=str(made.name))
    return functools.partial(check_array, **options)


def categories(estimator: Any, features: int) -> Any:
    """Which of the columns that the trees see are categories. Raises `MalformedInput` where they may be others."""
    state = vars(estimator)
    chosen, before, flags = (state.get(key) for key in ("is_categorical_", "_preprocessor", "_is_categorical_remapped"))
    if chosen is None and before is None:
        return numpy.zeros(features, dtype=bool)
    need(estimator, table(chosen, features, kinds="b") and chosen.any(), "its categorical features are not features")
    count = int(chosen.sum())
    expected = numpy.arange(features) < count
    need(estimator, table(flags, features, kinds="b") and (flags == expected).all(), "its categories are not first")
    _preprocessor(estimator, before, chosen, features)
    mapper = state.get("_bin_mapper")
    bins = {} if mapper is None else vars(mapper)
    marks: Any = bins.get("is_categorical_")
    limits = bins.get("bin_thresholds_")
    need(
        estimator,
        table(marks, features, kinds="biu") and (marks.astype(bool) == expected).all(),
        "its bins have other categories",
    )
    need(estimator, isinstance(limits, list) and len(limits) == features, "its bins are of other features")
    for one in limits[:count]:  # type: ignore[index]
        fits = table(one, None) and (not one.size or (one.min() >= 0 and one.max() < _CATEGORIES))
        need(estimator, fits and (one == numpy.floor(one)).all(), "a category is no small number")
    return expected


def _preprocessor(estimator: Any, before: Any, chosen: Any, features: int) -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder

    need(estimator, type(before) is ColumnTransformer, "what comes before it is no ColumnTransformer")
    state = vars(before)
    parts = state.get("transformers_")
    plain = state.get("n_features_in_") == features and state.get("remainder") == "drop"
    need(estimator, plain and not state.get("transformer_weights"), "what comes before it has other features")
    need(estimator, isinstance(parts, list) and 2 <= len(parts) <= 3, "what comes before it has other parts")
    wanted = {"encoder": chosen, "numerical": ~chosen, "remainder": numpy.zeros(features, dtype=bool)}
    kinds = {"encoder": OrdinalEncoder, "numerical": FunctionTransformer}
    places, names = state.get("_transformer_to_input_indices"), []
    for part in parts:
        need(estimator, isinstance(part, tuple) and len(part) == 3 and part[0] in wanted, "a part has no known name")
        name, made, columns = part
        names.append(name)
        need(estimator, made == "drop" if name == "remainder" else type(made) is kinds[name], "a part is another one")
        flags = numpy.asarray(columns)
        fits = flags.dtype.kind == "b" and flags.shape == (features,) and (flags == wanted[name]).all()
        need(estimator, fits, "a part takes other columns")
        where = numpy.asarray(places.get(name) if isinstance(places, dict) else None, dtype=object)
        need(estimator, where.tolist() == numpy.flatnonzero(wanted[name]).tolist(), "a part takes other columns")
        if name == "numerical":
            need(estimator, isinstance(vars(made).get("func"), functools.partial), "the numbers are not only checked")
            need(estimator, not vars(made).get("kw_args"), "the numbers are not only checked")
    need(estimator, names[:2] == ["encoder", "numerical"] and len(set(names)) == len(names), "its parts are others")
    labels = state.get("feature_names_in_")
    need(
        estimator,
        labels is None or (type(labels) is numpy.ndarray and labels.shape == (features,)),
        "its names are none",
    )


def bitsets(estimator: Any, tree: Any, nodes: Any, flags: Any) -> None:
    """The nodes of one tree that ask for a category, and what they look it up in."""
    asked = nodes["is_categorical"].astype(bool) & (nodes["is_leaf"] == 0)
    if not asked.any():
        return
    sets = vars(tree).get("raw_left_cat_bitsets")
    need(estimator, table(sets, None, 8, kinds="u") and sets.dtype == numpy.uint32, "its categories have no sets")
    need(estimator, indexes(nodes["bitset_idx"][asked], len(sets)), "a node asks for a set that is not there")
    need(estimator, flags[nodes["feature_idx"][asked]].all(), "a node asks for a category of a number")
