"""One pickle cut out of a stream that cannot be read back: exactly its bytes, up to its STOP, and not one more.

Nothing is understood here but where each opcode ends, from the table that the machine reads by. Whether the bytes are
a pickle that can be read is for the machine, which gets these and no others; it must find the same end.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.core.opcodes import WIDTHS

Read = Callable[[int], bytes]
"""Bytes of the stream, at most as many; fewer only at its end."""
ReadLine = Callable[[], bytes]
"""Bytes up to and with the next newline; without one only at the end."""

_COUNTED = {
    b"T": "<I", b"U": "B", b"X": "<I", b"\x8c": "B", b"\x8d": "<Q", b"B": "<I", b"C": "B", b"\x8e": "<Q",
    b"\x96": "<Q", b"\x8a": "B", b"\x8b": "<I",
}  # fmt: skip
_LINES = {b"I": 1, b"L": 1, b"F": 1, b"S": 1, b"V": 1, b"p": 1, b"g": 1, b"P": 1, b"c": 2, b"i": 2}
_STOP, _NEXT_BUFFER, _READONLY_BUFFER = b".", b"\x97", b"\x98"
_AS_BYTES = {b"T": b"B", b"U": b"C"}
"""What a string of Python 2 is written as where it shall be bytes: an opcode with the same argument."""
_PIECE = 1 << 20


@dataclass(slots=True)
class Cut:
    """The bytes of one pickle."""

    data: bytes = b""
    readonly: set[int] = field(default_factory=set)
    """Numbers of the buffers that are handed over beside the stream and that it says may not be written to."""


def cut(read: Read, readline: ReadLine, limits: Limits, location: Location, *, strings_as_bytes: bool = False) -> Cut:
    """The next pickle of a stream. No bytes at all if the stream is at its end.

    Args:
        strings_as_bytes: make the strings that Python 2 wrote bytes, as `encoding="bytes"` asks.

    Raises:
        MalformedInput: the stream ends before the pickle does.
        LimitExceeded: it has more opcodes, or longer arguments, than may be.
    """
    found = Cut()
    pieces = bytearray()
    buffers = 0
    for _ in range(limits.opcodes):
        code = read(1)
        if not code:
            if not pieces:
                return found
            raise _short(location, len(pieces))
        if strings_as_bytes:
            if code == b"S":
                pieces += _quoted(readline(), location.at(len(pieces)))
                continue
            code = _AS_BYTES.get(code, code)
        pieces += code
        if code in _LINES:
            for _ in range(_LINES[code]):
                line = readline()
                if not line.endswith(b"\n"):
                    raise _short(location, len(pieces) + len(line))
                pieces += line
        elif code in _COUNTED:
            pieces += _counted(read, code, limits, location, len(pieces))
        elif width := WIDTHS[code[0]]:
            pieces += _exactly(read, width, location, len(pieces))
        elif code == _STOP:
            found.data = bytes(pieces)
            return found
        elif code == _NEXT_BUFFER:
            buffers += 1
        elif code == _READONLY_BUFFER and buffers:
            found.readonly.add(buffers - 1)
    raise LimitExceeded("opcodes", allowed=limits.opcodes, wanted=limits.opcodes + 1, where=location)


def _quoted(line: bytes, place: Location) -> bytes:
    """A string that is written as text, as bytes that are written as they are."""
    text = line.rstrip(b"\n")
    if len(text) < 2 or text[0] != text[-1] or text[0] not in b"'\"":
        raise MalformedInput("a pickle cannot be read to its end", where=place, why="a STRING without its quotes")
    try:
        data, _ = codecs.escape_decode(text[1:-1])
    except ValueError as error:
        raise MalformedInput("a pickle cannot be read to its end", where=place, why=str(error)) from None
    return b"B" + struct.pack("<I", len(data)) + data


def _counted(read: Read, code: bytes, limits: Limits, location: Location, at: int) -> bytes:
    form = struct.Struct(_COUNTED[code])
    head = _exactly(read, form.size, location, at)
    (length,) = form.unpack(head)
    if length > limits.argument_bytes:
        raise LimitExceeded("argument_bytes", allowed=limits.argument_bytes, wanted=length, where=location.at(at - 1))
    return head + _exactly(read, length, location, at)


def _exactly(read: Read, length: int, location: Location, at: int) -> bytes:
    """So many bytes, a piece at a time: a length that is a lie costs nothing."""
    if length <= _PIECE:
        data = read(length)
        if len(data) == length:
            return data
    else:
        data = b""
    pieces = bytearray(data)
    while len(pieces) < length:
        piece = read(min(_PIECE, length - len(pieces)))
        if not piece:
            raise _short(location, at + len(pieces))
        pieces += piece
    return bytes(pieces)


def _short(location: Location, at: int) -> MalformedInput:
    return MalformedInput(
        "a pickle cannot be read to its end",
        where=location.at(at),
        why="the stream ends before it does (truncated)",
        remedy="fetch the file again",
    )
