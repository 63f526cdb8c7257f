"""The allowlist that comes with safeload: `safeload/allowlists/*.toml`, read strictly.

A file holds `library = "…"`, `versions = "…"` (those whose sources were read) and any number of `[[globals]]` tables:

    [[globals]]
    module = "collections"
    names = ["OrderedDict", "Counter"]
    effect = "data"                 # data, rebuild or record
    use = "call"                    # call, new, member or name; for records it must be said
    reason = "why this cannot act"
    evidence = "where it was seen"
    versions = "before 1.8"         # only where it differs from the file's

Names are exact. A module with a name, never a prefix, a pattern or a dotted path into an object.

These are TOML files, but of TOML only what they need is accepted: strings and lists of strings whose text is JSON as
well, and no table but `[[globals]]`. So they can be read by this module alone, in a tenth of the time that `tomllib`
takes. A test compares the two readings. Where a file is the one that `safeload.index` was made from, its entries are
taken from there, and it is only read to see that.
"""

from __future__ import annotations

import enum
import os
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

from safeload.core.allowlist import Allowlist, Effect, Entry, Use
from safeload.core.errors import ConfigError
from safeload.core.names import GlobalName
from safeload.index import ALLOWLISTS

_KEYS = frozenset({"module", "names", "effect", "use", "reason", "evidence", "versions"})


@cache
def default_allowlist() -> Allowlist:
    """Every entry of every file in `safeload/allowlists`, in the order of file names.

    Raises:
        ConfigError: a file is not valid; names the file and the entry. Can only happen in a broken installation.
    """
    folder = os.path.join(os.path.dirname(os.path.dirname(__file__)), "allowlists")
    files = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if name.endswith(".toml"):
            with open(os.path.join(folder, name), "rb") as file:
                files[name] = file.read()
    if not files:
        remedy = "pip install --force-reinstall safeload"
        raise ConfigError("safeload's allowlists are missing", where="safeload/allowlists", remedy=remedy)
    if {name: zlib.crc32(data) for name, data in files.items()} == {name: row[0] for name, row in ALLOWLISTS.items()}:
        return _Indexed()
    return parse_allowlists({name: data.decode() for name, data in files.items()})


class _Indexed(Allowlist):
    """The same entries out of the index, each made when it is asked for."""

    __slots__ = ("_known", "_rows")

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[GlobalName, Entry] = {}
        self._rows: dict[tuple[str, str], Any] = {
            (row[0], name): row for _, rows in ALLOWLISTS.values() for row in rows for name in row[-1]
        }

    def __contains__(self, name: GlobalName) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[Entry]:
        return (_made(GlobalName(*name), row) for name, row in self._rows.items())

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, name: GlobalName) -> Entry | None:
        row = self._rows.get(name)
        if row is None:
            return None
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = _made(GlobalName(*name), row)
        return found


def _made(name: GlobalName, row: tuple[Any, ...]) -> Entry:
    _, effect, use, reason, evidence, _ = row
    return Entry(name=name, effect=Effect(effect), use=Use(use), reason=reason, evidence=evidence)


def parse_allowlists(texts: Mapping[str, str]) -> Allowlist:
    """The allowlist that these files make together, by file name.

    Raises:
        ConfigError: a file is not TOML, has an unknown or missing key, or lists a name that is already listed.
    """
    seen: dict[GlobalName, str] = {}
    entries = []
    for file in sorted(texts):
        for place, entry in _entries(file, texts[file]):
            if entry.name in seen:
                raise _wrong(file, place, f"{entry.name} is listed already, in {seen[entry.name]}")
            seen[entry.name] = file
            entries.append(entry)
    return Allowlist(entries)


def _entries(file: str, text: str) -> list[tuple[str, Entry]]:
    document, tables = _document(file, text)
    if set(document) != {"library", "versions"} or not all(isinstance(text, str) for text in document.values()):
        raise _wrong(file, "", "before its tables it must hold `library` and `versions`, and nothing else")
    return [
        (f"globals[{index}].names[{at}]", entry)
        for index, table in enumerate(tables)
        for at, entry in enumerate(_table(file, f"globals[{index}]", table))
    ]


def _document(file: str, text: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The keys before the first table, and each table."""
    import json

    document: dict[str, Any] = {}
    tables: list[dict[str, Any]] = []
    current = document
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        line = line.strip()
        if line == "[[globals]]":
            current = {}
            tables.append(current)
        elif line and not line.startswith("#"):
            key, equals, value = (part.strip() for part in line.partition("="))
            if not equals or not key.isidentifier() or key in current:
                raise _wrong(file, f"line {number}", "it is not `key = value` with a new key")
            while value.startswith("[") and not value.endswith("]"):
                value += next(lines, (0, "]"))[1].strip()
            try:
                current[key] = json.loads(value)
            except ValueError as error:
                raise _wrong(file, f"line {number}", f"the value is not understood: {error}") from None
    return document, tables


def _table(file: str, place: str, table: dict[str, Any]) -> list[Entry]:
    if unknown := set(table) - _KEYS:
        raise _wrong(file, place, f"unknown key {sorted(unknown)[0]!r}")
    module = _text(file, place, table, "module")
    names = table.get("names")
    if not isinstance(names, list) or not names:
        raise _wrong(file, f"{place}.names", "it must be a list of names")
    for at, name in enumerate(names):
        if not isinstance(name, str) or not name.isidentifier():
            raise _wrong(file, f"{place}.names[{at}]", f"{name!r} is not the name of a global")
    if not all(part.isidentifier() for part in module.split(".")):
        raise _wrong(file, f"{place}.module", f"{module!r} is not the name of a module")
    effect = _choice(file, place, table, "effect", Effect, None)
    # A record stands for a real class that an ordinary reader would import, so how it may be used must be spelled out.
    use = _choice(file, place, table, "use", Use, None if effect is Effect.RECORD else Use.CALL)
    reason, evidence = _text(file, place, table, "reason"), _text(file, place, table, "evidence")
    if "versions" in table:
        _text(file, place, table, "versions")
    return [
        Entry(name=GlobalName(module, name), effect=effect, use=use, reason=reason, evidence=evidence) for name in names
    ]


def _text(file: str, place: str, table: dict[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value.strip():
        raise _wrong(file, f"{place}.{key}", "it must be a text that is not empty")
    return value


_Choice = TypeVar("_Choice", bound=enum.Enum)


def _choice(
    file: str, place: str, table: dict[str, Any], key: str, kind: type[_Choice], default: _Choice | None
) -> _Choice:
    if default is not None and key not in table:
        return default
    options = {str(option.value): option for option in kind}
    value = table.get(key)
    if not isinstance(value, str) or value not in options:
        raise _wrong(file, f"{place}.{key}", f"it must be one of {', '.join(options)}")
    return options[value]


def _wrong(file: str, place: str, why: str) -> ConfigError:
    return ConfigError(
        "an allowlist cannot be used",
        where=f"{file} » {place}" if place else file,
        why=why,
        remedy="correct the file; safeload's own can be restored with: pip install --force-reinstall safeload",
    )
