"""PMML: models as XML. What its reader would fetch or expand, and the extensions that are no part of the standard.

The document is not parsed: its declarations stand before its root, and elements are told by their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Part, Reference, Text
from safeload.formats.inside import Overdrawn
from safeload.formats.plain_text import is_text, read_text

_ROOT = re.compile(rb"<(?:\w+:)?PMML[\s>]")
_DOCTYPE = re.compile(r"<!DOCTYPE\b", re.IGNORECASE)
_EXTERNAL = re.compile(r"\b(?:SYSTEM|PUBLIC)\s+(?:['\"][^'\"]{0,500}['\"]\s*)?['\"]([^'\"]{0,500})['\"]", re.IGNORECASE)
_ENTITY = re.compile(r"<!ENTITY\b", re.IGNORECASE)
_INCLUDE = re.compile(r"<(?:\w+:)?include\b[^>]{0,2000}\bhref\s*=\s*['\"]([^'\"]{0,500})")
_STYLE = re.compile(r"<\?xml-stylesheet\b[^>]{0,2000}\bhref\s*=\s*['\"]([^'\"]{0,500})")
_SCRIPT = re.compile(
    r"<(?:\w+:)?(?:script|java|jexl|groovy)\b|<!\[CDATA\[\s*(?:import |function |eval\()", re.IGNORECASE
)
_MOST = 1_000


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    text = read_text(blob, location, limits)
    yield Text(location=location, text=text, role="prose")
    yield from active_xml(text, location)


_EXTERNAL_ENTITY = re.compile(
    r"<!ENTITY\b[^>]{0,500}?\b(?:SYSTEM|PUBLIC)\s+(?:['\"][^'\"]{0,500}['\"]\s*)?['\"]([^'\"]{0,500})['\"]",
    re.IGNORECASE,
)


def active_xml(text: str, location: Location, *, model: bool = True) -> Iterator[Part]:
    """What the reader of an XML document would fetch, include, run or expand.

    Args:
        model: it is one, and needs no declarations; documents of other kinds name the public one of theirs.
    """
    kinds = (
        ("xml-external", _EXTERNAL if model else _EXTERNAL_ENTITY),
        ("xml-include", _INCLUDE),
        ("xml-include", _STYLE),
        ("xml-script", _SCRIPT),
    )
    doctype = _DOCTYPE.search(text)
    for kind, pattern in kinds:
        if kind == "xml-external" and doctype is None:
            continue
        for number, found in enumerate(pattern.finditer(text)):
            if number >= _MOST:
                raise Overdrawn("nodes", f"it has more than {_MOST:,} links, scripts or entities of a kind", location)
            yield Reference(location=location, kind=kind, target=found[1] if found.lastindex else found[0])
    if doctype is not None and _ENTITY.search(text):
        count = sum(1 for _ in _ENTITY.finditer(text))
        yield Reference(location=location, kind="xml-entities", target=str(count))


FORMAT = Format(
    name="pmml",
    title="a PMML model",
    suffixes=(".pmml",),
    sniff=lambda head, tail, size, name: (
        is_text(head, size)
        and head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"
        and (_ROOT.search(head) is not None or name.lower().endswith(".pmml"))
    ),
    read=_read,
    claims=Claims(holds=(b"PMML",), named=(".pmml",)),
)
