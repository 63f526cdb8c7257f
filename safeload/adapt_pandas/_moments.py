"""Single values of pandas: moments, durations, periods, intervals, and the frequencies that count them."""

from __future__ import annotations

import datetime
import re
from typing import Any

import numpy
import pandas

from safeload.adapt_pandas._checks import CLOSED, UNITS, bad, label, one_state, only_args, whole
from safeload.engine.live import Made

_RESOLUTIONS = dict(enumerate(UNITS, 7))


def timestamp(made: Made) -> object:
    match only_args(made):
        case (value, None | pandas.offsets.BaseOffset(), None | datetime.tzinfo() as zone, *unit) if len(unit) <= 1:
            pass
        case _:
            raise bad("a Timestamp", "its arguments are others")
    found = pandas.Timestamp(numpy.datetime64(_count(value), _unit(unit)))
    return found if zone is None else found.tz_localize("UTC").tz_convert(zone)


def timedelta(made: Made) -> object:
    match only_args(made):
        case (value, *unit) if len(unit) <= 1:
            return pandas.Timedelta(numpy.timedelta64(_count(value), _unit(unit)))
    raise bad("a Timedelta", "its arguments are others")


def _count(value: object) -> int:
    if not whole(value, 1 - (1 << 63)):
        raise bad("a moment", "it is no number")
    return int(value)  # type: ignore[call-overload, no-any-return]


def _unit(unit: list[Any]) -> Any:
    (number,) = unit or (10,)
    if type(number) is not int or number not in _RESOLUTIONS:
        raise bad("a moment", "it counts in a unit that pandas does not have")
    return _RESOLUTIONS[number]


def no_time(made: Made) -> object:
    if only_args(made) not in ((), (None,)):
        raise bad("NaT", "its arguments are others")
    return pandas.NaT


def period(made: Made) -> object:
    match only_args(made):
        case (None, pandas.offsets.BaseOffset() as frequency, ordinal) if whole(ordinal):
            return pandas.Period(ordinal=int(ordinal), freq=frequency)
    raise bad("a Period", "its arguments are others")


def interval(made: Made) -> object:
    match only_args(made):
        case (left, right, str() as closed) if closed in CLOSED:
            label(left), label(right)
            return pandas.Interval(left, right, closed)
    raise bad("an Interval", "its arguments are others")


def offset(made: Made) -> object:
    """A frequency: how many, and small numbers that say of which kind."""
    args = only_args(made)
    plain = all(isinstance(one, bool) or one is None or whole(one, 0, 366) or one in _CHOICES for one in args[1:])
    if made.name.name == "BusinessDay" and len(args) == 3 and args[2] == datetime.timedelta(0):
        args, plain = args[:2], isinstance(args[1], bool)
    if not args or not whole(args[0], -(1 << 31), 1 << 31) or not args[0] or not plain:
        raise bad(f"a frequency ({made.name.name})", "its arguments are others")
    return getattr(pandas.offsets, made.name.name)(*args)


_CHOICES = ("nearest", "last")
_UNITS_OF_TIME = ("years", "months", "weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds")
_PARTS_OF_TIME = ("year", "month", "day", "hour", "minute", "second", "microsecond", "nanosecond", "nanoseconds")
_TIMES = 32
_HOLIDAYS = 10_000
_WEEK = re.compile(r"[A-Za-z01 ]{1,40}\Z", re.ASCII)


def worked(made: Made) -> object:
    """A frequency of working days or hours: a mask of the week, holidays, and times of the day."""
    many, whole_days, *rest = only_args(made) or (0, False)
    given: dict[str, Any] = {}
    if "Custom" in made.name.name:
        match rest:
            case (str() as week, tuple() | list() | None as holidays, None, *rest) if _WEEK.match(week):
                if holidays and len(holidays) > _HOLIDAYS:
                    raise bad(f"a frequency ({made.name.name})", "it has more holidays than anybody")
                given |= {"weekmask": week, "holidays": [_day(one) for one in holidays or ()]}
            case _:
                raise bad(f"a frequency ({made.name.name})", "its arguments are others")
    match rest:
        case (datetime.timedelta() as shift,):
            given["offset"] = shift
        case (tuple() as starts, tuple() as ends, datetime.timedelta() as shift) if "Hour" in made.name.name:
            if max(len(starts), len(ends)) > _TIMES or not all(type(one) is datetime.time for one in (*starts, *ends)):
                raise bad(f"a frequency ({made.name.name})", "its times are none")
            given |= {"start": list(starts), "end": list(ends), "offset": shift}
        case _:
            raise bad(f"a frequency ({made.name.name})", "its arguments are others")
    if not whole(many, -(1 << 31), 1 << 31) or not many or not isinstance(whole_days, bool):
        raise bad(f"a frequency ({made.name.name})", "its arguments are others")
    return getattr(pandas.offsets, made.name.name)(int(many), whole_days, **given)


def _day(value: object) -> Any:
    if isinstance(value, numpy.datetime64 | datetime.date):
        return value
    raise bad("a frequency", "a holiday is no day")


def calendar_offset(made: Made) -> object:
    """A duration in years, months and the like, out of the numbers in its state."""
    state = one_state(made)
    if not isinstance(state, dict):
        raise bad("a DateOffset", "its state is another one")
    given = {
        key: value for key, value in state.items() if key not in ("_offset", "_use_relativedelta", "n", "normalize")
    }
    many, whole_days = state.get("n", 1), state.get("normalize", False)
    fits = all(
        key in (*_UNITS_OF_TIME, *_PARTS_OF_TIME) and whole(value, -(1 << 31), 1 << 31) for key, value in given.items()
    )
    if not fits or not whole(many, -(1 << 31), 1 << 31) or not isinstance(whole_days, bool):
        return made.record()
    return pandas.DateOffset(int(many), whole_days, **{key: int(value) for key, value in given.items()})
