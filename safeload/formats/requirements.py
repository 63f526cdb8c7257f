"""Lists of packages to install: `requirements.txt` and its like. Programs that serve a model install what they list."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Part, Reference, Text
from safeload.formats.plain_text import is_text, read_text

_NAME = re.compile(r"(?:[\w.-]*requirements[\w.-]*|constraints[\w.-]*)\.(?:txt|in)")
_DIRECT = re.compile(
    r"(?:^|[\s'\"@])((?:git\+|hg\+|svn\+|bzr\+)?(?:https?|ftp|ssh|git|file)://[^\s'\"#,\]}]{1,500})"
    r"|(?:^|\s)(--?(?:index-url|extra-index-url|find-links|trusted-host|i|f)[ =][^\s'\"]{1,500})",
    re.MULTILINE,
)
_LOCAL = re.compile(
    r"^[ \t]{0,80}(?:-[ \t]{1,8})?[\"']?((?:-e|--editable)[ =][^\s#]{1,400}"
    r"|(?:-r|-c|--requirement|--constraint)[ =]{0,8}"
    r"(?:[^\s#]{0,400}[/\\])?\.\.[/\\][^\s#]{1,400}|(?:-r|-c|--requirement|--constraint)[ =]{0,8}[/~][^\s#]{1,400}"
    r"|\.{1,2}[/\\][^\s#\"']{0,400}|\.(?=[ \t]*$)|/[^\s#\"']{1,400})",
    re.MULTILINE,
)
"""Packages of a folder, whose set-up runs when they are installed, and lists that lie elsewhere."""
_MOST = 1_000


def dependencies(text: str, location: Location) -> Iterator[Part]:
    """Addresses that installing what a file lists would fetch from, instead of the usual package index."""
    ascii = text.isascii()
    for found in itertools.islice(_LOCAL.finditer(text), _MOST):
        where = location.at(found.start(1)) if ascii else location
        yield Reference(location=where, kind="dependency", target=found[1])
    for found in itertools.islice(_DIRECT.finditer(text), _MOST):
        target = found[1] or found[2]
        line = text.rfind("\n", 0, found.start(1 if found[1] else 2)) + 1
        if not text[line : found.start()].lstrip().startswith("#"):
            where = location.at(found.start()) if ascii else location
            yield Reference(location=where, kind="dependency", target=target)


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    text = read_text(blob, location, limits)
    yield Text(location=location, text=text, role="prose")
    yield from dependencies(text, location)


FORMAT = Format(
    name="requirements",
    title="a list of packages to install",
    suffixes=(".txt", ".in"),
    sniff=lambda head, tail, size, name: _NAME.fullmatch(name.lower()) is not None and is_text(head, size),
    read=_read,
    claims=Claims(named=(".txt", ".in")),
)
