"""`load`: what `joblib.load` returns, made from a reading that cannot act.

joblib writes a pickle in which the bytes of arrays stand between the opcodes. The reading knows where each array lies;
its bytes are read or mapped from there.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Literal

from safeload.adapt_numpy import array_bytes, array_of, mapped, mapping_mode, owned
from safeload.adapt_pickle import Unknown, Wish, value_of, wished
from safeload.core.construct import Named
from safeload.core.errors import MalformedInput, UsageError
from safeload.core.names import GlobalName, escape
from safeload.engine.door import Door, opened
from safeload.engine.live import Made, Table
from safeload.engine.options import Options
from safeload.formats.base import PickleStream
from safeload.formats.tensors import bad, counts

if TYPE_CHECKING:
    pass

_WRAPPER = GlobalName("joblib.numpy_pickle", "NumpyArrayWrapper")
_CLASSES = frozenset(
    {GlobalName("numpy", "ndarray"), GlobalName("numpy", "memmap"), GlobalName("numpy.core.memmap", "memmap")}
    | {GlobalName("numpy._core.memmap", "memmap"), GlobalName("numpy", "matrix")}
    | {GlobalName("numpy.matrixlib.defmatrix", "matrix")}
)
"""What the arrays were; joblib gives back plain arrays for all of these, but matrices with a numpy before 2."""
_OLD = ("NDArrayWrapper", "ZNDArrayWrapper")


def load(
    filename: Any,
    mmap_mode: str | None = None,
    ensure_native_byte_order: bool | Literal["auto"] = "auto",
    *,
    unknown: Unknown = "refuse",
    inert: Collection[str] = (),
    classes: Iterable[type] = (),
    safeload: Options | None = None,
) -> Any:
    """Load what `joblib.dump` wrote, without running anything in it.

    Promised: the same arrays and plain data as `joblib.load`, and scikit-learn's estimators if it is installed.

    Args:
        filename: a path, an open binary file, or bytes. An open file is read to its end.
        mmap_mode: `r` or `c` maps the arrays of a named file that is not compressed and that nobody else can write.
            Modes that would write into the file are refused. As long as arrays live, the file must not be changed.
        ensure_native_byte_order: give arrays of the other byte order in this machine's; not while mapping.
        unknown, inert, classes, safeload: as for `safeload.pickle.load`.

    Raises:
        As `safeload.pickle.load` does; `UsageError` also where a compressed file should be mapped.
    """
    if not isinstance(ensure_native_byte_order, bool) and ensure_native_byte_order != "auto":
        raise UsageError(
            f"ensure_native_byte_order={ensure_native_byte_order!r} was not honoured",
            why="it is True, False or 'auto'",
            remedy="leave it out",
        )
    if ensure_native_byte_order is True and mmap_mode is not None:
        raise UsageError(
            "ensure_native_byte_order=True was not honoured",
            why="mapped arrays are not changed",
            remedy="mmap_mode=None",
        )
    wish = wished("safeload.joblib.load(…, {})", unknown=unknown, inert=inert, classes=classes, options=safeload)
    mode = mapping_mode(mmap_mode, filename, wish.options)
    native = ensure_native_byte_order is True or (ensure_native_byte_order == "auto" and mode is None)
    _require_numpy()
    with opened(filename, wish.options) as door:
        streams = door.streams("data")
        if not streams:
            raise MalformedInput(
                f"{escape(door.location.file)!r} was not loaded",
                where=door.location,
                why=f"it is {escape(door.inspected.report.format)}, and no pickle of joblib's",
                remedy="for arrays of numpy: safeload.numpy.load(…)",
            )
        return _Arrays(door, wish, mode, native).value(streams[0])


class _Arrays:
    """Makes the value of one file, with its arrays from where they lie."""

    def __init__(self, door: Door, wish: Wish, mode: str | None, native: bool) -> None:
        self._door = door
        self._wish = wish
        self._mode = mode
        self._native = native
        self._members = {part.reading.start: part for part in door.streams("member")}

    def value(self, stream: PickleStream) -> object:
        blob = stream.reading.blob

        def array(made: Made) -> object:
            return self._array(made, stream)

        def removed(made: Made) -> object:
            raise MalformedInput(
                "an array was not loaded",
                where=stream.location.at(made.call.offset),
                why="joblib before 0.10 kept it in a file beside this one",
                remedy="ask its author to write it with a joblib of today",
            )

        old = {GlobalName("joblib.numpy_pickle_compat", name): removed for name in _OLD}
        old |= {GlobalName("joblib.numpy_pickle", name): removed for name in _OLD}
        more = Table(makers={_WRAPPER: array, **old}, named=_CLASSES)
        return value_of(
            self._door, stream, self._wish, more=more, spans=lambda span, is_array: array_bytes(blob, span, is_array)
        )

    def _array(self, made: Made, stream: PickleStream) -> object:
        import numpy

        match made.states:
            case ({"shape": shape, "dtype": numpy.dtype() as kind, "order": "C" | "F" as order, **rest},):
                lengths = counts(shape, "shape")
            case _:
                raise bad("a joblib array has a state that joblib does not write")
        subclass = rest.get("subclass")
        if made.args or made.items or not isinstance(subclass, Named):
            raise bad("a joblib array has a state that joblib does not write")
        if subclass.name not in _CLASSES:
            return made.record()
        span = made.call.inline
        if span is None:
            if 0 in lengths and not kind.hasobject:
                return numpy.empty(lengths, dtype=kind)
            raise bad("a joblib array has no bytes")
        if kind.hasobject:
            part = self._members.get(span.start)
            inner = None if part is None else self.value(part)
            if not isinstance(inner, numpy.ndarray) or inner.dtype != kind or inner.shape != lengths:
                raise bad("an array of objects is described in a way that joblib does not write")
            return inner
        blob, start, length = stream.reading.blob, span.start, span.length
        if rest.get("numpy_array_alignment_bytes") is not None:
            skipped = 1 + blob.read_at(start, 1)[0]
            start, length = start + skipped, length - skipped
        if self._mode is not None:
            found = mapped(
                blob,
                start,
                kind,
                lengths,
                fortran=order == "F",
                mode=self._mode,
                shared=self._door.integrity == "pinned",
            )
            if found is None and length:
                raise UsageError(
                    f"mmap_mode={self._mode!r} was not honoured",
                    where=stream.location,
                    why="the file is compressed",
                    remedy="mmap_mode=None",
                )
            if found is not None:
                return found
        array = array_of(owned(blob, start, max(0, length)), kind, lengths, fortran=order == "F")
        if self._native and array.dtype.byteorder == _OTHER:
            array = array.byteswap().view(array.dtype.newbyteorder("="))
        if subclass.name.name == "matrix" and array.ndim == 2 and hasattr(numpy.ndarray, "__array_prepare__"):
            return array.view(numpy.matrix)
        return array


_OTHER = ">" if sys.byteorder == "little" else "<"


def _require_numpy() -> None:
    try:
        import numpy  # noqa: F401
    except ModuleNotFoundError as error:
        raise UsageError("nothing was loaded", why="numpy is not installed", remedy="pip install numpy") from error
