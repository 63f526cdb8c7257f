"""Allowlisted helpers that call one of their arguments, and calls that are harmless in one exact form.

Each entry was read in the source of the helper it is about (CPython, torch, numpy).
"""

from __future__ import annotations

from typing import NamedTuple

from safeload.core.allowlist import Allowlist, Use
from safeload.core.graph import Call, Dict, Global, How, Persistent, Tuple, Value
from safeload.core.names import GlobalName
from safeload.rules.mapped import remakes_map
from safeload.rules.partials import PARTIAL, checks_arrays
from safeload.rules.zones import is_zone

_LATIN = frozenset({"latin1", "latin-1", "iso-8859-1", "ascii", "utf-8", "utf8"})
_PLAIN_BASES = frozenset(
    {"object", "dict", "list", "tuple", "set", "frozenset", "int", "float", "str", "bytes", "bytearray", "complex"}
)
_REBUILDERS = ("torch._utils", "torch._tensor", "torch.tensor")
_TYPED_REBUILDS = frozenset({"_rebuild_from_type", "_rebuild_from_type_v2"})

_MADE_OF_FIRST = frozenset(
    {
        "_reconstruct",
        "__pyx_unpickle_SeedSequence",
        "__pyx_unpickle_NDArrayBacked",
        "__pyx_unpickle_IntervalMixin",
        "_new_Index",
        "_new_DatetimeIndex",
        "_new_TimedeltaIndex",
        "_new_IntervalIndex",
    }
)
"""Helpers of numpy and pandas that call `__new__` of their first argument."""


class Hidden(NamedTuple):
    """A call that a helper makes of something the stream hands to it."""

    callee: Value
    args: Value
    plain: bool
    """Whether only `__new__` runs."""
    kwargs: Value = None


_NO_ARGUMENTS = Tuple((), 1)
_ZONE_CLASS = ("dateutil.tz._tzfile", "tzfile")
_ZONE_BY_VALUE = ("dateutil.tz._tzfile", "_unpickle")


def class_of(callee: Value) -> Value:
    """The class behind a persistent id by which torch's legacy format writes classes together with their source."""
    if isinstance(callee, Persistent) and isinstance(callee.id, Tuple) and len(callee.id.items) > 1:
        kind, owner = callee.id.items[:2]
        if kind == "module" and isinstance(kind, str) and isinstance(owner, Global):
            return owner
    return callee


def spelled(value: Value) -> Value:
    """The text of bytes as protocols 0 to 2 write them, which is a call that encodes it; any other value as it is."""
    if isinstance(value, Call) and isinstance(value.callee, Global) and value.callee.name == ("_codecs", "encode"):
        args = value.args.items if isinstance(value.args, Tuple) else ()
        if len(args) == 2 and isinstance(args[0], str) and args[1] == "latin1":
            return args[0]
    return value


def plain_bytes(value: Value) -> Value:
    """The bytes that a call of that kind gives; any other value as it is."""
    text = spelled(value)
    if text is value or not (text.isascii() or max(text) <= "\xff"):
        return value
    return text.encode("latin-1")


def hidden_calls(name: GlobalName, call: Call) -> tuple[Hidden, ...]:
    """The calls that an allowlisted callable makes of its own arguments."""
    args = call.args.items if isinstance(call.args, Tuple) else ()
    if name.module == "copyreg":
        return _copyreg(name.name, args)
    if name.module in _REBUILDERS and name.name in _TYPED_REBUILDS and len(args) > 2:
        return (Hidden(args[0], args[2], False), Hidden(args[1], _NO_ARGUMENTS, True))
    if name == ("torch._utils", "_rebuild_wrapper_subclass") and args:
        return (Hidden(args[0], _NO_ARGUMENTS, True),)
    if name.module == "numpy.random._pickle":
        made = tuple(Hidden(item, _NO_ARGUMENTS, False) for item in args[:1] if isinstance(item, Global))
        return made + tuple(Hidden(item, Tuple(args[:1], 1), False) for item in args[1:2] if isinstance(item, Global))
    if name.name == "_mareconstruct":
        return tuple(Hidden(item, _NO_ARGUMENTS, True) for item in args[:2])
    if remakes_map(call):  # which makes an array of that class without a call of its own
        return ()
    if (name.name in _MADE_OF_FIRST or name == _ZONE_BY_VALUE) and args:
        return (Hidden(args[0], _NO_ARGUMENTS, True),)
    return ()


def _copyreg(name: str, args: tuple[Value, ...]) -> tuple[Hidden, ...]:
    if name == "_reconstructor" and len(args) > 2:
        base = args[1]
        made = Hidden(args[0], _NO_ARGUMENTS, True)
        if isinstance(base, Global) and base.name.module == "builtins" and base.name.name in _PLAIN_BASES:
            return (made,)
        return (made, Hidden(base, Tuple((args[2],), 1), False))
    if name == "__newobj_ex__" and len(args) == 3:
        return (Hidden(args[0], args[1], True, args[2]),)
    if name in ("__newobj__", "__newobj_ex__") and args:
        return (Hidden(args[0], Tuple(args[1:], 1), True),)
    return ()


def _is_constant(value: Value) -> bool:
    return isinstance(value, Global) and value.name in (("builtins", "Ellipsis"), ("builtins", "NotImplemented"))


def looks_up_one(call: Call) -> bool:
    """Whether a call of an enumeration looks up a member: with more arguments it makes a class out of them."""
    keyless = call.kwargs is None or (isinstance(call.kwargs, Dict) and not call.kwargs.pairs)
    return keyless and isinstance(call.args, Tuple) and len(call.args.items) <= 1


def wrong_arguments(name: GlobalName, call: Call) -> str:
    """Why these arguments take an allowlisted callable outside of what it is listed for; empty where they do not."""
    args = call.args.items if isinstance(call.args, Tuple) else ()
    if name == ("_codecs", "encode") and len(args) > 1:
        encoding = args[1]
        if not isinstance(encoding, str) or encoding.lower() not in _LATIN:
            return "it would look up a codec that no pickler uses"
    if name == ("collections", "defaultdict") and args and args[0] is not None:
        factory = args[0]
        if not isinstance(factory, Global):
            return "its factory is computed"
    if name.module == "pytz" and name.name == "_p" and not (args and is_zone(args[0])):
        return "its name is none of a time zone"
    if name == ("dateutil.tz.tz", "tzfile") and args and args[0] is not None:
        return "it would open a file"
    if name == _ZONE_BY_VALUE and not (args and isinstance(args[0], Global) and args[0].name == _ZONE_CLASS):
        return "it would call a method of another class"
    return ""


def excused(name: GlobalName, call: Call, allowlist: Allowlist) -> bool:
    """Whether a call of a name outside the allowlist is one of the exact forms that harmless picklers write."""
    if call.how is not How.REDUCE or not isinstance(call.args, Tuple):
        return False
    if call.kwargs is not None and not (isinstance(call.kwargs, Dict) and not call.kwargs.pairs):
        return False
    args = call.args.items
    if name == PARTIAL:
        return checks_arrays(call)
    if name == ("builtins", "type"):  # type(None) and the like, as the types of constants are pickled
        return len(args) == 1 and (args[0] is None or _is_constant(args[0]))
    if name == ("builtins", "getattr") and len(args) == 2:  # a member of an enumeration, as Python 3.11 pickles flags
        owner, attribute = args
        if not isinstance(owner, Global) or not isinstance(attribute, str):
            return False
        entry = allowlist.get(owner.name)
        plain = attribute.isidentifier() and attribute.isupper() and not attribute.startswith("_")
        return entry is not None and entry.use is Use.MEMBER and plain
    return False
