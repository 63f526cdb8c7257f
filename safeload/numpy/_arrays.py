"""`load`: what `numpy.load` returns, made from a reading that cannot act."""

from __future__ import annotations

import io
import re
from collections.abc import Collection as Items
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from safeload.adapt_numpy import array_of, mapped, mapping_mode, owned, plain_type
from safeload.adapt_pickle import Unknown, Wish, value_of, wished
from safeload.core.errors import MalformedInput, UsageError
from safeload.core.names import escape
from safeload.engine.door import Door, opened
from safeload.engine.options import Options
from safeload.formats.base import NumpyArray, PickleStream
from safeload.formats.tensors import bad, counts

if TYPE_CHECKING:
    import numpy

_NESTED = 32
_SUFFIX = ".npy"
_TIME = re.compile(r"([<>=|]?)([mM])8\[(\d{0,9})([a-zA-Zμ]{1,7})\]\Z")


def load(
    file: Any,
    mmap_mode: str | None = None,
    allow_pickle: bool = False,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    *,
    max_header_size: int = 10_000,
    unknown: Unknown = "refuse",
    inert: Items[str] = (),
    classes: Iterable[type] = (),
    safeload: Options | None = None,
) -> Any:
    """Load what `numpy.save`, `numpy.savez` or `numpy.savez_compressed` wrote, without running anything in it.

    Promised: the same arrays as `numpy.load`, whose elements may be objects as well; of those, what is plain data.

    Args:
        file: a path, an open binary file, or bytes. An open file stands behind the array afterwards.
        mmap_mode: `r` or `c` maps the array of a named `.npy` file that nobody else can write. Modes that would
            write into the file are refused. As long as the array lives, the file must not be changed.
        allow_pickle: makes no difference: arrays of objects are read as data, and nothing is unpickled.
        fix_imports, encoding: as for `numpy.load`, in arrays of objects.
        max_header_size: longer headers are an error.
        unknown, inert, classes, safeload: as for `safeload.pickle.load`.

    Returns:
        An array; a `Collection` of arrays for an `.npz`; or what a bare pickle holds.

    Raises:
        As `safeload.pickle.load` does.
    """
    _require_numpy()
    wish = wished(
        "safeload.numpy.load(…, {})",
        unknown=unknown,
        inert=inert,
        classes=classes,
        options=safeload,
        fix_imports=fix_imports,
        encoding=encoding,
    )
    if encoding not in ("ASCII", "latin1", "bytes"):
        raise UsageError(
            f"encoding={encoding!r} was not honoured", why="numpy knows ASCII, latin1 and bytes", remedy="'latin1'"
        )
    mode = mapping_mode(mmap_mode, file, wish.options)
    moved = file if isinstance(file, io.IOBase) and file.seekable() else None
    start = moved.tell() if moved is not None else 0
    with ExitStack() as stack:
        door = stack.enter_context(opened(file, wish.options))
        if door.inspected.report.format == "npz":
            if mode is not None:
                raise UsageError(
                    f"mmap_mode={mmap_mode!r} was not honoured", why="a collection is no single array", remedy="None"
                )
            return Collection(door, wish, max_header_size, stack.pop_all())
        arrays = [part for part in door.inspected.parts if isinstance(part, NumpyArray)]
        if arrays:
            if moved is not None:
                moved.seek(start + arrays[0].end)
            return _array(door, arrays[0], max_header_size, mode)
        streams = door.streams("data")
        if not streams:
            raise MalformedInput(
                f"{escape(door.location.file)!r} was not loaded",
                where=door.location,
                why=f"it is {escape(door.inspected.report.format)}, and no array of numpy's",
                remedy="for tensors of other formats: safeload.torch.state_dict_of(…)",
            )
        if moved is not None:
            moved.seek(start + streams[0].reading.end)
        return _value(door, streams[0], wish)


class Collection(Mapping[str, Any]):
    """The arrays of an `.npz`, each read when it is asked for. Close it, or use it as a context manager.

    Every access reads the file again, as numpy's does, and raises `VerificationFailed` if it has changed.
    """

    def __init__(self, door: Door, wish: Wish, most: int, stack: ExitStack) -> None:
        self._door = door
        self._wish = wish
        self._most = most
        self._stack = stack
        self._parts: dict[str, NumpyArray | PickleStream] = {}
        for part in door.inspected.parts:
            member = part.location.member
            if member is None or not isinstance(part, NumpyArray | PickleStream):
                continue
            if isinstance(part, NumpyArray) or (part.role in ("data", "member") and member.endswith(_SUFFIX)):
                self._parts[member.removesuffix(_SUFFIX)] = part

    @property
    def files(self) -> list[str]:
        """The names of the arrays."""
        return list(self._parts)

    def __getitem__(self, name: str) -> Any:
        part = self._parts.get(name) or self._parts.get(name.removesuffix(_SUFFIX))
        if part is None:
            raise KeyError(f"{name} is not an array of the collection")
        if isinstance(part, NumpyArray):
            value: object = _array(self._door, part, self._most, None)
        else:
            value = _value(self._door, part, self._wish)
        if self._door.file is not None:
            self._door.file.verify_unchanged()
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._parts or name.removesuffix(_SUFFIX) in self._parts)

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Closing twice is harmless; reading afterwards raises `SourceError`."""
        self._stack.close()

    def __repr__(self) -> str:
        return f"<safeload.numpy.Collection of {len(self)} arrays>"


def _array(door: Door, part: NumpyArray, most: int, mode: str | None) -> numpy.ndarray[Any, Any]:
    if part.header > most:
        raise MalformedInput(
            "an array has a header that is too long",
            where=part.location,
            why=f"it has {part.header:,} bytes, and {most:,} are allowed",
            remedy="max_header_size=…, if you know why",
        )
    kind = dtype_of(part.descr)
    storage = part.storage
    if mode is not None:
        found = mapped(
            storage.blob,
            storage.offset,
            kind,
            part.shape,
            fortran=part.fortran,
            mode=mode,
            shared=door.integrity == "pinned",
        )
        if found is not None:
            return found
    data = owned(storage.blob, storage.offset, storage.nbytes)
    return array_of(data, kind, part.shape, fortran=part.fortran)


def dtype_of(descr: object, level: int = 0) -> numpy.dtype[Any]:
    """The element type that a header describes. Raises `MalformedInput` for what numpy does not write."""
    import numpy

    try:
        match descr:
            case str() as code if found := _TIME.match(code):
                order, letter, count, unit = found.groups()
                return plain_type(order.replace("|", ""), f"{letter}8", metadata=({}, (unit, int(count or 1), 1, 1)))
            case str() as code:
                return plain_type("", code)
            case (inner, shape) if isinstance(descr, tuple) and level < _NESTED:
                lengths = counts(shape if isinstance(shape, tuple) else (shape,), "shape")
                shaped: numpy.dtype[Any] = numpy.dtype((dtype_of(inner, level + 1), lengths))
                return shaped
            case [*items] if isinstance(descr, list) and level < _NESTED:
                table: numpy.dtype[Any] = numpy.dtype(_fields(items, level))
                return table
    except (TypeError, ValueError, OverflowError):  # numpy knows no such type: said as for any other description
        pass
    raise bad("a numpy type is described in a way that numpy does not write")


def _fields(items: list[Any], level: int) -> Any:
    """A structured type by its fields; those without a name are padding."""
    import numpy

    names, formats, titles, offsets, offset = [], [], [], [], 0
    for item in items:
        match item:
            case (str() | (_, str()) as label, inner, *shape) if len(shape) <= 1:
                kind = dtype_of((inner, shape[0]) if shape else inner, level + 1)
            case _:
                raise bad("a field of a numpy type is not described")
        title, name = label if isinstance(label, tuple) else (None, label)
        if kind.hasobject or not (title is None or isinstance(title, str)):
            raise bad("a field of a numpy type is not described")
        if name or not isinstance(kind, numpy.dtypes.VoidDType) or kind.names is not None:
            names.append(name)
            formats.append(kind)
            titles.append(title)
            offsets.append(offset)
        offset += kind.itemsize
    return {"names": names, "formats": formats, "titles": titles, "offsets": offsets, "itemsize": offset}


def _value(door: Door, stream: PickleStream, wish: Wish) -> object:
    if wish.texts is None and stream.reading.protocol < 3:
        raise UsageError(
            "encoding='bytes' was not honoured",
            where=stream.location,
            why="strings of Python 2 in arrays of objects are read as text",
            remedy="encoding='latin1'",
        )
    return value_of(door, stream, wish)


def _require_numpy() -> None:
    try:
        import numpy  # noqa: F401
    except ModuleNotFoundError as error:
        raise UsageError("nothing was loaded", why="numpy is not installed", remedy="pip install numpy") from error
