"""Write `safeload/index.py`: `python -m tools.index`. A test compares it with what this writes."""

from __future__ import annotations

import importlib
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import safeload.formats
import safeload.rules
from safeload.engine.allowlists import parse_allowlists
from safeload.formats.base import Claims, Format
from safeload.registry import modules
from safeload.rules.base import Rule

PACKAGE = Path(safeload.formats.__file__).parents[1]
TARGET = PACKAGE / "index.py"
_HEAD = '''"""What is known of formats, rules and allowlists without importing or parsing them.

Written by `python -m tools.index` from the files themselves; do not edit. See `registry`.
"""

from __future__ import annotations

from typing import Any

'''


def text() -> str:
    """The module, as it should be."""
    parts = [_HEAD]
    parts += _table(
        "FORMATS",
        "Any",
        _formats(),
        "Each module of `formats`: its size; name, suffixes, fallback and claims of each format.",
    )
    parts += _table("RULES", "Any", _rules(), "Each module of `rules`: its size, and what its rule looks at.")
    parts += _table("ALLOWLISTS", "Any", _allowlists(), "Each allowlist: its CRC-32, and its entries by table.")
    return "".join(parts)


def _table(name: str, kind: str, rows: dict[str, Any], about: str) -> list[str]:
    return [
        f"{name}: dict[str, {kind}] = {{\n",
        *(f"    {key!r}: {row!r},\n" for key, row in rows.items()),
        "}\n",
        f'"""{about}"""\n',
    ]


def _modules(package: ModuleType) -> dict[str, tuple[int, ModuleType]]:
    found = modules(package.__path__)
    return {name: (size, importlib.import_module(f"{package.__name__}.{name}")) for name, size in found.items()}


def _formats() -> dict[str, Any]:
    return {
        name: (size, tuple(map(_format, _of(module)))) for name, (size, module) in _modules(safeload.formats).items()
    }


def _of(module: ModuleType) -> list[Format]:
    return [format for format in (getattr(module, "FORMAT", None), *getattr(module, "FORMATS", ())) if format]


def _format(format: Format) -> tuple[Any, ...]:
    return (format.name, format.suffixes, format.fallback, None if format.claims is None else _claims(format.claims))


def _claims(claims: Claims) -> dict[str, Any]:
    """Those that are not the default."""
    default = Claims()
    given = {name: getattr(claims, name) for name in Claims.__annotations__}
    return {name: value for name, value in given.items() if value != getattr(default, name)}


def _rules() -> dict[str, Any]:
    return {
        name: (size, _looks_at(getattr(module, "RULE", None)))
        for name, (size, module) in _modules(safeload.rules).items()
    }


def _looks_at(rule: object) -> tuple[str, ...]:
    if not isinstance(rule, Rule):
        return ()
    return tuple(f"{kind.__module__}.{kind.__qualname__}" for kind in rule.looks_at)


def _allowlists() -> dict[str, Any]:
    rows = {}
    for path in sorted((PACKAGE / "allowlists").glob("*.toml")):
        data = path.read_bytes()
        tables: dict[tuple[str, ...], list[str]] = {}
        for entry in parse_allowlists({path.name: data.decode()}):
            alike = (entry.name.module, entry.effect.value, entry.use.value, entry.reason, entry.evidence)
            tables.setdefault(alike, []).append(entry.name.name)
        rows[path.name] = (zlib.crc32(data), tuple((*alike, tuple(names)) for alike, names in tables.items()))
    return rows


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
