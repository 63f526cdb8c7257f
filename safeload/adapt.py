"""The guarded stand-in for a library's class: what every adapter shares, and nothing that belongs to one library.

A *facade* is a class that stands where the library's own ("genuine") class stood. These hold:

1. it is a subclass of the genuine class, and instances of the genuine class are instances of it;
2. calling it makes an instance of the genuine class: no object is ever of the facade's own type;
3. its guarded class methods go through a guard; everything else is the genuine class's;
4. a user's subclass of it is an ordinary subclass of the genuine class, with guarded class methods;
5. it equals the genuine class and has its hash, so it serves as a key wherever that one does; `is` tells them apart;
6. there is one facade per genuine class, and it is pickled and copied by reference.

Setting an attribute of a facade raises: it would not reach the objects, which are of the genuine class.
"""

from __future__ import annotations

import functools
import inspect
import os
import threading
import types
from abc import ABCMeta
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

from safeload.core.errors import PolicyDenied, UsageError
from safeload.engine.options import Options
from safeload.engine.seatbelt import Answers, Seatbelt, Trap, taken_off, worn

KEYWORD = "safeload"
"""The one keyword that carries safeload's own options into a call of the library."""

_GENUINE = "_safeload_genuine"
_MAKE = "_safeload_make"
_GUARDS = "_safeload_guards"
_facades: dict[int, type] = {}
_metas: dict[type, type[FacadeMeta]] = {}
_lock = threading.RLock()
_asked: ContextVar[type | None] = ContextVar("safeload_asked", default=None)
_admitted: ContextVar[tuple[str, ...]] = ContextVar("safeload_admitted", default=())

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Call:
    """One call of a guarded class method, taken apart."""

    owner: type
    """The genuine class, or a user's subclass of the facade."""
    method: Callable[..., Any]
    """The genuine class method, bound to `owner`."""
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: Options


class Guard(Protocol):
    """What stands in front of a class method: it judges the call, and makes it."""

    def __call__(self, call: Call, /) -> Any: ...


# --- the facade -----------------------------------------------------------------------------------------------------


class FacadeMeta(ABCMeta):
    """The type of facades, and of users' subclasses of them. (`ABCMeta`, so that those may be abstract as well.)"""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        genuine = genuine_class(cls)
        if genuine is cls:
            return super().__call__(*args, **kwargs)
        make: Callable[..., Any] | None = vars(cls)[_MAKE]
        return genuine(*args, **kwargs) if make is None else make(genuine, *args, **kwargs)

    def __instancecheck__(cls, instance: object) -> bool:
        genuine = genuine_class(cls)
        return super().__instancecheck__(instance) if genuine is cls else isinstance(instance, genuine)

    def __subclasscheck__(cls, subclass: type) -> bool:
        genuine = genuine_class(cls)
        if genuine is cls:
            return super().__subclasscheck__(subclass)
        if type.__subclasscheck__(genuine, subclass):
            return True
        if _asked.get() is subclass:  # an abstract class asks all its subclasses, and a facade must not ask back
            return False
        token = _asked.set(subclass)
        try:
            return issubclass(subclass, genuine)
        finally:
            _asked.reset(token)

    def __eq__(cls, other: object) -> bool:
        genuine = genuine_class(cls)
        return cls is other or (genuine is not cls and genuine is genuine_class(other))

    def __hash__(cls) -> int:
        genuine = genuine_class(cls)
        return super().__hash__() if genuine is cls else hash(genuine)

    def __setattr__(cls, name: str, value: Any) -> None:
        genuine = genuine_class(cls)
        if genuine is not cls and name not in vars(cls) and not name.startswith("_abc_"):
            raise UsageError(
                f"setting {name!r} on the guarded {cls.__name__} would change nothing",
                why="the objects that it loads are of the library's own class",
                remedy=f"set it on {genuine.__module__}.{genuine.__qualname__}",
            )
        super().__setattr__(name, value)

    @property
    def __signature__(cls) -> inspect.Signature:
        genuine = genuine_class(cls)
        if genuine is not cls:
            return inspect.signature(genuine)
        parameters = list(inspect.signature(cls.__init__).parameters.values())
        return inspect.Signature(parameters[1:])


def genuine_class(cls: Any) -> Any:
    """The library's own class behind a facade; anything else is returned as it is."""
    return type.__getattribute__(cls, "__dict__").get(_GENUINE, cls) if isinstance(cls, FacadeMeta) else cls


def guards_of(made: type) -> Mapping[str, Guard]:
    """The guards of a facade, by the name of the class method that each stands in front of."""
    found: Mapping[str, Guard] = vars(made)[_GUARDS]
    return found


def facade(
    genuine: type[T],
    *,
    module: str,
    guards: Mapping[str, Guard],
    make: Callable[..., Any] | None = None,
    init: Guard | None = None,
) -> type[T]:
    """The facade of `genuine`: always the same one, made when first asked for.

    Args:
        genuine: the library's class.
        module: where users find the facade under the genuine class's name; it is pickled as a reference to there.
        guards: a guard for each class method that loads something, by the method's name.
        make: makes an instance where the facade is called, as `make(genuine, …)`; by default the genuine class does.
        init: a guard for making an instance, where that is what loads. It returns the instance; users' subclasses go
            through it as well, when they call `super().__init__`.
    """
    with _lock:
        if (known := _facades.get(id(genuine))) is not None:
            return known
        kind = type(genuine)
        meta = FacadeMeta if issubclass(FacadeMeta, kind) else _meta(kind)
        body: dict[str, Any] = {
            "__module__": module,
            "__qualname__": genuine.__qualname__,
            "__doc__": genuine.__doc__,
        }
        if init is not None:
            body["__init__"], make = _guarded_init(genuine, init), _guarded_make(init)
        made = types.new_class(genuine.__name__, (genuine,), {"metaclass": meta}, lambda space: space.update(body))
        for name, guard in guards.items():
            type.__setattr__(made, name, classmethod(_guarded(made, genuine, name, guard)))
        type.__setattr__(made, _MAKE, make)
        type.__setattr__(made, _GUARDS, dict(guards))
        type.__setattr__(made, _GENUINE, genuine)
        _facades[id(genuine)] = made
        return cast("type[T]", made)


def _meta(kind: type) -> type[FacadeMeta]:
    """A metaclass for a genuine class that has one of its own."""
    if kind not in _metas:
        _metas[kind] = cast("type[FacadeMeta]", type("FacadeMeta", (FacadeMeta, kind), {}))
    return _metas[kind]


def _guarded(made: type, genuine: type, name: str, guard: Guard) -> Callable[..., Any]:
    original = getattr(genuine, name)

    def method(cls: type, /, *args: Any, **kwargs: Any) -> Any:
        options = _split(kwargs)
        if cls is made:
            return guard(Call(owner=genuine, method=original, args=args, kwargs=kwargs, options=options))
        following = getattr(super(made, cls), name)
        return guard(Call(owner=cls, method=following, args=args, kwargs=kwargs, options=options))

    functools.update_wrapper(method, getattr(original, "__func__", original))
    return method


def _guarded_make(guard: Guard) -> Callable[..., Any]:
    def make(genuine: type, /, *args: Any, **kwargs: Any) -> Any:
        options = _split(kwargs)
        return guard(Call(owner=genuine, method=genuine, args=args, kwargs=kwargs, options=options))

    return make


def _guarded_init(genuine: Any, guard: Guard) -> Callable[..., None]:
    """`__init__` of users' subclasses: the genuine one, through the guard."""
    original = genuine.__init__

    def __init__(self: Any, /, *args: Any, **kwargs: Any) -> None:
        options = _split(kwargs)

        def construct(*args: Any, **kwargs: Any) -> Any:
            original(self, *args, **kwargs)
            return self

        construct.__signature__ = inspect.signature(original.__get__(self))  # type: ignore[attr-defined]
        guard(Call(owner=type(self), method=construct, args=args, kwargs=kwargs, options=options))

    functools.update_wrapper(__init__, original)
    return __init__


def _split(kwargs: dict[str, Any]) -> Options:
    """Take safeload's options out of a call's keywords.

    Raises:
        UsageError: they are not `Options`.
    """
    options = kwargs.pop(KEYWORD, None)
    if options is None:
        return Options()
    if not isinstance(options, Options):
        raise UsageError(
            f"{KEYWORD}= takes safeload's own options",
            why=f"a {type(options).__name__} was given",
            remedy=f"{KEYWORD}=safeload.Options(…)",
        )
    return options


def guarded_function(genuine: Callable[..., Any], *, module: str, guard: Guard) -> Callable[..., Any]:
    """The same for a function: one that goes through `guard`, with the genuine one's name, signature and docstring."""

    @functools.wraps(genuine)
    def function(*args: Any, **kwargs: Any) -> Any:
        options = _split(kwargs)
        return guard(Call(owner=type(None), method=genuine, args=args, kwargs=kwargs, options=options))

    function.__module__ = module
    return function


# --- taking a call apart --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Bound:
    """The arguments of a call: the reference, what follows it by position, and all that can be named, by name."""

    reference: Any
    rest: tuple[Any, ...] = ()
    named: dict[str, Any] = field(default_factory=dict)

    def take(self, name: str, default: Any = None) -> Any:
        return self.named.pop(name, default)


def bind(
    method: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    name: str = "pretrained_model_name_or_path",
) -> Bound:
    """Arrange the arguments of a method whose first parameter, called `name`, is what it loads.

    Raises:
        TypeError: the call does not fit the method's signature, as the library itself would say.
    """
    signature = inspect.signature(method)
    first, *others = signature.parameters.values()
    if first.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        # A decorator of the library hides the real signature: all that is known of it is its first parameter.
        named = dict(kwargs)
        if not args and name not in named:
            raise TypeError(f"{method.__name__}() is missing the argument {name!r}")
        return Bound(args[0] if args else named.pop(name), args[1:], named)
    arguments = signature.bind(*args, **kwargs).arguments
    bound = Bound(arguments.pop(first.name, None))
    for parameter in others:
        if parameter.name not in arguments:
            continue
        value = arguments[parameter.name]
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            bound.rest = value
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            bound.named |= value
        else:
            bound.named[parameter.name] = value
    return bound


def by_name(call: Call) -> dict[str, Any]:
    """The arguments of a call by name. Those by name keep theirs, also where the library renames old ones itself.

    Raises:
        TypeError: there are more by position than the method takes.
    """
    return {**inspect.signature(call.method).bind_partial(*call.args).arguments, **call.kwargs}


def is_reference(value: object) -> bool:
    """Whether a value names something to load: a hub id or a path."""
    return isinstance(value, (str, os.PathLike))


# --- the genuine call -----------------------------------------------------------------------------------------------


def run(
    reference: str,
    call: Callable[[], T],
    *,
    admitted: Mapping[str, str],
    forbidden: Iterable[str | os.PathLike[str]],
    traps: Iterable[Trap],
    answers: Answers | None = None,
) -> T:
    """Make the genuine call with a seatbelt on.

    `admitted` are the directories that it loads from, each with the reference that it stands for; errors of the
    library name the reference.

    Raises:
        PolicyDenied: the library tried what must not happen during a load; even if it went on regardless.
    """
    token = _admitted.set((*_admitted.get(), *admitted))
    try:
        with Seatbelt(reference, forbidden=(*forbidden, *admitted), traps=traps, answers=answers):
            return call()
    except BaseException as error:
        error.args = tuple(_retold(value, admitted) for value in error.args)
        raise
    finally:
        _admitted.reset(token)


def _retold(value: Any, admitted: Mapping[str, str]) -> Any:
    """A message in which every admitted directory is called by what the user asked for."""
    if type(value) is str:
        for path, reference in admitted.items():
            value = value.replace(path, reference)
    return value


def within_admitted(reference: object) -> bool:
    """Whether a reference lies in a directory that a genuine call under way was given: then it was judged already."""
    if not is_reference(reference):
        return False
    path = os.path.abspath(os.fspath(cast("str | os.PathLike[str]", reference)))
    return any(path == root or path.startswith(root + os.sep) for root in _admitted.get())


def judge(work: Callable[[], T]) -> T:
    """Do safeload's own work, such as an admission. Within a genuine call the belt comes off for it, and a denial
    sticks to the outer call, however the library takes it."""
    belt = worn()
    if belt is None:
        return work()
    try:
        with taken_off():
            return work()
    except PolicyDenied as denial:
        belt.remember(denial)
        raise
