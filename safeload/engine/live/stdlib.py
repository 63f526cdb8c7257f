"""Makers for more of the standard library's data: exceptions, addresses, members of enumerations, patterns and others.

Each is made by its own constructor from checked arguments, none of which can act. Nothing is imported because a file
names it: a module that is not there yet is imported when somebody's file holds one of the few things listed here.

Not made: exceptions that end a program (`SystemExit` and its kin stay inert records), and whatever calls or looks up
what it was given (`functools.partial`, `operator.attrgetter`, iterators).
"""

from __future__ import annotations

import builtins
import io
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from safeload.core.construct import Named
from safeload.core.errors import MalformedInput
from safeload.core.names import GlobalName
from safeload.engine.live import Made, Maker, Table
from safeload.engine.live.graph import TUPLES

_PATTERN = 10_000
"""Characters of a regular expression: compiling takes time."""
_PATTERN_FLAGS = re.ASCII | re.IGNORECASE | re.LOCALE | re.MULTILINE | re.DOTALL | re.UNICODE | re.VERBOSE
"""Not `re.DEBUG`, which prints."""
_ADDRESS = 100
_ENDING = ("SystemExit", "KeyboardInterrupt", "GeneratorExit")
_EXCEPTIONS: dict[str, type[BaseException]] = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, BaseException) and kind.__name__ == name
}
_BY_KEYWORD = {ImportError: ("name", "path"), AttributeError: ("name", "obj"), NameError: ("name",)}
"""Attributes that these take by keyword and write into their state."""
_ENUMERATIONS = {
    "http": ("HTTPMethod", "HTTPStatus"),
    "inspect": ("_ParameterKind",),
    "plistlib": ("PlistFormat",),
    "re": ("RegexFlag",),
    "signal": ("Handlers", "Sigmasks", "Signals"),
    "socket": ("AddressFamily", "AddressInfo", "MsgFlag", "SocketKind"),
    "uuid": ("SafeUUID",),
}
_SEQUENCES = {
    "os": ("stat_result", "statvfs_result", "terminal_size"),
    "posix": ("times_result", "uname_result"),
    "time": ("struct_time",),
}
_SIGNALS = (
    "Clamped", "DivisionByZero", "FloatOperation", "Inexact", "InvalidOperation", "Overflow", "Rounded", "Subnormal",
    "Underflow",
)  # fmt: skip


def bad(made: Made) -> MalformedInput:
    return MalformedInput("a pickle builds plain data from arguments that do not fit", why=str(made.name))


def _only(made: Made) -> tuple[Any, ...]:
    """The arguments of a call that makes its object whole."""
    if made.kwargs or made.items or any(state is not None for state in made.states):
        raise bad(made)
    return made.args


def _tried(made: Made, work: Callable[[], object]) -> object:
    """Python's own check of the arguments, in our words."""
    try:
        return work()
    except (ValueError, TypeError, ArithmeticError, AttributeError, LookupError, RecursionError, MemoryError):
        raise bad(made) from None


def _there(module: str, name: str) -> Any:
    """One of the few things listed above; `None` where this Python or system does not have it."""
    try:
        return getattr(import_module(module), name, None)
    except ModuleNotFoundError:
        return None


# ── exceptions ──────────────────────────────────────────────────────────────────────────────────────────────────


def _exception(made: Made) -> object:
    kind = _EXCEPTIONS[made.name.name]
    if made.kwargs or made.items or len(made.states) > 1:
        raise bad(made)
    attributes = made.states[0] if made.states else None
    if not isinstance(attributes, dict | None):
        raise bad(made)
    attributes = dict(attributes or {})
    keywords = next((names for one, names in _BY_KEYWORD.items() if issubclass(kind, one)), ())
    given = {name: attributes.pop(name) for name in keywords if name in attributes}
    value = cast(BaseException, _tried(made, lambda: kind(*made.args, **given)))
    notes = attributes.pop("__notes__", [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise bad(made)
    if any(not isinstance(name, str) or name.startswith("__") or name in dir(kind) for name in attributes):
        raise bad(made)
    vars(value).update(attributes, **({"__notes__": notes} if notes else {}))
    return value


# ── numbers, names and patterns ─────────────────────────────────────────────────────────────────────────────────


def _address(name: str) -> Maker:
    def make(made: Made) -> object:
        match _only(made):
            case (str() as text,) if len(text) <= _ADDRESS:
                return _tried(made, lambda: _there("ipaddress", name)(text))
            case (int() as number,) if not isinstance(number, bool):
                return _tried(made, lambda: _there("ipaddress", name)(number))
        raise bad(made)

    return make


def _member(module: str, name: str) -> Maker:
    """A member that is there. None is added: flags remember each of their combinations for ever."""

    def make(made: Made) -> object:
        kind = _there(module, name)
        match made.args:
            case (int() | str() | None as value,) if kind is not None and not (
                made.kwargs or made.items or made.states
            ):
                if hasattr(kind, "_flag_mask_"):
                    if type(value) is not int or not 0 <= value < 1 << 16 or value & ~kind._flag_mask_:
                        raise bad(made)
                elif not any(type(one.value) is type(value) and one.value == value for one in kind):
                    raise bad(made)
                return _tried(made, lambda: kind(value))
        raise bad(made)

    return make


def _sequence(module: str, name: str) -> Maker:
    """A tuple with named places, such as `time.struct_time`."""

    def make(made: Made) -> object:
        kind = _there(module, name)
        match (*_only(made), {})[:2]:
            case (tuple() as values, dict() as more) if kind is not None:
                if all(isinstance(one, int | float | str | None) for one in (*values, *more.values())):
                    return _tried(made, lambda: kind(values, dict(more)))
        raise bad(made)

    return make


def _named_tuple(name: GlobalName) -> Maker:
    def make(made: Made) -> object:
        kind, args = _there(name.module, name.name), _only(made)
        if not all(isinstance(one, str | bytes | int | tuple | None) for one in args):
            raise bad(made)
        return _tried(made, lambda: kind(*args))

    return make


def _context(made: Made) -> object:
    match _only(made):
        case (int(), str() | int(), int(), int(), int(), int(), list() as flags, list() as traps) as args:
            if all(isinstance(one, type) for one in (*flags, *traps)):
                return _tried(made, lambda: _there("decimal", "Context")(*args))
    raise bad(made)


def _pattern(made: Made) -> object:
    match _only(made):
        case (str() | bytes() as text, int() as flags) if len(text) <= _PATTERN:
            pass
        case _:
            return made.record()
    if flags & ~int(_PATTERN_FLAGS):
        return made.record()
    try:
        return re.compile(text, flags)
    except (re.error, ValueError, OverflowError, RecursionError, Warning):
        raise bad(made) from None


def _array(made: Made) -> object:
    import array

    make: Any = array._array_reconstructor  # type: ignore[attr-defined]
    match _only(made):
        case (array.array | Named(), str() as code, int() as form, bytes() as data) if len(code) == 1:
            return _tried(made, lambda: make(array.array, code, form, data))
        case (str() as code, list() as values) if len(code) == 1 and code != "u":
            return _tried(made, lambda: array.array(code, values))
        case ("u", str() | list() as text) if isinstance(text, str) or all(isinstance(one, str) for one in text):
            return _tried(made, lambda: array.array("u", "".join(text)))
    return made.record()


def _random(made: Made) -> object:
    import random

    match made.args, made.states:
        case (), (((2 | 3), tuple() as numbers, float() | None) as state,) if not (made.kwargs or made.items):
            if all(type(number) is int for number in numbers):
                found = random.Random(0)
                _tried(made, lambda: found.setstate(state))
                return found
    return made.record()


# ── containers ──────────────────────────────────────────────────────────────────────────────────────────────────


def _user(name: str, attribute: str, inner: type) -> Maker:
    """A container written in Python: its one attribute, set past its methods. It may hold itself, so it is set last."""

    def make(made: Made) -> object:
        kind = _there("collections", name)
        if made.kwargs or made.items or len(made.states) != 1 or (made.args and inner is not str):
            return made.record()
        value = kind.__new__(kind)

        def fill() -> None:
            state: Any = made.states[0]
            if not isinstance(state, dict) or set(state) != {attribute} or type(state[attribute]) is not inner:
                raise bad(made)
            if name == "ChainMap" and not all(isinstance(one, dict) for one in state[attribute]):
                raise bad(made)
            vars(value)[attribute] = state[attribute]

        if inner is str:
            fill()
        else:
            made.rest.afterwards(fill)
        return value

    return make


def _in_memory(name: str) -> Maker:
    def make(made: Made) -> object:
        match made.args, made.states:
            case (), ((bytes() as data, int() as place, rest),) if name == "BytesIO" and rest in (None, {}):
                file: Any = io.BytesIO(data)
            case (), ((str() as text, str() | None as line, int() as place, rest),) if rest in (None, {}):
                file = _tried(made, lambda: io.StringIO(text, line))
            case _:
                return made.record()
        if made.kwargs or made.items or not 0 <= place < 1 << 62:
            raise bad(made)
        file.seek(place)
        return file

    return make


def _makers() -> dict[GlobalName, Maker]:
    found: dict[GlobalName, Maker] = {
        **{GlobalName("builtins", name): _exception for name in _EXCEPTIONS if name not in _ENDING},
        **{
            GlobalName("ipaddress", f"IPv{version}{what}"): _address(f"IPv{version}{what}")
            for version in (4, 6)
            for what in ("Address", "Interface", "Network")
        },
        **{GlobalName(home, name): _member(home, name) for home, names in _ENUMERATIONS.items() for name in names},
        **{GlobalName(home, name): _sequence(home, name) for home, names in _SEQUENCES.items() for name in names},
        **{name: _named_tuple(name) for name in TUPLES},
        GlobalName("decimal", "Context"): _context,
        GlobalName("re", "_compile"): _pattern,
        GlobalName("array", "_array_reconstructor"): _array,
        GlobalName("array", "array"): _array,
        GlobalName("random", "Random"): _random,
        GlobalName("collections", "ChainMap"): _user("ChainMap", "maps", list),
        GlobalName("collections", "UserDict"): _user("UserDict", "data", dict),
        GlobalName("collections", "UserList"): _user("UserList", "data", list),
        GlobalName("collections", "UserString"): _user("UserString", "data", str),
    }
    for home in ("io", "_io"):
        found |= {GlobalName(home, name): _in_memory(name) for name in ("BytesIO", "StringIO")}
    return found


def _constants() -> dict[GlobalName, object]:
    import decimal

    found: dict[GlobalName, object] = {GlobalName("builtins", name): kind for name, kind in _EXCEPTIONS.items()}
    return found | {GlobalName("decimal", name): getattr(decimal, name) for name in _SIGNALS}


STDLIB_TABLE = Table(makers=_makers(), constants=_constants(), named=frozenset({GlobalName("array", "array")}))
"""A part of `engine.live.plain.PLAIN_TABLE`."""
