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
from safeload.formats.requirements import dependencies
from safeload.formats.suspects import steers_in, suspect_text

_HOOKS = ("post-checkout", "post-merge", "post-commit", "pre-commit", "pre-push", "commit-msg", "post-rewrite")
_WHOLE = (*_HOOKS, "config", "pipfile")
"""Names that say something only as a whole."""
_RUN = {
    **dict.fromkeys(("makefile", ".mk", ".mak", "cmakelists.txt", ".cmake", "justfile", "rakefile"), "build"),
    **dict.fromkeys(("dockerfile", "containerfile", ".dockerfile", "vagrantfile", "jenkinsfile"), "build"),
    **dict.fromkeys((".desktop", ".service", ".reg", ".inf", ".url", ".sct", ".applescript", ".scpt"), "system"),
    **dict.fromkeys(_HOOKS, "version control"),
    **dict.fromkeys((".sql", ".tcl", ".awk", ".sed", ".el", ".vim", ".gdbinit", ".envrc"), "script"),
}
"""Ends of names whose programs take the whole file for instructions."""
_PAGES = (".html", ".htm", ".xhtml", ".svg", ".mht", ".mhtml")
_SETTINGS = (".ini", ".cfg", ".conf")
_PATHS = (".pth",)
_WOVEN = (".rmd", ".qmd", ".jmd", ".pmd", ".rnw")
_REQUIRED = re.compile(r"(?m)^(?!.*(?:[\w\]]\s{0,8}@\s{0,8}[\w+]+://|\bgit\s*=|dependency_links|index-url)).*$")
"""Lines that say nothing about where a dependency comes from: projects name their pages, too."""
_INSTALLED = ("pyproject.toml", "setup.cfg", "pipfile")
"""Lists of dependencies among other settings."""

_SCRIPTED = re.compile(
    r"<\s*(?:script|iframe|object|embed)\b|\bon[a-z]{3,20}\s*=|javascript\s*:|data\s*:\s*text/html", re.IGNORECASE
)
_LOGGING = re.compile(r"(?m)^\s*\[(?:handler|formatter)_[^\]\n]*\]")
"""Sections of `logging.config.fileConfig`, which evaluates `class` and `args` (Python's documentation)."""
_IMPORT = re.compile(r"(?m)^import[ \t]")
"""A line of a path file that `site` executes at every start of Python, where the file lies among the packages."""
_REPOSITORY = re.compile(
    r"(?im)^\s*(?:fsmonitor|hookspath|sshcommand|pager|editor|askpass|textconv|clean|smudge|process|helper|command"
    r"|external|packobjectshook|gitproxy|alternaterefscommand)\s*=\s*(?!true|false|cache\b|store\b|osxkeychain)\S"
)
"""Settings of git that name a program, in a repository that came along."""
_CHUNK = re.compile(r"(?m)^[ \t]{0,8}(?:`{3,9}|~{3,9})[ \t]{0,8}\{[^}\n]|^<<[^\n]{0,200}>>=|`r ")
"""Code in a text that is executed when a page is made of it (knitr, Quarto, Sweave, Weave)."""
_PIPED = re.compile(r"(?m)\|[ \t]*$")
"""A table of Kaldi whose entry is the output of a command."""
_JUDGED = (
    (("config", ".gitconfig"), _REPOSITORY, "version control"),
    ((".scp",), _PIPED, "shell"),
    ((".gin",), _IMPORT, "import"),
    (_WOVEN, _CHUNK, "notebook"),
    (_PAGES, _SCRIPTED, "browser"),
    (_SETTINGS, _LOGGING, "logging"),
    (_PATHS, _IMPORT, "start-up"),
)


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    lower = name.lower()
    if lower.endswith(_WHOLE) and (lower not in _WHOLE or (lower == "config" and b"[core]" not in head)):
        return False
    return lower.endswith(_NAMED) and is_text(head, size)


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
        if suspect_text(text, prose=False):
            from safeload.formats.within_text import of_text

            yield from of_text(text, location, limits, prose=False)
        if steers_in(text):
            from safeload.formats.yaml_config import steering_in

            yield from steering_in(text, location)
        if not lower.endswith(_PAGES):
            from safeload.formats.yaml_config import settings_in

            yield from settings_in(text, location)
        if lower.endswith(_INSTALLED):
            yield from dependencies(_REQUIRED.sub(" ", text), location)
    else:
        yield Code(location=location, language=language, source=text.encode())


_NAMED = (*_RUN, *_PAGES, *_SETTINGS, *_PATHS, *_WOVEN, *_INSTALLED, *_WHOLE, ".gitconfig", ".scp", ".gin")
FORMAT = Format(
    name="active-text",
    title="a text that a program acts on",
    suffixes=(),
    sniff=_sniff,
    read=_read,
    fallback=True,
    claims=Claims(named=_NAMED),
)
