"""An object is replaced wherever it is bound."""

from __future__ import annotations

import functools
import gc
import types
from typing import Any

import pytest

from safeload.guarding.rebind import Pair, rebind


def genuine() -> str:
    return "genuine"


def ours() -> str:
    return "ours"


@pytest.fixture
def pair() -> Pair:
    """A function of its own for each test, and what replaces it."""
    code = genuine.__code__
    return Pair(types.FunctionType(code, {}), types.FunctionType(ours.__code__, {}))


def test_globals_registries_and_lists_are_replaced(pair: Pair) -> None:
    """Values of dictionaries, whoever's they are, and items of lists and sets."""
    space: dict[str, Any] = {"load": pair.old, "other": 1}
    items, members = [pair.old, 2], {pair.old, 3}
    assert rebind([pair]) == []
    assert space == {"load": pair.new, "other": 1} and items == [pair.new, 2] and members == {pair.new, 3}


def test_defaults_and_closures_are_replaced(pair: Pair) -> None:
    """Defaults by position and by keyword, and variables of enclosing functions."""

    def make(load: Any) -> Any:
        return lambda: load()

    def call(load: Any = pair.old, *, also: Any = pair.old) -> tuple[str, str]:
        return load(), also()

    closure = make(pair.old)
    assert rebind([pair]) == []
    assert closure() == "ours" and call() == ("ours", "ours")


def test_attributes_of_classes_and_objects_are_replaced(pair: Pair) -> None:
    """A class that holds the function serves the other one from then on, as its subclasses and objects do."""
    kind = type("Kind", (), {"load": staticmethod(pair.old), "again": pair.old, "__doc__": None})
    below, thing = type("Below", (kind,), {}), kind()
    thing.own = pair.old
    assert below.again() == "genuine"
    rebind([pair])
    assert below.again() == "ours" and thing.own is pair.new


def test_a_builtin_in_a_class_does_not_become_a_method() -> None:
    """A builtin takes no `self`; what replaces it takes none either."""
    pair = Pair(gc.get_freeze_count, lambda *args: args)
    kind = type("Kind", (), {"look": gc.get_freeze_count, "__doc__": None})
    rebind([pair])
    try:  # nobody else asks for that count meanwhile
        assert kind().look(1) == (1,)
    finally:
        rebind([Pair(pair.new, pair.old)])
    assert kind.look is gc.get_freeze_count is pair.old


def test_a_partial_calls_the_other_function(pair: Pair) -> None:
    """The arguments of a `functools.partial` stay what they were."""
    bound = functools.partial(pair.old)
    bound.note = "kept"  # type: ignore[attr-defined]
    rebind([pair])
    assert bound() == "ours" and bound.note == "kept"  # type: ignore[attr-defined]


def test_ours_goes_on_knowing_the_genuine_one() -> None:
    """What stands in a function's place refers to it, and is not made to refer to itself."""

    def made(old: Any) -> Any:
        @functools.wraps(old)
        def wrapper() -> Any:
            return "wrapped " + old()

        return wrapper

    old = types.FunctionType(genuine.__code__, {})
    wrapper = made(old)
    space = {"load": old}
    rebind([Pair(old, wrapper)])
    assert space["load"] is wrapper and wrapper() == "wrapped genuine" and wrapper.__wrapped__ is old


def test_what_cannot_be_replaced_is_told(pair: Pair) -> None:
    """A cache of compiled code keeps what it has, and its kind is returned."""
    cached = functools.lru_cache(pair.old)
    del cached.__wrapped__  # the attribute can be replaced; what is called cannot
    assert any("lru_cache" in kind for kind in rebind([pair]))
    assert cached() == "genuine"


def test_it_can_be_undone(pair: Pair) -> None:
    """Replacing the other way round restores every place."""
    space, items = {"load": pair.old}, [pair.old]
    rebind([pair])
    rebind([Pair(pair.new, pair.old)])
    assert space["load"] is pair.old and items == [pair.old]


def test_static_methods_are_made_anew(pair: Pair) -> None:
    """`load = staticmethod(torch.load)`, as many classes have it."""
    kind = type("Kind", (), {"load": staticmethod(pair.old)})
    assert rebind([pair]) == [] and kind.load() == kind().load() == "ours"
