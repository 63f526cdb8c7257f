"""A hostile file, and the few ways in which they are put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Case:
    """One kind of hostile file, of any size."""

    name: str
    """Family and kind: `pickle }b on a global`."""
    file: str
    """The name that the file has."""
    make: Callable[[int], bytes]
    """The file, of about so many bytes; packed ones become larger than that when they are read."""


def repeated(unit: bytes, *, before: bytes = b"", after: bytes = b"") -> Callable[[int], bytes]:
    """One fragment, as often as it fits."""
    return lambda size: before + unit * max(1, (size - len(before) - len(after)) // len(unit)) + after


def numbered(unit: Callable[[int], bytes], *, before: bytes = b"", after: bytes = b"") -> Callable[[int], bytes]:
    """Fragments that differ, so that nothing is remembered from one to the next."""

    def make(size: int) -> bytes:
        parts, left, number = [before], size - len(before) - len(after), 0
        while left > 0 or not number:
            parts.append(unit(number))
            left -= len(parts[-1])
            number += 1
        return b"".join((*parts, after))

    return make


def nested(
    opening: bytes, closing: bytes, *, before: bytes = b"", within: bytes = b"", after: bytes = b""
) -> Callable[[int], bytes]:
    """Brackets within brackets."""

    def make(size: int) -> bytes:
        times = max(1, (size - len(before) - len(within) - len(after)) // len(opening + closing))
        return before + opening * times + within + closing * times + after

    return make


def one_per(share: int, unit: Callable[[int], bytes], join: Callable[[list[bytes]], bytes]) -> Callable[[int], bytes]:
    """A container with one part for each `share` bytes of the whole."""
    return lambda size: join([unit(number) for number in range(max(1, size // share))])
