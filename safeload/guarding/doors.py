"""The kinds of doors, and what happens to a call that comes through one.

A *door* is a genuine function, method or class of a library through which foreign files come in. Under a guard:

1. no guard is on any more: the genuine one is called. Whoever kept a door of ours keeps nothing that acts;
2. it is part of a guarded load: our counterpart calls what it stands for, or what is named was admitted already: the
   genuine one;
3. the call is not about a foreign file (`passes`), or it is machinery's (`callers`): the genuine one;
4. else our counterpart is called; where there is none, the call is refused. Refusals are remembered.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from types import MethodType

from safeload.guarding import callers
from safeload.guarding.state import Settings, current, denied, watched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, Never

    from safeload.core.frozen import Frozen as Value

    Arguments = tuple[tuple[Any, ...], dict[str, Any]]
else:

    class Value:
        """Its annotated fields, given by keyword. As `core.frozen` has it, without what that imports: every program
        that imports `pickle` comes by here before its first line."""

        def __init__(self, **given: Any) -> None:
            if wrong := given.keys() - type(self).__annotations__.keys():
                raise TypeError(f"{type(self).__name__} has no {', '.join(sorted(wrong))}")
            vars(self).update(given)

        def __setattr__(self, name: str, value: Never) -> None:
            raise AttributeError(f"a {type(self).__name__} is frozen")


MARK = "_safeload_guarded"
"""The attribute by which a door of ours is known. Libraries that copy functions copy it along."""
_under_way: ContextVar[frozenset[str]] = ContextVar("safeload_doors_under_way", default=frozenset())


class Function(Value):
    """A function of a library, and what stands in its place."""

    homes: tuple[str, ...]
    """Where it may be found, as `module:name` or `module:Class.method`; the first one that a version has is where it
    is defined."""
    ours: str = ""
    """The counterpart: a dotted name that mirrors the library's. Empty: there is none, and calls are refused."""
    why: str = ""
    """Why calls are refused, where they are."""
    remedy: str = ""
    passes: Callable[[tuple[Any, ...], dict[str, Any]], bool] | None = None
    """Whether a call is harmless as it is."""
    arranged: Callable[[tuple[Any, ...], dict[str, Any]], Arguments] | None = None
    """Fits a call to the counterpart's arguments."""
    machinery: bool = False
    """Whether `callers.MACHINERY` may call the genuine one."""
    inside: bool = False
    """Whether a genuine load under way may call the genuine one: the seatbelt watches that load."""
    after: Callable[[Any], None] | None = None
    """What is done with the result of the genuine one, which is called always. For those that write."""

    @property
    def name(self) -> str:
        """What users call it."""
        return self.homes[0].replace(":", ".")


class Methods(Value):
    """Class methods that load, on every class of a library that defines one."""

    library: str
    """The classes are those defined in modules of this package."""
    pattern: str
    """A regular expression for the names of the methods."""
    ours: str
    """The adapter: the module whose names mirror the library's."""
    guards: str = ""
    """A function, as `module:name`, that gives the guards of a class; by default those of the adapter's facade."""


class Makers(Value):
    """Classes that load when they are called."""

    homes: tuple[str, ...]
    ours: str
    """The adapter: the module whose names mirror the library's."""


class Unpicklers(Value):
    """The classes that unpickle, and all classes made of them."""

    homes: tuple[str, ...]
    ours: str


Door = Function | Methods | Makers | Unpicklers


class Library(Value):
    """The doors of one library."""

    name: str
    doors: tuple[Door, ...]


# --- the counterpart ------------------------------------------------------------------------------------------------


@functools.cache
def counterpart(name: str) -> Any:
    """What a dotted name of safeload stands for; `None` if this version has no such thing."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:length])
        try:
            value: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise  # it is there, and what it needs is not
            continue
        for attribute in parts[length:]:
            value = getattr(value, attribute, None)
        return value
    return None


def absent(name: str, ours: str) -> Any:
    """The refusal of a loader that has no counterpart here."""
    return denied(
        f"{name} was refused",
        why=f"this process is under safeload.guard(), and this version of safeload has no {ours}",
        remedy="pip install --upgrade safeload; or load a copy: safeload convert FILE",
    )


# --- functions ------------------------------------------------------------------------------------------------------


def function(door: Function, genuine: Callable[..., Any]) -> Callable[..., Any]:
    """What stands in the place of a genuine function."""

    @functools.wraps(genuine)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        settings = current()
        if settings is None or door.name in _under_way.get():
            return genuine(*args, **kwargs)
        if door.after is not None:
            result = genuine(*args, **kwargs)
            door.after(result)
            return result
        if door.passes is not None and door.passes(args, kwargs):
            return genuine(*args, **kwargs)
        if door.machinery and trusts(callers.caller(sys._getframe(1)), settings):
            with trusted(door.name):
                return genuine(*args, **kwargs)
        if _in_a_load() and (door.inside or _names_admitted(args, kwargs)):
            return genuine(*args, **kwargs)
        space = callers.caller(sys._getframe(1)) if door.machinery else None
        return watched(lambda: _answer(door, args, kwargs, settings, space))

    setattr(guarded, MARK, True)
    return guarded


def _answer(
    door: Function, args: tuple[Any, ...], kwargs: dict[str, Any], settings: Settings, space: dict[str, Any] | None
) -> Any:
    if not door.ours:
        raise denied(f"{door.name} was refused", why=door.why, remedy=door.remedy)
    ours = counterpart(door.ours)
    if ours is None:
        raise absent(door.name, door.ours)
    if door.arranged is not None:
        args, kwargs = door.arranged(args, kwargs)
    with under_way(door.name), advice(space, settings, door.ours):
        return ours(*args, **_with_options(ours, kwargs, settings))


@contextmanager
def advice(space: dict[str, Any] | None, settings: Settings, ours: str) -> Iterator[None]:
    """Refusals of classes that nobody vouched for say what a guard can do about it, if code of a module asked."""
    from safeload.core.errors import PolicyDenied

    try:
        yield
    except PolicyDenied as error:
        from safeload.guarding.advice import advised

        better = error if space is None else advised(error, space, settings, ours)
        if better is error:
            raise
        raise better from None


def _with_options(ours: Callable[..., Any], kwargs: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Add what the guard asks for, where the caller asked for nothing, and the counterpart takes it."""
    added = {"safeload": settings.options} | kwargs
    if "unknown" not in kwargs and _refuses_unknown(ours):
        added["unknown"] = "refuse"
    return added


@functools.cache
def _refuses_unknown(ours: Callable[..., Any]) -> bool:
    """Whether objects of foreign classes are refused.

    A checkpoint is a dictionary with tensors in it, which are what is wanted, so in torch's they come as records. Of a
    pickled object a record would be all there is, and no program expects one.
    """
    import inspect

    if ours.__module__.startswith("safeload.torch"):
        return False
    return "unknown" in inspect.signature(ours).parameters


@contextmanager
def under_way(name: str) -> Iterator[None]:
    """While our counterpart works, it may call the genuine function that it stands for."""
    token = _under_way.set(_under_way.get() | {name})
    try:
        yield
    finally:
        _under_way.reset(token)


_trusted: ContextVar[str] = ContextVar("safeload_machinery_at_work", default="")


@contextmanager
def trusted(name: str) -> Iterator[None]:
    """While machinery reads what is its own through a door, the library that the door is of may go on.

    Only that library: what is read may have methods of its own, which load something foreign.
    """
    token = _trusted.set(name.partition(".")[0])
    try:
        yield
    finally:
        _trusted.reset(token)


def trusts(space: dict[str, Any], settings: Settings) -> bool:
    """Whether code with these globals may unpickle by name: machinery, or what works for it."""
    if callers.is_machinery(space, settings):
        return True
    library = _trusted.get()
    return bool(library) and not settings.strict and callers.belongs(space, library)


def _in_a_load() -> bool:
    seatbelt = sys.modules.get("safeload.engine.seatbelt")
    return seatbelt is not None and seatbelt.worn() is not None


def _names_admitted(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether what a call names lies in directories that were admitted for the load under way; and it names some."""
    from safeload.adapt import is_reference, within_admitted

    paths = [value for value in (*args, *kwargs.values()) if is_reference(value) and os.path.exists(value)]
    return bool(paths) and all(map(within_admitted, paths))


# --- methods and makers ---------------------------------------------------------------------------------------------


def method(door: Methods, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """What stands in the place of a genuine class method; `original` is the function beneath it."""

    @functools.wraps(original)
    def guarded(cls: type, /, *args: Any, **kwargs: Any) -> Any:
        settings = current()
        genuine = MethodType(original, cls)
        # What was admitted is loaded by a load under way: with its belt on, and with the code that is approved for it.
        if settings is None or (_in_a_load() and (name.endswith("from_config") or _names_admitted(args, kwargs))):
            return genuine(*args, **kwargs)
        return watched(lambda: _judge_method(door, cls, name, genuine, args, kwargs, settings))

    setattr(guarded, MARK, True)
    return guarded


def _judge_method(
    door: Methods,
    cls: type,
    name: str,
    genuine: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    settings: Settings,
) -> Any:
    from safeload import adapt

    guard = _guards(door, cls).get(name)
    if guard is None:
        if _names_admitted(args, kwargs):
            return genuine(*args, **kwargs)
        raise absent(f"{cls.__module__}.{cls.__qualname__}.{name}", f"{door.ours}.{cls.__name__}")
    options = kwargs.pop(adapt.KEYWORD, settings.options)
    return guard(adapt.Call(owner=cls, method=genuine, args=args, kwargs=kwargs, options=options))


def _guards(door: Methods, cls: type) -> Mapping[str, Any]:
    """The guards of a class: its own, or those of the nearest class that it is made of."""
    if door.guards:
        found: Mapping[str, Any] = counterpart(door.guards)(cls)
        return found
    from safeload import adapt

    for base in cls.__mro__:
        facade = counterpart(f"{door.ours}.{base.__name__}")
        if facade is not None and facade is not base and adapt.genuine_class(facade) is base:
            return adapt.guards_of(facade)
    return {}


def maker(door: Makers, cls: type, original: Callable[..., None]) -> Callable[..., None]:
    """What stands in the place of the `__init__` of a class that loads."""

    @functools.wraps(original)
    def guarded(self: Any, /, *args: Any, **kwargs: Any) -> None:
        settings = current()
        key = f"{cls.__module__}.{cls.__qualname__}"
        if settings is None or key in _under_way.get() or (_in_a_load() and _names_admitted(args, kwargs)):
            return original(self, *args, **kwargs)
        return watched(lambda: _make(door, cls, key, original, self, args, kwargs, settings))

    setattr(guarded, MARK, True)
    return guarded


def _make(
    door: Makers,
    cls: type,
    key: str,
    original: Callable[..., None],
    self: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    settings: Settings,
) -> None:
    from safeload import adapt

    facade = counterpart(f"{door.ours}.{cls.__name__}")
    ours = None if facade is None or adapt.genuine_class(facade) is facade else vars(facade).get("__init__")
    if ours is None:
        if not any(map(adapt.is_reference, (*args, *kwargs.values()))):
            return original(self, *args, **kwargs)
        raise absent(key, f"{door.ours}.{cls.__name__}")
    with under_way(key):
        ours(self, *args, **({adapt.KEYWORD: settings.options} | kwargs))
    return None
