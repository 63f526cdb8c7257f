"""Time zones by name, as picklers write them: the one shape in which a computed callee is harmless.

`zoneinfo.ZoneInfo("Europe/Berlin")` is written as `getattr(zoneinfo.ZoneInfo, "_unpickle")("Europe/Berlin", True)`
(CPython, Modules/_zoneinfo.c and Lib/zoneinfo/_zoneinfo.py): an attribute of a class is looked up by name, and what
that gives is called. Harmless is only

1. this class, this attribute, this `getattr`, none of them computed;
2. a name of a zone, and a flag, as its only arguments;
3. and nothing else done with what was looked up (`strays`): it is called there, and no value anywhere.

A name has no dots and no leading slash, so no path outside of a database of zones can be spelled.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from safeload.core.graph import Build, Call, Dict, Global, How, Node, Persistent, Reading, Tuple, Value
from safeload.core.names import GlobalName
from safeload.later import Later
from safeload.rules.values import inside

ZONE = GlobalName("zoneinfo", "ZoneInfo")
_LOOKED_UP = "_unpickle"
_KEY = Later(r"[A-Za-z][A-Za-z0-9_+-]{0,31}(?:/[A-Za-z0-9_+-]{1,31}){0,3}\Z", re.ASCII)
"""Every name of the IANA database, and of `posix/` and `right/` beside it."""


def is_zone(text: object) -> bool:
    """Whether text has the shape of a zone's name."""
    return isinstance(text, str) and _KEY.match(text) is not None


def looks_zone_up(call: Value) -> bool:
    """Whether a call is `getattr(zoneinfo.ZoneInfo, "_unpickle")`, and nothing more."""
    if not isinstance(call, Call) or not isinstance(call.callee, Global) or not _plain(call):
        return False
    args = call.args.items if isinstance(call.args, Tuple) else ()
    match args:
        case (Global(name=owner), attribute):
            found = owner == ZONE and type(attribute) is str and attribute == _LOOKED_UP
            return call.callee.name == ("builtins", "getattr") and found
    return False


def named_zone(call: Value) -> str | None:
    """The name of the zone that a call makes in exactly this form; `None` for every other call."""
    if not isinstance(call, Call) or not _plain(call) or not looks_zone_up(call.callee):
        return None
    args = call.args.items if isinstance(call.args, Tuple) else ()
    match args:
        case (str() as key, bool() | int() as flag) if is_zone(key) and flag in (0, 1):
            return key
    return None


def _plain(call: Call) -> bool:
    keyless = call.kwargs is None or (isinstance(call.kwargs, Dict) and not call.kwargs.pairs)
    return call.how is How.REDUCE and keyless and not (call.states or call.items or call.pairs)


def strays(reading: Reading, lookups: Collection[Call]) -> set[Call]:
    """Which of these calls stand somewhere as a value, or are called with anything but a zone's name."""
    found: set[Call] = set()
    seen: set[Node] = set()
    waiting: list[Value] = [reading.value]
    for act in reading.trace:
        if isinstance(act, Build):
            waiting.extend((act.target, act.state))
        elif isinstance(act, Persistent):
            waiting.append(act.id)
        elif isinstance(act, Call) and act not in lookups:
            waiting.append(act)
    while waiting:
        node = waiting.pop()
        if not isinstance(node, Node):
            continue
        if isinstance(node, Call) and node in lookups:
            found.add(node)
        if node in seen:
            continue
        seen.add(node)
        waiting.extend(part for part in inside(node) if not (_is_callee(part, node) and named_zone(node) is not None))
    return found


def _is_callee(part: Value, node: Node) -> bool:
    return isinstance(node, Call) and part is node.callee
