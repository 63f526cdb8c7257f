"""What a load costs beyond the bytes: counted in calls, the same on every machine."""

from __future__ import annotations

import datetime
import io
import pickle as standard
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy
import pytest

from safeload import pickle
from tests.effort import calls


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Policy files are looked for from the working directory upward: in each test equally far."""
    monkeypatch.chdir("/")


def _growth(load: Callable[[bytes], object], made: Callable[[int], bytes], count: int) -> float:
    """How many calls one further part takes."""
    small, large = made(count), made(2 * count)
    load(small)  # what is imported once, is
    return (calls(lambda: load(large)) - calls(lambda: load(small))) / count


def _rows(count: int) -> bytes:
    return standard.dumps([{"id": number, "name": f"name{number}", "score": number / 3} for number in range(count)], 4)


def test_a_small_pickle_pays_for_itself_alone() -> None:
    """What is known of the globals of other files is not put together for one that names none of them."""
    data = standard.dumps({"a": [1, 2, 3], "b": "x" * 50, "c": {"k": 1.5}}, 4)
    pickle.loads(data)
    assert calls(lambda: pickle.loads(data)) < 860  # 1,700 where each does; 919 where roots are looked for twice


def test_a_row_of_constants_is_made_in_one_go() -> None:
    """A dictionary of constants is neither copied before it is made, nor filled key by key, nor begun and then made."""
    assert _growth(pickle.loads, _rows, 500) < 58  # 193 where it is copied; 70 where it is begun, and made later


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_number_is_read_and_is_there(kind: type) -> None:
    """Of a long list of numbers each is read, and nothing else happens to it one by one."""
    growth = _growth(pickle.loads, lambda count: standard.dumps(kind(range(256, 256 + count)), 4), 2_000)
    assert growth < 4.5  # 5 where the type of each is asked for by itself


def test_objects_are_told_apart_without_asking_python() -> None:
    """`id` is an event that every audit hook of the process hears, that of a guard among them: no part of a pickle
    costs one."""
    asked = 0

    def note(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal asked
        asked += event == "c_call" and argument is id

    made = [datetime.timedelta(days=number, seconds=number) for number in range(1_000)]
    for data in (_rows(1_000), standard.dumps(made, 4)):
        asked = 0
        pickle.loads(data)
        before = sys.getprofile()
        sys.setprofile(note)
        try:
            pickle.loads(data)
        finally:
            sys.setprofile(before)
        assert asked < 50


def test_a_tensor_is_looked_at_once_by_each_who_must() -> None:
    """What a checkpoint costs for each of its tensors, from its zip archive to torch's storages."""
    torch = pytest.importorskip("torch")
    from safeload import torch as safe_torch

    def saved(count: int) -> bytes:
        file = io.BytesIO()
        torch.save({f"layer.{number}.weight": torch.zeros(2, 2) for number in range(count)}, file)
        return file.getvalue()

    assert _growth(safe_torch.load, saved, 50) < 950  # before this was counted, 1,300


def test_a_tree_of_a_forest_asks_nothing_about_its_class_again() -> None:
    """What a class of scikit-learn is, is asked once, not for each of its objects."""
    ensemble = pytest.importorskip("sklearn.ensemble")
    features = numpy.random.RandomState(0).rand(20, 3)

    def saved(count: int) -> bytes:
        made = ensemble.RandomForestClassifier(count, random_state=0, max_depth=2)
        return standard.dumps(made.fit(features, features[:, 0] > 0.5), 4)

    assert _growth(pickle.loads, saved, 10) < 7_500  # 4,400 before scans looked at the numbers, too


def test_no_library_is_imported_that_a_pickle_does_not_name(tmp_path: Path) -> None:
    """Plain data needs neither numpy nor scikit-learn, where they are installed."""
    program = (
        "import sys; from safeload import pickle; "
        "print(pickle.loads(b'\\x80\\x04]\\x94K\\x01a.'), {'numpy', 'sklearn', 'pandas', 'torch'} & {*sys.modules})"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.stdout == "[1] set()\n", result.stderr


def test_what_reads_policies_and_locks_waits_for_one(tmp_path: Path) -> None:
    """Where there is neither, what knows what they may say is not imported: it would be a third of a first load."""
    program = (
        "import sys; from safeload import pickle; pickle.loads(b'N.'); "
        "print(*sorted(name for name in sys.modules if name.startswith('safeload.trust') or name == 'tomllib'))"
    )
    here = "safeload.trust safeload.trust.file_names safeload.trust.layers safeload.trust.signature_store\n"
    for policy, more in (("", False), ("version = 1\n", True)):
        if policy:
            (tmp_path / "safeload.toml").write_text(policy)
        result = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert result.returncode == 0, result.stderr
        assert (result.stdout != here) is more, result.stdout


def test_whatever_is_known_of_arrays_is_looked_for_by_its_name() -> None:
    """The libraries whose names have numpy's makers looked at are all that those are about."""
    from safeload.adapt_numpy import numpy_table

    table = numpy_table()
    assert table is not None
    for name in (*table.makers, *table.constants, *table.setters, *table.named):
        assert name.module.startswith(("numpy", "dill."))
