"""numpy's `.npy`: an array, or (for arrays of objects) a pickle after a header.

The header is a Python literal. It is read by a small parser of its own, which knows no expressions: text, integers,
`True`, `False`, `None`, tuples, lists and dictionaries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.array_types import ArrayType, Field, content_of
from safeload.formats.base import (
    Claims,
    Format,
    Irregularity,
    NumpyArray,
    Opaque,
    Part,
    Storage,
    TensorTable,
    TensorView,
)
from safeload.formats.dtypes import numpy_width
from safeload.formats.pickle_stream import read_pickles
from safeload.formats.pickled_types import holds_objects, is_written
from safeload.formats.tensors import Composite, contiguous, counts
from safeload.formats.window import outermost

MAGIC = b"\x93NUMPY"
_LONGEST = 1 << 16
"""Bytes of a header; numpy itself refuses more than 10,000 unless told otherwise."""
_OBJECTS = re.compile(rb"['\"][<>|=]?O\d*['\"]")
_TOKEN = re.compile(r"\s*(?:([uU]?'([^'\\]*)'|[uU]?\"([^\"\\]*)\")|(-?\d{1,19})L?|(True|False|None)|([()\[\]{},:]))\s*")
_WORDS = {"True": True, "False": False, "None": None}
_NESTED = 32


def read_npy(blob: Blob, location: Location, limits: Limits, *, name: str = "array") -> Iterator[Part]:
    """The array as a table of one tensor called `name`, or of one for each field; the pickle of an array of objects.

    Texts are metadata of the table, as JSON. Arrays of types that torch has no word for are named and left alone.
    """
    head = blob.read_at(0, 12)
    wide = head[6:7] != b"\x01"
    begin = 12 if wide else 10
    length = int.from_bytes(head[8:begin], "little")
    header = blob.read_at(begin, min(length, _LONGEST))
    if len(head) < begin or len(header) < length:
        raise _bad(location, f"its header is {length:,} bytes long and the file has {blob.size:,} (truncated)")
    try:
        descr, kind, fortran, shape = _described(header, location)
    except MalformedInput:
        if not _OBJECTS.search(header):
            raise
        kind = None
    if kind is None:
        yield from read_pickles(blob, location, limits, offset=begin + length)
        return
    count = kind.width
    for size in shape:
        count *= size
    outer, offset = outermost(blob, begin + length)
    storage = Storage(blob=outer, offset=offset, nbytes=min(count, max(0, blob.size - begin - length)))
    strides = contiguous(reversed(shape))[::-1] if fortran else contiguous(shape)
    try:
        content = content_of(kind, storage, shape, strides)
    except MalformedInput as error:
        error.where = Location(location.file, location.member, None, name)
        raise
    if blob.size - begin - length > count:
        detail = f"{blob.size - begin - length - count:,} bytes follow the array"
        yield Irregularity(location=location.at(begin + length + count), kind="trailing-data", detail=detail)
    end = begin + length + count
    yield NumpyArray(
        location=location, name=name, descr=descr, fortran=fortran, shape=shape, storage=storage, header=length, end=end
    )
    if content is None:
        detail = f"an array of the type {escape(kind.code)}, which is no tensor"
        yield Opaque(location=location, what="npy", detail=detail)
        return
    tensors = {path: _placed(view, location, path) for path, view in _tensors_of(content, name)}
    metadata = {}
    if isinstance(content, list):
        import json

        metadata[name] = json.dumps(content)
    yield TensorTable(location=location, tensors=tensors, metadata=metadata)


def _bad(location: Location, why: str) -> MalformedInput:
    return MalformedInput("a numpy file cannot be read", where=location, why=why, remedy="fetch the file again")


def _tensors_of(content: object, name: str) -> Iterator[tuple[str, TensorView]]:
    if isinstance(content, TensorView):
        yield name, content
    elif isinstance(content, Composite):
        yield from ((f"{name}.{label}", part) for label, part in content.parts.items() if isinstance(part, TensorView))


def _placed(view: TensorView, location: Location, path: str) -> TensorView:
    return TensorView(
        location=Location(location.file, location.member, None, path),
        dtype=view.dtype,
        shape=view.shape,
        strides=view.strides,
        storage_offset=view.storage_offset,
        storage=view.storage,
    )


# ── the header ──────────────────────────────────────────────────────────────────────────────────────────────────


def _described(header: bytes, location: Location) -> tuple[object, ArrayType | None, bool, tuple[int, ...]]:
    """The element type as it is written and as we read it, whether columns come first, and the shape.

    There is no type where numpy reads a pickle, or may: an object is enough, and so is a name, as numpy knows many.
    """
    try:
        value = _literal(header.decode("utf-8"), location)
    except UnicodeDecodeError:
        value = _literal(header.decode("latin-1"), location)
    match value:
        case {"descr": descr, "fortran_order": bool() as fortran, "shape": tuple() as shape, **rest} if not rest:
            try:
                kind = _type_of(descr, location, 0)
                numbers = all(is_written(code) and not holds_objects(code) for code in _codes(descr))
                return descr, kind if numbers else None, fortran, counts(shape, "shape")
            except MalformedInput as error:
                error.where = error.where or location
                raise
    raise _bad(location, "its header does not say descr, fortran_order and shape")


def _literal(text: str, location: Location) -> object:
    """The value of a Python literal, without Python's parser."""
    stack: list[tuple[str, list[object]]] = [("", [])]
    at = 0
    text = text.strip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or len(stack) > _NESTED:
            raise _bad(location.at(at), "its header is no plain literal")
        at = found.end()
        quoted, single, double, number, word, mark = found.groups()
        items = stack[-1][1]
        if quoted is not None:
            items.append(single if single is not None else double)
        elif number is not None:
            items.append(int(number))
        elif word is not None:
            items.append(_WORDS[word])
        elif mark in ("(", "[", "{"):
            stack.append((mark, []))
        elif mark in (")", "]", "}"):
            opened, items = stack.pop()
            if opened + mark not in ("()", "[]", "{}") or not stack:
                raise _bad(location.at(at), "its header has brackets that do not match")
            stack[-1][1].append(_closed(opened, items, location))
    if len(stack) != 1 or len(stack[0][1]) != 1:
        raise _bad(location, "its header is no plain literal")
    return stack[0][1][0]


def _closed(opened: str, items: list[object], location: Location) -> object:
    if opened == "(":
        return tuple(items)
    if opened == "[":
        return items
    if len(items) % 2 or not all(isinstance(key, str) for key in items[::2]) or len(set(items[::2])) * 2 != len(items):
        raise _bad(location, "its header does not map names to values, each once")
    return dict(zip(items[::2], items[1::2], strict=True))


def _type_of(descr: object, location: Location, level: int) -> ArrayType:
    """An `ArrayType` from the `descr` of a header: a code, a list of fields, or a type with a shape."""
    if level > _NESTED:
        raise _bad(location, "its type is nested too deeply")
    if isinstance(descr, str):
        return ArrayType(descr, itemsize=numpy_width(descr))
    if isinstance(descr, tuple) and len(descr) == 2:
        return _shaped(_type_of(descr[0], location, level + 1), descr[1])
    if not isinstance(descr, list):
        raise _bad(location, "its type is described in a way that numpy does not write")
    fields: dict[str, Field] = {}
    size = 0
    for item in descr:
        match item:
            case (str() | (_, str()) as label, inner, *shape) if len(shape) <= 1:
                kind = _type_of(inner, location, level + 1)
                kind = _shaped(kind, shape[0]) if shape else kind
            case _:
                raise _bad(location, "a field of its type is described in a way that numpy does not write")
        called = label if isinstance(label, str) else label[1]
        if called in fields:
            raise _bad(location, f"two fields are called {escape(called)}")
        if called:
            fields[called] = Field(kind, size)
        size += kind.width
    return ArrayType(f"V{size}", fields=fields, itemsize=size)


def _codes(descr: object) -> Iterator[str]:
    """The type strings in a `descr` that has a type."""
    waiting = [descr]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, tuple):
            waiting.append(item[0])
        elif isinstance(item, list):
            waiting.extend(field[1] for field in item)


def _shaped(kind: ArrayType, shape: object) -> ArrayType:
    lengths = counts(shape if isinstance(shape, (tuple, list)) else (shape,), "shape")
    size = kind.width
    for length in lengths:
        size *= length
    made = ArrayType(f"V{size}", itemsize=size)
    made.inner = (kind, lengths)
    return made


FORMAT = Format(
    name="npy",
    title="a numpy array",
    suffixes=(".npy",),
    sniff=lambda head, tail, size, name: head.startswith(MAGIC),
    read=read_npy,
    claims=Claims(begins=(MAGIC,)),
)
