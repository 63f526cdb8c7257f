"""Every estimator of the installed scikit-learn, fitted on a little data."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy
import pytest

pytest.importorskip("sklearn")

from sklearn.utils import all_estimators
from sklearn.utils._test_common.instance_generator import _construct_instances

RANDOM = numpy.random.RandomState(0)
X = RANDOM.rand(40, 5)
CLASSES = (X[:, 0] > 0.5).astype(int)
VALUES = X[:, 0] * 2 + X[:, 1]
TEXTS = ["aa bb cc", "bb cc dd", "cc dd ee"] * 10
METHODS = ("predict", "predict_proba", "decision_function", "transform", "score_samples")
NAMES = tuple(name for name, _ in all_estimators())


class Fitted(NamedTuple):
    estimator: Any
    data: Any


def _made(name: str, kind: Any) -> Any:
    from sklearn.decomposition import SparseCoder
    from sklearn.frozen import FrozenEstimator
    from sklearn.linear_model import Ridge

    if name == "FrozenEstimator":
        return FrozenEstimator(Ridge().fit(X, VALUES))
    if name == "SparseCoder":
        return SparseCoder(X[:5])
    made = next(iter(_construct_instances(kind)))
    if "random_state" in made.get_params():
        made.set_params(random_state=0)
    return made


def _tries(name: str, made: Any) -> Iterator[tuple[Any, Any]]:
    if name in ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer"):
        yield TEXTS, None
    if name in ("DictVectorizer", "FeatureHasher"):
        yield [{"a": 1, "b": 2}] * 5, None
    first = CLASSES if made._estimator_type == "classifier" else VALUES
    yield from ((X, first), (X, CLASSES), (X, None), (X, numpy.c_[VALUES, VALUES]), (X, numpy.c_[CLASSES, 1 - CLASSES]))
    yield from ((X[:, 0], VALUES), (X @ X.T, CLASSES), (CLASSES, None), ([["a"], ["b"]] * 5, None))
    yield numpy.c_[CLASSES, 1 - CLASSES], None


@cache
def fitted(name: str) -> Fitted:
    """The estimator of this name, fitted on the first data that it takes."""
    kind = dict(all_estimators())[name]
    last: Exception = AssertionError(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for data, target in _tries(name, _Typed(kind, name)):
            made = _made(name, kind)
            try:
                return Fitted(made.fit(data, target) if target is not None else made.fit(data), data)
            except (ValueError, TypeError, AttributeError, IndexError) as error:
                last = error
    raise AssertionError(f"{name} could not be fitted: {last!r}")


class _Typed:
    def __init__(self, kind: Any, name: str) -> None:
        from sklearn.base import ClassifierMixin

        self._estimator_type = "classifier" if issubclass(kind, ClassifierMixin) else ""


def results(estimator: Any, data: Any) -> dict[str, Any]:
    """What the methods that people call give, or the kind of their error; numpy's own randomness begins alike."""
    found: dict[str, Any] = {}
    for method in METHODS:
        call = getattr(estimator, method, None)
        if call is None:
            continue
        numpy.random.seed(0)
        try:
            value = call(data)
        except (ValueError, TypeError, AttributeError) as error:
            value = type(error).__name__
        found[method] = value.toarray() if hasattr(value, "toarray") else value
    return found


def same(one: Any, other: Any) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return bool(type(one) is type(other) and one == other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    one, other = numpy.asarray(one), numpy.asarray(other)
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool(numpy.array_equal(one, other, equal_nan=one.dtype.kind in "fc"))
