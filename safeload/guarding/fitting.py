"""Puts the doors of libraries into their modules, and takes them out. Imported when the first of them is there."""

from __future__ import annotations

import re

from safeload.guarding import libraries, unpicklers
from safeload.guarding.doors import MARK, Door, Function, Makers, Methods, Unpicklers, function, maker, method
from safeload.guarding.rebind import Pair, rebind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


class Fitted:
    """The doors that stand in this process."""

    def __init__(self) -> None:
        self._read: set[str] = set()
        self._homes: dict[str, list[tuple[Door, str]]] = {}
        self._methods: dict[str, list[tuple[Methods, re.Pattern[str]]]] = {}
        self._pairs: dict[int, Pair] = {}
        self._changed: list[tuple[Any, str, Any, Any]] = []
        """`(owner, name, before, after)` of every attribute that was set."""

    def wants(self, name: str) -> bool:
        """Whether a module, by its full name, may have doors. It is of a package that is known to have some."""
        package = name.partition(".")[0]
        if package not in self._read:
            self._know(package)
        return name in self._homes or package in self._methods

    def _know(self, package: str) -> None:
        for door in libraries.library(package).doors:
            if isinstance(door, Methods):
                self._methods.setdefault(door.library, []).append((door, re.compile(door.pattern)))
                continue
            for home in door.homes:
                module, _, name = home.partition(":")
                if module.partition(".")[0] == package:
                    self._homes.setdefault(module, []).append((door, name))
        self._read.add(package)

    def rebind(self) -> list[str]:
        """Put the doors wherever the genuine loaders were bound. Returns where that could not be done."""
        return rebind(list(self._pairs.values()))

    def take_out(self) -> None:
        """Take all of them out, those included that were bound elsewhere meanwhile."""
        while self._changed:
            owner, name, before, after = self._changed.pop()
            if vars(owner).get(name) is after:
                if before is _NOTHING:
                    type.__delattr__(owner, name)
                else:
                    _set(owner, name, before)
        rebind([Pair(pair.new, pair.old) for pair in self._pairs.values()])
        self._pairs.clear()

    # --- one module ---------------------------------------------------------------------------------------------

    def open(self, module: ModuleType) -> None:
        """Put in the doors of a module that has just run."""
        name = module.__name__
        for door, attribute in self._homes.get(name, ()):
            owner, attribute = _owner(module, attribute)
            if owner is not None and (genuine := vars(owner).get(attribute)) is not None:
                self._put(door, owner, attribute, genuine)
        for methods, pattern in self._methods.get(name.partition(".")[0], ()):
            for value in list(vars(module).values()):
                if isinstance(value, type) and value.__module__ == name:
                    self._put_methods(methods, pattern, value)

    def _put(self, door: Door, module: ModuleType | type, attribute: str, genuine: Any) -> None:
        if isinstance(door, Function):
            self._replace(module, attribute, genuine, lambda: _function(door, genuine))
        elif isinstance(door, Makers) and not hasattr(vars(genuine).get("__init__"), MARK):
            self._change(genuine, "__init__", maker(door, genuine, genuine.__init__))
        elif isinstance(door, Unpicklers):
            self._put_unpickler(door, module, attribute, genuine)

    def _replace(self, module: ModuleType | type, attribute: str, genuine: Any, make: Any) -> None:
        if MARK in getattr(genuine, "__dict__", ()):
            return
        pair = self._pairs.get(id(genuine))
        if pair is None or pair.old is not genuine:
            pair = self._pairs[id(genuine)] = Pair(genuine, make())
        self._change(module, attribute, pair.new)

    def _put_unpickler(self, door: Unpicklers, module: ModuleType | type, attribute: str, genuine: type) -> None:
        if MARK in vars(genuine):
            return
        in_python = bool(genuine.__flags__ & _IN_PYTHON)
        for found in unpicklers.made_of(genuine):
            own = vars(found).get("load")
            if MARK not in vars(found) and not hasattr(own, MARK) and (not in_python or own is not None):
                self._change(found, "load", unpicklers.loader(door, own or genuine.load))  # type: ignore[attr-defined]
        if not in_python:
            self._replace(module, attribute, genuine, lambda: unpicklers.stand_in(door, genuine))
        elif not hasattr(vars(genuine)["load"], MARK):
            self._change(genuine, "load", unpicklers.loader(door, vars(genuine)["load"]))

    def _put_methods(self, door: Methods, pattern: re.Pattern[str], owner: type) -> None:
        for name, member in list(vars(owner).items()):
            if isinstance(member, classmethod) and pattern.fullmatch(name) and not hasattr(member.__func__, MARK):
                self._change(owner, name, classmethod(method(door, name, member.__func__)))

    def _change(self, owner: Any, name: str, value: Any) -> None:
        self._changed.append((owner, name, vars(owner).get(name, _NOTHING), value))
        _set(owner, name, value)


def _function(door: Function, genuine: Any) -> Any:
    """What stands in the place of a function, or of a static method."""
    if isinstance(genuine, staticmethod):
        return staticmethod(function(door, genuine.__func__))
    return function(door, genuine)


def _owner(module: ModuleType, name: str) -> tuple[ModuleType | type | None, str]:
    """What has the attribute that a home names: the module, or for `Class.method` a class of it."""
    outer, _, last = name.rpartition(".")
    if not outer:
        return module, last
    found = vars(module).get(outer)
    return (found if isinstance(found, type) else None), last


_NOTHING = object()
_IN_PYTHON = 1 << 9
"""The flag of types that were made by a class statement: only those take attributes."""


def _set(owner: Any, name: str, value: Any) -> None:
    if isinstance(owner, type):
        type.__setattr__(owner, name, value)
    else:
        setattr(owner, name, value)
