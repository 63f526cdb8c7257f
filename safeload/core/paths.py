"""Which file names from foreign bytes may be used as paths."""

from __future__ import annotations

import unicodedata

from safeload.core.errors import MalformedInput
from safeload.core.names import Location, escape

_RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(1, 10))})


def safe_relative(path: str, *, location: Location | str = "") -> str:
    """Return `path` if it names something inside whatever directory it is joined to, on every platform.

    It must be relative, with `/` as its only separator, no empty, `.` or `..` component, no drive or stream, no
    control or invisible character, and no component that Windows treats as a device.

    Raises:
        MalformedInput: otherwise, saying which rule it breaks.
    """
    if reason := _fault(path):
        raise _unused(path, location, reason, "rename the file, or fix what refers to it")
    return path


def is_safe_relative(path: str) -> bool:
    """Whether `safe_relative` accepts the path."""
    return not _fault(path)


def _fault(path: str) -> str:
    if not path:
        return "it is empty"
    if path.startswith("/"):
        return "it is absolute"
    if "\\" in path or ":" in path:
        return "it holds a backslash or a colon, which some systems read as a separator"
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in path):
        return "it holds an invisible character"
    for component in path.split("/"):
        if component in ("", ".", ".."):
            return "it leaves its directory or has an empty component"
        if component.split(".")[0].rstrip().lower() in _RESERVED or component != component.rstrip(" ."):
            return "it has a component that some systems read as another name"
    return ""


def bare_name(path: str, *, location: Location | str = "") -> str:
    """`safe_relative`, and without any directory: what an index or a config may name.

    Raises:
        MalformedInput: the path is not safe or has more than one component.
    """
    safe_relative(path, location=location)
    if "/" in path:
        raise _unused(path, location, "it points into another directory", "move the file beside what refers to it")
    return path


def _unused(path: str, location: Location | str, why: str, remedy: str) -> MalformedInput:
    return MalformedInput(f"the file name {escape(path)!r} is not used", where=location, why=why, remedy=remedy)
