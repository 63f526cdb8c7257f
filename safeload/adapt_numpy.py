"""Live numpy arrays, types and scalars out of a reading: makers that every adapter with arrays hands to `construct`.

An element type is built from its parts, never by numpy's own `__setstate__`; an array only if its bytes are exactly as
many as its shape and type need. Of the subclasses of `ndarray`, matrices and arrays of records and of characters are
known; others stay inert.
"""

from __future__ import annotations

import datetime
import os
import re
from math import prod
from typing import TYPE_CHECKING, Any, Literal

from safeload.core.blob import Blob
from safeload.core.construct import Named
from safeload.core.errors import UsageError
from safeload.core.graph import Span
from safeload.core.names import GlobalName, Location
from safeload.engine.live import Made, Maker, Table
from safeload.engine.options import Options
from safeload.engine.read_into import read_into
from safeload.formats.tensors import bad, counts
from safeload.formats.window import outermost
from safeload.sources.pinned import PinnedFile

if TYPE_CHECKING:
    import numpy

_CODE = re.compile(r"([<>=|]?)([?biufcmMSUVO])(\d{0,9})\Z", re.ASCII)
_UNITS = ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "μs", "ns", "ps", "fs", "as", "generic")
_SCALARS = (
    "bool", "bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32",
    "float64", "complex64", "complex128", "str_", "bytes_", "object_", "void", "datetime64", "timedelta64", "intc",
    "longlong", "ulonglong", "longdouble", "clongdouble", "uintc", "record",
)  # fmt: skip
_FIELDS = 4096
_PARTS = (bool, int, float, complex, str, bytes, datetime.date, datetime.timedelta, type(None))
"""What numpy gives for one number or text of a record."""
_CORES = ("numpy.core", "numpy._core")
_NDARRAY = GlobalName("numpy", "ndarray")
_KINDS = {
    _NDARRAY: "ndarray",
    **{GlobalName(home, "recarray"): "recarray" for home in ("numpy", "numpy.rec", "numpy.core.records")},
    **{GlobalName(home, "matrix"): "matrix" for home in ("numpy", "numpy.matrixlib.defmatrix")},
    **{GlobalName(home, "memmap"): "memmap" for home in ("numpy", "numpy.core.memmap", "numpy._core.memmap")},
    **{GlobalName(home, "chararray"): "chararray" for home in ("numpy", "numpy.char", "numpy.core.defchararray")},
}
_RECONSTRUCT = frozenset(GlobalName(f"{core}.multiarray", "_reconstruct") for core in _CORES)


def numpy_table() -> Table | None:
    """The makers; `None` if numpy is not installed, so that its arrays stay inert."""
    try:
        import numpy
    except ModuleNotFoundError:
        return None
    makers: dict[GlobalName, Maker] = {
        GlobalName("numpy", "dtype"): _dtype,
        GlobalName("dill._dill", "_create_array"): _from_dill,
        GlobalName("numpy._core._internal", "_convert_to_stringdtype_kwargs"): _text_type,
    }
    for core in _CORES:
        makers[GlobalName(f"{core}.multiarray", "_reconstruct")] = _reconstruct
        makers[GlobalName(f"{core}.multiarray", "scalar")] = _scalar
        makers[GlobalName(f"{core}.numeric", "_frombuffer")] = _frombuffer
    constants = {GlobalName("numpy", name): getattr(numpy, name) for name in _SCALARS if hasattr(numpy, name)}
    constants[GlobalName("numpy.core.records", "record")] = numpy.record
    return Table(makers=makers, constants=constants, named=frozenset(_KINDS))


def array_bytes(blob: Blob, span: Span, is_array: bool) -> object:
    """The `spans` hook: bytes of an array go straight into memory that numpy owns, others are what they are."""
    if not is_array:
        data = blob.read_at(span.start, span.length)
        return bytearray(data) if span.mutable else data
    return owned(blob, span.start, span.length)


def owned(blob: Blob, start: int, length: int) -> Any:
    """Bytes of a file as a new array of `uint8`. Raises `MalformedInput` if the file is shorter."""
    import numpy

    data = numpy.empty(length, dtype=numpy.uint8)
    read_into(blob, data.data, start)
    return data


def mapping_mode(mode: object, f: object, options: Options) -> Literal["r", "c"] | None:
    """How arrays are mapped. Raises `UsageError` for modes that would write into the file, or have nothing to map."""
    if mode is None:
        return None
    if mode not in ("r", "readonly", "c", "copyonwrite"):
        raise UsageError(
            f"mmap_mode={mode!r} was not honoured",
            why="it would write into the file that was judged",
            remedy="mmap_mode='c' writes to memory, mmap_mode='r' not at all",
        )
    if not isinstance(f, str | os.PathLike):
        raise UsageError(
            f"mmap_mode={mode!r} was not honoured",
            why="only a file that is named can be mapped",
            remedy="pass its path",
        )
    if options.integrity == "private":
        raise UsageError(
            f"mmap_mode={mode!r} was not honoured",
            why="a mapped file is no private copy",
            remedy="mmap_mode=None, or Options(integrity='auto')",
        )
    return "r" if mode in ("r", "readonly") else "c"


def mapped(
    blob: Blob, start: int, kind: numpy.dtype[Any], shape: tuple[int, ...], *, fortran: bool, mode: str, shared: bool
) -> numpy.ndarray[Any, Any] | None:
    """An array over a file's own pages; `None` where the bytes do not lie in the file as they are (compressed).

    Args:
        shared: whether files that others can write may be mapped.

    Raises:
        UsageError: others can write the file.
    """
    import numpy

    outer, offset = outermost(blob, start)
    if not isinstance(outer, PinnedFile) or not prod(shape) or not kind.itemsize or kind.hasobject:
        return None
    if offset + prod(shape) * kind.itemsize > outer.size:
        raise bad("an array is longer than the file")
    if not shared and not outer.exclusive:
        raise UsageError(
            "a file was not mapped",
            where=Location(outer.path),
            why="others can write it, and would change the arrays after they were judged",
            remedy="mmap_mode=None, or Options(integrity='pinned')",
        )
    with os.fdopen(os.dup(outer.fileno()), "rb") as file:
        order: Any = "F" if fortran else "C"
        return numpy.memmap(file, dtype=kind, mode=mode, offset=offset, shape=shape, order=order)  # type: ignore[call-overload, no-any-return]


# ── element types ───────────────────────────────────────────────────────────────────────────────────────────────


def _dtype(made: Made) -> object:
    import numpy

    code, *_ = made.args or ("",)
    records = code is numpy.record
    if isinstance(code, type):
        code = numpy.dtype(code).str
    if not isinstance(code, str) or len(made.states) > 1:
        raise bad("a numpy type is described in a way that numpy does not write")
    order: str = ""
    size = -1
    inner: Any = None
    names: Any = None
    fields: Any = None
    metadata: object = None
    if made.states:
        match made.states[0]:
            case (int(), ("<" | ">" | "|" | "=") as order, inner, names, fields, int() as size, int(), *rest):
                metadata = rest[1] if len(rest) > 1 else None
            case _:
                raise bad("a numpy type has a state that numpy does not write")
    if inner is not None:
        return _checked((*_pair(inner),))
    if names is not None:
        described = _structured(names, fields, size)
        return numpy.dtype((numpy.record, described)) if records else described
    return plain_type(order, code, size, metadata)


def plain_type(order: str, code: str, size: int = -1, metadata: object = None) -> numpy.dtype[Any]:
    """A type without fields, by its code. Raises `MalformedInput` for codes that numpy does not write."""
    found = _CODE.match(code)
    if found is None:
        raise bad("a numpy type has a code that numpy does not write")
    own, kind, width = found.groups()
    order = "" if order == "|" else order or own.replace("|", "")
    if kind in "mM":
        return _checked(f"{order}{kind}8{_unit(metadata)}")
    if kind == "O":
        return _checked("O")
    if kind in "SUV" and size > 0:
        width = str(size // 4 if kind == "U" else size)
    return _checked(f"{order}{kind}{width}")


def _unit(metadata: object) -> str:
    match metadata:
        case (_, (bytes() | str() as unit, int() as count, int(), int())):
            name = unit.decode("ascii", "replace") if isinstance(unit, bytes) else unit
            if name not in _UNITS or not 0 < count < 1 << 31:
                raise bad("a numpy type counts in a unit that does not exist")
            return "" if name == "generic" else f"[{count}{name}]"
    return ""


def _pair(inner: object) -> tuple[Any, Any]:
    import numpy

    match inner:
        case (numpy.dtype() as base, shape) if not base.hasobject:
            return base, counts(shape if isinstance(shape, tuple) else (shape,), "shape")
    raise bad("a numpy type has a state that numpy does not write")


def _structured(names: object, fields: object, size: int) -> numpy.dtype[Any]:
    import numpy

    if not isinstance(names, tuple) or not isinstance(fields, dict) or len(names) > _FIELDS:
        raise bad("the fields of a numpy type are not described")
    formats, offsets, titles = [], [], []
    for name in names:
        match fields.get(name):
            case (numpy.dtype() as kind, int() as offset, *title) if _fits_in(kind) and 0 <= offset <= size:
                formats.append(kind)
                offsets.append(offset)
                titles.append(title[0] if title else None)
            case _:
                raise bad("a field of a numpy type is not described")
    if not all(isinstance(title, str | None) for title in titles) or {*names, *filter(None, titles)} != set(fields):
        raise bad("the fields of a numpy type are not described")
    described = {"names": list(names), "formats": formats, "offsets": offsets, "itemsize": size}
    return _checked({**described, "titles": titles} if any(titles) else described)


def _fits_in(kind: numpy.dtype[Any]) -> bool:
    """Whether a type may be one of a field: text of any length would be taken, and is not supported by numpy there."""
    return not kind.hasobject or kind.kind == "O" or (kind.names is not None and kind.subdtype is None)


def _text_type(made: Made) -> object:
    """The type of text of any length: whether it takes other things for text, and what stands for missing text."""
    import numpy

    if not hasattr(numpy.dtypes, "StringDType"):
        raise bad("text of any length needs numpy 2, and an older one is installed")
    match made.args:
        case (bool() | int() as coerce,):
            return numpy.dtypes.StringDType(coerce=bool(coerce))
        case (bool() | int() as coerce, (None | str() | float()) as missing) if (
            missing is None or missing != missing or (isinstance(missing, str))
        ):
            return numpy.dtypes.StringDType(coerce=bool(coerce), na_object=missing)
    return made.record()


def _checked(description: Any) -> numpy.dtype[Any]:
    import numpy

    try:
        made: numpy.dtype[Any] = numpy.dtype(description)
    except (TypeError, ValueError, OverflowError):
        raise bad("a numpy type is not one of numpy's") from None
    return made


# ── arrays and scalars ──────────────────────────────────────────────────────────────────────────────────────────


def _reconstruct(made: Made) -> object:
    named = made.args[0] if made.args else None
    if not isinstance(named, Named) or named.name not in _KINDS:
        return made.record()
    import numpy

    match made.states:
        case ((int(), shape, numpy.dtype() as kind, fortran, data),) | ((shape, numpy.dtype() as kind, fortran, data),):
            plain = native(array_of(data, kind, counts(shape, "shape"), fortran=bool(fortran)))
        case ():
            plain = numpy.ndarray((0,), dtype=numpy.int8)
        case _:
            raise bad("a numpy array has a state that numpy does not write")
    subclass = _KINDS[named.name]
    if subclass == "matrix" and plain.ndim != 2:
        raise bad("a matrix has not two dimensions")
    if subclass == "chararray":
        if plain.dtype.kind not in "SU":
            raise bad("an array of characters holds something else")
        return plain.view(numpy.char.chararray)
    return plain if subclass == "ndarray" else plain.view(getattr(numpy, subclass))


def native(array: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
    """The same numbers in this machine's byte order, as numpy has them once it has unpickled them."""
    if array.dtype.isnative or array.dtype.names:
        return array
    return array.astype(array.dtype.newbyteorder("="), order="K", copy=False)


def _from_dill(made: Made) -> object:
    """An array as dill writes it: numpy's own call and state, as arguments of a function of dill's."""
    match made.args:
        case (Named(name=name), tuple() as args, tuple() as state, None | {}) if name in _RECONSTRUCT:
            return _reconstruct(made._replace(args=args, states=(state,)))
    return made.record()


def _frombuffer(made: Made) -> object:
    import numpy

    match made.args:
        case (data, numpy.dtype() as kind, shape, ("C" | "F") as order, *axes) if axes in ([], [None]):
            return array_of(_beside(data), kind, counts(shape, "shape"), fortran=order == "F")
        case (data, numpy.dtype() as kind, shape, "K", axes):
            made_of = array_of(_beside(data), kind, counts(shape, "shape"), fortran=False)
            order = counts(axes, "axis order")
            if sorted(order) == list(range(made_of.ndim)):
                return made_of.transpose(order)
    raise bad("a numpy array is described in a way that numpy does not write")


def _beside(data: object) -> object:
    """The bytes of an array. A buffer that the caller handed over beside the stream is used itself, not copied."""
    import pickle

    import numpy

    if isinstance(data, pickle.PickleBuffer | memoryview):
        view = memoryview(data)
        if not view.contiguous:
            raise bad("a buffer beside the stream is not in one piece")
        raw: Any = view if view.ndim == 1 and view.format == "B" else memoryview(pickle.PickleBuffer(data).raw())
        return numpy.frombuffer(raw, dtype=numpy.uint8) if view.nbytes else b""
    return data


def array_of(data: object, kind: numpy.dtype[Any], shape: tuple[int, ...], *, fortran: bool) -> numpy.ndarray[Any, Any]:
    """An array that owns its memory and may be written to.

    Raises:
        MalformedInput: the bytes are not exactly those of such an array.
    """
    import numpy

    order: Any = "F" if fortran else "C"
    count = prod(shape)
    text = kind.kind == "T"
    if kind == numpy.dtype("O") or text:
        if not isinstance(data, list) or len(data) != count:
            raise bad("an array of objects has another number of them than its shape")
        missing = getattr(kind, "na_object", "")
        if text and not all(
            type(item) is str or item is missing or (type(item) is float and item != item) for item in data
        ):
            raise bad("an array of text holds something else")
        objects = _empty(shape, kind, order)
        for index, item in enumerate(data):
            objects.flat[index] = item
        return objects
    if kind.hasobject:
        return _mixed(data, kind, shape, order)
    if isinstance(data, str):  # as Python 2 wrote bytes
        data = _latin(data)
    if not isinstance(data, bytes | bytearray | numpy.ndarray):
        raise bad("an array's bytes are no bytes")
    available = data.nbytes if isinstance(data, numpy.ndarray) else len(data)
    if available != count * kind.itemsize:
        raise bad("an array has another size than its bytes", wanted=count * kind.itemsize, available=available)
    if not available:
        return _empty(shape, kind, order)
    if not isinstance(data, numpy.ndarray):
        data = numpy.frombuffer(bytearray(data), dtype=numpy.uint8)
    base, inner = kind.subdtype or (kind, ())
    return data.view(base).reshape((*shape, *inner), order=order)


def _mixed(data: object, kind: numpy.dtype[Any], shape: tuple[int, ...], order: Any) -> numpy.ndarray[Any, Any]:
    """An array of records that hold objects beside numbers: a list of tuples, of which numbers are checked."""
    if not isinstance(data, list) or len(data) != prod(shape) or kind.names is None:
        raise bad("an array of objects has another number of them than its shape")
    for item in data:
        if not _is_record(item, kind):
            raise bad("a record has other fields than its type")
    found = _empty(shape, kind, order)
    try:
        for index, item in enumerate(data):
            found.flat[index] = item
    except (TypeError, ValueError, OverflowError, Warning):
        raise bad("a record has other fields than its type") from None
    return found


def _is_record(item: object, kind: numpy.dtype[Any]) -> bool:
    """Whether a value is a tuple with one part for each field: an object, a record, or a number or text of numpy's."""
    import numpy

    if type(item) is not tuple or kind.names is None or len(item) != len(kind.names):
        return False
    for name, part in zip(kind.names, item, strict=True):
        field = kind[name]
        if field.names is not None:
            fits = _is_record(part, field)
        elif field.subdtype is not None:
            fits = not field.hasobject and type(part) is numpy.ndarray and part.dtype == field.base
        else:
            fits = field.hasobject or isinstance(part, (*_PARTS, numpy.generic))
        if not fits:
            return False
    return True


def _empty(shape: tuple[int, ...], kind: numpy.dtype[Any], order: Any) -> numpy.ndarray[Any, Any]:
    """An array without bytes, or of `None`: its shape may still be more than numpy counts."""
    import numpy

    try:
        return numpy.empty(shape, dtype=kind, order=order)
    except (ValueError, MemoryError):
        raise bad("an array has a shape that numpy cannot have") from None


def _latin(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise bad("an array's bytes are text that is not Latin-1") from None


def _scalar(made: Made) -> object:
    import numpy

    match made.args:
        case (numpy.dtype() as kind, data) if kind == numpy.dtype("O"):
            return data
        case (numpy.dtype() as kind, data) if not made.states and kind.subdtype is None:
            return array_of(data, kind, (1,), fortran=False)[0]
    raise bad("a numpy number is described in a way that numpy does not write")
