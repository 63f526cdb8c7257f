"""skops files: the schema that says which classes and functions loading one uses.

`schema.json` is a tree of nodes; each names a class by module and name, and the loader that makes it. skops itself
asks its user to trust what it does not know, so each name becomes a reference for a rule to judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from safeload.core.names import Location
from safeload.formats.base import Part, Reference
from safeload.formats.inside import Overdrawn

MARK = "__loader__"
_MOST = 100_000


def schema_references(data: Any, location: Location) -> Iterator[Part]:
    """Each `module.class` of a schema with the loader that makes it, once."""
    told: set[tuple[str, str]] = set()
    waiting: list[Any] = [data]
    while waiting:
        if len(told) >= _MOST:
            raise Overdrawn("nodes", f"its schema names more than {_MOST:,} different classes", location)
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        if not isinstance(node, dict):
            continue
        waiting.extend(child for child in node.values() if isinstance(child, (dict, list)))
        loader = node.get("__loader__")
        if loader is None and "__class__" not in node:
            continue
        target = f"{_text(node.get('__module__'))}.{_text(node.get('__class__'))}"
        if (key := (_text(loader), target)) not in told:
            told.add(key)
            where = Location(location.file, location.member, None, key[0])
            yield Reference(location=where, kind="skops-node", target=target)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "?"
