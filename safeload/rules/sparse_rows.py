"""Transformers that write rows of sparse matrices: each column that a pickle names is one of the matrix.

scipy takes the places of a row for granted. Looked at as `adapt_sklearn/_sparse_rows.py` does before a door makes one;
tests compare the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from safeload.core.graph import Dict, List, Node, Value
from safeload.rules.graph_arrays import number

if TYPE_CHECKING:
    from safeload.rules.estimators import Estimators

State = dict[str, Value]


class Odd(Exception):
    """Why an estimator is not one that scikit-learn writes, or not one that is looked at. Never leaves `Estimators`."""


def vocabulary(estimators: Estimators, state: State, features: int) -> bool:
    """Words, each with its column of a sparse matrix, whose places scipy takes for granted."""
    found = state.get("vocabulary_")
    if found is None:
        return False
    if not isinstance(found, Dict) or state.get("input", "content") != "content":
        raise Odd("its vocabulary is none, or it reads files")
    estimators.look(len(found.pairs))
    columns = dict(found.pairs)
    for word, one in found.pairs:
        column = number(one)
        if type(word) is not str or column is None or not 0 <= column < len(columns):
            raise Odd("a word has a column that is not there")
    return False


def columns(estimators: Estimators, state: State, features: int) -> bool:
    """One column for each category: what is grouped, dropped and counted belongs to the categories."""
    found, counted = state.get("categories_"), state.get("_n_features_outs")
    if found is None or counted is None:
        return False
    grouped = state.get("_infrequent_enabled")
    if not isinstance(found, List) or not isinstance(counted, List) or not isinstance(grouped, bool):
        raise Odd("its categories are no list")
    count = len(found.items)
    estimators.look(count)
    dropped = _each(estimators, state.get("_drop_idx_after_grouping"), count)
    maps = _each(estimators, state.get("_default_to_infrequent_mappings") if grouped else None, count)
    rare = _each(estimators, state.get("_infrequent_indices") if grouped else None, count)
    for one, wanted, drop, mapping, few in zip(
        found.items, _each(estimators, counted, count), dropped, maps, rare, strict=True
    ):
        most = wide = estimators.array(one, None, kinds="biufSUO").shape[0]
        if few is not None:
            places = estimators.numbers(estimators.array(few, None, kinds="iu"))
            most += 1 - len(places) if places else 0
            if len({*places}) != len(places) or not all(0 <= place < wide for place in places):
                raise Odd("a rare category is none")
            if places and mapping is None:
                raise Odd("a rare category has no column")
        if mapping is not None:
            estimators.indexes(estimators.array(mapping, wide, kinds="iu"), most)
        last = number(drop)
        if (drop is not None and (last is None or not 0 <= last < most)) or number(wanted) != most - (drop is not None):
            raise Odd("a feature has other columns than categories")
    return False


def _each(estimators: Estimators, value: Value, count: int) -> list[Value]:
    """A value for each feature, or none for any."""
    if value is None:
        return [None] * count
    if isinstance(value, List):
        found: list[Value] = [*value.items]
    else:
        array = estimators.array(value, count, kinds="iuO")
        found = [*array.items] if array.data is None else [*estimators.numbers(array)]
    if len(found) != count:
        raise Odd("it is of other features")
    return found


def labels(estimators: Estimators, state: State, features: int) -> bool:
    found = state.get("_cached_dict")
    if found is None:
        return False
    count = estimators.array(state.get("classes_"), None, kinds="biufSUO").shape[0]
    if not isinstance(found, Dict) or len(found.pairs) != count:
        raise Odd("its dictionary of classes is none")
    estimators.look(count)
    places = [number(place) for key, place in found.pairs if not isinstance(key, Node)]
    if sorted(one for one in places if one is not None) != list(range(count)):
        raise Odd("a class has a column that is not there")
    return False
