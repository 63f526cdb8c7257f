"""Universal Binary JSON: where a value ends. Nothing is built from it."""

from __future__ import annotations

from safeload.core.blob import Blob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.inside import account
from safeload.formats.window import Window

_WIDTHS = {"Z": 0, "N": 0, "T": 0, "F": 0, "i": 1, "U": 1, "C": 1, "I": 2, "l": 4, "d": 4, "L": 8, "D": 8}
_INTEGERS = frozenset("iUIlL")


class _Walk:
    """A stack of open containers: items left (-1: until the end mark), their type if they share one, whether keyed."""

    def __init__(self, blob: Blob, location: Location, limits: Limits) -> None:
        self.window = Window(blob)
        self.location = location
        self.limits = limits
        self.at = 0
        self.work = account(limits, blob).work
        self.stack: list[list[object]] = []

    def bad(self, why: str) -> MalformedInput:
        what = "an XGBoost model cannot be read"
        return MalformedInput(what, where=self.location.at(self.at), why=why, remedy="fetch the file again")

    def take(self, count: int) -> bytes:
        data = self.window.bytes(self.at, count)
        if len(data) < count:
            raise self.bad("it ends within a value (truncated)")
        self.at += count
        return data

    def mark(self) -> str:
        return self.take(1).decode("latin-1")

    def skip(self, count: int) -> None:
        if count > self.window.size - self.at:
            raise self.bad(f"{count:,} bytes begin with fewer left (truncated)")
        self.at += count

    def number(self) -> int:
        kind = self.mark()
        if kind not in _INTEGERS:
            raise self.bad("a length is no whole number")
        value = int.from_bytes(self.take(_WIDTHS[kind]), "big", signed=kind != "U")
        if value < 0:
            raise self.bad("a length is negative")
        return value

    def value(self, kind: str) -> None:
        self.work.walk(1, self.location)
        if kind in _WIDTHS:
            self.skip(_WIDTHS[kind])
        elif kind in ("S", "H"):
            self.skip(self.number())
        elif kind in ("[", "{"):
            self.open(kind)
        else:
            raise self.bad("a value of no known type")

    def open(self, kind: str) -> None:
        if len(self.stack) >= self.limits.depth:
            raise LimitExceeded("depth", allowed=self.limits.depth, wanted=len(self.stack) + 1, where=self.location)
        typed, count = "", -1
        if self.window.bytes(self.at, 1) == b"$":
            self.at += 1
            typed = self.mark()
        if self.window.bytes(self.at, 1) == b"#":
            self.at += 1
            count = self.number()
        elif typed:
            raise self.bad("a typed container has no count")
        if typed in _WIDTHS and kind == "[":
            self.skip(count * _WIDTHS[typed])
        else:
            self.stack.append([count, typed, kind == "{"])

    def step(self) -> None:
        count, typed, keyed = self.stack[-1]
        if count == 0 or (count == -1 and self.window.bytes(self.at, 1) == (b"}" if keyed else b"]")):
            self.at += count == -1
            self.stack.pop()
            return
        if isinstance(count, int) and count > 0:
            self.stack[-1][0] = count - 1
        if keyed:
            self.skip(self.number())
        self.value(str(typed) or self.mark())


def walk(blob: Blob, location: Location, limits: Limits) -> int:
    """The offset after the value at the beginning of a file.

    Raises:
        MalformedInput: it is cut, or holds what the format has not.
        LimitExceeded: more values or deeper ones than the limits allow.
    """
    state = _Walk(blob, location, limits)
    state.value(state.mark())
    while state.stack:
        state.step()
    return state.at
