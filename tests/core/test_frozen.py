"""Frozen values: what a class of annotated fields promises."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.frozen import Frozen, fresh, replace


class Point(Frozen):
    x: int
    y: int = 0


class Named(Point):
    name: str
    seen: list[int] = fresh(factory=list)


class Other(Frozen):
    x: int
    y: int = 0


class Even(Frozen):
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError("odd")


def test_what_is_not_given_has_its_default() -> None:
    """Fields have defaults, also inherited ones; what is filled later is made anew for each value."""
    one, two = Named(x=1, name="a"), Named(x=1, name="a")
    assert (one.x, one.y, one.name, one.seen) == (1, 0, "a", [])
    assert one.seen is not two.seen


@pytest.mark.parametrize("fields", [{}, {"y": 1}, {"x": 1, "z": 2}, {"X": 1}, {"x": 1, "__class__": int}])
def test_a_field_too_few_or_too_many_is_refused(fields: dict[str, Any]) -> None:
    """A value has all fields of its class, and no others."""
    with pytest.raises(TypeError, match="is made without, or has no"):
        Point(**fields)


def test_fields_are_not_given_by_position() -> None:
    """Nobody has to know the order of fields."""
    with pytest.raises(TypeError):
        Point(1, 2)  # type: ignore[misc]


def test_nothing_changes() -> None:
    """A field can be neither set nor deleted, and nothing can be added."""
    point: Any = Point(x=1)
    for name in ("x", "y", "z"):
        with pytest.raises(AttributeError):
            setattr(point, name, 5)
        with pytest.raises(AttributeError):
            delattr(point, name)
    assert point == Point(x=1)


def test_a_class_can_refuse_values() -> None:
    """`__post_init__` runs whenever a value is made, also from another one."""
    with pytest.raises(ValueError, match="odd"):
        Even(number=1)
    with pytest.raises(ValueError, match="odd"):
        replace(Even(number=2), number=3)


@given(st.integers(), st.integers(), st.integers(), st.integers())
def test_equal_fields_make_equal_values(a: int, b: int, c: int, d: int) -> None:
    """Values are equal exactly if their fields are, in whatever order they were given, and then have one hash."""
    one, two = Point(x=a, y=b), Point(y=d, x=c)
    assert (one == two) is ((a, b) == (c, d))
    assert one != two or hash(one) == hash(two)


def test_values_of_different_classes_differ() -> None:
    """The same fields in another class, or in a class that inherits from it, make another value."""
    assert Point(x=1) != Other(x=1)
    assert Point(x=1) != Named(x=1, name="")
    assert Point(x=1) == mock.ANY


def test_what_cannot_be_hashed_has_no_hash() -> None:
    """A value that holds a list is no key."""
    with pytest.raises(TypeError):
        hash(Named(x=1, name="a"))


def test_it_shows_its_fields_in_their_order() -> None:
    """The representation is the call that makes the value."""
    assert repr(Named(name="a", x=1)) == "Named(x=1, y=0, name='a', seen=[])"


def test_copies_are_equal() -> None:
    """Copying and pickling work as for any object."""
    value = Named(x=1, name="a", seen=[1])
    assert copy.copy(value) == copy.deepcopy(value) == pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value).seen is not value.seen


def test_it_matches_by_keyword() -> None:
    """Fields are found by `match`."""
    match Point(x=3):
        case Point(x=found, y=0):
            assert found == 3
        case _:
            pytest.fail("it did not match")


def test_the_functions_of_dataclasses_know_it() -> None:
    """`fields`, `asdict` and `replace` work, each class with its own fields, whichever is asked for first."""
    assert [field.name for field in dataclasses.fields(Point)] == ["x", "y"]
    assert [field.name for field in dataclasses.fields(Named)] == ["x", "y", "name", "seen"]
    assert dataclasses.asdict(Named(x=1, name="a")) == {"x": 1, "y": 0, "name": "a", "seen": []}
    assert dataclasses.replace(Point(x=1), y=2) == replace(Point(x=1), y=2) == Point(x=1, y=2)
    with pytest.raises(TypeError):
        replace(Point(x=1), z=2)  # type: ignore[call-arg]
