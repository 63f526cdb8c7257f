"""Files of cloudpickle and dill: their data can be read, and the code that they carry stays where it is."""

from __future__ import annotations

from typing import Any

import cloudpickle
import dill
import numpy
import pytest

from safeload import Options, PolicyDenied, pickle
from safeload.core.construct import Record

LIBRARIES = (cloudpickle, dill)
ANYWAY: Any = {"unknown": "record", "safeload": Options(unsafe_convert_dangerous=True)}


def _local() -> Any:
    class Local:
        def method(self) -> str:
            raise AssertionError("a method ran")

    value = Local()
    value.data = [1, {"x": (2,)}]
    return value


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda one: one.__name__)
def test_plain_data_comes_back(library: Any) -> None:
    """What needs no code is what it was."""
    value = {"a": [1, (2.5, None)], "b": {3}, "c": b"x", "d": frozenset("e")}
    assert pickle.loads(library.dumps(value)) == value


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("value", [lambda: 1, _local(), [_local().method]], ids=["function", "object", "method"])
def test_code_is_refused(library: Any, value: Any) -> None:
    """A function or class that is carried along is no data, whatever is asked for."""
    for unknown in ("refuse", "record"):
        with pytest.raises(PolicyDenied):
            pickle.loads(library.dumps([value, 1]), unknown=unknown)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda one: one.__name__)
def test_the_data_beside_code_can_be_read_by_who_insists(library: Any) -> None:
    """Told to go on, safeload keeps the code inert, and gives the rest."""
    found = pickle.loads(library.dumps({"f": lambda: 1, "data": [1, 2]}), **ANYWAY)
    assert isinstance(found["f"], Record)
    assert not callable(found["f"])
    assert found["data"] == [1, 2]


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda one: one.__name__)
def test_attributes_of_carried_classes_can_be_read(library: Any) -> None:
    """An object of a class that the file itself defines is a record with its attributes."""
    (found,) = pickle.loads(library.dumps([_local()]), **ANYWAY)
    assert isinstance(found, Record)
    assert found.attributes["data"] == [1, {"x": (2,)}]


def test_arrays_of_dill_come_back() -> None:
    """dill writes numpy's arrays by a function of its own; its arguments are numpy's."""
    array = numpy.arange(6).reshape(2, 3)
    found = pickle.loads(dill.dumps([array]), **ANYWAY)
    assert found[0].tolist() == array.tolist()
