"""JSON that somebody else wrote, taken apart with the place in every error."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, NoReturn

from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.names import Location, escape

LONGEST = 1 << 28
"""Bytes of one document: the list of a million files has about as many."""


def read_json(data: bytes, where: Location) -> object:
    """One JSON document in UTF-8, in which no key is repeated and every number is one.

    Raises `LimitExceeded` if it is too long or too deep, `MalformedInput` if it is anything else.
    """
    if len(data) > LONGEST:
        raise LimitExceeded("json_bytes", allowed=LONGEST, wanted=len(data), where=where)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise ValueError("a key is repeated, and readers differ in which one counts")
        return made

    def no_constant(text: str) -> NoReturn:
        raise ValueError(f"{text} is no JSON")

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=once, parse_constant=no_constant)
    except RecursionError:
        raise LimitExceeded("depth", allowed=500, wanted=1_000, where=where) from None
    except ValueError as error:  # also what is no UTF-8, and a number that is too long
        raise MalformedInput("a document cannot be read", where=where, why=escape(str(error))) from None


@dataclass(frozen=True, slots=True)
class Field:
    """A value of a document, with the place it stands at. Every method raises `MalformedInput` for another kind."""

    value: object
    where: Location

    def wrong(self, why: str) -> MalformedInput:
        """The error that this value is not what it must be."""
        return MalformedInput("a document is not what it must be", where=self.where, why=why)

    def _child(self, value: object, step: str) -> Field:
        before = self.where.path or ""
        return Field(value, self.where._replace(path=before + step if before else step.lstrip(".")))

    def has(self, key: str) -> bool:
        """Whether it is an object with this key, and not null, which is how some writers leave a field out."""
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def get(self, key: str) -> Field:
        if not isinstance(self.value, dict):
            raise self.wrong("it must be an object")
        if key not in self.value:
            raise self._child(None, f".{key}").wrong("it is missing")
        return self._child(self.value[key], f".{key}")

    def items(self) -> list[Field]:
        if not isinstance(self.value, list):
            raise self.wrong("it must be a list")
        return [self._child(value, f"[{index}]") for index, value in enumerate(self.value)]

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.wrong("it must be text")
        return self.value

    def base64(self) -> bytes:
        """The bytes that the text stands for, in the standard alphabet with its padding."""
        try:
            return base64.b64decode(self.text().encode("ascii"), validate=True)
        except (UnicodeEncodeError, binascii.Error):
            raise self.wrong("it must be base64") from None
