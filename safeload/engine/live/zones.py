"""Makers for time zones: from the database of this system, by a name whose shape was checked.

Named zones of the standard library, pytz and dateutil become `zoneinfo.ZoneInfo`, fixed ones `datetime.timezone`. What
a file says of a zone beside its name (dateutil writes all of its changes) is not used. A zone that a file asks not to
share is shared all the same: one costs a few bytes to name, and kilobytes to hold.
"""

from __future__ import annotations

import datetime
import os
import zoneinfo
from functools import cache
from pathlib import PurePosixPath

from safeload.core.errors import MalformedInput
from safeload.core.graph import Call, Global, Tuple
from safeload.core.names import GlobalName
from safeload.engine.live import Made, Maker
from safeload.rules.zones import ZONE, is_zone

_FOLDER = "zoneinfo"
_DAY = datetime.timedelta(days=1)


def bad(what: str) -> MalformedInput:
    return MalformedInput("a pickle describes a time zone in a way that does not fit", why=what)


def zone_of(key: object) -> zoneinfo.ZoneInfo:
    """The zone of this name, out of this system's database or the package `tzdata`.

    Raises:
        MalformedInput: it is no name of a zone, or none that is known here.
    """
    if not isinstance(key, str) or not is_zone(key):
        raise bad("its name is none")
    if not any(os.path.isfile(os.path.join(folder, key)) for folder in zoneinfo.TZPATH) and key not in _packaged():
        raise MalformedInput(
            "a pickle holds a time zone that is not known here",
            why=f"neither the system nor the package tzdata has {key}",
            remedy="pip install tzdata",
        )
    try:
        return zoneinfo.ZoneInfo(key)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise bad(f"what this system has by the name of {key} is no zone") from None


@cache
def _packaged() -> frozenset[str]:
    """The zones of the package `tzdata`, if it is installed: only these names are ever looked for in it."""
    from importlib import resources

    try:
        return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split())
    except (ModuleNotFoundError, FileNotFoundError):
        return frozenset()


def shifted(made: Made, moment: datetime.datetime) -> datetime.datetime:
    """The same moment, with `fold` as the offset demands that pytz wrote beside the zone's name.

    pytz makes a zone of each offset, and never sets `fold`; the standard library has one zone, and needs it where
    clocks were set back.

    Raises:
        MalformedInput: the zone never has that offset at this time.
    """
    offset = _offset_beside(made.call)
    if offset is None or moment.utcoffset() == offset:
        return moment
    other = moment.replace(fold=1 - moment.fold)
    if other.utcoffset() != offset:
        raise bad("the zone of a moment has another offset than the file says")
    return other


def _offset_beside(call: Call) -> datetime.timedelta | None:
    """The offset with which pytz wrote the zone among a moment's arguments; `None` for zones of others."""
    parts = call.args.items if isinstance(call.args, Tuple) else ()
    args = parts[0].items if parts and isinstance(parts[0], Tuple) else ()
    zone = args[1] if len(args) > 1 else None
    if isinstance(zone, Call) and isinstance(zone.callee, Global) and zone.callee.name == _PYTZ:
        inner = zone.args.items if isinstance(zone.args, Tuple) else ()
        given = inner[0].items if inner and isinstance(inner[0], Tuple) else ()
        if len(given) > 1 and type(given[1]) is int and abs(given[1]) < 86400:
            return datetime.timedelta(seconds=given[1])
    return None


def _done(made: Made) -> tuple[object, ...]:
    if made.kwargs or made.items or any(state is not None for state in made.states):
        raise bad("it has a state")
    return made.args


def _named(made: Made) -> object:
    """`ZoneInfo._unpickle(key, shared)`, as `engine.live.graph` passes it on."""
    match _done(made):
        case (key, bool() | int()):
            return zone_of(key)
    return made.record()


def _of_pytz(made: Made) -> object:
    match _done(made):
        case (str() as key,):
            return datetime.UTC if key == "UTC" else zone_of(key)
        case (str() as key, int(), int(), str()):
            return zone_of(key)
    raise bad("pytz writes its zones in another way")


def _minutes(made: Made) -> object:
    match _done(made):
        case (int() as minutes,) if abs(minutes) < 1440:
            return datetime.timezone(datetime.timedelta(minutes=minutes))
    raise bad("its offset is none")


def _utc(made: Made) -> object:
    """UTC of pytz or dateutil: the standard library's, which pandas takes for the same."""
    if _done(made):
        raise bad("it has arguments")
    return datetime.UTC


def _offset(made: Made) -> object:
    """dateutil's fixed offset: of its arguments, or of its state as versions before 3 wrote it."""
    match made.args, made.states:
        case (name, offset), () | (None,):
            pass
        case (), ({"_name": name, "_offset": offset, **rest},) if not rest:
            pass
        case _:
            return made.record()
    if isinstance(offset, int) and abs(offset) < 86400:
        offset = datetime.timedelta(seconds=offset)
    if not isinstance(offset, datetime.timedelta) or abs(offset) >= _DAY or not isinstance(name, str | None):
        raise bad("its offset is none")
    return datetime.timezone(offset) if name is None else datetime.timezone(offset, name)


def _of_file(made: Made) -> object:
    """dateutil's zone out of a file of the system's database: by its path, which is not opened."""
    match made.args:
        case (None, str() as path):
            pass
        case _:
            return made.record()
    parts = PurePosixPath(path).parts
    if _FOLDER not in parts:
        return made.record()
    last = len(parts) - parts[::-1].index(_FOLDER)
    return zone_of("/".join(parts[last:]))


def _of_data(made: Made) -> object:
    """The same as dateutil 4 writes it."""
    match made.args:
        case (_, str() as key, str() | None, tuple()):
            return zone_of(key)
    return made.record()


_PYTZ = GlobalName("pytz", "_p")
ZONE_MAKERS: dict[GlobalName, Maker] = {
    ZONE: _named,
    _PYTZ: _of_pytz,
    GlobalName("pytz", "_UTC"): _utc,
    GlobalName("pytz", "FixedOffset"): _minutes,
    GlobalName("dateutil.tz.tz", "tzutc"): _utc,
    GlobalName("dateutil.tz.tz", "tzoffset"): _offset,
    GlobalName("dateutil.tz.tz", "tzfile"): _of_file,
    GlobalName("dateutil.tz._tzfile", "_unpickle"): _of_data,
}
