"""The classes that unpickle: whoever asks one of them to load a foreign file is answered by `safeload.pickle`.

1. `pickle.Unpickler`, written in C, is replaced by a class made of it; classes made of it before get a `load` each.
2. `pickle._Unpickler`, written in Python, and the classes made of it, get theirs in place.
3. What a subclass does with names (`find_class`) and ids (`persistent_load`) is not asked: a value is made of plain
   data and of what the allowlists vouch for, or refused.
"""

from __future__ import annotations

import functools
import gc
import sys
import types

from safeload.guarding import callers
from safeload.guarding.doors import MARK, Unpicklers, absent, advice, counterpart, trusted, trusts
from safeload.guarding.state import Settings, current, denied, watched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_WORDS = "_safeload_words"
"""The attribute that keeps the keywords an unpickler was made with."""
_KNOWN = ("fix_imports", "encoding", "errors", "buffers")


def loader(door: Unpicklers, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What stands in the place of an unpickler's `load`."""

    @functools.wraps(original)
    def load(self: Any) -> Any:
        settings = current()
        if settings is None:
            return original(self)
        space = callers.caller(sys._getframe(1))
        if trusts(space, settings):
            with trusted("pickle"):
                return original(self)
        return watched(lambda: _answer(door, self, settings, space))

    setattr(load, MARK, True)
    return load


def _answer(door: Unpicklers, unpickler: Any, settings: Settings, space: dict[str, Any]) -> Any:
    from safeload.core.names import escape

    name = f"{type(unpickler).__module__}.{type(unpickler).__qualname__}"
    file = _file_of(unpickler)
    if file is None:
        raise denied(
            f"{escape(name)}.load was refused",
            why="this process is under safeload.guard(), and what it reads from cannot be told",
            remedy=f"{door.ours}.load(file)",
        )
    ours = counterpart(f"{door.ours}.load")
    if ours is None:
        raise absent(f"{escape(name)}.load", f"{door.ours}.load")
    with advice(space, settings, f"{door.ours}.load"):
        return ours(file, **getattr(unpickler, _WORDS, {}), unknown="refuse", safeload=settings.options)


def _file_of(unpickler: Any) -> Any:
    """The file that an unpickler was made for: it keeps the file's methods, and those keep the file."""
    held = getattr(unpickler, "__dict__", {}).get("_file_read")
    for read in (held, *gc.get_referents(unpickler)):
        if getattr(read, "__name__", "") == "read" and getattr(read, "__self__", None) is not None:
            return read.__self__
    return None


def stand_in(door: Unpicklers, genuine: type) -> type:
    """A class in the place of `pickle.Unpickler`, made of it: it can be called and made classes of as that could."""

    def __init__(self: Any, file: Any, **words: Any) -> None:
        super(type_of_ours, self).__init__(file, **words)
        self.__dict__[_WORDS] = {name: value for name, value in words.items() if name in _KNOWN}

    body = {
        "__module__": genuine.__module__,
        "__qualname__": genuine.__qualname__,
        "__doc__": genuine.__doc__,
        "__init__": __init__,
        "load": loader(door, genuine.load),  # type: ignore[attr-defined]
        MARK: True,
    }
    type_of_ours: Any = types.new_class(genuine.__name__, (genuine,), {}, lambda space: space.update(body))
    made: type = type_of_ours
    return made


def made_of(genuine: type) -> Iterator[type]:
    """Every class that is made of this one by now, the farthest too."""
    pending: list[type] = list(type.__subclasses__(genuine))
    seen: set[type] = set()
    while pending:
        found = pending.pop()
        if found not in seen:
            seen.add(found)
            pending.extend(type.__subclasses__(found))
            yield found
