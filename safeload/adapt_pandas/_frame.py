"""Series and frames: from the blocks that a file describes, column by column, through their constructors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy
import pandas

from safeload.adapt_pandas._checks import bad, label, numbers, one_state, only_args, short
from safeload.adapt_pandas._index import places
from safeload.engine.live import Made

_LAYOUT = "0.14.1"
"""How pandas names the layout of a state; it has not changed since that version."""
_WIDEST_EMPTY = 1 << 16
"""Columns of a table without rows: each is made, though it takes no bytes to write one."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Values, and which columns they are. Inert: nothing is done with one that belongs to no frame."""

    values: object
    placement: object


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """The blocks and axes of a series or frame."""

    blocks: tuple[Any, ...]
    axes: tuple[Any, ...]


def block(made: Made) -> object:
    match only_args(made):
        case (values, placement, 1 | 2):
            return Block(values, placement)
    raise bad("a block", "its arguments are others")


def blocks(made: Made) -> object:
    """A block manager: of its call, or of its state."""
    if made.args:
        match only_args(made):
            case (tuple() | list() as found, tuple() | list() as axes) if all(type(one) is Block for one in found):
                return Blocks(tuple(found), tuple(axes))
            case (Block() as found, pandas.Index() as axis):
                return Blocks((found,), (axis,))
        raise bad("a block manager", "its arguments are others")
    match one_state(made):
        case (*_, {"0.14.1": {"axes": list() | tuple() as axes, "blocks": list() | tuple() as found}}):
            made.rest.expect((found,))
            return Blocks(tuple(_described(one) for one in found), tuple(axes))
    raise bad("a block manager", "its state is another one")


def _described(one: object) -> Block:
    match one:
        case {"values": values, "mgr_locs": placement}:
            return Block(values, placement)
    raise bad("a block", "it is not described")


def series(made: Made) -> object:
    state, found = _state(made, "series", (["_name"], ["name"]))
    if len(found.axes) != 1 or len(found.blocks) != 1:
        raise bad("a Series", "it has not one index and one block")
    (axis,), (one,) = found.axes, found.blocks
    values = _column(one.values)
    count = len(_axis(axis))
    if len(values) != count or not numpy.array_equal(places(one.placement, count), numpy.arange(count)):
        raise bad("a Series", "its values are not as many as its index")
    name = state.get("_name", state.get("name"))
    return _dressed(pandas.Series(values, index=axis, dtype=values.dtype, name=label(name), copy=False), state)


def frame(made: Made) -> object:
    state, found = _state(made, "dataframe", ([],))
    if len(found.axes) != 2:
        raise bad("a DataFrame", "it has not two axes")
    columns, axis = found.axes
    width, height = len(short(_axis(columns))), len(_axis(axis))
    if len({id(one.values) for one in found.blocks}) != len(found.blocks):
        raise bad("a DataFrame", "two of its blocks are one")
    tables = [_rows(one.values, height) for one in found.blocks]
    if not height and width > _WIDEST_EMPTY:
        raise bad("a DataFrame", "it has more columns than anybody gives a table without rows")
    if sum(map(len, tables)) != width:
        raise bad("a DataFrame", "its blocks hold another number of columns than it has")
    order = [places(one.placement, width) for one in found.blocks]
    if any(len(some) != len(table) for some, table in zip(order, tables, strict=True)):
        raise bad("a DataFrame", "a block holds another number of columns than it says")
    if width and not numpy.array_equal(numpy.sort(numpy.concatenate(order)), numpy.arange(width)):
        raise bad("a DataFrame", "its blocks do not cover its columns exactly once")
    return _dressed(_assembled(tables, order, columns, axis), state)


def _assembled(tables: list[Any], order: list[Any], columns: Any, axis: Any) -> Any:
    if len(tables) == 1 and type(tables[0]) is numpy.ndarray and (numpy.diff(order[0]) > 0).all():
        table = tables[0]
        return pandas.DataFrame(table.T, index=axis, columns=columns, dtype=table.dtype, copy=False)
    if not tables:
        return pandas.DataFrame(index=axis, columns=columns)
    plain = pandas.RangeIndex(len(axis))
    series: dict[int, Any] = {}
    for table, some in zip(tables, order, strict=True):
        for place, values in zip(some.tolist(), table, strict=True):
            series[place] = pandas.Series(values, index=plain, dtype=values.dtype, copy=False)
    found = pandas.DataFrame({place: series[place] for place in range(len(columns))}, index=plain, copy=False)
    found.columns, found.index = columns, axis
    return found


def _rows(values: Any, height: int) -> Any:
    """The columns of a block: a table of numpy's, or a list of arrays."""
    extended = isinstance(values, pandas.api.extensions.ExtensionArray)
    checked = values if extended else numbers(values, "biufcmMO", 2)
    if checked.shape[-1] != height:
        raise bad("a DataFrame", "a block is of another length than its index")
    if not extended:
        return checked
    return [checked] if checked.ndim == 1 else [checked[at] for at in range(len(checked))]


def _column(values: Any) -> Any:
    if isinstance(values, pandas.api.extensions.ExtensionArray) and values.ndim == 1:
        return values
    return numbers(values, "biufcmMO", 1)


def _axis(value: object) -> pandas.Index:
    if not isinstance(value, pandas.Index):
        raise bad("a table", "an axis is no index")
    return value


def _state(made: Made, kind: str, known: tuple[list[str], ...]) -> tuple[dict[str, Any], Blocks]:
    """The state, and the blocks in it. Nothing may be in it that pandas does not put there."""
    state = one_state(made)
    if not isinstance(state, dict):
        raise bad(str(made.name), "its state is another one")
    found: Any = state.get("_mgr", state.get("_data"))
    extra = state.get("_metadata", [])
    made.rest.expect((state.get("attrs"), state.get("_flags"), extra))
    fits = isinstance(found, Blocks) and state.get("_typ", kind) == kind and isinstance(extra, list)
    if not fits or (extra not in known and "_metadata" in state):
        raise bad(str(made.name), "its state is another one")
    if set(state) - {"_mgr", "_data", "_typ", "_metadata", "attrs", "_flags", *known[0], *known[-1]}:
        raise bad(str(made.name), "its state sets what is none of its own")
    return state, found


def _dressed(value: Any, state: dict[str, Any]) -> Any:
    """The same table with the attributes and flags of its state."""
    attributes, flags = state.get("attrs", {}), state.get("_flags", {})
    if not isinstance(attributes, dict):
        raise bad("a table", "its attributes are none")
    match flags:
        case {"allows_duplicate_labels": bool() as twice, **rest} if not rest:
            pass
        case {**rest} if not rest:
            twice = True
        case _:
            raise bad("a table", "its flags are others")
    if not twice:
        value = value.set_flags(allows_duplicate_labels=False)
    if attributes:
        value.attrs = attributes
    return value
