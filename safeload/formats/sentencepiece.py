"""sentencepiece's tokenizer models: a protocol buffer of pieces with their scores."""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Opaque, Part

_PIECE = 0x0A
"""Field 1, a message: both of the model (a piece) and of a piece (its text)."""
_SCORE = 0x15
"""Field 2 of a piece: a 32-bit float."""
_TYPE = 0x18
"""Field 3 of a piece: a small number."""
_ENOUGH = 3
_ROOM = 130
_AHEAD = 1 << 16


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """`(value, offset after it)`; a value of -1 where there is none."""
    value = 0
    for index in range(5):
        if at + index >= len(data):
            break
        value |= (data[at + index] & 0x7F) << (7 * index)
        if data[at + index] < 0x80:
            return value, at + index + 1
    return -1, at


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    at = 0
    for _ in range(_ENOUGH):
        if head[at : at + 1] != bytes((_PIECE,)):
            return False
        length, start = _varint(head, at + 1)
        piece = head[start : start + max(0, length)]
        text_length, text = _varint(piece, 1)
        if length < 2 or piece[:1] != bytes((_PIECE,)) or not 0 <= text_length <= len(piece) - text:
            return False
        if piece[text + text_length : text + text_length + 1] not in (b"", bytes((_SCORE,))):
            return False
        at = start + length
    return True


def after_pieces(blob: Blob) -> int:
    """Where the run of pieces that the file begins with ends: those are nothing else, in whatever format it is read."""
    at, base, data = 0, 0, b""
    while at < blob.size:
        if at - base + _ROOM > len(data) and base + len(data) < blob.size:
            data, base = blob.read_at(at, _AHEAD), at
        here = at - base
        # A piece of less than 128 bytes: its text, its score, and perhaps its type.
        length = data[here + 1] if here + 2 < len(data) and data[here] == _PIECE else 0x80
        if length > 0x7F or here + 2 + length > len(data) or length < 2 or data[here + 2] != _PIECE:
            return at
        score = here + 4 + data[here + 3]
        end = here + 2 + length
        rest = end - score
        if rest not in (0, 5, 7) or (rest and data[score] != _SCORE):
            return at
        if rest == 7 and (data[score + 5] != _TYPE or data[score + 6] > 0x7F):
            return at
        at = base + end
    return at


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    yield Opaque(location=location, what="sentencepiece", detail="a sentencepiece tokenizer model")


FORMAT = Format(
    name="sentencepiece",
    title="a sentencepiece model",
    suffixes=(".model", ".spm", ".vocab"),
    sniff=_sniff,
    read=_read,
    claims=Claims(first=bytes((_PIECE,))),
)
