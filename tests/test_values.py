"""Our value classes behave as those of `dataclasses` do, wherever both exist."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from typing import Any, ClassVar

import pytest

from safeload import values


@values.dataclass(frozen=True, slots=True)
class Point:
    """A frozen pair."""

    kind: ClassVar[str] = "point"
    x: int
    y: int = 0


@values.dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    name: str


@values.dataclass(frozen=True, slots=True, kw_only=True)
class Derived(Base):
    many: list[int] = values.field(default_factory=list)
    hidden: int = values.field(default=1, repr=False, compare=False)


@values.dataclass(slots=True)
class Open:
    x: int
    later: Any = None

    def __post_init__(self) -> None:
        self.later = self.x + 1


@values.dataclass(frozen=True, slots=True, eq=False)
class Alone:
    x: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ordinary(Base):
    """An ordinary dataclass that inherits from one of ours."""

    extra: int = 7


def test_positional_and_keyword_arguments_with_defaults() -> None:
    """Fields are set in order or by name; defaults fill in; a factory makes a new value each time."""
    assert (Point(1).x, Point(1).y, Point(1, 2).y, Point(y=3, x=1).y) == (1, 0, 2, 3)
    first, second = Derived(name="a"), Derived(name="a")
    assert first.many == [] and first.many is not second.many
    assert Open(1).later == 2 and Point.kind == "point"


@pytest.mark.parametrize(
    "call",
    [
        lambda: Point(),
        lambda: Point(1, 2, 3),
        lambda: Point(1, x=1),
        lambda: Point(1, z=1),
        lambda: Base("a"),
        lambda: Base(),
        lambda: Derived(many=[]),
        lambda: Derived(name="a", other=1),
    ],
)
def test_wrong_arguments_are_a_type_error(call: Any) -> None:
    """Too many, too few, twice, unknown, or by position where only names count."""
    with pytest.raises(TypeError):
        call()


def test_a_frozen_value_cannot_change() -> None:
    """Assigning, deleting and inventing attributes raise what `dataclasses` raises."""
    point = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.z = 2
    opened = Open(1)
    opened.x = 2
    assert opened.x == 2
    with pytest.raises(AttributeError):
        opened.z = 1


def test_equality_and_hash() -> None:
    """Equal fields of the same class are equal and hash alike; fields left out of the comparison do not count."""
    assert Point(1, 2) == Point(1, 2) != Point(1, 3)
    assert hash(Point(1, 2)) == hash(Point(1, 2))
    assert Derived(name="a", hidden=1) == Derived(name="a", hidden=2)
    assert Base(name="a") != Derived(name="a")
    assert Alone(1) != Alone(1) and hash(Alone(1)) is not None
    with pytest.raises(TypeError, match="unhashable"):
        hash(Open(1))


def test_text_and_patterns() -> None:
    """`repr` and `match` are those of a dataclass."""
    assert repr(Point(1)) == "Point(x=1, y=0)"
    assert repr(Derived(name="a")) == "Derived(name='a', many=[])"
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)
    assert Base.__match_args__ == ()


@pytest.mark.parametrize("value", [Point(1, 2), Derived(name="a", many=[1]), Open(1), Ordinary(name="a")], ids=repr)
def test_copies_are_equal(value: object) -> None:
    """`copy`, `deepcopy` and a round trip through pickle give an equal value."""
    assert copy.copy(value) == value == copy.deepcopy(value)
    assert pickle.loads(pickle.dumps(value)) == value


def test_the_functions_of_dataclasses_accept_them() -> None:
    """`fields`, `replace`, `asdict` and `is_dataclass` see an ordinary dataclass."""
    assert [field.name for field in dataclasses.fields(Derived)] == ["name", "many", "hidden"]
    assert [field.kw_only for field in dataclasses.fields(Point)] == [False, False]
    assert dataclasses.is_dataclass(Point) and dataclasses.is_dataclass(Point(1))
    assert dataclasses.replace(Point(1, 2), y=5) == Point(1, 5) == values.replace(Point(1, 2), y=5)
    assert dataclasses.asdict(Derived(name="a", many=[1])) == {"name": "a", "many": [1], "hidden": 1}


def test_an_ordinary_dataclass_may_inherit_from_ours() -> None:
    """It has the fields of both, is frozen as a whole, and can be replaced; the other way round is refused."""
    made = Ordinary(name="a")
    assert (made.name, made.extra) == ("a", 7)
    assert values.replace(made, extra=8) == Ordinary(name="a", extra=8)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.name = "b"
    with pytest.raises(TypeError, match="ordinary dataclass"):
        values.dataclass(slots=True)(type("Wrong", (Ordinary,), {}))


def test_a_form_that_does_not_exist_is_refused() -> None:
    """Only classes with slots are made; `replace` knows no field that is not there."""
    with pytest.raises(TypeError, match="slots=True"):
        values.dataclass(slots=False)
    with pytest.raises(TypeError, match="unexpected"):
        values.replace(Point(1), z=1)


def test_they_are_made_without_dataclasses() -> None:
    """Importing the module and using a class of it loads neither `dataclasses` nor `inspect`."""
    code = "import sys, safeload.core.finding; print({'dataclasses', 'inspect'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
