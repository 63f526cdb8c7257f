"""Boosting by histograms with categorical features: what comes back, and what its compiled code must never follow."""

from __future__ import annotations

import functools
import os
import pickle as standard
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.validation import check_array

from safeload import joblib as safe_joblib
from safeload import pickle, scan
from safeload.core.errors import MalformedInput, SafeloadError
from safeload.core.finding import Status

pytestmark = pytest.mark.filterwarnings("ignore")

RANDOM = numpy.random.RandomState(0)
X = numpy.c_[RANDOM.rand(200), RANDOM.randint(0, 5, 200), RANDOM.rand(200), RANDOM.randint(0, 3, 200)]
Y = ((X[:, 1] == 2) & (X[:, 0] > 0.2)).astype(int)


def _fitted(columns: tuple[int, ...] = (1, 3)) -> Any:
    return HistGradientBoostingClassifier(max_iter=4, categorical_features=[*columns], random_state=0).fit(X, Y)


def _status(data: bytes, folder: Path) -> Status:
    (folder / "model.pkl").write_bytes(data)
    return scan(folder / "model.pkl").files[0].status


@pytest.mark.parametrize("columns", [(1,), (1, 3), (3,)])
def test_categories_come_back(columns: tuple[int, ...], tmp_path: Path) -> None:
    """By pickle and by joblib: the same probabilities. A scan does not vouch for it, and finds no danger in it."""
    made = _fitted(columns)
    joblib.dump(made, tmp_path / "a.joblib")
    expected = made.predict_proba(X).tolist()
    assert any(tree.nodes["is_categorical"].any() for row in made._predictors for tree in row) or columns == (3,)
    for protocol in range(standard.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(standard.dumps(made, protocol)).predict_proba(X).tolist() == expected
    assert safe_joblib.load(tmp_path / "a.joblib").predict_proba(X).tolist() == expected
    assert _status(standard.dumps(made), tmp_path) is Status.UNVERIFIED


def test_categories_of_a_frame_come_back() -> None:
    """As pandas names and types them."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": X[:, 0], "c": pandas.Categorical([f"c{int(one)}" for one in X[:, 1]])})
    made = HistGradientBoostingClassifier(max_iter=4, categorical_features="from_dtype").fit(frame, Y)
    found = pickle.loads(standard.dumps(made))
    assert found.predict_proba(frame).tolist() == made.predict_proba(frame).tolist()


def _categorical(made: Any) -> Any:
    return next(tree for row in made._predictors for tree in row if tree.nodes["is_categorical"].any())


def _node(made: Any, field: str, value: int) -> None:
    nodes = _categorical(made).nodes
    nodes[field][numpy.flatnonzero(nodes["is_categorical"])[0]] = value


def _part(made: Any, name: str, **change: Any) -> None:
    """Replace the transformer or the columns of one part of the preprocessor."""
    made._preprocessor.transformers_ = [
        (one, change.get("by", part), change.get("columns", columns)) if one == name else (one, part, columns)
        for one, part, columns in made._preprocessor.transformers_
    ]


HOSTILE: dict[str, Callable[[Any], Any]] = {
    "a set that is not there": lambda made: _node(made, "bitset_idx", 1 << 20),
    "a category of a number": lambda made: _node(made, "feature_idx", 3),
    "a feature that is not there": lambda made: _node(made, "feature_idx", 99),
    "sets of another width": lambda made: setattr(
        _categorical(made), "raw_left_cat_bitsets", numpy.zeros((9, 4), dtype=numpy.uint32)
    ),
    "no sets": lambda made: setattr(_categorical(made), "raw_left_cat_bitsets", None),
    "no preprocessor": lambda made: setattr(made, "_preprocessor", None),
    "another preprocessor": lambda made: setattr(made, "_preprocessor", StandardScaler().fit(X)),
    "fewer columns": lambda made: _part(made, "numerical", columns=numpy.array([True, False, False, False])),
    "another encoder": lambda made: _part(made, "encoder", by=StandardScaler().fit(X[:, :2])),
    "numbers that are averaged": lambda made: _part(made, "numerical", by=FunctionTransformer(numpy.mean)),
    "numbers that are not checked": lambda made: _part(made, "numerical", by=FunctionTransformer()),
    "two of one": lambda made: made._preprocessor.transformers_.append(made._preprocessor.transformers_[0]),
    "other places": lambda made: made._preprocessor._transformer_to_input_indices.update(numerical=[0]),
    "no places": lambda made: setattr(made._preprocessor, "_transformer_to_input_indices", None),
    "names of others": lambda made: setattr(made._preprocessor, "feature_names_in_", numpy.array(["a"], dtype=object)),
    "other features": lambda made: setattr(made._preprocessor, "n_features_in_", 3),
    "no categories": lambda made: setattr(made, "is_categorical_", numpy.zeros(4, dtype=bool)),
    "categories elsewhere": lambda made: setattr(
        made, "_is_categorical_remapped", numpy.array([0, 0, 1, 1], dtype=bool)
    ),
    "bins of others": lambda made: setattr(made._bin_mapper, "is_categorical_", numpy.zeros(4, dtype=numpy.uint8)),
    "a large category": lambda made: made._bin_mapper.bin_thresholds_.__setitem__(0, numpy.array([1e9])),
    "a broken category": lambda made: made._bin_mapper.bin_thresholds_.__setitem__(0, numpy.array([0.5])),
    "fewer bins": lambda made: made._bin_mapper.bin_thresholds_.pop(),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_categories_that_lead_elsewhere_make_no_estimator(name: str) -> None:
    """Each number and each part that decides which memory is read."""
    made = _fitted()
    HOSTILE[name](made)
    with pytest.raises(MalformedInput):
        pickle.loads(standard.dumps(made))


def test_an_estimator_without_its_encoder_is_refused() -> None:
    """The parts of the preprocessor are all there, in their order."""
    for change in (lambda parts: parts[1:], lambda parts: parts[::-1], lambda parts: parts[:1]):
        made = _fitted()
        made._preprocessor.transformers_ = change(made._preprocessor.transformers_)
        with pytest.raises(MalformedInput):
            pickle.loads(standard.dumps(made))


class _Partial:
    """Pickles as a partial with this state."""

    def __init__(self, args: Any, state: Any) -> None:
        self.parts = functools.partial, args, state

    def __reduce__(self) -> Any:
        return self.parts


PLAIN = (check_array, (), {"dtype": [numpy.float64], "ensure_all_finite": False}, None)


@pytest.mark.parametrize("protocol", range(standard.HIGHEST_PROTOCOL + 1))
def test_a_check_of_arrays_is_the_only_partial(protocol: int, tmp_path: Path) -> None:
    """It comes back as itself; one that calls anything else, or takes other arguments, is dangerous."""
    data = standard.dumps(_Partial((check_array,), PLAIN), protocol)
    assert _status(data, tmp_path) is Status.SAFE
    found = pickle.loads(data)
    assert (found.func, found.args, found.keywords) == PLAIN[:3]
    for args, state in [
        ((os.system,), PLAIN),
        ((check_array,), (os.system, *PLAIN[1:])),
        ((check_array,), (check_array, ("x",), *PLAIN[2:])),
        ((check_array,), (*PLAIN[:2], {"input_name": "x"}, None)),
        ((check_array,), (*PLAIN[:2], {"dtype": [os.system]}, None)),
        ((check_array,), (*PLAIN[:2], {"ensure_all_finite": os.system}, None)),
        ((check_array,), (*PLAIN[:3], {"func": 1})),
        ((check_array, "x"), PLAIN),
        ((check_array,), None),
        ((len,), (len, (), {}, None)),
    ]:
        data = standard.dumps(_Partial(args, state), protocol)
        assert _status(data, tmp_path) is Status.DANGEROUS
        with pytest.raises(SafeloadError):
            pickle.loads(data)


def test_a_check_of_arrays_is_not_called(tmp_path: Path) -> None:
    """What calls the partial, or could, is as dangerous as any other computed call."""
    partial = standard.dumps(_Partial((check_array,), PLAIN), 2)[2:-1]
    assert _status(b"\x80\x02" + partial + b"]\x85R.", tmp_path) is Status.DANGEROUS
    assert _status(b"\x80\x02cbuiltins\nmap\n" + partial + b"]\x86R.", tmp_path) is Status.DANGEROUS
    assert _status(b"\x80\x02ccollections\ndefaultdict\n" + partial + b"\x85R.", tmp_path) is Status.DANGEROUS
