"""Python source to a syntax tree, within limits. The tree cannot run: nothing here makes a code object.

Only UTF-8, ASCII and Latin-1 are decoded. Another encoding (PEP 263) means that what a person reads is not what Python
runs, and looking up a codec by a foreign name would import it.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass

from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.names import Location, escape

_MOST_BYTES = 1 << 21
"""Bytes of one source file. The longest modelling file of transformers has a sixth of it."""
_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_NOT_CODE = re.compile(rb"^[ \t\f]*(?:#.*)?$")
_ENCODINGS = {"utf-8": "utf-8", "utf8": "utf-8", "utf-8-sig": "utf-8", "ascii": "ascii", "us-ascii": "ascii"}
_ENCODINGS |= {"latin-1": "latin-1", "iso-8859-1": "latin-1", "latin1": "latin-1"}
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One module: its text, its lines as Python counts them, and its tree."""

    text: str
    lines: tuple[str, ...]
    tree: ast.Module

    def line(self, number: int) -> str:
        """Line `number`, counted from 1; empty where there is none."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""


def parse_source(data: bytes, location: Location) -> Source:
    """Parse one file of Python source with the grammar of the running Python.

    Promised: nothing of it runs or is compiled. Not promised: that another version of Python reads it the same way.

    Raises:
        LimitExceeded: it is too long.
        MalformedInput: it is no Python that this version knows, is nested too deeply, or hides in another encoding;
            the location holds the line.
    """
    if len(data) > _MOST_BYTES:
        raise LimitExceeded("text_bytes", allowed=_MOST_BYTES, wanted=len(data), where=location)
    text = _decoded(data, location)
    return Source(text, tuple(re.split("\r\n|\r|\n", text)), parse_text(text, location))


def parse_text(text: str, location: Location) -> ast.Module:
    """The tree of a text; raises as `parse_source` does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a wrong escape in foreign source is nobody's business here
            return ast.parse(text)
    except SyntaxError as error:
        raise _unreadable(location, f"line {error.lineno or 0}", escape(str(error.msg))) from None
    except (RecursionError, MemoryError):
        raise _unreadable(location, "", "it is nested too deeply") from None
    except ValueError as error:  # a NUL, half a character, or a number of too many digits
        raise _unreadable(location, "", escape(str(error))) from None


def _decoded(data: bytes, location: Location) -> str:
    marked = data.startswith(_BOM)
    data = data.removeprefix(_BOM)
    encoding = _encoding(data)
    known = _ENCODINGS.get(encoding)
    if known is None or (marked and known != "utf-8"):
        raise _unreadable(location, "line 1", f"it says that it is written in {escape(encoding, 40)!r}")
    try:
        return data.decode(known)
    except UnicodeDecodeError as error:
        line = len(_LINE_END.split(data[: error.start]))
        raise _unreadable(location, f"line {line}", f"it is not {known}: {error.reason}") from None


def _encoding(data: bytes) -> str:
    """The encoding that one of the first two lines names, if the first holds no code; else UTF-8."""
    for line in _LINE_END.split(data[:4096], maxsplit=2)[:2]:
        if match := _COOKIE.match(line):
            return match[1].decode("ascii").lower().replace("_", "-")
        if not _NOT_CODE.match(line):
            break
    return "utf-8"


def _unreadable(location: Location, path: str, why: str) -> MalformedInput:
    return MalformedInput(
        "Python source cannot be read",
        where=Location(location.file, location.member, None, path or None),
        why=why,
        remedy="read it yourself: what cannot be read here cannot be approved",
    )
