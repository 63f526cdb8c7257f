"""Putting one object in the place of another, wherever it is bound: `from torch import load` of long ago included.

The garbage collector knows what refers to an object. Replaced are: values of dictionaries (globals of modules, keyword
defaults, registries), attributes of classes, items of lists and sets, defaults of functions, variables of closures, and
the function of a `functools.partial`. Not reached are: local variables of functions that are running, tuples that are
no defaults, slots and fields of objects, and whatever compiled code keeps for itself. What was found and could not be
replaced is returned.
"""

from __future__ import annotations

import functools
import gc
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


class Pair:
    """What is replaced by what. (Its slots are what the collector sees of it, and are left alone.)"""

    __slots__ = ("new", "old")

    def __init__(self, old: Any, new: Any) -> None:
        self.old = old
        self.new = new


def rebind(pairs: Iterable[Pair]) -> list[str]:
    """Replace each old object by its new one. Returns where one was found and could not be replaced."""
    table = _Table(pairs)
    if not table.pairs:
        return []
    ours = [function for pair in table.pairs for one in (pair.old, pair.new) for function in _functions(one)]
    spared = {id(vars(function)) for function in ours}
    spared |= {id(cell) for function in ours for cell in function.__closure__ or ()}
    missed: list[str] = []
    spaces: list[dict[Any, Any]] = []
    tuples: list[tuple[Any, ...]] = []
    again: list[Pair] = []
    for place in gc.get_referrers(*(pair.old for pair in table.pairs)):
        if id(place) in spared:
            continue
        if isinstance(place, dict):
            if "__module__" in place and "__name__" not in place and _is_namespace(place):
                spaces.append(place)
            else:
                table.in_dict(place)
        elif isinstance(place, types.CellType):
            place.cell_contents = table.of(place.cell_contents)
        elif isinstance(place, functools.partial):
            place.__setstate__((table.of(place.func), place.args, place.keywords, vars(place) or None))  # type: ignore[attr-defined]
        elif isinstance(place, list):
            place[:] = [table.of(value) for value in place]
        elif isinstance(place, set):
            changed = {table.of(value) for value in place}
            place.clear()
            place.update(changed)
        elif isinstance(place, tuple):
            tuples.append(place)
        elif isinstance(place, staticmethod | classmethod):
            again.append(Pair(place, type(place)(table.of(place.__func__))))
        elif not isinstance(place, Pair | types.FrameType | type) and not table.has(_owner(place)):
            table.in_dict(_attributes(place))
            if any(map(table.has, gc.get_referents(place))):
                missed.append(f"a {type(place).__module__}.{type(place).__qualname__}")
    _in_classes(spaces, table)
    _in_defaults(tuples, table)
    return missed + rebind(again)


def _functions(one: Any) -> list[types.FunctionType]:
    """The functions that the two are made of: ours know the genuine ones, and must go on knowing them."""
    members = vars(one).values() if isinstance(one, type) else (one,)
    return [member for member in members if isinstance(member, types.FunctionType)]


class _Table:
    def __init__(self, pairs: Iterable[Pair]) -> None:
        self.pairs = tuple(pairs)
        self._by_id = {id(pair.old): pair for pair in self.pairs}

    def of(self, value: Any) -> Any:
        pair = self._by_id.get(id(value))
        return value if pair is None else pair.new

    def has(self, value: Any) -> bool:
        return id(value) in self._by_id

    def in_dict(self, place: dict[Any, Any]) -> None:
        for key, value in list(place.items()):
            if self.has(value):
                place[key] = self.of(value)


def _attributes(place: Any) -> dict[Any, Any]:
    """The attributes of an ordinary object, which may lie in the object itself rather than in a dictionary."""
    try:
        found = object.__getattribute__(place, "__dict__")
    except AttributeError:
        return {}
    return found if isinstance(found, dict) else {}


def _owner(place: Any) -> Any:
    """The class whose own method, slot or `__new__` something is."""
    return getattr(place, "__objclass__", None) or getattr(place, "__self__", None)


def _is_namespace(place: dict[Any, Any]) -> bool:
    return "__doc__" in place or "__dict__" in place or "__qualname__" in place


def _in_classes(spaces: list[dict[Any, Any]], table: _Table) -> None:
    """Attributes of classes are set through the class, which keeps copies of what it looked up."""
    if not spaces:
        return
    for owner in gc.get_referrers(*spaces):
        if not isinstance(owner, type):
            continue
        for name, value in list(vars(owner).items()):
            if table.has(value):
                new = table.of(value)
                binds = isinstance(value, types.FunctionType) or not isinstance(new, types.FunctionType)
                _set(owner, name, new if binds else staticmethod(new))


def _set(owner: type, name: str, value: Any) -> None:
    if owner.__flags__ & (1 << 9):  # a class written in Python: those of C take no attributes
        type.__setattr__(owner, name, value)


def _in_defaults(tuples: list[tuple[Any, ...]], table: _Table) -> None:
    if not tuples:
        return
    known = {id(place) for place in tuples}
    for owner in gc.get_referrers(*tuples):
        if isinstance(owner, types.FunctionType) and id(owner.__defaults__) in known:
            owner.__defaults__ = tuple(table.of(value) for value in owner.__defaults__ or ())
