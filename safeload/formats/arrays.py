"""numpy arrays and scalars out of an inert graph, as numpy and joblib pickle them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from safeload.core.blob import Blob, MemoryBlob
from safeload.core.construct import Handler, Named, Stateful
from safeload.core.errors import MalformedInput
from safeload.core.graph import Call, Span
from safeload.core.names import GlobalName
from safeload.formats.array_types import ArrayType, content_of
from safeload.formats.base import Storage, TensorView
from safeload.formats.dtypes import width_of
from safeload.formats.tensors import bad, contiguous, counts
from safeload.formats.window import outermost

_NUMBERS = {
    "bool": "?",
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float16": "e",
    "float32": "f",
    "float64": "d",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes constants that were left in the file because they are long."""

    storage: Storage


class Array(Stateful):
    """A numpy array. `view` is its tensor, where torch has such a type.

    Other arrays have `values` instead: a `Composite` of tensors (structured types), a flat list of texts or objects,
    or bytes of a type (`code`) that is not taken apart.
    """

    __slots__ = ("code", "shape", "values", "view")

    def __init__(self) -> None:
        self.view: TensorView | None = None
        self.values: object = None
        self.shape: tuple[int, ...] = ()
        self.code = ""

    def set_state(self, state: object) -> None:
        match state:
            case (int(), shape, ArrayType() as kind, fortran, data):
                self.fill(data, kind, shape, fortran=bool(fortran))
            case _:
                raise bad("a numpy array has a state that numpy does not write")

    def fill(self, data: object, kind: ArrayType, shape: object, *, fortran: bool) -> None:
        """Take the array's bytes, or its objects."""
        self.shape = counts(shape, "shape")
        self.code = kind.code
        storage = storage_of(data)
        if storage is None:
            self.values = data
            return
        strides = contiguous(reversed(self.shape))[::-1] if fortran else contiguous(self.shape)
        content = content_of(kind, storage, self.shape, strides)
        if isinstance(content, TensorView):
            self.view = content
        else:
            self.values = data if content is None else content


def storage_of(data: object, *, big_endian: bool = False) -> Storage | None:
    """The bytes of a constant as a storage; `None` if it is no bytes."""
    if isinstance(data, Piece):
        piece = data.storage
        return Storage(blob=piece.blob, offset=piece.offset, nbytes=piece.nbytes, big_endian=big_endian)
    if isinstance(data, (bytes, bytearray)):
        return Storage(blob=MemoryBlob(bytes(data)), offset=0, nbytes=len(data), big_endian=big_endian)
    return None


_CLASSES = {
    "bool_": "b1",
    "bool": "b1",
    "float16": "f2",
    "float32": "f4",
    "float64": "f8",
    "int32": "i4",
    "int64": "i8",
}
"""Types that are given by their class."""


def _dtype(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    match args:
        case (str() as code, *_):
            return ArrayType(code)
        case (Named() as kind, *_) if kind.name.module == "numpy":
            return ArrayType(_CLASSES.get(kind.name.name, "V"))
    raise bad("a numpy type is described in a way that numpy does not write")


def _reconstruct(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    return Array()


def _frombuffer(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    match args:
        case (data, ArrayType() as kind, shape, order, *_):
            array = Array()
            array.fill(data, kind, shape, fortran=order == "F")
            return array
    raise bad("a numpy array is described in a way that numpy does not write")


def _scalar(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    """A plain number where there is one; else the bytes."""
    match args:
        case (ArrayType() as kind, bytes() as data) if kind.known is not None:
            dtype, big = kind.known
            if len(data) != width_of(dtype):
                raise bad("a numpy number has the wrong width", wanted=width_of(dtype), available=len(data))
            order = ">" if big else "<"
            if dtype in _NUMBERS:
                return struct.unpack(order + _NUMBERS[dtype], data)[0]
            return complex(*struct.unpack(f"{order}2{'f' if dtype == 'complex64' else 'd'}", data))
        case (ArrayType() as kind, bytes() as data) if kind.code.lstrip("<>=|").startswith("U"):
            try:
                return data.decode("utf-32-be" if kind.code.startswith(">") else "utf-32-le").rstrip("\0")
            except UnicodeDecodeError:
                raise bad("a numpy string is not Unicode") from None
        case (ArrayType(), data):
            return data
    raise bad("a numpy number is described in a way that numpy does not write")


class _Wrapped(Array):
    """joblib's array: its state says the shape, its bytes follow in the stream."""

    __slots__ = ("_data", "_objects")

    def __init__(self, data: object, objects: Callable[[], object]) -> None:
        super().__init__()
        self._data = data
        self._objects = objects

    def set_state(self, state: object) -> None:
        match state:
            case {"shape": shape, "dtype": ArrayType() as kind} if kind.code.lstrip("<>=|").startswith("O"):
                self.shape, self.code, inner = counts(shape, "shape"), kind.code, self._objects()
                self.values = inner.values if isinstance(inner, Array) else inner
            case {"shape": shape, "order": order, "dtype": ArrayType() as kind}:
                aligned = isinstance(state, dict) and type(state.get("numpy_array_alignment_bytes")) is int
                self.fill(_unpadded(self._data) if aligned else self._data, kind, shape, fortran=order == "F")
            case _:
                raise MalformedInput("a joblib array has a state that joblib does not write")


def _unpadded(data: object) -> object:
    """The bytes of an aligned array: one byte says how many more to skip."""
    if not isinstance(data, Piece) or not data.storage.nbytes:
        return data
    storage = data.storage
    skip = min(1 + storage.blob.read_at(storage.offset, 1)[0], storage.nbytes)
    return Piece(replace(storage, offset=storage.offset + skip, nbytes=storage.nbytes - skip))


_CORES = ("numpy.core", "numpy._core")
ARRAY_HANDLERS: dict[GlobalName, Handler] = {
    GlobalName("numpy", "dtype"): _dtype,
    **{GlobalName(f"{core}.multiarray", "_reconstruct"): _reconstruct for core in _CORES},
    **{GlobalName(f"{core}._internal", "_reconstruct"): _reconstruct for core in _CORES},
    **{GlobalName(f"{core}.numeric", "_frombuffer"): _frombuffer for core in _CORES},
    **{GlobalName(f"{core}.multiarray", "scalar"): _scalar for core in _CORES},
}
"""Handlers for `construct` that need nothing but their arguments."""


def joblib_handlers(blob: Blob, objects: Callable[[int], object]) -> Mapping[GlobalName, Handler]:
    """Handlers for joblib's arrays, whose bytes stand in `blob` between the opcodes.

    `objects` gives the value of the pickle at an offset, which stands there for an array of objects.
    """

    def wrapper(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
        if call.inline is None:
            return _Wrapped(None, lambda: None)
        span = call.inline
        return _Wrapped(piece_of(blob, span), lambda: objects(span.start))

    return {GlobalName("joblib.numpy_pickle", "NumpyArrayWrapper"): wrapper}


def piece_of(blob: Blob, span: Span) -> Piece:
    """A span as a range of the outermost file."""
    outer, offset = outermost(blob, span.start)
    return Piece(Storage(blob=outer, offset=offset, nbytes=span.length))
