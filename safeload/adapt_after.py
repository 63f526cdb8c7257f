"""After the load: how long an admitted directory lives, and the doors through which a model can still load more."""

from __future__ import annotations

import functools
import os
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from safeload.engine.options import Options

_KEEPER = "_safeload_keeper"


class Closable(Protocol):
    def close(self) -> None: ...


class Keeper:
    """Keeps admitted directories as long as anything loaded from them lives, and remembers under which options.

    Copies of a holder share its keeper. A pickled keeper keeps the options and no directory: whoever unpickles it may
    be another process, which must not decide about this one's.
    """

    def __init__(self, reference: str, options: Options, admissions: Iterable[Closable] = ()) -> None:
        self.reference = reference
        self.options = options
        self._close = weakref.finalize(self, _close_all, os.getpid(), tuple(admissions))

    def __copy__(self) -> Keeper:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Keeper:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Keeper, (self.reference, self.options)

    def close(self) -> None:
        """Give the directories up now."""
        self._close()

    def extend(self, admission: Closable) -> None:
        """Keep one more directory."""
        previous = self._close.detach()
        held = previous[2][1] if previous else ()
        self._close = weakref.finalize(self, _close_all, os.getpid(), (*held, admission))


def _close_all(owner: int, admissions: tuple[Closable, ...]) -> None:
    if os.getpid() == owner:  # a forked child inherits the finalizer, but not the directory
        for admission in admissions:
            admission.close()


def hold(holder: Any, keeper: Keeper) -> None:
    """Let an object keep the keeper among its attributes, where copies and pickles of it take it along."""
    vars(holder)[_KEEPER] = keeper


def hold_apart(holder: Any, keeper: Keeper) -> None:
    """Let an object keep the keeper without an attribute: for those that write their attributes to files."""
    weakref.finalize(holder, _drop, keeper)


def _drop(keeper: Keeper) -> None:
    """Called when a holder is gone; its argument was the reference that kept the keeper."""


def keeper_of(holder: Any) -> Keeper | None:
    """The keeper that an object holds among its attributes."""
    keeper = vars(holder).get(_KEEPER)
    return keeper if isinstance(keeper, Keeper) else None


# --- doors that open after the load ---------------------------------------------------------------------------------


class Door(Protocol):
    """Stands in a method of what safeload loaded: it judges the call, and makes it with `original(self, …)`."""

    def __call__(
        self, keeper: Keeper, original: Callable[..., Any], holder: Any, /, *args: Any, **kwargs: Any
    ) -> Any: ...


def install_door(owner: type, name: str, door: Door) -> None:
    """Guard a method that can load something later, on objects that hold a keeper.

    The method is replaced on the genuine class, once, because `type(model)` must stay that class. On every other object
    it does what it did.
    """
    original = owner.__dict__[name]
    if getattr(original, "_safeload_door", False):
        return

    @functools.wraps(original)
    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        keeper = keeper_of(self)
        return original(self, *args, **kwargs) if keeper is None else door(keeper, original, self, *args, **kwargs)

    method._safeload_door = True  # type: ignore[attr-defined]
    setattr(owner, name, method)


def install_class_door(owner: type, name: str, door: Callable[..., Any]) -> None:
    """The same for a class method: `door(original, cls, …)` decides for itself what it guards."""
    original = owner.__dict__[name].__func__
    if getattr(original, "_safeload_door", False):
        return

    @functools.wraps(original)
    def method(cls: type, /, *args: Any, **kwargs: Any) -> Any:
        return door(original, cls, *args, **kwargs)

    method._safeload_door = True  # type: ignore[attr-defined]
    setattr(owner, name, classmethod(method))


class _OnObjects(classmethod):  # type: ignore[type-arg]
    """A class method that is guarded where it is called on an object that holds a keeper, and itself elsewhere."""

    def __init__(self, function: Callable[..., Any], door: Door) -> None:
        super().__init__(function)
        self.door = door

    def __get__(self, holder: Any, owner: type | None = None) -> Any:
        method = super().__get__(holder, owner)
        keeper = None if holder is None else keeper_of(holder)
        return method if keeper is None else functools.partial(self.door, keeper, method, holder)


def install_object_door(owner: type, name: str, door: Door) -> None:
    """Guard a class method on objects that hold a keeper: `model.from_pretrained(…)` loads another model.

    On classes it is what it was, `type(model).from_pretrained` too.
    """
    original = vars(owner)[name]
    if isinstance(original, classmethod) and not isinstance(original, _OnObjects):
        setattr(owner, name, _OnObjects(original.__func__, door))
