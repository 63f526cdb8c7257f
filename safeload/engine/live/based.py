"""Makers for classes of the calling program that extend a builtin type: named tuples, subclasses of `dict`, `list`, …

An instance is made by the builtin type itself, and filled by it. None of the class's own methods runs, neither while it
is made nor when safeload looks at it afterwards: a class that redefines one of its type's methods is refused when it is
handed over. Left to it are those that nobody calls here, such as `__init__`, `__repr__` and `__setattr__`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from safeload.core.construct import checked_key
from safeload.core.errors import MalformedInput, UsageError
from safeload.core.graph import How
from safeload.core.names import GlobalName
from safeload.engine.live import Made, Maker

_TYPES: tuple[type, ...] = (OrderedDict, dict, list, set, frozenset, tuple, str, bytes, int, float, complex)
_FREE = frozenset(
    {"__init__", "__new__", "__repr__", "__str__", "__format__", "__doc__", "__dir__", "__sizeof__"}
    | {"__reduce__", "__reduce_ex__", "__getstate__", "__getnewargs__", "__getnewargs_ex__"}
    | {"__setattr__", "__delattr__", "__init_subclass__", "__class_getitem__", "__subclasshook__"}
)
"""Methods that a class may redefine: none of them is called."""
_BESIDE = frozenset({"__missing__", "__bool__", "__index__", "__setstate__", "__del__", "__array__", "__buffer__"})
"""Methods that not every type has, and that a glance at a value would call."""


def based_on(kind: type) -> type | None:
    """The builtin type that a class extends; `None` if it extends none, or is one."""
    return next((one for one in kind.__mro__[1:] if one in _TYPES), None) if kind not in _TYPES else None


def is_named_tuple(kind: type) -> bool:
    """Whether a class is a named tuple, or extends one: its items are arguments of their own."""
    made = getattr(kind, "__new__", None)
    code = getattr(made, "__code__", None)
    fields = getattr(kind, "_fields", None)
    return issubclass(kind, tuple) and isinstance(fields, tuple) and getattr(code, "co_filename", "") == "<string>"


def unfit(kind: type, base: type) -> str:
    """Why instances of a class cannot be made from a file; empty if they can."""
    own = kind.__mro__[: kind.__mro__.index(base)]
    fields = getattr(kind, "_fields", ()) if is_named_tuple(kind) else ()
    watched = ({*dir(base), *_BESIDE} - _FREE).difference(fields)
    for one in own:
        if redefined := sorted(
            watched & {name for name, value in vars(one).items() if not _inherited(base, name, value)}
        ):
            return f"it has its own {redefined[0]}, which would run"
    if not is_named_tuple(kind) and kind.__new__ is not base.__new__:
        return "it has its own __new__, which would run"
    if base in (set, frozenset) and any("__init__" in vars(one) for one in own):
        return "it has its own __init__, which pickle would run"
    return ""


def _inherited(base: type, name: str, value: object) -> bool:
    """Whether a class says of a method no more than that it has that of its type, or none."""
    return value is getattr(base, name, NotImplemented) or (name == "__hash__" and value is None)


def based(kind: type, base: type) -> Maker:
    """The maker of a class that extends a builtin type.

    Raises:
        UsageError: the class needs one of its methods.
    """
    why = unfit(kind, base)
    if why:
        raise UsageError(
            f"{kind.__qualname__} cannot be made from a file",
            why=f"{why}, and no method of a class is run on what a file says",
            remedy="leave it out: its objects are records",
        )
    parts = _named(kind) if is_named_tuple(kind) else _MAKERS[base]

    def make(made: Made) -> object:
        if made.kwargs or made.items:
            raise _bad(kind, "arguments or items that its type does not take")
        if made.call.how is How.REDUCE and base not in (set, frozenset, OrderedDict):
            raise _bad(kind, "arguments, which are for its methods")
        value = parts(kind, made)
        if kind.__hash__ is not None:
            made.rest.crowd.join(value, base)
        return value

    return make


def _bad(kind: type, what: str) -> MalformedInput:
    return MalformedInput(
        "a pickle makes an object in a way that does not fit its class", why=f"{kind.__name__}: {what}"
    )


def _named(kind: Any) -> Any:
    def make(kind: Any, made: Made) -> object:
        if len(made.args) != len(kind._fields):
            raise _bad(kind, "another number of fields than it has")
        return tuple.__new__(kind, made.args)

    return make


def _one(kind: type, made: Made, kinds: tuple[type, ...], default: object) -> Any:
    """The only argument, of one of these types; the default if there is none."""
    match made.args:
        case ():
            return default
        case (value,) if type(value) in kinds:
            return value
    raise _bad(kind, "arguments that its type does not take")


def _tuple(kind: Any, made: Made) -> object:
    return tuple.__new__(kind, _one(kind, made, (tuple, list), ()))


def _list(kind: Any, made: Made) -> object:
    value: list[Any] = list.__new__(kind)
    list.extend(value, _one(kind, made, (tuple, list), ()))
    return value  # items come later: they may hold this list


def _dict(base: Any) -> Any:
    def make(kind: Any, made: Made) -> object:
        value = base.__new__(kind)
        base.update(value, _one(kind, made, (dict,), {}))
        return value

    return make


def _set(kind: Any, made: Made) -> object:
    value: set[Any] = set.__new__(kind)
    set.update(value, _keys(_one(kind, made, (list, tuple, set, frozenset), ())))
    return value


def _frozenset(kind: Any, made: Made) -> object:
    return frozenset.__new__(kind, _keys(_one(kind, made, (list, tuple, set, frozenset), ())))


def _keys(items: Iterable[object]) -> list[object]:
    return [checked_key(item) for item in items]


def _text(base: Any) -> Any:
    def make(kind: Any, made: Made) -> object:
        return base.__new__(kind, _one(kind, made, (base,), base()))

    return make


def _number(base: Any, *kinds: type) -> Any:
    def make(kind: Any, made: Made) -> object:
        return base.__new__(kind, _one(kind, made, kinds, 0))

    return make


def _complex(kind: Any, made: Made) -> object:
    match made.args:
        case (int() | float() as real, int() | float() as other):
            return complex.__new__(kind, real, other)
    return complex.__new__(kind, _one(kind, made, (complex, float, int), 0))


_MAKERS: dict[type, Any] = {
    OrderedDict: _dict(OrderedDict),
    dict: _dict(dict),
    list: _list,
    set: _set,
    frozenset: _frozenset,
    tuple: _tuple,
    str: _text(str),
    bytes: _text(bytes),
    int: _number(int, int),
    float: _number(float, float, int),
    complex: _complex,
}


def written_base(base: type) -> GlobalName:
    """The name of a builtin type, as protocols 0 and 1 write it beside the class."""
    return GlobalName(base.__module__, base.__name__)
