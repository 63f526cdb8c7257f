"""Text that pandas 3 keeps in pyarrow's memory: read from the buffers that a file holds, without pyarrow.

pyarrow believes the places in its buffers. Here each is looked at, and each text decoded; what comes out is kept by
pyarrow again if it is installed, and by Python if it is not. Other types of pyarrow are not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from inspect import signature
from typing import Any

import numpy
import pandas

from safeload.adapt_pandas._checks import bad, cache_only, one_state, only_args, whole
from safeload.core.errors import MalformedInput
from safeload.engine.live import Made

_OFFSETS: dict[str, numpy.dtype[Any]] = {"string": numpy.dtype("<i4"), "large_string": numpy.dtype("<i8")}
Array = numpy.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """The name of one of pyarrow's types. Inert."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """Bytes of an array. Inert."""

    data: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Texts that were read, and `None` where none is."""

    items: tuple[str | None, ...]


def kind(made: Made) -> object:
    match only_args(made):
        case (str() as name,) if name in _OFFSETS:
            return Kind(name)
    return made.record()


def buffer(made: Made) -> object:
    match only_args(made):
        case (bytes() | bytearray() as data,):
            return Buffer(bytes(data))
        case (numpy.ndarray() | memoryview() as data,):
            view: Any = data
            return Buffer(bytes(memoryview(view).cast("B")))
    return made.record()


def array(made: Made) -> object:
    """One array: its type, length, number of missing items, offset, buffers, children and dictionary."""
    match only_args(made):
        case ((Kind(name=name), length, _, offset, [marks, places, data], [], None),):
            pass
        case _:
            return made.record()
    if not all(isinstance(one, Buffer | None) for one in (marks, places, data)) or places is None:
        raise bad("an array of pyarrow", "its buffers are none")
    if not whole(length, 0, 1 << 40) or not whole(offset, 0, 1 << 40):
        raise bad("an array of pyarrow", "its length is none")
    first, last = int(offset), int(offset) + int(length)
    here = _places(places.data, _OFFSETS[name], last + 1)[first:]
    held = b"" if data is None else data.data
    if len(here) and (int(here[0]) < 0 or int(here[-1]) > len(held) or (numpy.diff(here) < 0).any()):
        raise bad("an array of pyarrow", "a text reaches outside of its bytes")
    there = _marks(None if marks is None else marks.data, first, last)
    edges = here.tolist()
    try:
        found = [
            held[start:end].decode("utf-8") if present else None
            for present, start, end in zip(there, edges, edges[1:], strict=False)
        ]
    except UnicodeDecodeError:
        raise bad("an array of pyarrow", "a text is not UTF-8") from None
    return Texts(tuple(found))


def _places(data: bytes, kind: numpy.dtype[Any], count: int) -> Array:
    if count == 1 and not data:
        return numpy.zeros(1, dtype=kind)
    if len(data) < count * kind.itemsize:
        raise bad("an array of pyarrow", "it has fewer places than texts")
    return numpy.frombuffer(data, dtype=kind, count=count)


def _marks(data: bytes | None, first: int, last: int) -> Array:
    """Which items are there: a bit each."""
    if data is None:
        return numpy.ones(last - first, dtype=bool)
    if len(data) * 8 < last:
        raise bad("an array of pyarrow", "it has fewer marks than texts")
    bits = numpy.unpackbits(numpy.frombuffer(data, dtype=numpy.uint8), count=last, bitorder="little")
    return bits[first:].astype(bool)


def chunks(made: Made) -> object:
    """Arrays one after another, as one."""
    match only_args(made):
        case (list() as parts, Kind()) if all(isinstance(part, Texts) for part in parts):
            return Texts(tuple(item for part in parts for item in part.items))
    return made.record()


def kept_as(storage: str, missing: Any) -> Any:
    """A type of text.

    Raises:
        MalformedInput: its missing value is not `pandas.NA`, and this pandas knows no other.
    """
    if missing is pandas.NA:
        return pandas.StringDtype(storage)
    if "na_value" not in signature(pandas.StringDtype).parameters:
        raise MalformedInput(
            "text was not loaded", why="a newer pandas wrote it, with nan for what is missing", remedy="pandas 2.3"
        )
    return pandas.StringDtype(storage, na_value=missing)


def text_type(missing: Any) -> Any:
    """The type of such text, where it is kept here."""
    return kept_as("pyarrow" if find_spec("pyarrow") else "python", missing)


def text_array(made: Made) -> object:
    match one_state(made):
        case {"_pa_array": Texts(items=items), "_dtype": kept, **rest}:
            cache_only(made, rest)
        case _:
            raise bad("text kept by pyarrow", "its state is another one")
    if not isinstance(kept, pandas.StringDtype):
        raise bad("text kept by pyarrow", "its type is another one")
    found = numpy.empty(len(items), dtype=object)
    found[:] = items
    return pandas.array(found, dtype=kept)
