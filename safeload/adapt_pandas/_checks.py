"""What makers of pandas' objects ask of their parts before a constructor gets them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy
import pandas

from safeload.core.construct import Named, Record, checked_key
from safeload.core.errors import MalformedInput, SafeloadError
from safeload.engine.live import Made, Maker

_ODD = (
    ValueError, TypeError, AttributeError, LookupError, ArithmeticError, MemoryError, AssertionError,
    RuntimeError, pandas.errors.InvalidIndexError,
)  # fmt: skip
"""What pandas' constructors raise for what they do not take."""
_LONGEST = 1 << 24
"""Items of a `RangeIndex` that something has to walk over. It takes a few bytes to write one of any length."""
UNITS = ("s", "ms", "us", "ns")
CLOSED = ("left", "right", "both", "neither")
BESIDE = {"_cache", "_freq", "_readonly"}
"""What pandas keeps beside a state, and forgets."""


def bad(what: str, why: str) -> MalformedInput:
    return MalformedInput(f"{what} is not what pandas writes", why=why)


def guarded(maker: Maker) -> Maker:
    """The same maker; what pandas or numpy cannot take becomes an error of ours."""

    def make(made: Made) -> object:
        try:
            return maker(made)
        except SafeloadError:
            raise
        except _ODD as error:
            raise bad(str(made.name), f"its parts do not fit ({type(error).__name__})") from None

    return make


def whole(value: object, least: int = -(1 << 63), most: int = (1 << 63) - 1) -> bool:
    """Whether a value is a whole number within bounds."""
    return isinstance(value, int | numpy.integer) and not isinstance(value, bool) and least <= int(value) <= most


def one_state(made: Made) -> Any:
    """The one state of an object that is made without arguments."""
    if made.args or made.kwargs or made.items or len(made.states) > 1:
        raise bad(str(made.name), "it has arguments or several states")
    return made.states[0] if made.states else None


def only_args(made: Made) -> tuple[Any, ...]:
    """The arguments of a call that makes an object at once."""
    if made.kwargs or made.items or any(state is not None for state in made.states):
        raise bad(str(made.name), "it has a state")
    return made.args


def label(value: object) -> Any:
    """A name or label: anything that hashes in little time. Raises `MalformedInput` for what does not."""
    if isinstance(value, Record | Named):
        raise bad("a label", "it is an object of an unknown class")
    return checked_key(value)


def labels(values: Iterable[object]) -> None:
    """Look at each label of an index."""
    for value in values:
        if type(value) is not str:
            label(value)


def short(index: Any) -> Any:
    """An index that somebody walks over: one that has its items, or not too many of them."""
    if isinstance(index, pandas.RangeIndex) and len(index) > _LONGEST:
        raise bad("an index", "it counts further than anything that belongs to it")
    return index


def numbers(value: object, kinds: str, dimensions: int | None = None) -> numpy.ndarray[Any, Any]:
    """A plain array of such kinds of numbers. Raises `MalformedInput` for anything else."""
    if type(value) is not numpy.ndarray or value.dtype.kind not in kinds:
        raise bad("an array", "it is none, or of another type")
    if dimensions is not None and value.ndim != dimensions:
        raise bad("an array", "it has another number of dimensions")
    if value.dtype.kind in "mM" and (numpy.datetime_data(value.dtype)[0] not in UNITS or not _whole_unit(value.dtype)):
        raise bad("an array", "it counts time in a unit that pandas does not have")
    return value


def _whole_unit(kind: numpy.dtype[Any]) -> bool:
    return numpy.datetime_data(kind)[1] == 1 and kind.isnative


def codes(value: object, count: int) -> numpy.ndarray[Any, Any]:
    """Places in something with `count` items, or -1 for none."""
    found = numbers(value, "i", 1)
    if found.size and (int(found.min()) < -1 or int(found.max()) >= count):
        raise bad("an array of codes", "one leads to where nothing is")
    return found


def cache_only(made: Made, state: object) -> None:
    """What pandas remembers beside a state is forgotten; anything else is not what it writes."""
    if not isinstance(state, dict) or set(state) - BESIDE:
        raise bad(str(made.name), "its state is another one")
