"""Files that only stand in for the real one: what an interrupted or misdirected download leaves behind."""

from __future__ import annotations

import re
from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Opaque, Part
from safeload.formats.inside import called

_POINTER = b"version https://git-lfs.github.com/spec/v1"
_PAGE = re.compile(
    rb"\s*(?:<!--.*?-->\s*)?<(?:!doctype html|html|head|\?xml[^>]*\?>\s*<(?:!doctype html|html|error))", re.I | re.S
)
_HEAD = 1 << 12
_PAGES = (".html", ".htm", ".xhtml", ".xml", ".svg")
_MAY_BE_EMPTY = (".py", ".txt", ".md", ".gitkeep", ".gitattributes", ".gitignore", ".typed", ".keep")


def _kind(head: bytes, tail: bytes, size: int, name: str) -> str | None:
    lower = name.lower()
    if size == 0:
        return None if lower.endswith(_MAY_BE_EMPTY) else "empty"
    if head.startswith(_POINTER) and size < _HEAD:
        return "git-lfs-pointer"
    if _PAGE.match(head[:_HEAD]) and not lower.endswith(_PAGES):
        return "html-page"
    if size >= 16 and not head.strip(b"\0") and not tail.strip(b"\0"):
        return "zeros"
    return None


_DETAILS = {
    "empty": "the file has no bytes: its download never began",
    "git-lfs-pointer": "a Git LFS pointer instead of the file: run `git lfs pull`, or download it from the hub",
    "html-page": "a web page instead of the file: the download was answered with an error or a login page",
    "zeros": "only zero bytes at both ends: the download reserved the space and never filled it",
}


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    head, tail = blob.read_at(0, 1 << 16), blob.read_at(max(0, blob.size - (1 << 16)), 1 << 16)
    what = _kind(head, tail, blob.size, called(location)) or "empty"
    yield Opaque(location=location, what=what, detail=_DETAILS[what])


FORMAT = Format(
    name="stand-in",
    title="a stand-in for the real file",
    suffixes=(),
    sniff=lambda head, tail, size, name: _kind(head, tail, size, name) is not None,
    read=_read,
    claims=Claims(begins=(_POINTER,), first=b"< \t\n\r\v\f\0", empty=True),
)
