"""Makers for the standard library's plain data: of exactly the types that `pickle` would give back."""

from __future__ import annotations

import argparse
import collections
import copy
import datetime
import decimal
import fractions
import pathlib
import types
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from safeload.core.construct import Named, Record, checked_key
from safeload.core.errors import MalformedInput
from safeload.core.graph import How
from safeload.core.names import GlobalName
from safeload.engine.live import Made, Maker, Table
from safeload.engine.live.stdlib import STDLIB_TABLE
from safeload.engine.live.zones import ZONE_MAKERS, shifted
from safeload.formats.plain import PLAIN

_DIGITS = 4_300
"""Digits of a number that is written out; Python's own bound."""
_TYPES = (
    bool, bytearray, bytes, complex, dict, float, frozenset, int, list, object, range, set, slice, str, tuple,
)  # fmt: skip
_NAMED_FACTORIES: dict[GlobalName, type] = {
    GlobalName("collections", kind.__name__): kind
    for kind in (collections.OrderedDict, collections.Counter, collections.deque, collections.defaultdict)
}
_FACTORIES = {int, float, str, bool, list, dict, set, tuple, bytes, complex, frozenset, *_NAMED_FACTORIES.values()}


def bad(what: str) -> MalformedInput:
    return MalformedInput("a pickle builds plain data from arguments that do not fit", why=what)


def _from_plain(module: str, name: str) -> Maker:
    """A maker out of a handler of `formats.plain` whose result is of Python's own type already."""
    handler = PLAIN[GlobalName(module, name)]

    def make(made: Made) -> object:
        value = handler(made.args, made.kwargs, made.call)
        if made.items and isinstance(value, set):
            value.update(map(checked_key, made.items))
        elif made.items:
            raise bad(f"items for {made.name}")
        return _stateless(made, value)

    return make


def _stateless(made: Made, value: object) -> object:
    if any(state is not None for state in made.states):
        raise bad(f"a state for {made.name}")
    return value


def _attributes(states: Iterable[object], hidden: type) -> dict[str, Any]:
    """What the states set; never a name that would hide one of the type's own."""
    found: dict[str, Any] = {}
    for state in states:
        for layer in state if isinstance(state, tuple) and len(state) == 2 else (state,):
            if layer is None:
                continue
            if not isinstance(layer, dict) or not all(isinstance(key, str) for key in layer):
                raise bad(f"a state for {hidden.__name__} that sets no attributes")
            found |= layer
    for key in found:
        if key in dir(hidden):
            raise bad(f"an attribute for {hidden.__name__} that hides one of its own")
    return found


def _pairs(made: Made, args: tuple[Any, ...]) -> list[tuple[Any, Any]]:
    if not args:
        return []
    (source, *rest) = args
    if rest:
        raise bad(f"arguments for {made.name}")
    pairs = list(source.items()) if isinstance(source, dict) else source
    if not isinstance(pairs, list | tuple) or not all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
        raise bad(f"arguments for {made.name}")
    return [(checked_key(key), value) for key, value in pairs]


def _ordered(made: Made) -> object:
    value: collections.OrderedDict[Any, Any] = collections.OrderedDict(_pairs(made, made.args))
    vars(value).update(_attributes(made.states, collections.OrderedDict))
    return value


def _dict(made: Made) -> object:
    return _stateless(made, dict(_pairs(made, made.args)))


def _counter(made: Made) -> object:
    value: collections.Counter[Any] = collections.Counter()
    for key, count in _pairs(made, made.args):
        value[key] = count
    return _stateless(made, value)


def _defaultdict(made: Made) -> object:
    factory, *rest = made.args or (None,)
    if factory is None:
        return _stateless(made, collections.defaultdict(None, _pairs(made, tuple(rest))))
    if isinstance(factory, Named):
        factory = _NAMED_FACTORIES.get(factory.name, factory)
    if isinstance(factory, type) and (factory in _FACTORIES or factory.__module__ == "numpy"):
        return _stateless(made, collections.defaultdict(factory, _pairs(made, tuple(rest))))
    return made.record()


def _deque(made: Made) -> object:
    match made.args:
        case () | (_,) | (_, None):
            most = None
        case (_, int() as most) if 0 <= most < 1 << 31:
            pass
        case _:
            raise bad("collections.deque")
    begun = made.args[0] if made.args else ()
    if not isinstance(begun, list | tuple):
        raise bad("collections.deque")
    value = collections.deque([*begun, *made.items], most)
    if not made.items:  # they may be filled later, if one of them holds this deque
        made.rest.expect(made.args)
        made.rest.afterwards(lambda: value.extend(made.items))
    return _stateless(made, value)


def _list(made: Made) -> object:
    return _stateless(made, [*_sequence(made), *made.items])


def _tuple(made: Made) -> object:
    return _stateless(made, tuple(_sequence(made)))


def _sequence(made: Made) -> list[Any]:
    match made.args:
        case ():
            return []
        case (list() | tuple() | set() | frozenset() as items,):
            return list(items)
    raise bad(str(made.name))


def _range(made: Made) -> object:
    if 1 <= len(made.args) <= 3 and all(isinstance(part, int) for part in made.args) and made.args[2:] != (0,):
        return _stateless(made, range(*made.args))
    raise bad("builtins.range")


def _type(made: Made) -> object:
    """`type(None)` and the like, as picklers spell the types of constants. Any other call of `type` makes a class."""
    if made.call.how is How.REDUCE and len(made.args) == 1:
        for constant in (None, Ellipsis, NotImplemented):
            if made.args[0] is constant:
                return _stateless(made, type(constant))
    raise bad("builtins.type of anything but a constant")


def _number(kind: Callable[[Any], object], name: str) -> Maker:
    def make(made: Made) -> object:
        match made.args:
            case ():
                return _stateless(made, kind(0))
            case (int() | float() as value,):
                return _stateless(made, _tried(lambda: kind(value), name))
        raise bad(name)

    return make


def _str(made: Made) -> object:
    match made.args:
        case () | (str(),):
            return _stateless(made, str(*made.args))
    raise bad("builtins.str of anything but text")


def _object(made: Made) -> object:
    if made.args or made.states or made.items:
        raise bad("builtins.object")
    return object()


def _tried(work: Callable[[], object], name: str) -> object:
    """Python's own check of the arguments, in our words."""
    try:
        return work()
    except (ValueError, TypeError, ArithmeticError, AttributeError):
        raise bad(name) from None


def _namespace(kind: type) -> Maker:
    def make(made: Made) -> object:
        if made.args:
            raise bad(str(made.name))
        value = kind()
        vars(value).update({**_attributes((made.kwargs,), kind), **_attributes(made.states, kind)})
        return value

    return make


def _set_namespace(target: Any, states: tuple[object, ...]) -> None:
    """Attributes, once all objects are there: one may be the namespace itself."""
    vars(target).update(_attributes(states, type(target)))


def _path(kind: type[pathlib.PurePath]) -> Maker:
    """A path as text, which touches no file; `str`, joined, as `pathlib` would join it."""

    def make(made: Made) -> object:
        if not all(isinstance(part, str) for part in made.args):
            raise bad(str(made.name))
        return _stateless(made, kind(*made.args))

    return make


def _moment(kind: Callable[..., object], width: int) -> Maker:
    """A date or time: its packed bytes, and for some a time zone."""

    def make(made: Made) -> object:
        packed, *zone = made.args or (None,)
        if isinstance(packed, str):  # as Python 2 and protocols 0 to 2 write bytes
            packed = _tried(lambda: packed.encode("latin-1"), str(made.name))
        fits = isinstance(packed, bytes) and len(packed) == width
        if fits and len(zone) == 1 and isinstance(zone[0], Record):  # a zone that is not known: the moment is neither
            return made.record()
        if not fits or len(zone) > 1 or not all(isinstance(one, datetime.tzinfo) or one is None for one in zone):
            raise bad(str(made.name))
        value = _stateless(made, _tried(lambda: kind(packed, *zone), str(made.name)))
        return shifted(made, value) if isinstance(value, datetime.datetime) else value

    return make


def _timedelta(made: Made) -> object:
    if len(made.args) <= 3 and all(type(part) is int for part in made.args):
        return _stateless(made, _tried(lambda: datetime.timedelta(*made.args), "datetime.timedelta"))
    raise bad("datetime.timedelta")


def _timezone(made: Made) -> object:
    match made.args:
        case (datetime.timedelta(),) | (datetime.timedelta(), str()):
            return _stateless(made, _tried(lambda: datetime.timezone(*made.args), "datetime.timezone"))
    raise bad("datetime.timezone")


def _decimal(made: Made) -> object:
    match made.args:
        case (str() as text,) if len(text) <= _DIGITS:
            return _stateless(made, _tried(lambda: decimal.Decimal(text), "decimal.Decimal"))
    raise bad("decimal.Decimal")


def _fraction(made: Made) -> object:
    match made.args:
        case (int() as above, int() as below) if below:
            return _stateless(made, fractions.Fraction(above, below))
        case (str() as text,) if len(text) <= _DIGITS and "e" not in text.lower():
            return _stateless(made, _tried(lambda: fractions.Fraction(text), "fractions.Fraction"))
    raise bad("fractions.Fraction")


def _uuid(made: Made) -> object:
    found = {key: value for state in made.states if isinstance(state, dict) for key, value in state.items()}
    number = found.get("int")
    if made.args or type(number) is not int or set(found) - {"int", "is_safe"}:
        raise bad("uuid.UUID")
    return _tried(lambda: uuid.UUID(int=number), "uuid.UUID")


def _reconstructor(made: Made) -> object:
    """An object as protocols 0 and 1 write it. Of the types that are made here, by their own makers."""
    match made.args:
        case (Named(name=name), _, base):
            maker = MAKERS.get(name)
            if maker is not None and maker is not _reconstructor and (base is None or name in _SUBCLASSES):
                args = () if base is None else (base,)
                return maker(made._replace(args=args, name=name))
            record = made._replace(args=(), name=name, call=_new(made)).record()
            record.states[:0] = [] if base is None else [base]
            return record
        case (type() as kind, _, base) if kind is object and base is None:
            return made.record()
    raise bad("copyreg._reconstructor")


def _new(made: Made) -> Any:
    call = copy.copy(made.call)
    call.how = How.NEWOBJ
    return call


_SUBCLASSES = frozenset({GlobalName("collections", "OrderedDict"), GlobalName("collections", "Counter")})
_PATHS: dict[str, type[pathlib.PurePath]] = {
    "Path": pathlib.PurePosixPath,
    "PosixPath": pathlib.PurePosixPath,
    "PurePath": pathlib.PurePosixPath,
    "PurePosixPath": pathlib.PurePosixPath,
    "WindowsPath": pathlib.PureWindowsPath,
    "PureWindowsPath": pathlib.PureWindowsPath,
}
MAKERS: dict[GlobalName, Maker] = {
    **{
        GlobalName("builtins", name): _from_plain("builtins", name)
        for name in ("set", "frozenset", "bytearray", "bytes", "complex", "slice")
    },
    GlobalName("_codecs", "encode"): _from_plain("_codecs", "encode"),
    GlobalName("builtins", "dict"): _dict,
    GlobalName("builtins", "list"): _list,
    GlobalName("builtins", "tuple"): _tuple,
    GlobalName("builtins", "range"): _range,
    GlobalName("builtins", "type"): _type,
    GlobalName("builtins", "str"): _str,
    GlobalName("builtins", "object"): _object,
    GlobalName("builtins", "int"): _number(int, "builtins.int"),
    GlobalName("builtins", "float"): _number(float, "builtins.float"),
    GlobalName("builtins", "bool"): _number(bool, "builtins.bool"),
    GlobalName("collections", "OrderedDict"): _ordered,
    GlobalName("collections", "Counter"): _counter,
    GlobalName("collections", "defaultdict"): _defaultdict,
    GlobalName("collections", "deque"): _deque,
    GlobalName("argparse", "Namespace"): _namespace(argparse.Namespace),
    GlobalName("types", "SimpleNamespace"): _namespace(types.SimpleNamespace),
    **{
        GlobalName(module, name): _path(kind)
        for module in ("pathlib", "pathlib._local")
        for name, kind in _PATHS.items()
    },
    GlobalName("datetime", "date"): _moment(datetime.date, 4),
    GlobalName("datetime", "time"): _moment(datetime.time, 6),
    GlobalName("datetime", "datetime"): _moment(datetime.datetime, 10),
    GlobalName("datetime", "timedelta"): _timedelta,
    GlobalName("datetime", "timezone"): _timezone,
    GlobalName("decimal", "Decimal"): _decimal,
    GlobalName("fractions", "Fraction"): _fraction,
    GlobalName("uuid", "UUID"): _uuid,
    GlobalName("copyreg", "_reconstructor"): _reconstructor,
}
PLAIN_TABLE = (
    STDLIB_TABLE
    | Table(makers=ZONE_MAKERS)
    | Table(
        makers=MAKERS,
        constants={
            **{GlobalName("builtins", kind.__name__): kind for kind in _TYPES},
            GlobalName("builtins", "Ellipsis"): Ellipsis,
            GlobalName("builtins", "NotImplemented"): NotImplemented,
        },
        setters={
            GlobalName("argparse", "Namespace"): _set_namespace,
            GlobalName("types", "SimpleNamespace"): _set_namespace,
        },
    )
)
"""The standard library's data, and the builtin types as values."""
