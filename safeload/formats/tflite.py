"""TensorFlow Lite: the operators of a model, and the files that are appended to it.

Operators of TensorFlow (`Flex…`) carry the node that they really run, which need not be what they are called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Irregularity, Operator, Part
from safeload.formats.flatbuffer import Tables
from safeload.formats.zip_end import has_end
from safeload.formats.zip_parts import read_zip

_MAGIC = b"TFL3"
_CUSTOM, _BUILTINS = 32, 512
_NODE = re.compile(rb"\x12([\x01-\x7f])([A-Za-z_][\w>/]{0,126})")
"""The operator of a TensorFlow node, as a protocol buffer has it."""
_TEXT = re.compile(rb"[\x20-\x7e]{4,300}")


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    tables = Tables(blob, location, limits)
    fault: MalformedInput | None = None
    counts: dict[tuple[str, str, tuple[str, ...]], list[int]] = {}
    try:
        _model(tables, counts)
    except MalformedInput as error:
        fault = error
    for (framework, name, arguments), (count, offset) in counts.items():
        yield Operator(location=location.at(offset), framework=framework, name=name, arguments=arguments, count=count)
    tail = blob.read_at(max(0, blob.size - (1 << 16)), 1 << 16)
    if has_end(tail, blob.size):
        try:
            for part in read_zip(blob, location, limits):
                if not (isinstance(part, Irregularity) and _before(part)):
                    yield part
        except MalformedInput as error:
            fault = fault or error
    if fault is not None:
        raise fault


def _before(part: Irregularity) -> bool:
    """Whether it says that an archive does not begin with the file: here the model stands before it."""
    return part.kind == "zip-bytes-outside" and part.location.offset == 0


def _model(tables: Tables, counts: dict[tuple[str, str, tuple[str, ...]], list[int]]) -> None:
    root = tables.root()
    codes = []
    for table in tables.tables(root, 1):
        code = max(tables.scalar(table, 0, 1, signed=True), tables.scalar(table, 3, 4, signed=True))
        custom = tables.text(table, 1)
        codes.append((code, custom))
        if code != _CUSTOM and not 0 <= code < _BUILTINS:
            raise tables.bad(f"an operator has the number {code}", table)
        name = ("tflite", custom or "?", ()) if code == _CUSTOM else ("tflite-builtin", str(code), ())
        counts.setdefault(name, [0, table])
    for graph in tables.tables(root, 2):
        for operator in tables.tables(graph, 3):
            index = tables.scalar(operator, 0, 4)
            if index >= len(codes):
                raise tables.bad("an operator is of a kind that the model does not have", operator)
            code, custom = codes[index]
            name = ("tflite", custom or "?", ()) if code == _CUSTOM else ("tflite-builtin", str(code), ())
            counts[name][0] += 1
            if code == _CUSTOM:
                for inner in _nodes(_options(tables, operator)):
                    counts.setdefault(("tensorflow", *inner), [0, operator])[0] += 1

    for buffer in tables.tables(root, 4):
        tables.vector(buffer, 0, 1)
        offset, size = tables.scalar(buffer, 1, 8), tables.scalar(buffer, 2, 8)
        if offset > 1 and offset + size > tables.size:
            raise tables.bad("the data of a tensor lies outside of the file (truncated)", buffer)
    for note in tables.tables(root, 6):
        tables.text(note, 0)


def _options(tables: Tables, operator: int) -> bytes:
    """What a custom operator is told: in the table, or elsewhere in the file."""
    offset, size = tables.scalar(operator, 9, 8), tables.scalar(operator, 10, 8)
    if offset > 1 and size:
        return tables.take(offset, min(size, 1 << 20))
    return tables.raw(operator, 5, 1 << 20)


def _nodes(options: bytes) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The TensorFlow nodes in the options of an operator, with all texts there."""
    texts = tuple(text.decode("ascii") for text in _TEXT.findall(options)[:20])
    for length, name in _NODE.findall(options):
        if len(name) >= length[0] > 1:
            yield name[: length[0]].decode("ascii"), texts


FORMAT = Format(
    name="tflite",
    title="a TensorFlow Lite model",
    suffixes=(".tflite", ".lite"),
    sniff=lambda head, tail, size, name: head.startswith(_MAGIC, 4),
    read=_read,
    claims=Claims(at=((4, _MAGIC),)),
)
