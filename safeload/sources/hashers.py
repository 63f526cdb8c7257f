"""The digests that a file can have, by name."""

from __future__ import annotations

from typing import Any, Protocol

from safeload.core.errors import UsageError
from safeload.core.names import escape

SHA256 = "sha256"
GIT_SHA1 = "git-sha1"
"""The object id that git gives a blob. It finds corruption; nobody should trust it."""
BLAKE2B = "blake2b"
BLAKE3 = "blake3"
"""Twice to four times as fast as sha256. Needs `safeload[fast]`."""
DIGITS = {SHA256: 64, GIT_SHA1: 40, BLAKE2B: 128, BLAKE3: 64}
"""How many hexadecimal digits each has."""


class Hasher(Protocol):
    """What takes bytes and gives a digest. It releases the interpreter lock while it works on many."""

    def update(self, data: memoryview, /) -> Any: ...

    def hexdigest(self) -> str: ...


def new_hasher(algorithm: str, size: int) -> Hasher:
    """A hasher for a file of this size. Raises `UsageError` for an unknown one, or if its library is missing."""
    import hashlib

    if algorithm == SHA256:
        return hashlib.sha256()
    if algorithm == BLAKE2B:
        return hashlib.blake2b()
    if algorithm == GIT_SHA1:
        return hashlib.sha1(b"blob %d\x00" % size, usedforsecurity=False)
    if algorithm == BLAKE3:
        return _blake3()
    raise UsageError(f"no digest is called {escape(algorithm)!r}", why=f"they are {', '.join(DIGITS)}")


def _blake3() -> Hasher:
    try:
        from blake3 import blake3
    except ImportError:
        raise UsageError(
            "a blake3 digest was not computed",
            why="that needs the library blake3, which is not installed",
            remedy="pip install 'safeload[fast]'",
        ) from None
    hasher: Hasher = blake3()
    return hasher
