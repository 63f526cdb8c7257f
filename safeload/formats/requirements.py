"""Lists of packages to install: `requirements.txt` and its like. Programs that serve a model install what they list."""

from __future__ import annotations

import re
from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Part, Reference, Text
from safeload.formats.inside import Overdrawn
from safeload.formats.plain_text import is_text, read_text

_NAME = re.compile(r"(?:[\w.-]*requirements[\w.-]*|constraints[\w.-]*)\.(?:txt|in)")
_DIRECT = re.compile(
    r"(?:^|[\s'\"@])((?:git\+|hg\+|svn\+|bzr\+)?(?:https?|ftp|ssh|git|file)://[^\s'\"#,\]}]{1,500})"
    r"|(?:^|\s)(--?(?:index-url|extra-index-url|find-links|trusted-host|i|f)[ =][^\s'\"]{1,500})",
    re.MULTILINE,
)
_COMMENT = re.compile(r"\s*#")
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
    for number, found in enumerate(_LOCAL.finditer(text)):
        if number == _MOST:
            raise Overdrawn("nodes", f"it lists more than {_MOST:,} folders", location)
        where = location.at(found.start(1)) if ascii else location
        yield Reference(location=where, kind="dependency", target=found[1])
    count = line = 0
    comment = _COMMENT.match(text) is not None
    for found in _DIRECT.finditer(text):
        target = found[1] or found[2]
        start = found.start(1 if found[1] else 2)
        if (last := text.rfind("\n", line, start) + 1) > line:  # each line is looked at once
            line, comment = last, _COMMENT.match(text, last, start) is not None
        if not comment:
            count += 1
            if count > _MOST:
                raise Overdrawn("nodes", f"it lists more than {_MOST:,} addresses", location)
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
