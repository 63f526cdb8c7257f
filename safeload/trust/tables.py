"""Our own TOML files, read strictly: a value of the right kind, or `ConfigError` with a place such as `rule[1].match`.

Unknown and repeated keys are errors: a misspelt word must not quietly loosen anything.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, NoReturn

from safeload.core.errors import ConfigError
from safeload.core.names import Location, escape

_CONFLICT = re.compile(r"^(?:<<<<<<< |\|\|\|\|\|\|\| |=======$|>>>>>>> )", re.MULTILINE)


def read_toml(data: bytes, *, file: str, most: int, remedy: str) -> Table:
    """The top table of a TOML document.

    Raises:
        ConfigError: it is longer than `most` bytes, is no TOML in UTF-8, or holds the marks of a merge conflict.
    """
    if len(data) > most:
        refuse(file, "", f"it has {len(data):,} bytes, and more than {most:,} are not read", remedy)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        refuse(file, "", f"it is not UTF-8: byte {error.start}", remedy)
    if found := _CONFLICT.search(text):
        line = text.count("\n", 0, found.start()) + 1
        refuse(file, f"line {line}", "it holds the marks of a merge conflict", remedy)
    try:
        document = tomllib.loads(text)
    except RecursionError:
        refuse(file, "", "it is nested too deep", remedy)
    except ValueError as error:  # TOMLDecodeError, and numbers with too many digits
        refuse(file, "", f"it is no TOML: {escape(str(error))}", remedy)
    return Table(document, file=file, remedy=remedy)


def refuse(file: str, path: str, why: str, remedy: str) -> NoReturn:
    """Raise the `ConfigError` for a place in a file."""
    raise ConfigError(f"{escape(file)} was not used", where=Location(file, path=path or None), why=why, remedy=remedy)


class Table:
    """One table, from which each key is taken once; `end()` refuses what is left."""

    def __init__(self, data: dict[str, Any], *, file: str, path: str = "", remedy: str) -> None:
        self._data, self._taken = data, set[str]()
        self.file, self.path, self.remedy = file, path, remedy

    def at(self, key: str) -> str:
        """The place of a key of this table."""
        return f"{self.path}.{escape(key)}" if self.path else escape(key)

    def refuse(self, key: str, why: str) -> NoReturn:
        refuse(self.file, self.at(key) if key else self.path, why, self.remedy)

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def names(self) -> list[str]:
        return list(self._data)

    def raw(self, key: str) -> Any:
        """Whatever is there, or `None`: for keys that take several kinds."""
        self._taken.add(key)
        return self._data.get(key)

    def _take(self, key: str, kind: type, called: str, default: Any) -> Any:
        value = self.raw(key)
        if value is None:
            return self.refuse(key, f"{called} is missing") if default is ... else default
        if type(value) is not kind:
            self.refuse(key, f"it must be {called}, and is {_kind(value)}")
        return value

    def text(self, key: str, default: Any = ...) -> Any:
        value = self._take(key, str, "a text", default)
        if value == "" and key in self._data:
            self.refuse(key, "it is empty")
        return value

    def number(self, key: str, default: Any = ..., *, least: int = 0, most: int = (1 << 63) - 1) -> Any:
        value = self._take(key, int, "a number", default)
        if value is not None and not least <= value <= most:
            self.refuse(key, f"it must lie between {least:,} and {most:,}")
        return value

    def flag(self, key: str) -> bool:
        return bool(self._take(key, bool, "true or false", False))

    def day(self, key: str) -> date | None:
        value = self._take(key, date, "a date such as 2027-03-31", None)
        return value if isinstance(value, date) and not isinstance(value, datetime) else None

    def choice(self, key: str, among: Sequence[str], default: Any = ...) -> Any:
        value = self.text(key, default)
        if value is not default and value not in among:
            self.refuse(key, f"it must be one of {', '.join(among)}, and is {escape(value)!r}")
        return value

    def pattern(self, key: str, shape: re.Pattern[str], called: str, default: Any = ...) -> Any:
        value = self.text(key, default)
        if value is not default and not shape.fullmatch(value):
            self.refuse(key, f"it must be {called}, and is {escape(value)!r}")
        return value

    def texts(self, key: str, default: Any = ...) -> Any:
        """A list of texts, none empty, none twice."""
        value = self._take(key, list, "a list of texts", default)
        if value is default:
            return default
        seen: set[str] = set()
        for index, item in enumerate(value):
            if type(item) is not str or not item:
                self.refuse(f"{key}[{index}]", "it must be a text that is not empty")
            if item in seen:
                self.refuse(f"{key}[{index}]", f"{escape(item)!r} is there twice")
            seen.add(item)
        return tuple(value)

    def table(self, key: str) -> Table | None:
        value = self._take(key, dict, "a table", None)
        return None if value is None else Table(value, file=self.file, path=self.at(key), remedy=self.remedy)

    def tables(self, key: str) -> Iterator[Table]:
        """Each table of a list of tables."""
        for index, value in enumerate(self._take(key, list, "a list of tables", [])):
            path = f"{self.at(key)}[{index}]"
            if type(value) is not dict:
                refuse(self.file, path, f"it must be a table, and is {_kind(value)}", self.remedy)
            yield Table(value, file=self.file, path=path, remedy=self.remedy)

    def end(self) -> None:
        """Raise `ConfigError` for a key that nobody took."""
        for key in self._data:
            if key not in self._taken:
                self.refuse(key, "there is no such key")


_KINDS = {str: "a text", bool: "true or false", int: "a number", float: "a fraction", list: "a list", dict: "a table"}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "a date or time")
