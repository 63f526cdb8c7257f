"""PaddlePaddle: the operators of a program, and the tensors of its parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from safeload.core.blob import Blob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Opaque, Operator, Part
from safeload.formats.protobuf import BYTES, VARINT, Field, Messages, begins, fits, shape

_PROGRAM = {1: BYTES, 2: BYTES, 4: BYTES, 5: BYTES}
_BLOCK = {1: VARINT, 2: VARINT, 3: BYTES, 4: BYTES, 5: VARINT}
_WIDTHS = {0: 1, 1: 2, 2: 4, 3: 8, 4: 2, 5: 4, 6: 8, 20: 1, 21: 1, 22: 2, 23: 8, 24: 16}
"""Bytes of an element, by type."""
_TEXTS = 20


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    messages = Messages(blob, location, limits)
    counts: dict[str, list[int]] = {}
    texts: dict[str, dict[str, None]] = {}
    fault: MalformedInput | None = None
    try:
        _operators(messages, counts, texts)
    except MalformedInput as error:
        fault = error
    for name, (count, offset) in counts.items():
        arguments = tuple(texts[name])
        yield Operator(location=location.at(offset), framework="paddle", name=name, arguments=arguments, count=count)
    if fault is not None:
        raise fault


def _operators(messages: Messages, counts: dict[str, list[int]], texts: dict[str, dict[str, None]]) -> None:
    for block in _each(messages.parts(), 1):
        for operator in _each(messages.parts(block.start, block.end), 4):
            name = messages.first(operator, 3)
            counts.setdefault(name, [0, operator.start])[0] += 1
            kept = texts.setdefault(name, {})
            for attribute in _each(messages.parts(operator.start, operator.end), 4):
                if len(kept) < _TEXTS:
                    said = _each(messages.parts(attribute.start, attribute.end), 5)
                    kept.update((messages.text(one), None) for one in said if one.end > one.start)


def _each(fields: Iterable[Field], number: int) -> Iterator[Field]:
    return (field for field in fields if field.number == number)


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    seen = shape(head, size)
    if not fits(seen, _PROGRAM, needs=(1,)) or seen is None:
        return False
    block = seen[1][1]
    return fits(shape(block, 1 << 62 if head.endswith(block) else len(block)), _BLOCK, needs=(1, 2))


# ── parameters: tensors one after the other, each with a small head ─────────────────────────────────────────────


def _read_parameters(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    at = count = 0
    while at < blob.size:
        count += 1
        if count > limits.tensors:
            raise LimitExceeded("tensors", allowed=limits.tensors, wanted=count, where=location.at(at))
        at = _tensor(blob, at, location, limits)
    yield Opaque(location=location, what="paddle-parameters", detail=f"{count:,} tensors of PaddlePaddle")


def _tensor(blob: Blob, at: int, location: Location, limits: Limits) -> int:
    """Where the tensor that begins here ends."""

    def bad(why: str) -> MalformedInput:
        return MalformedInput(
            "parameters of PaddlePaddle cannot be read", where=location.at(at), why=why, remedy="fetch the file again"
        )

    head = blob.read_at(at, 12)
    levels = int.from_bytes(head[4:12], "little")
    if len(head) < 12 or head[:4] != bytes(4) or levels > 8:
        raise bad("a tensor does not begin as one (truncated)")
    here = at + 12
    for _ in range(levels):
        here += 8 + int.from_bytes(blob.read_at(here, 8), "little")
    lengths = blob.read_at(here, 8)
    size = int.from_bytes(lengths[4:8], "little", signed=True)
    if len(lengths) < 8 or lengths[:4] != bytes(4) or not 0 < size <= 4096:
        raise bad("a tensor has no description")
    messages = Messages(blob, location, limits)
    width, dimensions = 0, []
    for one in messages.fields(here + 8, min(here + 8 + size, blob.size)):
        if one.number == 1 and one.wire == VARINT:
            width = _WIDTHS.get(one.value, 0)
        elif one.number == 2 and one.wire == VARINT:
            dimensions.append(one.value)
    if not width or len(dimensions) > 32:
        raise bad("a tensor is of a type that is not known")
    end = here + 8 + size + width * math.prod(dimensions)
    if end > blob.size:
        raise bad(f"{end - blob.size:,} bytes of a tensor are missing (truncated)")
    return end


def _sniff_parameters(head: bytes, tail: bytes, size: int, name: str) -> bool:
    """Two versions of zero, no levels, and a description that begins with its type."""
    length = int.from_bytes(head[16:20], "little")
    return (
        len(head) > 24
        and not any(head[:16])
        and 2 <= length <= 4096
        and head[20:21] == b"\x08"
        and head[22:23] in b"\x10"
    )


FORMATS = (
    Format(
        name="paddle",
        title="a PaddlePaddle program",
        suffixes=(".pdmodel",),
        sniff=_sniff,
        read=_read,
        claims=Claims(first=begins(_PROGRAM)),
    ),
    Format(
        name="paddle-parameters",
        title="parameters of PaddlePaddle",
        suffixes=(".pdiparams",),
        sniff=_sniff_parameters,
        read=_read_parameters,
        claims=Claims(begins=(bytes(16),)),
    ),
)
