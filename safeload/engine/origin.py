"""From which file code is that is about to run, by who loads it. What code itself says (`co_filename`) is written in a
compiled file like anything else there, and may be a lie.

Imported by every Python under guard before its program, so it imports nothing but `os`.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

_FAR = 4
"""Frames between `exec` and who has it called, at most."""


def origin(frame: FrameType | None) -> str:
    """The file from which Python's own loaders, or `runpy`, have the code that they execute; empty if it is none of
    theirs. Of a module in an archive it is a path within that.

    Args:
        frame: the frame that called `exec`.
    """
    for _ in range(_FAR):
        if frame is None:
            break
        name = frame.f_code.co_name
        if name == "exec_module" and frame.f_globals.get("__name__") in _IMPORTLIB:
            return _of_loader(frame.f_locals.get("self"))
        if name == "_run_code" and frame.f_globals.get("__name__") == "runpy":
            found = frame.f_locals
            return _text(found.get("script_name")) or _text(getattr(found.get("mod_spec"), "origin", None))
        frame = frame.f_back
    return ""


_IMPORTLIB = ("importlib._bootstrap_external", "_frozen_importlib_external")


def _of_loader(loader: object) -> str:
    """The file of a loader of files, or where in an archive one of modules in archives looks."""
    archive = _text(getattr(loader, "archive", None))
    return (
        os.path.join(archive, _text(getattr(loader, "prefix", None)))
        if archive
        else _text(getattr(loader, "path", None))
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
