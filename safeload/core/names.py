"""Text and names that came from foreign bytes, and places within them.

File names, member names and global names belong to whoever made the file. They may hold escape sequences,
bidirectional controls or invisible characters, so nothing here renders them raw.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode general categories that no terminal shows as themselves."""
_BLANK = "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
"""Letters, marks and symbols that show nothing all the same: fillers and variation selectors."""


def escape(text: str, limit: int = 300) -> str:
    """Return `text` in one line that is safe to print: every invisible character, and every space that
    is not the ordinary one, is written as an escape.

    Longer texts are cut to `limit` characters with an ellipsis. This is not an escaper for HTML, Markdown or
    a shell: reporters apply their own to the result.
    """
    cut = text if len(text) <= limit else text[:limit] + "…"
    if cut.isascii() and cut.isprintable():
        return cut
    return "".join(_spell(c) if _hides(c) else c for c in cut)


def _hides(character: str) -> bool:
    category = unicodedata.category(character)
    return category in _INVISIBLE or (category == "Zs" and character != " ") or re.match(_BLANK, character) is not None


def _spell(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class GlobalName(NamedTuple):
    """A global as a pickle names it. Always a pair: joined by a dot, two different globals can look alike."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{escape(self.module)}.{escape(self.name)}"


class Location(NamedTuple):
    """A place in a file: optionally within a member of it, at a byte offset, or at a path such as `files[3].sha256`."""

    file: str
    member: str | None = None
    offset: int | None = None
    path: str | None = None

    def __str__(self) -> str:
        text = escape(self.file)
        if self.member is not None:
            text += f" » {escape(self.member)}"
        if self.path is not None:
            text += f" » {escape(self.path)}"
        if self.offset is not None:
            text += f" @ {self.offset}"
        return text

    def at(self, offset: int) -> Location:
        """The same file and member, at another byte offset."""
        return Location(self.file, self.member, offset, self.path)
