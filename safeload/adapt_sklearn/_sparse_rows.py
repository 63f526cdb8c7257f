"""Transformers that write rows of sparse matrices: the columns that a file names are columns of the matrix.

scipy takes the places of a row for granted. `CountVectorizer` reads them from its vocabulary, `OneHotEncoder` adds up
numbers of categories, `MultiLabelBinarizer` keeps a dictionary: each can be any number in a file, and the first thing
done with the matrix would read or write elsewhere. Each check was written against the sources of 1.9.
"""

from __future__ import annotations

from typing import Any

import numpy

from safeload.adapt_sklearn._checks import indexes, need, table, whole


def vocabulary(estimator: Any) -> None:
    """Words or names, each with its column: 0 to as many as there are."""
    _places(estimator, vars(estimator).get("vocabulary_"), "its vocabulary")


def labels(estimator: Any) -> None:
    found = vars(estimator).get("_cached_dict")
    if found is not None:
        _places(estimator, found, "its dictionary of classes")
        need(estimator, len(found) == len(vars(estimator).get("classes_", ())), "it has other classes than places")


def _places(estimator: Any, found: Any, what: str) -> None:
    if found is None:
        return
    need(estimator, type(found) is dict, f"{what} is none")
    need(estimator, all(whole(one) and 0 <= one < len(found) for one in found.values()), f"{what} leads out of it")


def one_hot(estimator: Any) -> None:
    """As many columns for each feature as its categories need, and a column for each of those."""
    state = vars(estimator)
    found, columns = state.get("categories_"), state.get("_n_features_outs")
    if found is None or columns is None:  # not fitted, or by a version whose files this one cannot use
        return
    need(estimator, isinstance(found, list) and isinstance(columns, list), "its categories are no list")
    count = len(found)
    dropped = _each(estimator, "_drop_idx_after_grouping", count)
    grouped = state.get("_infrequent_enabled")
    need(estimator, isinstance(grouped, bool), "nobody knows whether it groups categories")
    maps = _each(estimator, "_default_to_infrequent_mappings", count) if grouped else [None] * count
    rare = _each(estimator, "_infrequent_indices", count) if grouped else [None] * count
    need(estimator, len(columns) == count and all(map(whole, columns)), "it has other columns than features")
    for one, wanted, drop, mapping, few in zip(found, columns, dropped, maps, rare, strict=True):
        need(estimator, type(one) is numpy.ndarray and one.ndim == 1, "the categories of a feature are no row")
        most = len(one)
        if few is not None:
            need(estimator, table(few, None, kinds="iu") and indexes(few, most), "a rare category is none")
            need(estimator, len(numpy.unique(few)) == len(few), "a rare category is named twice")
            most += 1 - len(few) if len(few) else 0
        if mapping is not None:
            need(estimator, table(mapping, len(one), kinds="iu") and indexes(mapping, most), "a category has no column")
        need(estimator, mapping is not None or few is None or not len(few), "a rare category has no column")
        need(estimator, drop is None or (whole(drop) and 0 <= drop < most), "it drops a category that is none")
        need(estimator, wanted == most - (drop is not None), "a feature has other columns than categories")


def _each(estimator: Any, key: str, count: int) -> list[Any]:
    """A value for each feature, or none for any."""
    found = vars(estimator).get(key)
    if found is None:
        return [None] * count
    need(estimator, isinstance(found, list | numpy.ndarray) and len(found) == count, f"{key} is of other features")
    return list(found)
