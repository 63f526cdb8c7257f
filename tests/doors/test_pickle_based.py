"""Classes that the caller hands over and that extend a builtin type: what is made, and what is refused beforehand."""

from __future__ import annotations

import collections
import copyreg
import dataclasses
import decimal
import fractions
import io
import pickle as standard
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from safeload import pickle
from safeload.core.errors import MalformedInput, SafeloadError, UsageError

PROTOCOLS = range(6)
_MODULUS = (1 << 61) - 1
"""Whole multiples of it have one hash."""


class Pair(NamedTuple):
    left: object
    right: object = None


Old = collections.namedtuple("Old", "count index")


class Named(Pair):
    __slots__ = ()

    def both(self) -> object:
        return self.left, self.right


class Ints(list[Any]):
    def __init__(self, *args: Any) -> None:
        self.made = True
        super().__init__(*args)


class Settings(dict[str, Any]):
    """As half of the world writes it: entries are attributes."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


class Ordered(collections.OrderedDict[str, Any]):
    pass


class Tags(set[str]):
    pass


class Frozen(frozenset[str]):
    pass


class Triple(tuple[int, ...]):
    pass


class Word(str):
    pass


class Raw(bytes):
    pass


class Count(int):
    pass


class Metre(float):
    pass


class Point(complex):
    pass


CLASSES = [Pair, Old, Named, Ints, Settings, Ordered, Tags, Frozen, Triple, Word, Raw, Count, Metre, Point]


def _values() -> Iterator[Any]:
    yield Pair(1, [2])
    yield Pair((1,))
    yield Old(1, 2)
    yield Named("a", "b")
    yield Ints([1, 2, 3])
    yield Ints()
    yield Settings(a=1, b={"c": 2})
    yield Ordered(a=1, b=2)
    yield Tags({"a"})
    yield Frozen({"a"})
    yield Triple((1, 2))
    yield Triple()
    yield Word("text")
    yield Raw(b"\xff\0")
    yield Count(-5)
    yield Count(1 << 100)
    yield Metre(1.5)
    yield Point(1 + 2j)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("value", [*_values()], ids=repr)
def test_instances_come_back(value: Any, protocol: int) -> None:
    """As pickle gives them, of their own class, with their attributes and what was one object still one."""
    if hasattr(value, "__dict__") and not isinstance(value, Settings):
        value.note = [value.__class__.__name__]
    data = standard.dumps([value, value], protocol)
    expected, _ = standard.loads(data)
    found, same = pickle.loads(data, classes=CLASSES)
    assert found is same
    assert type(found) is type(value) and found == expected == value
    assert getattr(found, "__dict__", None) == getattr(expected, "__dict__", None)


@pytest.mark.parametrize("protocol", PROTOCOLS[2:])
def test_they_may_hold_themselves(protocol: int) -> None:
    """Through items, entries, attributes and tuples."""
    numbers, settings = Ints(), Settings()
    numbers.append((numbers, settings))
    settings["me"] = settings
    numbers.owner = settings
    found = pickle.loads(standard.dumps(numbers, protocol), classes=CLASSES)
    assert found[0][0] is found and type(found) is Ints
    assert found[0][1]["me"] is found[0][1] is found.owner


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_they_may_be_keys(protocol: int) -> None:
    """A named tuple hashes as the tuple that it is."""
    value = {Pair(1, "a"): 1, Word("b"): 2, Count(3): 4, Frozen({"c"}): 5}
    found = pickle.loads(standard.dumps(value, protocol), classes=CLASSES)
    assert found == value and [type(key) for key in found] == [Pair, Word, Count, Frozen]


# ── refused when they are handed over ───────────────────────────────────────────────────────────────────────────


def _with(base: Any, name: str) -> type:
    def ran(*args: Any) -> Any:
        raise AssertionError("a method ran")

    return type("Own", (base,), {name: ran})


@pytest.mark.parametrize(
    "kind",
    [
        *(
            _with(list, name)
            for name in ("append", "extend", "__iter__", "__len__", "__getitem__", "__eq__", "__del__")
        ),
        *(_with(dict, name) for name in ("__setitem__", "update", "items", "get", "__missing__", "__contains__")),
        *(_with(tuple, name) for name in ("__new__", "__hash__", "__iter__", "__bool__", "__setstate__")),
        *(_with(Pair, name) for name in ("__new__", "__iter__", "__eq__")),
        *(_with(set, name) for name in ("add", "update", "__init__", "__contains__")),
        *(_with(int, name) for name in ("__index__", "__lt__", "__hash__", "__bool__", "__getattribute__")),
        *(_with(str, name) for name in ("__eq__", "encode", "__class__", "__hash__")),
    ],
    ids=lambda kind: f"{kind.__mro__[1].__name__} {next(iter(vars(kind)))}",
)
def test_classes_with_methods_of_their_own_are_refused(kind: type) -> None:
    """What would run while such an object is made, or looked at, is refused before anything is read."""
    with pytest.raises(UsageError, match=r"which (pickle )?would run"):
        pickle.loads(standard.dumps(1), classes=[kind])


def test_the_method_is_named() -> None:
    """And what to do without the class."""
    with pytest.raises(UsageError, match=r"its own append.*(?s:.*)its objects are records"):
        pickle.loads(standard.dumps(1), classes=[_with(list, "append")])


# ── refused in a file ───────────────────────────────────────────────────────────────────────────────────────────


class _Call:
    """Pickles as the call it is made of."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    @property
    def __class__(self) -> Any:  # picklers want the class that they write for `__newobj__`
        return self.parts[1][0] if self.parts[0] is _NEWOBJ else _Call

    @__class__.setter
    def __class__(self, kind: Any) -> None:
        raise AssertionError

    def __reduce__(self) -> Any:
        return (*self.parts[:3], *(part and iter(part) for part in self.parts[3:]))


def _new(kind: Any, *args: Any) -> Any:
    return _Call(_NEWOBJ, (kind, *args))


_NEWOBJ: Any = vars(copyreg)["__newobj__"]


@pytest.mark.parametrize(
    "value",
    [
        _new(Pair),
        _new(Pair, 1),
        _new(Pair, 1, 2, 3),
        _Call(Pair, (1, 2)),
        _Call(Ints, ([1],)),
        _Call(Settings, ()),
        _new(Ints, 3),
        _new(Ints, "text"),
        _new(Ints, [1], [2]),
        _new(Settings, [("a", 1)]),
        _new(Settings, 1),
        _new(Triple, 1),
        _new(Triple, {1: 2}),
        _new(Word, b"bytes"),
        _new(Word, b"bytes", "latin1"),
        _new(Raw, 1 << 40),
        _new(Raw, "text"),
        _new(Count, "5"),
        _new(Count, "ff", 16),
        _new(Count, 1.5),
        _new(Metre, "1e5"),
        _new(Point, "1j"),
        _Call(Tags, (3,)),
        _Call(Tags, ([[]],)),
        _Call(Frozen, ([{}],)),
        _Call(_NEWOBJ, (Pair, 1, 2), None, [1]),
        _Call(_NEWOBJ, (Pair, 1, 2), None, None, [(1, 2)]),
        _Call(_NEWOBJ, (Settings,), None, [1]),
        _Call(_NEWOBJ, (Settings,), None, None, [([], 2)]),
        _Call(_NEWOBJ, (Ints,), {"append": 1}),
        _Call(_NEWOBJ, (Ints,), {"__class__": 1}),
        _Call(_NEWOBJ, (Pair, 1, 2), {"both": 1}),
        _Call(_NEWOBJ, (Named, 1, 2), {"both": 1}),
    ],
    ids=lambda value: value.parts[0].__name__,
)
@pytest.mark.parametrize("unknown", ["refuse", "record"])
def test_what_does_not_fit_is_refused(value: Any, unknown: Any) -> None:
    """Arguments that are for a method, of another type, or not as many as there are fields."""
    with pytest.raises(SafeloadError):
        pickle.loads(standard.dumps(value, 4), classes=CLASSES, unknown=unknown)


@pytest.mark.parametrize("of", ["tuple", "object", "list"])
def test_the_old_way_takes_only_its_own_type(of: str) -> None:
    """Protocols 0 and 1 name the builtin type beside the class."""
    data = f"ccopyreg\n_reconstructor\n(c{__name__}\nSettings\nc__builtin__\n{of}\n(ltR.".encode()
    with pytest.raises(SafeloadError):
        pickle.loads(data, classes=CLASSES)


def test_a_getter_is_not_asked_for_attributes() -> None:
    """Where an instance has no place for any."""

    class Bare(tuple[int, ...]):
        __slots__ = ()

        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    Bare.__qualname__ = "Bare"
    globals()["Bare"] = Bare
    with pytest.raises(MalformedInput, match="no place"):
        pickle.loads(standard.dumps(_Call(_NEWOBJ, (Bare, (1,)), {"a": 1})), classes=[Bare])


def test_what_would_run_does_not() -> None:
    """A constructor, a setter of attributes and a getter are there, and silent."""
    ran: list[str] = []

    class Loud(dict[str, Any]):
        def __init__(self, *args: Any) -> None:
            ran.append("init")
            super().__init__(*args)

        def __getattr__(self, name: str) -> Any:
            ran.append(name)
            raise AttributeError(name)

        def __setattr__(self, name: str, value: Any) -> None:
            ran.append(name)

        def __repr__(self) -> str:
            ran.append("repr")
            return ""

    Loud.__qualname__ = "Loud"
    globals()["Loud"] = Loud
    file = io.BytesIO()
    pickler = standard.Pickler(file)
    pickler.dispatch_table = {Loud: lambda one: (_NEWOBJ, (Loud,), {"a": 1}, None, iter([("b", 2)]))}
    pickler.dump([Loud()])
    ran.clear()
    (found,) = pickle.loads(file.getvalue(), classes=[Loud])
    assert ran == []
    assert vars(found) == {"a": 1} and dict(found) == {"b": 2}


# ── keys that were chosen to be slow ────────────────────────────────────────────────────────────────────────────


@dataclasses.dataclass(frozen=True)
class Cell:
    place: int


class _Keys:
    """Pickles as a dictionary of these keys, without making one."""

    def __init__(self, make: Callable[[int], object]) -> None:
        self.make = make

    def __reduce__(self) -> Any:
        return dict, ([[self.make(number), 1] for number in range(1, 2_500)],)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: decimal.Decimal(n * _MODULUS),
        lambda n: fractions.Fraction(n * _MODULUS + 1, 1),
        lambda n: fractions.Fraction(5 * n + _MODULUS, n),
        lambda n: uuid.UUID(int=n * _MODULUS),
        lambda n: complex(10**15 - 1_000_003 * n, n),
        lambda n: Count(n * _MODULUS),
        lambda n: Pair(n * _MODULUS, "x"),
        lambda n: Cell(n * _MODULUS),
        lambda n: (Cell(n * _MODULUS), 1),
    ],
    ids=["decimal", "fraction", "fraction of several", "uuid", "complex", "int", "named tuple", "dataclass", "nested"],
)
def test_objects_of_one_hash_are_refused(make: Callable[[int], object]) -> None:
    """Six thousand such fractions kept a dictionary busy for a quarter of a minute, and more for longer."""
    with pytest.raises(MalformedInput, match="chosen to be slow"):
        pickle.loads(standard.dumps(_Keys(make)), classes=[Count, Pair, Cell])


def test_many_ordinary_objects_are_no_crowd() -> None:
    """Equal ones are one, however many there are."""
    value = {
        "same": [decimal.Decimal(1)] * 10 + [decimal.Decimal("1.5") for _ in range(3_000)],
        "different": {Pair(n, str(n)): Cell(n) for n in range(3_000)},
        "cells": {Cell(n): fractions.Fraction(1, n + 1) for n in range(3_000)},
        "odd": [decimal.Decimal("sNaN"), decimal.Decimal("NaN"), Count(1 << 10_000)],
    }
    found = pickle.loads(standard.dumps(value), classes=[Pair, Cell, Count])
    assert found["different"] == value["different"] and found["cells"] == value["cells"]
