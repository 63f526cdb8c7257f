"""Sparse matrices of every kind, and distributions of scipy: made anew from checked parts.

Every index of a matrix is looked at. A distribution is the library's own, made again by its name and its parameters:
scipy itself would run the program text that the file brings along for it (`_parse_arg_template`).
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy

from safeload.adapt_sklearn._checks import indexes, table, whole
from safeload.core.errors import MalformedInput
from safeload.core.names import GlobalName
from safeload.engine.live import Made, Maker, Table

_FORMS = ("coo", "csc", "csr", "bsr", "dia", "lil", "dok")
_DISTRIBUTIONS = ("scipy.stats._continuous_distns", "scipy.stats._discrete_distns")
_FROZEN = {
    GlobalName("scipy.stats._distn_infrastructure", f"rv_{kind}frozen") for kind in ("", "continuous_", "discrete_")
}
_NUMBERS = (int, float, complex, numpy.number, numpy.bool_)
_DIMENSIONS = 32
_FAR = 1 << 31


def bad(what: str, why: str) -> MalformedInput:
    return MalformedInput(
        f"{what} is not what its library writes", why=f"{why}, which compiled code would follow without looking"
    )


def scipy_table(wanted: Iterable[GlobalName]) -> Table:
    """Makers for those of these names that are scipy's matrices and distributions; none if scipy is not installed."""
    makers: dict[GlobalName, Maker] = {}
    based: dict[GlobalName, GlobalName] = {}
    if find_spec("scipy") is None:
        return Table()
    for name in wanted:
        form, _, kind = name.name.partition("_")
        home = name.module.removeprefix("scipy.sparse.").removeprefix("_")
        if name.module.startswith("scipy.sparse.") and home == form in _FORMS and kind in ("matrix", "array"):
            makers[name] = _MATRICES.get(form, _compressed)
            if form == "dok":
                based[name] = GlobalName("builtins", "dict")
        elif name in _FROZEN:
            makers[name] = _frozen
        elif name.module in _DISTRIBUTIONS and name.name.endswith("_gen"):
            makers[name] = _distribution
    return Table(makers=makers, based=based)


# ── matrices ────────────────────────────────────────────────────────────────────────────────────────────────────


def _state(made: Made) -> tuple[Any, dict[Any, Any], tuple[int, ...]]:
    """The class, the attributes and the shape of a matrix."""
    kind = getattr(import_module("scipy.sparse"), made.name.name, None)
    if kind is None or made.kwargs or made.items or len(made.states) != 1:
        raise bad("a sparse matrix", "it has not one state")
    match made.states[0]:
        case {"_shape": tuple() as shape, **parts} if 1 <= len(shape) <= _DIMENSIONS:
            pass
        case _:
            raise bad("a sparse matrix", "its state is another one")
    if not all(whole(one) and 0 <= one < 1 << 62 for one in shape):
        raise bad("a sparse matrix", "its shape is none")
    return kind, parts, tuple(map(int, shape))


def _two(shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) != 2:
        raise bad("a sparse matrix", "it has not two dimensions")
    return shape[0], shape[1]


def _compressed(made: Made) -> object:
    """By rows or by columns, of numbers or of blocks of them."""
    kind, parts, shape = _state(made)
    rows, columns = _two(shape)
    data, minor, major = (parts.get(name) for name in ("data", "indices", "indptr"))
    blocks = made.name.name.startswith("bsr")
    if made.args or not table(data, *((None, None, None) if blocks else (None,)), kinds="biufc"):
        raise bad("a sparse matrix", "its numbers are none")
    count, *block = data.shape  # type: ignore[union-attr]
    if blocks:
        if 0 in block or rows % block[0] or columns % block[1]:
            raise bad("a sparse matrix", "its blocks do not fill it")
        rows, columns = rows // block[0], columns // block[1]
    long, short = (columns, rows) if made.name.name.startswith("csc") else (rows, columns)
    if not table(minor, count, kinds="i") or not indexes(minor, short):
        raise bad("a sparse matrix", "an index leads out of it")
    places: Any = major
    if not table(places, long + 1, kinds="i") or int(places[0]) != 0 or int(places[-1]) != count:
        raise bad("a sparse matrix", "its rows are not where it says")
    if (numpy.diff(places) < 0).any():
        raise bad("a sparse matrix", "its rows are not in order")
    return kind((data, minor, places), shape=shape)


def _coordinates(made: Made) -> object:
    kind, parts, shape = _state(made)
    coords = parts.get("coords", (parts.get("row"), parts.get("col")))  # the latter before scipy 1.13
    if made.args or not table(parts.get("data"), None, kinds="biufc"):
        raise bad("a sparse matrix", "its numbers are none")
    count = len(parts["data"])
    if not isinstance(coords, tuple) or len(coords) != len(shape):
        raise bad("a sparse matrix", "it has other coordinates than dimensions")
    if not all(table(one, count, kinds="i") and indexes(one, size) for one, size in zip(coords, shape, strict=True)):
        raise bad("a sparse matrix", "an index leads out of it")
    return kind((parts["data"], coords), shape=shape)


def _diagonals(made: Made) -> object:
    kind, parts, shape = _state(made)
    rows, columns = _two(shape)
    data, offsets = parts.get("data"), parts.get("offsets")
    if made.args or not table(data, None, None, kinds="biufc") or not table(offsets, len(data), kinds="i"):  # type: ignore[arg-type]
        raise bad("a sparse matrix", "it has other diagonals than numbers")
    places = [int(one) for one in offsets]  # type: ignore[union-attr]
    if len(set(places)) < len(places) or any(abs(one) + max(rows, columns) >= _FAR for one in places):
        raise bad("a sparse matrix", "its diagonals are none, or come twice")
    return kind((data, offsets), shape=shape)


def _type(parts: dict[Any, Any]) -> Any:
    kind: Any = parts.get("dtype")
    if not isinstance(kind, numpy.dtype) or kind.kind not in "biufc":
        raise bad("a sparse matrix", "its numbers are of no known type")
    return kind


def _lists(made: Made) -> object:
    """A list of places and one of numbers for each row."""
    kind, parts, shape = _state(made)
    rows, columns = _two(shape)
    places, numbers = parts.get("rows"), parts.get("data")
    if made.args or not table(places, rows, kinds="O") or not table(numbers, rows, kinds="O"):
        raise bad("a sparse matrix", "it has not as many lists as rows")
    found = kind(shape, dtype=_type(parts))
    for row, (where, what) in enumerate(zip(places, numbers, strict=True)):  # type: ignore[arg-type]
        if type(where) is not list or type(what) is not list or len(where) != len(what):
            raise bad("a sparse matrix", "a row is no list, or has other places than numbers")
        if not all(whole(one) for one in where) or not all(isinstance(one, _NUMBERS) for one in what):
            raise bad("a sparse matrix", "a place or a number is none")
        if any(a >= b for a, b in zip([-1, *where], [*where, columns], strict=True)):
            raise bad("a sparse matrix", "the places of a row are not in order, or lead out of it")
        found.rows[row], found.data[row] = [int(one) for one in where], [*what]
    return found


def _keys(made: Made) -> object:
    """A dictionary from places to numbers. It is written twice; the one that scipy uses counts."""
    kind, parts, shape = _state(made)
    cells = parts.get("_dict")
    if len(made.args) > 1 or type(cells) is not dict:
        raise bad("a sparse matrix", "its numbers are in no dictionary")
    found = kind(shape, dtype=_type(parts))
    for key, value in cells.items():
        at = key if isinstance(key, tuple) else (key,)
        if len(at) != len(shape) or not all(
            whole(one) and 0 <= one < size for one, size in zip(at, shape, strict=True)
        ):
            raise bad("a sparse matrix", "an index leads out of it")
        if not isinstance(value, _NUMBERS):
            raise bad("a sparse matrix", "a number is none")
        place = tuple(map(int, at))
        found._dict[place if isinstance(key, tuple) else place[0]] = found.dtype.type(value)
    return found


_MATRICES: dict[str, Maker] = {"coo": _coordinates, "dia": _diagonals, "lil": _lists, "dok": _keys}


# ── distributions ───────────────────────────────────────────────────────────────────────────────────────────────


def _distribution(made: Made) -> object:
    """The library's own distribution of that name, as new. Of its state, only the name is believed."""
    from scipy.stats._distn_infrastructure import rv_generic

    home = import_module(made.name.module)
    kind: Any = vars(home).get(made.name.name)
    match made.args, made.states:
        case (), ({"name": str() as name, **parts},):
            pass
        case _:
            raise bad("a distribution", "its state is another one")
    known: Any = vars(home).get(name)
    if not isinstance(kind, type) or not issubclass(kind, rv_generic) or type(known) is not kind:
        raise bad("a distribution", "scipy has none of that name")
    for key in ("a", "b", "badvalue", "xtol", "shapes", "numargs", "moment_type"):
        if key in parts and not _same(parts[key], getattr(known, key, None)):
            raise bad("a distribution", f"its {key} is not that of scipy's own")
    made.rest.crowd.spend("distributions")
    own: Any = home.__dict__[name]
    found = kind(**own._updated_ctor_param())
    state = parts.get("_random_state")
    if isinstance(state, numpy.random.RandomState | numpy.random.Generator):
        found.random_state = state
    return found


def _same(one: object, other: object) -> bool:
    """Whether two parameters are equal; NaN is itself."""
    return bool(one == other) or (isinstance(one, float) and isinstance(other, float) and one != one and other != other)


def _frozen(made: Made) -> object:
    """A distribution with its parameters given: numbers, or arrays of them."""
    from scipy.stats import _distn_infrastructure as home

    match made.args, made.states:
        case (), ({"dist": home.rv_generic() as known, "args": tuple() as args, "kwds": dict() as words, **_rest},):
            pass
        case _:
            raise bad("a distribution", "its state is another one")
    del _rest
    if not all(_parameter(one) for one in (*args, *words.values())) or not all(isinstance(key, str) for key in words):
        raise bad("a distribution", "its parameters are no numbers")
    made.rest.crowd.spend("distributions")
    names = {"loc", "scale", *(part.strip() for part in (known.shapes or "").split(","))}
    if set(words) - names or len(args) > len(names):
        raise bad("a distribution", "it has parameters that scipy's own has not")
    return getattr(home, made.name.name)(known, *args, **words)


def _parameter(value: object) -> bool:
    return isinstance(value, _NUMBERS) or (type(value) is numpy.ndarray and value.dtype.kind in "biuf")
