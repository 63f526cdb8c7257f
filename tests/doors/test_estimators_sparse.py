"""Transformers whose files say which column of a sparse matrix a value goes to: none leads out of it."""

from __future__ import annotations

import pickle as standard
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.preprocessing import KBinsDiscretizer, MultiLabelBinarizer, OneHotEncoder

from safeload import pickle, scan
from safeload.core.errors import MalformedInput
from safeload.core.finding import Status

TEXTS = ["one two three", "two three four"]
WORDS = [["one", "x"], ["two", "x"], ["three", "y"], ["one", "y"], ["one", "y"]]
MADE: dict[str, Callable[[], Any]] = {
    "counts": lambda: CountVectorizer().fit(TEXTS),
    "weights": lambda: TfidfVectorizer().fit(TEXTS),
    "weights-32": lambda: TfidfVectorizer(dtype=numpy.float32, ngram_range=(1, 2)).fit(TEXTS),
    "new": lambda: CountVectorizer(),
    "fixed": lambda: CountVectorizer(vocabulary=["one", "two"]).fit(TEXTS),
    "names": lambda: DictVectorizer().fit([{"a": 1, "b": "x"}]),
}
ONE_HOT: dict[str, Callable[[], Any]] = {
    "plain": lambda: OneHotEncoder().fit(WORDS),
    "dropped": lambda: OneHotEncoder(drop="first").fit(WORDS),
    "dropped-binary": lambda: OneHotEncoder(drop="if_binary").fit(WORDS),
    "rare": lambda: OneHotEncoder(min_frequency=2).fit(WORDS),
    "rare-dropped": lambda: OneHotEncoder(max_categories=2, drop="first").fit(WORDS),
    "unknown": lambda: OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=2).fit(WORDS),
    "numbers": lambda: OneHotEncoder(sparse_output=False).fit([[1], [2], [3]]),
    "new": lambda: OneHotEncoder(),
}


def _status(made: Any, folder: Path, protocol: int = 4) -> Status:
    (folder / "model.pkl").write_bytes(standard.dumps(made, protocol))
    return scan(folder / "model.pkl").files[0].status


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("name", MADE)
def test_vocabularies_as_they_are_written_are_safe(name: str, protocol: int, tmp_path: Path) -> None:
    """By whatever options; the door makes them, too."""
    made = MADE[name]()
    assert _status(made, tmp_path, protocol) is Status.SAFE
    assert vars(pickle.loads(standard.dumps(made, protocol))).keys() == vars(made).keys()


@pytest.mark.parametrize("column", [-1, 3, 4, 1 << 20, 1 << 31, -(1 << 31), 1 << 62, 1.0, True, "1", None])
@pytest.mark.parametrize("name", ["counts", "weights", "names"])
def test_a_word_outside_of_the_matrix_is_refused(name: str, column: Any, tmp_path: Path) -> None:
    """scipy would read and write elsewhere as soon as the matrix is used. A scan does not vouch for it either."""
    made = MADE[name]()
    if column == 3 and name != "names":
        column = 4
    made.vocabulary_[next(iter(made.vocabulary_))] = column
    with pytest.raises(MalformedInput):
        pickle.loads(standard.dumps(made))
    assert _status(made, tmp_path) is Status.UNVERIFIED


def test_a_vocabulary_of_another_kind_is_refused(tmp_path: Path) -> None:
    """What is no dictionary of whole numbers is none."""
    made = MADE["counts"]()
    for odd in ([1, 2], "text", 3):
        made.vocabulary_ = odd
        with pytest.raises(MalformedInput):
            pickle.loads(standard.dumps(made))
        assert _status(made, tmp_path) is Status.UNVERIFIED


@pytest.mark.parametrize("name", ONE_HOT)
def test_encoders_with_any_options_load(name: str, tmp_path: Path) -> None:
    """And give the same columns as before; a scan calls them safe."""
    made = ONE_HOT[name]()
    assert _status(made, tmp_path, 2) is _status(made, tmp_path, 5) is Status.SAFE
    found = pickle.loads(standard.dumps(made))
    if name == "new":
        return
    data = [[1], [3]] if name == "numbers" else WORDS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, other = found.transform(data), made.transform(data)
    one, other = (part.toarray() if hasattr(part, "toarray") else part for part in (one, other))
    assert (one == other).all()


BAD: dict[str, tuple[str, Callable[[Any], object]]] = {
    "fewer-columns": ("plain", lambda made: made._n_features_outs.__setitem__(0, 1)),
    "more-columns": ("plain", lambda made: made._n_features_outs.__setitem__(0, 1 << 40)),
    "negative-columns": ("plain", lambda made: made._n_features_outs.__setitem__(0, -3)),
    "a-column-more": ("plain", lambda made: made._n_features_outs.append(3)),
    "no-list": ("plain", lambda made: setattr(made, "_n_features_outs", "33")),
    "categories": ("plain", lambda made: made.categories_.__setitem__(0, made.categories_[0][:1])),
    "a-table": ("plain", lambda made: made.categories_.__setitem__(0, made.categories_[0].reshape(1, -1))),
    "drops-none": ("dropped", lambda made: made._drop_idx_after_grouping.__setitem__(0, -7)),
    "drops-beyond": ("dropped", lambda made: made._drop_idx_after_grouping.__setitem__(0, 99)),
    "maps-beyond": ("rare", lambda made: made._default_to_infrequent_mappings[0].__setitem__(0, 50)),
    "maps-before": ("rare", lambda made: made._default_to_infrequent_mappings[0].__setitem__(0, -1)),
    "maps-nothing": ("rare", lambda made: made._default_to_infrequent_mappings.__setitem__(0, None)),
    "rare-beyond": ("rare", lambda made: made._infrequent_indices[0].__setitem__(0, 9)),
    "groups": ("rare", lambda made: setattr(made, "_infrequent_enabled", 1)),
}


@pytest.mark.parametrize("name", BAD)
def test_a_category_without_a_column_is_refused(name: str, tmp_path: Path) -> None:
    """Numbers of columns, what is dropped, and what is grouped belong to the categories: for doors and for scans."""
    of, change = BAD[name]
    made = ONE_HOT[of]()
    change(made)
    assert _status(made, tmp_path) is Status.UNVERIFIED
    with pytest.raises(MalformedInput):
        pickle.loads(standard.dumps(made))


def test_an_encoder_within_another_estimator_is_looked_at() -> None:
    """A discretizer keeps one."""
    made = KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf").fit(numpy.arange(10.0).reshape(-1, 1))
    assert pickle.loads(standard.dumps(made)).transform([[3.0]]).shape == (1, 3)
    made._encoder._n_features_outs[0] = 1
    with pytest.raises(MalformedInput):
        pickle.loads(standard.dumps(made))


@pytest.mark.parametrize("places", [{"a": 99, "b": 0}, {"a": -1, "b": 0}, {"a": 0}, [0, 1], {"a": 0, "b": 1, "c": 2}])
def test_labels_without_a_column_are_refused(places: Any, tmp_path: Path) -> None:
    """A binarizer believes the dictionary that it remembers."""
    made = MultiLabelBinarizer().fit([["a"], ["b"]])
    made.transform([["a"]])
    assert _status(made, tmp_path) is Status.SAFE
    assert pickle.loads(standard.dumps(made)).transform([["a", "b"]]).tolist() == [[1, 1]]
    made._cached_dict = places
    assert _status(made, tmp_path) is Status.UNVERIFIED
    with pytest.raises(MalformedInput):
        pickle.loads(standard.dumps(made))
