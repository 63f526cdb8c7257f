"""`safeload convert --to skops`: a scikit-learn pickle as a skops file, never unpickled, and read by skops itself."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy
import pytest
import skops.io
from packaging.version import Version
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from safeload import PolicyDenied, UsageError, scan
from safeload.cli.main import main
from safeload.core.finding import Status
from safeload.to_skops import write_skops
from tests.doors.estimators import CLASSES, NAMES, VALUES, X, fitted, results, same

pytestmark = pytest.mark.filterwarnings("ignore")

_ASKS = """
    AdaBoostClassifier AdaBoostRegressor BaggingClassifier BaggingRegressor BisectingKMeans
    CalibratedClassifierCV DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor
    ExtraTreesClassifier ExtraTreesRegressor FeatureAgglomeration GaussianProcessClassifier
    GaussianProcessRegressor GenericUnivariateSelect GradientBoostingClassifier GradientBoostingRegressor
    GridSearchCV HalvingGridSearchCV HalvingRandomSearchCV HistGradientBoostingClassifier
    HistGradientBoostingRegressor IsolationForest Isomap KBinsDiscretizer KNeighborsClassifier
    KNeighborsRegressor KNeighborsTransformer KernelDensity LocallyLinearEmbedding MLPClassifier MLPRegressor
    NearestNeighbors OutputCodeClassifier RadiusNeighborsClassifier RadiusNeighborsRegressor
    RadiusNeighborsTransformer RandomForestClassifier RandomForestRegressor RandomTreesEmbedding
    RandomizedSearchCV SelectFdr SelectFpr SelectFwe SelectKBest SelectPercentile SimpleImputer
    SparseRandomProjection SpectralEmbedding SplineTransformer StackingClassifier StackingRegressor
    TunedThresholdClassifierCV TweedieRegressor VotingClassifier VotingRegressor
"""
ASKS = frozenset(_ASKS.split())
"""Estimators that keep something which skops wants its user to trust; the others need nothing."""
CURRENT = Version(skops.__version__) >= Version("0.15")
"""Older ones take compiled trees without asking."""
CANNOT = frozenset({"Birch"})
"""skops writes none of these."""
ROUNDS = frozenset({"LabelPropagation", "LabelSpreading"})
"""skops gives their distributions back in another order, also when it writes the original."""


def _pipeline() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(X, CLASSES)


@pytest.mark.parametrize("compress", [0, 3, ("lz4", 3)], ids=str)
def test_a_pipeline_is_written_and_read_by_skops(compress: Any, tmp_path: Path) -> None:
    """Nothing needs to be trusted, the results are the same, and a scan calls the new file safe."""
    source = tmp_path / "model.joblib"
    joblib.dump(_pipeline(), source, compress=compress)
    written = write_skops(source)
    assert written.path == tmp_path / "model.skops"
    assert written.untrusted == ()
    assert skops.io.get_untrusted_types(file=written.path) == []
    assert same(skops.io.load(written.path, trusted=[]).predict_proba(X), _pipeline().predict_proba(X))
    assert scan(written.path).status is Status.SAFE


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CANNOT])
def test_every_estimator_that_skops_can_write_is_written(name: str, tmp_path: Path) -> None:
    """The estimator that skops reads back does what the original did."""
    estimator, data = fitted(name)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(estimator))
    written = write_skops(tmp_path / "a.pkl", tmp_path / "a.skops")
    assert list(written.untrusted) == skops.io.get_untrusted_types(file=written.path)
    if CURRENT:
        assert bool(written.untrusted) == (name in ASKS)
    found = skops.io.load(written.path, trusted=list(written.untrusted))
    got, expected = results(found, data), results(estimator, data)
    for method in expected:
        if name in ROUNDS and not isinstance(expected[method], str):
            assert numpy.allclose(got[method], expected[method])
        else:
            assert same(got[method], expected[method])


def test_what_skops_will_ask_for_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A forest's trees are compiled objects, which skops wants to be told to trust."""
    source = tmp_path / "forest.pkl"
    source.write_bytes(pickle.dumps(RandomForestClassifier(2).fit(X, VALUES > 1)))
    assert main(["convert", "--to", "skops", str(source), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    asked = skops.io.get_untrusted_types(file=told["path"])
    assert told["untrusted"] == asked and asked == (["sklearn.tree._tree.Tree"] if CURRENT else [])
    assert told["path"] == str(tmp_path / "forest.skops")
    assert main(["convert", "--to", "skops", str(source), "-o", str(tmp_path / "b.skops")]) == 0
    shown = capsys.readouterr()
    assert shown.out.strip() == str(tmp_path / "b.skops")
    assert ("sklearn.tree._tree.Tree" in shown.err) is CURRENT


class _Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


class _Mine:
    pass


def test_a_poisoned_pickle_is_not_converted(tmp_path: Path, marker: Path) -> None:
    """What would run is refused, and nothing is left behind."""
    for value in (_Evil(marker), [_pipeline(), _Evil(marker)], _Mine()):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(value))
        with pytest.raises(PolicyDenied):
            write_skops(tmp_path / "a.pkl")
    assert os.listdir(tmp_path) == ["a.pkl"]


def test_records_are_not_written_down(tmp_path: Path) -> None:
    """An object that is only known as an inert record would be of a class of safeload's: it is refused."""
    name = b"\x80\x04\x8c\x1atransformers.training_args\x8c\x11TrainingArguments\x93)\x81}b."
    (tmp_path / "a.pkl").write_bytes(name)
    with pytest.raises(UsageError, match=r"skops cannot write|records"):
        write_skops(tmp_path / "a.pkl")
    assert os.listdir(tmp_path) == ["a.pkl"]


def test_nothing_is_overwritten_unless_that_is_asked_for(tmp_path: Path) -> None:
    """An output that is there stays; `force` replaces it."""
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(_pipeline()))
    (tmp_path / "a.skops").write_text("mine")
    with pytest.raises(UsageError, match="there already"):
        write_skops(tmp_path / "a.pkl")
    assert (tmp_path / "a.skops").read_text() == "mine"
    assert write_skops(tmp_path / "a.pkl", force=True).size > 4
    assert sorted(os.listdir(tmp_path)) == ["a.pkl", "a.skops"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--keys", "a"],
        ["--strip", "a"],
        ["--rename", "a=b"],
        ["--view", "a=b"],
        ["--max-shard-size", "1GB"],
        ["--shared", "drop"],
        ["--keep-data"],
        ["--dry-run"],
        ["--revision", "main"],
        ["--offline"],
        ["-o", "model.pkl"],
        ["-o", "missing/folder/model.skops"],
    ],
    ids=str,
)
def test_options_that_mean_nothing_here_are_refused(arguments: list[str], tmp_path: Path) -> None:
    """No option is ignored."""
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(_pipeline()))
    assert main(["convert", "--to", "skops", str(tmp_path / "a.pkl"), *arguments]) == 2
    assert os.listdir(tmp_path) == ["a.pkl"]


def test_what_skops_cannot_write_is_said(tmp_path: Path) -> None:
    """An estimator that skops does not support is an error, and no file."""
    for name in CANNOT:
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(fitted(name).estimator))
        with pytest.raises(UsageError, match="skops cannot write"):
            write_skops(tmp_path / "a.pkl")
