"""Makers for classes that the calling program itself hands over: instances with their attributes, and nothing called.

Of such a class neither `__new__`, `__init__`, `__setstate__` nor any other method runs. An instance is what
`object.__new__`, or the builtin type that it extends, makes of it, and then its attributes are set. Classes that need
more than that are refused when they are handed over, not when a file names them.
"""

from __future__ import annotations

import dataclasses
import enum
import types
from collections.abc import Iterable, Mapping
from functools import partial

from safeload.core.errors import MalformedInput, UsageError
from safeload.core.graph import How
from safeload.core.names import GlobalName
from safeload.engine.live import Made, Maker, Setter, Table
from safeload.engine.live.based import based, based_on, is_named_tuple, written_base


def table_for(classes: Iterable[type]) -> Table:
    """The makers for these classes.

    Raises:
        UsageError: one is no class, or one whose instances are more than their attributes.
    """
    makers: dict[GlobalName, Maker] = {}
    setters: dict[GlobalName, Setter] = {}
    constants: dict[GlobalName, object] = {}
    bases: dict[GlobalName, GlobalName] = {}
    flat: set[GlobalName] = set()
    for kind in classes:
        if not isinstance(kind, type):
            raise _unfit("classes", f"{type(kind).__name__} objects are no classes")
        name = GlobalName(kind.__module__, kind.__qualname__)
        base = None if issubclass(kind, enum.Enum) else based_on(kind)
        if base is not None:
            makers[name], bases[name] = based(kind, base), written_base(base)
            flat |= {name} if is_named_tuple(kind) else set()
        else:
            makers[name] = _member(kind) if issubclass(kind, enum.Enum) else _instance(kind)
        constants[name] = kind
        # A frozen dataclass may be a key, and then needs its attributes at once.
        if not issubclass(kind, enum.Enum) and not _hashes_fields(kind):
            setters[name] = partial(_set_state, kind, namespace(kind))
    return Table(makers=makers, constants=constants, setters=setters, based=bases, flat=frozenset(flat))


def namespace(kind: type) -> dict[str, object]:
    """What a class and those that it is made of hold, by name: worked out once for all objects of a file."""
    return {name: value for one in reversed(kind.__mro__) for name, value in vars(one).items()}


def _set_state(kind: type, space: Mapping[str, object], target: object, states: tuple[object, ...]) -> None:
    set_attributes(target, states, kind, space)


def set_attributes(
    target: object, states: Iterable[object], kind: type, space: Mapping[str, object] | None = None
) -> None:
    """Set what states hold, on an instance of `kind`, past all of its own code. `space` is its namespace.

    Raises:
        MalformedInput: a state is no attributes, or an attribute would hide a method or property of the class.
    """
    if space is None:
        space = namespace(kind)
    for layers in states:
        for layer in layers if isinstance(layers, tuple) and len(layers) == 2 else (layers,):
            if layer is None:
                continue
            if not isinstance(layer, dict):
                raise _bad(kind, "a state that sets no attributes")
            for key, value in layer.items():
                _set(target, key, value, kind, space)


def _set(target: object, key: object, value: object, kind: type, space: Mapping[str, object]) -> None:
    if not isinstance(key, str) or (key.startswith("__") and key.endswith("__")):
        raise _bad(kind, "an attribute that is not one")
    own = space.get(key)
    if isinstance(own, types.MemberDescriptorType):  # a slot
        object.__setattr__(target, key, value)
    elif callable(own) or hasattr(type(own), "__get__"):
        raise _bad(kind, "an attribute that hides a method or property of the class")
    else:
        try:
            attributes: object = object.__getattribute__(target, "__dict__")
        except AttributeError:
            attributes = None
        if type(attributes) is not dict:
            raise _bad(kind, "an attribute that it has no place for")
        attributes[key] = value


def _instance(kind: type) -> Maker:
    own: object = kind.__hash__
    if own is not None and own is not object.__hash__ and not _hashes_fields(kind):
        raise _unfit(kind.__qualname__, "it has __hash__, which would run where it is a key")
    for one in ("__setstate__", "__getnewargs__", "__getnewargs_ex__", "__getattribute__", "__del__"):
        if getattr(kind, one, None) is not getattr(object, one, None):
            raise _unfit(kind.__qualname__, f"it has {one}, and no method of a class is run on what a file says")
    try:
        object.__new__(kind)
    except TypeError:
        raise _unfit(kind.__qualname__, "its instances are more than attributes: it extends a builtin type") from None

    space = namespace(kind)

    def make(made: Made) -> object:
        if made.args or made.kwargs or made.items or made.call.how is How.REDUCE:
            raise _bad(kind, "arguments, which are for its methods")
        value: object = object.__new__(kind)
        set_attributes(value, made.states, kind, space)
        return value

    return make


def _hashes_fields(kind: type) -> bool:
    """Whether a class is a frozen dataclass, whose `__hash__` and `__eq__` were written by the standard library."""
    if not dataclasses.is_dataclass(kind) or not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return False
    written = [getattr(getattr(kind, one), "__code__", None) for one in ("__hash__", "__eq__")]
    return all(code is not None and code.co_filename == "<string>" for code in written)


def _member(kind: type[enum.Enum]) -> Maker:
    def make(made: Made) -> object:
        if len(made.args) == 1 and not made.states and not made.items:
            for member in kind.__members__.values():
                if type(member.value) is type(made.args[0]) and member.value == made.args[0]:
                    return member
        raise _bad(kind, "a member that it does not have")

    return make


def _bad(kind: type, what: str) -> MalformedInput:
    return MalformedInput(
        "a pickle makes an object in a way that does not fit its class", why=f"{kind.__name__}: {what}"
    )


def _unfit(what: str, why: str) -> UsageError:
    return UsageError(f"{what} cannot be made from a file", why=why, remedy="leave it out: its objects are records")
