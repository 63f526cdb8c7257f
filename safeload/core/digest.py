"""Digests that bind content, and content to names."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from safeload.core.errors import MalformedInput


def sha256(data: bytes) -> str:
    """Hexadecimal sha256 of bytes that are in memory."""
    return hashlib.sha256(data).hexdigest()


def tree_digest(digests: Mapping[str, str]) -> str:
    """The `h1:` digest of a set of files: sha256 over sorted lines of digest and name, base64.

    Binds every name to its content (Go's `dirhash` Hash1). Two trees with the same bytes under other names differ.

    Args:
        digests: hexadecimal sha256 by POSIX path.

    Raises:
        MalformedInput: a path holds a line break, which would let two trees share a digest, or half a character.
    """
    for path in digests:
        if "\n" in path or "\r" in path:
            raise MalformedInput("a file name cannot be part of a digest", why="it holds a line break")
    lines = "".join(f"{digests[path]}  {path}\n" for path in sorted(digests))
    try:
        data = lines.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise MalformedInput("a file name cannot be part of a digest", why="it holds what is not a character") from None
    return "h1:" + base64.b64encode(hashlib.sha256(data).digest()).decode("ascii")
