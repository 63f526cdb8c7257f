"""numpy's element types: plain ones, structured ones, and the views of an array that torch has words for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from safeload.core.construct import Stateful
from safeload.core.frozen import replace
from safeload.formats.base import Storage, TensorView
from safeload.formats.dtypes import numpy_dtype, numpy_width, width_of
from safeload.formats.tensors import Composite, StorageRef, bad, counts, view, whole

_FIELDS = 4096
"""Fields of one structured type, those of nested types included."""
_NESTED = 32
_TEXT_BYTES = 1 << 20
"""Arrays of text up to this size are decoded."""


class Field(NamedTuple):
    kind: ArrayType
    offset: int
    """In bytes, from the beginning of the element."""


class ArrayType(Stateful):
    """A numpy `dtype`: its code, and for structured types the fields."""

    __slots__ = ("code", "fields", "inner", "itemsize")

    def __init__(self, code: str, fields: Mapping[str, Field] | None = None, itemsize: int = 0) -> None:
        self.code = code
        self.fields = fields
        self.inner: tuple[ArrayType, tuple[int, ...]] | None = None
        """For types that are small arrays themselves: their element and shape."""
        self.itemsize = itemsize
        """Bytes of one element; 0 where the code says it."""

    def set_state(self, state: object) -> None:
        match state:
            case (int(), ("<" | ">" | "|" | "=") as order, inner, names, fields, size, *_):
                self.code = f"{order}{self.code.lstrip('<>=|')}"
                self._set_inner(inner)
                if isinstance(size, int) and size > 0:
                    self.itemsize = whole(size, "element size")
                if names is not None:
                    self._set_fields(names, fields)
            case _:
                raise bad("a numpy type has a state that numpy does not write")

    def _set_inner(self, inner: object) -> None:
        match inner:
            case None:
                return
            case (ArrayType() as kind, shape):
                self.inner = kind, counts(shape if isinstance(shape, tuple) else (shape,), "shape")
            case _:
                raise bad("a numpy type has a state that numpy does not write")

    def _set_fields(self, names: object, fields: object) -> None:
        if not isinstance(names, tuple) or not isinstance(fields, dict) or len(names) > _FIELDS:
            raise bad("the fields of a numpy type are not described")
        found: dict[str, Field] = {}
        for name in names:
            match fields.get(name) if isinstance(name, str) else None:
                case (ArrayType() as kind, offset, *_):
                    found[name] = Field(kind, whole(offset, "field offset"))
                case _:
                    raise bad("a field of a numpy type is not described")
        self.fields = found

    @property
    def width(self) -> int:
        """Bytes of one element; 0 where nobody says."""
        return self.itemsize or numpy_width(self.code)

    @property
    def known(self) -> tuple[str, bool] | None:
        """torch's name of the element type, and whether it is big endian."""
        return None if self.fields is not None or self.inner is not None else numpy_dtype(self.code)


def content_of(kind: ArrayType, storage: Storage, shape: tuple[int, ...], strides: tuple[int, ...]) -> object:
    """An array as a `TensorView`, a `Composite` of the views of its parts, or a list of texts; `None` for others.

    Structured arrays become one component for each field, named after it. Times become their 64-bit counts, and raw
    bytes `uint8` with one dimension more.

    Raises:
        MalformedInput: it does not fit the bytes that are there.
    """
    known = kind.known
    if known is not None:
        return _view(known, storage, shape, strides)
    letter = kind.code.lstrip("<>=|")[:1]
    count = 1
    for length in shape:
        count *= length
    wanted, available = count * kind.width, storage.nbytes
    if wanted > available:
        raise bad("an array is longer than its bytes", wanted=wanted, available=available)
    if kind.fields is not None or kind.inner is not None:
        steps = tuple(step * kind.width for step in strides)
        parts = dict(_components(kind, storage, 0, shape, steps))
        return Composite(kind="structured", parts=parts, facts={"shape": shape, "bytes": kind.width})
    if letter in ("M", "m") and kind.width == 8:
        facts = {"type": kind.code.lstrip("<>=|")}
        return Composite(
            kind="time", parts={"int64": _view(("int64", kind.code[:1] == ">"), storage, shape, strides)}, facts=facts
        )
    if letter in ("U", "S", "a") and wanted <= _TEXT_BYTES:
        return _texts(kind, storage, count)
    if letter == "V" and kind.width:
        steps = tuple(step * kind.width for step in strides)
        return Composite(kind="void", parts={"bytes": _bytes(storage, 0, kind.width, shape, steps)}, facts={})
    return None


def _view(
    known: tuple[str, bool], storage: Storage, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0
) -> TensorView:
    dtype, big = known
    ref = StorageRef(dtype, "", replace(storage, big_endian=big and width_of(dtype) > 1))
    return view(ref, dtype, offset, shape, strides)


def _bytes(storage: Storage, offset: int, width: int, shape: tuple[int, ...], steps: tuple[int, ...]) -> TensorView:
    """Elements that nobody has a word for, as their bytes."""
    return _view(("uint8", False), storage, (*shape, width), (*steps, 1), offset)


def _components(
    kind: ArrayType, storage: Storage, offset: int, shape: tuple[int, ...], steps: tuple[int, ...]
) -> Iterator[tuple[str, object]]:
    """The fields of a structured type, in order, by dotted name. Steps are in bytes."""
    waiting = [("", kind, offset, shape, steps, 0)]
    made = 0
    while waiting:
        name, here, start, lengths, strides, level = waiting.pop()
        made += 1
        if made > _FIELDS or level > _NESTED:
            raise bad(f"a numpy type has more than {_FIELDS} fields, or nests more than {_NESTED} deep")
        if here.inner is not None:
            element, inner = here.inner
            own: tuple[int, ...] = ()
            step = element.width
            for length in reversed(inner):
                own = (step, *own)
                step *= max(1, length)
            waiting.append((name, element, start, (*lengths, *inner), (*strides, *own), level + 1))
        elif here.fields is not None:
            dot = f"{name}." if name else ""
            waiting.extend(
                (f"{dot}{label}", field.kind, start + field.offset, lengths, strides, level + 1)
                for label, field in reversed(tuple(here.fields.items()))
            )
        elif here.code.lstrip("<>=|").startswith("O"):
            raise bad("an array of numbers and objects is not read")
        else:
            yield name or "values", _component(here, storage, start, lengths, strides)


def _component(
    kind: ArrayType, storage: Storage, start: int, shape: tuple[int, ...], steps: tuple[int, ...]
) -> TensorView:
    known = kind.known
    width = width_of(known[0]) if known is not None else 0
    if known is None or any(step % width for step in steps):
        if not kind.width:
            raise bad("a field of a numpy type has no known size")
        return _bytes(storage, start, kind.width, shape, steps)
    if start > storage.nbytes:
        raise bad("a field lies outside of its array", wanted=start, available=storage.nbytes)
    moved = replace(storage, offset=storage.offset + start, nbytes=storage.nbytes - start)
    return _view(known, moved, shape, tuple(step // width for step in steps))


def _texts(kind: ArrayType, storage: Storage, count: int) -> list[str]:
    width = kind.width
    raw = storage.blob.read_at(storage.offset, count * width)
    wide = kind.code.lstrip("<>=|").startswith("U")
    encoding = ("utf-32-be" if kind.code.startswith(">") else "utf-32-le") if wide else "latin-1"
    try:
        return [raw[at : at + width].decode(encoding).rstrip("\0") for at in range(0, count * width, width or 1)]
    except UnicodeDecodeError:
        raise bad("a numpy string is not Unicode") from None
