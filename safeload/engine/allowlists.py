"""The allowlist that comes with safeload: `safeload/allowlists/*.toml`, read strictly.

A file holds `library = "…"` and any number of `[[globals]]` tables:

    [[globals]]
    module = "collections"
    names = ["OrderedDict", "Counter"]
    effect = "data"                 # data, rebuild or record
    use = "call"                    # call, new, member or name; for records it must be said
    reason = "why this cannot act"
    evidence = "where it was seen"

Names are exact. A module with a name, never a prefix, a pattern or a dotted path into an object.
"""

from __future__ import annotations

import enum
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, TypeVar

from safeload.core.allowlist import Allowlist, Effect, Entry, Use
from safeload.core.errors import ConfigError
from safeload.core.names import GlobalName

_KEYS = frozenset({"module", "names", "effect", "use", "reason", "evidence"})


@cache
def default_allowlist() -> Allowlist:
    """Every entry of every file in `safeload/allowlists`, in the order of file names.

    Raises:
        ConfigError: a file is not valid; names the file and the entry. Can only happen in a broken installation.
    """
    folder = resources.files("safeload").joinpath("allowlists")
    texts = {item.name: item.read_text("utf-8") for item in folder.iterdir() if item.name.endswith(".toml")}
    if not texts:
        raise ConfigError(
            "safeload's allowlists are missing",
            where="safeload/allowlists",
            remedy="pip install --force-reinstall safeload",
        )
    return parse_allowlists(texts)


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
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _wrong(file, "", f"it is not TOML: {error}") from None
    if set(document) != {"library", "globals"} or not isinstance(document["library"], str):
        raise _wrong(file, "", "it must hold exactly `library` and `globals`")
    if not isinstance(document["globals"], list):
        raise _wrong(file, "globals", "it must be a list of tables")
    found = []
    for index, table in enumerate(document["globals"]):
        place = f"globals[{index}]"
        if not isinstance(table, dict):
            raise _wrong(file, place, "it must be a table")
        found += [(f"{place}.names[{at}]", entry) for at, entry in enumerate(_table(file, place, table))]
    return found


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
