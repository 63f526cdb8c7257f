"""Frozen values: a class whose annotated fields are all there is to it.

    class Difference(Frozen):
        kind: str
        file: str = ""

Made by keyword only, never changed, equal and hashed by type and fields. Copying, pickling and matching by keyword
work as for any class; so do `fields`, `asdict` and `replace` of `dataclasses`, and type checkers see one of those.

Why not `dataclasses` itself: it writes six methods as source text for each class, and compiles them. That, for the
classes a scan needs, took longer than all the rest of looking at a small file (decision 13). Here all classes have the
same methods, which are below. What is to be changed, compared by identity or made by position is a plain class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Never, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from dataclasses import Field
    from dataclasses import replace as replace

T = TypeVar("T")


class _Fresh(NamedTuple):
    factory: Callable[[], object]


def fresh(*, factory: Callable[[], T]) -> T:
    """The default of a field that is made anew for each value, because it is filled later."""
    return _Fresh(factory)  # type: ignore[return-value]


class _Described:
    """The fields of one class as `dataclasses` describes them, by name and type, made when it asks."""

    def __get__(self, value: object, owner: type[Frozen]) -> dict[str, Field[Any]]:
        from dataclasses import make_dataclass

        made: Any = make_dataclass(owner.__name__, owner._fields.items(), init=False, repr=False, eq=False)
        owner.__dataclass_fields__ = made.__dataclass_fields__
        return owner.__dataclass_fields__


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(fresh,))
class Frozen:
    """The base of frozen values. A field that is missing, or not one of the class, raises `TypeError`."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    _fields: ClassVar[dict[str, Any]] = {}
    _names: ClassVar[tuple[str, ...]] = ()
    _defaults: ClassVar[dict[str, Any]] = {}
    _factories: ClassVar[dict[str, Callable[[], object]]] = {}

    def __init_subclass__(cls) -> None:
        cls.__dataclass_fields__ = _Described()  # type: ignore[assignment]
        own = cls.__annotations__
        given = {name: cls.__dict__[name] for name in own if name in cls.__dict__}
        factories = {name: value.factory for name, value in given.items() if isinstance(value, _Fresh)}
        cls._fields = cls._fields | own
        cls._names = tuple(cls._fields)
        cls._factories = cls._factories | factories
        cls._defaults = cls._defaults | {name: given[name] for name in given if name not in factories}

    def __init__(self, **given: Any) -> None:
        if tuple(given) != self._names:  # not all of them in their order, which is quickest
            made = {name: make() for name, make in self._factories.items() if name not in given}
            given = {**self._defaults, **made, **given}
            if given.keys() != self._fields.keys():
                wrong = ", ".join(sorted(given.keys() ^ self._fields.keys()))
                raise TypeError(f"{type(self).__name__} is made without, or has no, {wrong}")
        self.__dict__.update(given)
        self.__post_init__()

    def __post_init__(self) -> None:
        """For classes that refuse some values."""

    def __setattr__(self, name: str, value: Never) -> None:
        raise AttributeError(f"a {type(self).__name__} is frozen: its {name!r} stays as it is")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a {type(self).__name__} is frozen: its {name!r} stays")

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self.__dict__.items()))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self._fields)
        return f"{type(self).__qualname__}({fields})"


if not TYPE_CHECKING:  # pragma: no branch

    def replace(value, /, **changes):
        """The same value with some fields changed: `dataclasses.replace`, without its import."""
        return type(value)(**value.__dict__ | changes)
