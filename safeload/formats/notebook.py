"""Notebooks: the code in their cells, and scripts in the outputs that a browser would show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from safeload.core.names import Location
from safeload.formats.base import Code, Part
from safeload.formats.inside import Overdrawn
from safeload.later import Later

_SCRIPT = Later(r"<\s*script\b|\bon(?:error|load|click|mouseover)\s*=|javascript\s*:|<\s*iframe\b", re.IGNORECASE)
_ACTIVE = ("application/javascript", "application/x-javascript")
_MOST = 10_000


def is_notebook(data: Any) -> bool:
    """Whether a JSON document is a notebook, of any version."""
    return isinstance(data, dict) and "nbformat" in data and ("cells" in data or "worksheets" in data)


def cells(data: dict[str, Any], location: Location) -> Iterator[Part]:
    """All code of a notebook as one part, and one for each output that would run in a browser."""
    listed = data.get("cells")
    if listed is None:
        sheets = data.get("worksheets")
        listed = [cell for sheet in _dicts(sheets) for cell in _dicts(sheet.get("cells"))]
    source: list[str] = []
    number = 0
    for number, cell in enumerate(_dicts(listed)):
        if number >= _MOST:
            break
        if cell.get("cell_type") == "code":
            source.append(_text(cell.get("source", cell.get("input"))))
        elif _SCRIPT.search(text := _text(cell.get("source"))):
            yield _active(location, f"cells[{number}].source", text)
        for index, output in enumerate(_dicts(cell.get("outputs"))):
            bundle = output.get("data", output)
            for kind, value in bundle.items() if isinstance(bundle, dict) else ():
                if kind in _ACTIVE or (kind in ("text/html", "image/svg+xml", "html") and _SCRIPT.search(_text(value))):
                    yield _active(location, f"cells[{number}].outputs[{index}].{kind}", _text(value))
    if source:
        yield Code(location=location, language="python", source="\n".join(source).encode("utf-8", "replace"))
    if number >= _MOST:
        raise Overdrawn("nodes", f"it has more than {_MOST:,} cells", location)


def _active(location: Location, path: str, text: str) -> Code:
    where = Location(location.file, location.member, None, path)
    return Code(location=where, language="javascript", source=text.encode("utf-8", "replace"))


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    yield from (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "".join(item for item in value if isinstance(item, str))
    return value if isinstance(value, str) else ""
