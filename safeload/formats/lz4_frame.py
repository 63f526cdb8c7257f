"""LZ4's frame format, which joblib writes with `compress="lz4"`: unpacked here, so that no library need be installed.

The layout is that of the LZ4 frame format 1.6. Every checksum that a frame holds is compared. Memory: one block, which
is four megabytes at most, and the 64 KiB before it.
"""

from __future__ import annotations

import struct

MAGIC = b"\x04\x22\x4d\x18"
_SIZES = {4: 1 << 16, 5: 1 << 18, 6: 1 << 20, 7: 1 << 22}
"""The largest block of a frame, by its number in the header."""
_HISTORY = 1 << 16
_STORED = 1 << 31


class Lz4Decompressor:
    """Like those of `bz2` and `lzma`: `decompress(data, most)`, `eof`, `needs_input`, `unused_data`.

    `decompress` raises `OSError` for bytes that are no LZ4 frame.
    """

    def __init__(self) -> None:
        self.eof = False
        self.needs_input = True
        self.unused_data = b""
        self._input = bytearray()
        self._ready, self._given = b"", 0
        self._history = b""
        self._most = 0
        """Bytes that a block may have; 0 before the header was read."""
        self._linked = self._sums = False
        self._left: int | None = None
        """Bytes of content that are still to come, if the header says how many there are."""
        self._whole: XxHash32 | None = None

    def decompress(self, data: bytes, most: int) -> bytes:
        self._input += data
        while self._given == len(self._ready) and not self.eof and len(self._input) >= self._wanted():
            if self._most:
                self._block()
            else:
                self._header()
        piece = self._ready[self._given : self._given + most]
        self._given += len(piece)
        done = self._given == len(self._ready)
        self.needs_input = done and not self.eof and len(self._input) < self._wanted()
        if self.eof and done and self._input:
            self.unused_data, self._input = bytes(self._input), bytearray()
        return piece

    def _wanted(self) -> int:
        """How many bytes the next step needs, as far as can be known now."""
        if not self._most:
            return self._header_length() if len(self._input) >= 6 else 6
        word = int.from_bytes(self._input[:4], "little")
        if len(self._input) < 4 or word & ~_STORED > self._most:
            return 4
        return 4 + (word & ~_STORED) + 4 * (self._sums if word else self._whole is not None)

    def _header_length(self) -> int:
        return 7 + 8 * (self._input[4] >> 3 & 1) + 4 * (self._input[4] & 1)

    def _header(self) -> None:
        flags, sizes = self._input[4], self._input[5]
        length = self._header_length()
        if self._input[:4] != MAGIC or flags >> 6 != 1 or flags & 0b10 or sizes & 0x8F or sizes >> 4 not in _SIZES:
            raise OSError("its header is not that of an LZ4 frame")
        if flags & 1:
            raise OSError("it needs a dictionary, which is not part of it")
        if self._input[length - 1] != xxhash32(bytes(self._input[4 : length - 1])) >> 8 & 0xFF:
            raise OSError("the checksum of its header is wrong")
        self._most = _SIZES[sizes >> 4]
        self._linked, self._sums = not flags & 1 << 5, bool(flags & 1 << 4)
        self._left = int.from_bytes(self._input[6:14], "little") if flags & 1 << 3 else None
        self._whole = XxHash32() if flags & 1 << 2 else None
        del self._input[:length]

    def _block(self) -> None:
        """Unpack one block, or see the end."""
        word = int.from_bytes(self._input[:4], "little")
        if not word:
            self._end()
            return
        size, extra = word & ~_STORED, 4 * self._sums
        if size > self._most:
            raise OSError("a block is larger than its frame allows")
        packed = bytes(self._input[4 : 4 + size])
        if extra and int.from_bytes(self._input[4 + size : 8 + size], "little") != xxhash32(packed):
            raise OSError("the checksum of a block is wrong")
        del self._input[: 4 + size + extra]
        self._ready, self._given = packed if word & _STORED else unpack_block(packed, self._history, self._most), 0
        if self._linked:
            self._history = (self._history + self._ready)[-_HISTORY:]
        if self._whole is not None:
            self._whole.update(self._ready)
        if self._left is not None:
            self._left -= len(self._ready)
            if self._left < 0:
                raise OSError("it is longer than it says")

    def _end(self) -> None:
        extra = 4 * (self._whole is not None)
        if self._whole is not None and int.from_bytes(self._input[4:8], "little") != self._whole.value():
            raise OSError("the checksum of its content is wrong")
        if self._left:
            raise OSError("it is shorter than it says")
        del self._input[: 4 + extra]
        self.eof = True


def unpack_block(packed: bytes, history: bytes, most: int) -> bytes:
    """The content of one block, which may refer to `history`. Raises `OSError` if it is damaged or above `most`."""
    made = bytearray(history)
    most += len(history)
    at, end, size = 0, len(packed), len(made)
    # Millions of turns: calls would double the time.
    try:
        while True:
            token = packed[at]
            at += 1
            count = token >> 4
            if count:
                if count == 15:
                    count, at = _length(packed, at)
                stop, size = at + count, size + count
                if stop > end or size > most:
                    break
                made += packed[at:stop]
                at = stop
            if at == end:
                return bytes(made[len(history) :])
            start = size - (packed[at] | packed[at + 1] << 8)
            at += 2
            count = (token & 15) + 4
            if count == 19:
                count, at = _length(packed, at)
                count += 4
            if not 0 <= start < size or size + count > most:
                break
            if start + count <= size:
                made += made[start : start + count]
            else:
                made += (made[start:] * (count // (size - start) + 1))[:count]
            size += count
    except IndexError:  # it ends within a length or a place
        pass
    raise OSError("a block is damaged")


def _length(packed: bytes, at: int) -> tuple[int, int]:
    """A length of fifteen that goes on in further bytes; and where what follows begins."""
    count = 15
    while True:
        more = packed[at]
        at += 1
        count += more
        if more != 255:
            return count, at


_P1, _P2, _P3, _P4, _P5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393
_MASK = 0xFFFFFFFF


class XxHash32:
    """The checksum of LZ4 frames, with seed 0, from bytes that come in pieces."""

    def __init__(self) -> None:
        self._lanes = [(_P1 + _P2) & _MASK, _P2, 0, -_P1 & _MASK]
        self._rest = b""
        self._length = 0

    def update(self, data: bytes) -> None:
        self._length += len(data)
        data = self._rest + data
        whole = len(data) & ~15
        a, b, c, d = self._lanes
        for one, two, three, four in struct.iter_unpack("<4I", data[:whole]):
            a, b, c, d = _round(a, one), _round(b, two), _round(c, three), _round(d, four)
        self._lanes, self._rest = [a, b, c, d], data[whole:]

    def value(self) -> int:
        a, b, c, d = self._lanes
        long = self._length >= 16
        value = _turn(a, 1) + _turn(b, 7) + _turn(c, 12) + _turn(d, 18) if long else _P5
        value = (value + self._length) & _MASK
        rest = self._rest
        while len(rest) >= 4:
            value = _turn((value + int.from_bytes(rest[:4], "little") * _P3) & _MASK, 17) * _P4 & _MASK
            rest = rest[4:]
        for byte in rest:
            value = _turn((value + byte * _P5) & _MASK, 11) * _P1 & _MASK
        value = (value ^ value >> 15) * _P2 & _MASK
        value = (value ^ value >> 13) * _P3 & _MASK
        return value ^ value >> 16


def _turn(value: int, by: int) -> int:
    return (value << by | value >> 32 - by) & _MASK


def _round(lane: int, word: int) -> int:
    lane = (lane + word * _P2) & _MASK
    return (lane << 13 | lane >> 19) * _P1 & _MASK


def xxhash32(data: bytes) -> int:
    """The checksum of bytes that are in memory."""
    hasher = XxHash32()
    hasher.update(data)
    return hasher.value()
