"""Handlers for the standard library's plain data types: what `construct` may build as Python's own.

Each checks its arguments; what it does not know it refuses, so that no type is built from surprising parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from safeload.core.construct import Handler, Mapped, Named, Record, checked_key
from safeload.core.errors import MalformedInput
from safeload.core.graph import Call, How
from safeload.core.names import GlobalName

_LATIN = frozenset({"latin1", "latin-1", "iso-8859-1"})


def _refuse(what: str) -> MalformedInput:
    return MalformedInput("a pickle builds plain data from arguments that do not fit", why=what)


def _items(args: tuple[Any, ...], what: str) -> list[Any]:
    """The one optional argument of a container: a list, tuple or set that is already plain."""
    if not args:
        return []
    if len(args) == 1 and isinstance(args[0], (list, tuple, set, frozenset)):
        return list(args[0])
    raise _refuse(what)


def _hashable(items: list[Any], what: str) -> list[Any]:
    try:
        for item in items:
            checked_key(item)
    except MalformedInput as error:
        raise _refuse(f"{what}: {error.what}") from None
    return items


def _set(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    return set(_hashable(_items(args, "set"), "set"))


def _frozenset(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    return frozenset(_hashable(_items(args, "frozenset"), "frozenset"))


def _bytearray(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    match args:
        case ():
            return bytearray()
        case (bytes() | bytearray() as data,):
            return bytearray(data)
        case (str() as text, str() as encoding) if encoding in _LATIN and _is_latin(text):
            return bytearray(text, "latin-1")
    raise _refuse("bytearray")


def _encode(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    """`bytes` as protocols 0 to 2 write them: text to be encoded as Latin-1."""
    match args:
        case (str() as text, str() as encoding) if encoding in _LATIN and _is_latin(text):
            return text.encode("latin-1")
    raise _refuse("_codecs.encode is data only from Latin-1")


def _is_latin(text: str) -> bool:
    return all(character <= "\xff" for character in text)


def _bytes(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    match args:
        case ():
            return b""
        case (bytes() | bytearray() as data,):
            return bytes(data)
    raise _refuse("bytes")


def _complex(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    match args:
        case (int() | float() as real, int() | float() as imaginary):
            try:
                return complex(real, imaginary)
            except OverflowError:
                raise _refuse("complex") from None
    raise _refuse("complex")


def _slice(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    if len(args) == 3 and all(part is None or isinstance(part, int) for part in args):
        return slice(*args)
    raise _refuse("slice")


def _ordered(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    if len(args) == 1 and isinstance(args[0], dict):
        return Mapped(list(args[0].items()))
    pairs = _items(args, "OrderedDict")
    if not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
        raise _refuse("OrderedDict")
    _hashable([pair[0] for pair in pairs], "OrderedDict")
    return Mapped([(pair[0], pair[1]) for pair in pairs])


def _defaultdict(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    """The entries only. The factory is a name that nobody here calls."""
    return Mapped()


def _counter(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    match args:
        case ():
            return Mapped()
        case (dict() as counts,):
            return Mapped(list(counts.items()))
    raise _refuse("Counter")


def _reconstructor(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    """An object as protocols 0 and 1 write it: a class, its base, and the base's state."""
    if len(args) == 3 and isinstance(args[0], Named):
        return Record(args[0], How.NEWOBJ, (), None, states=[] if args[2] is None else [args[2]])
    raise _refuse("copyreg._reconstructor")


PLAIN: Mapping[GlobalName, Handler] = MappingProxyType(
    {
        GlobalName("builtins", "set"): _set,
        GlobalName("builtins", "frozenset"): _frozenset,
        GlobalName("builtins", "dict"): _ordered,
        GlobalName("builtins", "bytearray"): _bytearray,
        GlobalName("builtins", "bytes"): _bytes,
        GlobalName("builtins", "complex"): _complex,
        GlobalName("builtins", "slice"): _slice,
        GlobalName("_codecs", "encode"): _encode,
        GlobalName("collections", "OrderedDict"): _ordered,
        GlobalName("collections", "defaultdict"): _defaultdict,
        GlobalName("collections", "Counter"): _counter,
        GlobalName("copyreg", "_reconstructor"): _reconstructor,
    }
)
