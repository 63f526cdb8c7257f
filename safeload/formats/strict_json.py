"""JSON without surprises: one document, bounded, every repeated key reported."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.inside import Inner


class Document(NamedTuple):
    """A parsed document, and the keys that appear more than once in one object. The last value counts."""

    data: Any
    repeated: tuple[str, ...] = ()
    text: str = ""
    """As it was written."""


def parse_json(data: bytes, location: Location, limits: Limits) -> Document:
    """Parse UTF-8 JSON. `NaN` and infinities are allowed, as Python's libraries write them.

    Raises:
        LimitExceeded: it is longer or nested deeper than the limits (or Python) allow, or was packed and would take
            far more memory than what it was packed in.
        MalformedInput: it is not JSON.
    """
    if len(data) > limits.json_bytes:
        raise LimitExceeded("json_bytes", allowed=limits.json_bytes, wanted=len(data), where=location)
    if isinstance(limits, Inner):
        limits.work.hold(len(data), lambda: weight(data), location)
    reader = _Reader.idle()
    try:
        text = data.decode("utf-8")
        if text.startswith("\ufeff"):
            raise json.JSONDecodeError("Unexpected UTF-8 BOM (decode using utf-8-sig)", text, 0)  # as `loads` does
        value = reader.decode(text)
        return Document(value, tuple(dict.fromkeys(reader.repeated)), text)
    except json.JSONDecodeError as error:
        raise _not_json(location.at(error.pos), error.msg) from None
    except UnicodeDecodeError as error:
        raise _not_json(location.at(error.start), "it is not UTF-8 text") from None
    except ValueError:
        raise _not_json(location, "it holds a number that is too long") from None
    except RecursionError:
        raise LimitExceeded("depth", allowed=limits.depth, wanted=limits.depth + 1, where=location) from None
    finally:
        reader.rest()


def weight(data: bytes) -> int:
    """About how many bytes of memory a document takes when it is read, by its punctuation; texts count as such, too.

    An empty list of two bytes takes 56 and its place in another eight; a member of an object 110, with its key.
    """
    return 6 * len(data) + sum(bytes_each * data.count(sign) for sign, bytes_each in _WEIGHTS)


_WEIGHTS = ((b"[", 88), (b"{", 64), (b",", 32), (b":", 110), (b'"', 25))


class _Reader:
    """A decoder and the repeated keys that it met. To make one takes as long as to read a small document, so it is
    used again, by one caller at a time."""

    _idle: ClassVar[list[_Reader]] = []

    def __init__(self) -> None:
        self.repeated: list[str] = []
        self.decode = json.JSONDecoder(object_pairs_hook=self._collect).decode

    @classmethod
    def idle(cls) -> _Reader:
        try:
            return cls._idle.pop()
        except IndexError:
            return cls()

    def rest(self) -> None:
        self.repeated.clear()
        self._idle.append(self)

    def _collect(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            counts = Counter(key for key, _ in pairs)
            self.repeated.extend(key for key, count in counts.items() if count > 1)
        return made


def _not_json(where: Location, why: str) -> MalformedInput:
    return MalformedInput("a JSON file cannot be read", where=where, why=escape(why), remedy="fetch the file again")


_Step = tuple["_Step | None", str]


def walk_json(data: object, wanted: Callable[[str], bool]) -> Iterator[tuple[str, str, Any]]:
    """Every `(path, key, value)` of the objects in a document whose key is wanted, at any depth, without recursion.

    Paths are spelled only for those: a tokenizer's vocabulary costs no more than looking at its keys.
    """
    stack: list[tuple[_Step | None, object]] = [(None, data)]
    while stack:
        above, value = stack.pop()
        if isinstance(value, dict):
            for key, child in value.items():
                if wanted(key):
                    yield _spell((above, key)), key, child
                if isinstance(child, (dict, list)):
                    stack.append(((above, key), child))
        elif isinstance(value, list):
            for index, child in enumerate(value):
                if isinstance(child, (dict, list)):
                    stack.append(((above, f"[{index}]"), child))


def _spell(step: _Step | None) -> str:
    steps: list[str] = []
    while step is not None:
        step, name = step
        steps.append(name)
    return ".".join(reversed(steps)).replace(".[", "[")
