"""Text that some ordinary program acts on: build files, pages with scripts, Python's path files, logging settings.

None of them is a script by its first line, and no model loader opens them; but whoever does, runs something.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Code, Format, Opaque, Part, Text
from safeload.formats.inside import called
from safeload.formats.plain_text import LONGEST, is_text, read_text

_RUN = {
    **dict.fromkeys(("makefile", ".mk", ".mak", "cmakelists.txt", ".cmake", "justfile", "rakefile"), "build"),
    **dict.fromkeys(("dockerfile", "containerfile", ".dockerfile", "vagrantfile", "jenkinsfile"), "build"),
    **dict.fromkeys((".desktop", ".service", ".reg", ".inf", ".url", ".sct", ".applescript", ".scpt"), "system"),
    **dict.fromkeys((".sql", ".tcl", ".awk", ".sed", ".el", ".vim", ".gdbinit", ".envrc"), "script"),
}
"""Ends of names whose programs take the whole file for instructions."""
_PAGES = (".html", ".htm", ".xhtml", ".svg", ".mht", ".mhtml")
_SETTINGS = (".ini", ".cfg", ".conf")
_PATHS = (".pth",)

_SCRIPTED = re.compile(
    r"<\s*(?:script|iframe|object|embed)\b|\bon[a-z]{3,20}\s*=|javascript\s*:|data\s*:\s*text/html", re.IGNORECASE
)
_LOGGING = re.compile(r"(?m)^\s*\[(?:handler|formatter)_[^\]\n]*\]")
"""Sections of `logging.config.fileConfig`, which evaluates `class` and `args` (Python's documentation)."""
_IMPORT = re.compile(r"(?m)^import[ \t]")
"""A line of a path file that `site` executes at every start of Python, where the file lies among the packages."""
_JUDGED = (
    (_PAGES, _SCRIPTED, "browser"),
    (_SETTINGS, _LOGGING, "logging"),
    (_PATHS, _IMPORT, "start-up"),
)


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    return name.lower().endswith(_NAMED) and is_text(head, size)


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    lower = called(location).lower()
    if blob.size > min(LONGEST, limits.text_bytes):
        yield Opaque(location=location, what="text", detail=f"{blob.size:,} bytes of text, which is not read")
        return
    text = read_text(blob, location, limits)
    language = next((language for end, language in _RUN.items() if lower.endswith(end)), None) or next(
        (language for ends, pattern, language in _JUDGED if lower.endswith(ends) and pattern.search(text)), None
    )
    if language is None:
        yield Text(location=location, text=text, role="prose")
    else:
        yield Code(location=location, language=language, source=text.encode())


_NAMED = (*_RUN, *_PAGES, *_SETTINGS, *_PATHS)
FORMAT = Format(
    name="active-text",
    title="a text that a program acts on",
    suffixes=(),
    sniff=_sniff,
    read=_read,
    fallback=True,
    claims=Claims(named=_NAMED),
)
