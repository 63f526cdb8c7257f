"""Small value classes: what `dataclasses` makes, for programs that start to look at one file.

The module `dataclasses` imports `inspect`, and with it half of the compiler, and generates six methods as source text
for each class: together more than all else that a scan of a small file takes. Here all classes share their methods,
which are plain closures; nothing is generated.

Use it as the original: `from safeload.values import dataclass, field, replace`. Type checkers see the original.
Promised: for what is accepted here, the same behaviour, including `copy`, `pickle`, `match` and the functions
`dataclasses.fields`, `replace` and `asdict`; and an ordinary dataclass may inherit from one of these. Not promised:
the options that the package has no use for. They are not accepted, and `slots=True` must be said.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

_ABSENT: Any = object()


class Field:
    """What is known of one field; also what `field(…)` leaves in a class until it is made."""

    __slots__ = ("annotation", "compare", "default", "default_factory", "kw_only", "repr")

    def __init__(
        self, default: Any = _ABSENT, default_factory: Any = _ABSENT, repr: bool = True, compare: bool = True
    ) -> None:
        self.default = default
        self.default_factory = default_factory
        self.repr = repr
        self.compare = compare
        self.kw_only = False
        self.annotation: Any = Any


def _field(*, default: Any = _ABSENT, default_factory: Any = _ABSENT, repr: bool = True, compare: bool = True) -> Any:
    return Field(default, default_factory, repr, compare)


def _dataclass(
    *, slots: bool, frozen: bool = False, eq: bool = True, repr: bool = True, kw_only: bool = False
) -> Callable[[type], type]:
    if not slots:
        raise TypeError("slots=True must be said: these classes have no other form")
    return lambda cls: _made(cls, frozen=frozen, eq=eq, repr=repr, kw_only=kw_only)


def _replace(instance: Any, /, **changes: Any) -> Any:
    fields = type(instance).__dict__.get("__values__")
    if fields is None:  # an ordinary dataclass, perhaps one that inherits from ours
        import dataclasses

        return dataclasses.replace(instance, **changes)
    return type(instance)(**{name: getattr(instance, name) for name in fields} | changes)


def _made(cls: type, *, frozen: bool, eq: bool, repr: bool, kw_only: bool) -> type:
    fields: dict[str, Field] = {}
    for base in reversed(cls.__mro__[1:]):
        if "__dataclass_fields__" in base.__dict__ and "__values__" not in base.__dict__:
            raise TypeError(f"{cls.__name__} inherits from an ordinary dataclass, so it must be one")
        fields |= base.__dict__.get("__values__", {})
    body = dict(cls.__dict__)
    own = []
    for name, annotation in cls.__annotations__.items():
        if str(annotation).startswith(("ClassVar", "typing.ClassVar")):
            continue
        given = body.pop(name, _ABSENT)
        made = given if isinstance(given, Field) else Field(given)
        made.kw_only, made.annotation = kw_only, annotation
        if name not in fields:
            own.append(name)
        fields[name] = made
    positional = tuple(name for name, each in fields.items() if not each.kw_only)
    body.pop("__dict__", None)
    body.pop("__weakref__", None)
    body |= {"__slots__": tuple(own), "__values__": fields, "__qualname__": cls.__qualname__}
    body |= {"__dataclass_fields__": _Twin(frozen), "__dataclass_params__": _Twin(frozen)}
    body.setdefault("__match_args__", positional)
    if repr and "__repr__" not in body:
        body["__repr__"] = _repr
    key = _key(tuple(name for name, each in fields.items() if each.compare))
    hashed = body.get("__hash__", _ABSENT)
    if eq:
        body.setdefault("__eq__", _equality(key))
        if hashed is _ABSENT or hashed is None:
            body["__hash__"] = (lambda self: hash(key(self))) if frozen else None
    if frozen:
        body |= {"__getstate__": _get_state, "__setstate__": _set_state}
    new = type(cls)(cls.__name__, cls.__bases__, body)
    if "__init__" not in body:
        new.__init__ = _initialiser(new, positional)  # type: ignore[misc]
    if frozen:
        new.__setattr__, new.__delattr__ = _refusals(new)  # type: ignore[method-assign, assignment]
    return new


def _initialiser(cls: Any, positional: tuple[str, ...]) -> Callable[..., None]:
    fields: dict[str, Field] = cls.__values__
    order = positional + tuple(name for name, each in fields.items() if each.kw_only)
    put = {name: getattr(cls, name).__set__ for name in order}
    in_order = [put[name] for name in positional]
    defaults = [(name, put[name], fields[name].default, fields[name].default_factory) for name in order]
    count, most, after = len(order), len(positional), getattr(cls, "__post_init__", None)
    title, names = cls.__name__, put.keys()

    def __init__(self: Any, /, *args: Any, **kwargs: Any) -> None:
        given = len(args)
        if given:
            if given > most:
                raise TypeError(f"{title} takes {most} positional arguments, and got {given}")
            if kwargs and not kwargs.keys().isdisjoint(positional[:given]):
                raise TypeError(f"{title} got an argument twice: {', '.join(kwargs.keys() & set(positional[:given]))}")
            for set_it, value in zip(in_order, args):  # noqa: B905 (strict= takes half as long again)
                set_it(self, value)
        if kwargs:
            if not kwargs.keys() <= names:
                raise TypeError(f"{title} got an unexpected argument {min(kwargs.keys() - names)!r}")
            for name in kwargs:
                put[name](self, kwargs[name])
        if given + len(kwargs) != count:
            missing = []
            for name, set_it, default, factory in defaults[given:]:
                if name in kwargs:
                    continue
                if factory is not _ABSENT:
                    set_it(self, factory())
                elif default is not _ABSENT:
                    set_it(self, default)
                else:
                    missing.append(name)
            if missing:
                raise TypeError(f"{title} is missing {', '.join(missing)}")
        if after is not None:
            after(self)

    return __init__


def _key(names: tuple[str, ...]) -> Callable[[Any], Any]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda self: tuple(getattr(self, name) for name in names)


def _equality(key: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def __eq__(self: Any, other: Any) -> Any:
        return key(self) == key(other) if other.__class__ is self.__class__ else NotImplemented

    return __eq__


def _repr(self: Any) -> str:
    shown = (f"{name}={getattr(self, name)!r}" for name, each in self.__values__.items() if each.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _refusals(cls: Any) -> tuple[Callable[[Any, str, Any], None], Callable[[Any, str], None]]:
    def check(self: Any, name: str, what: str) -> None:
        if type(self) is cls or name in cls.__values__:
            from dataclasses import FrozenInstanceError

            raise FrozenInstanceError(f"cannot {what} field {name!r}")

    def __setattr__(self: Any, name: str, value: Any) -> None:
        check(self, name, "assign to")
        super(cls, self).__setattr__(name, value)

    def __delattr__(self: Any, name: str) -> None:
        check(self, name, "delete")
        super(cls, self).__delattr__(name)

    return __setattr__, __delattr__


def _get_state(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__values__]


def _set_state(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__values__, state, strict=True):
        getattr(type(self), name).__set__(self, value)


class _Twin:
    """Answers the module `dataclasses`, when that asks: with the fields, or with itself for how the class was made."""

    __slots__ = ("frozen", "name")

    def __init__(self, frozen: bool) -> None:
        self.frozen = frozen

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: Any) -> Any:
        if self.name == "__dataclass_params__":
            return self
        import dataclasses

        made = {}
        for name, each in owner.__values__.items():
            options = {"repr": each.repr, "compare": each.compare, "kw_only": each.kw_only}
            for word in ("default", "default_factory"):
                if getattr(each, word) is not _ABSENT:
                    options[word] = getattr(each, word)
            twin: Any = dataclasses.field(**options)
            twin.name, twin.type = name, each.annotation
            twin._field_type = dataclasses._FIELD  # type: ignore[attr-defined]  # what tells fields from ClassVars
            made[name] = twin
        return made


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import replace as replace
else:
    dataclass, field, replace = _dataclass, _field, _replace
