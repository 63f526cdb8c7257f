"""How much one pickle may have made of what it holds.

A constant that is written once can be named as often as a file likes, in two bytes each time. What is made of it whole
each time (a `bytearray` of a megabyte, a list of a list, an object of a dictionary) is not: a file of a few megabytes
could ask for a terabyte. What honest picklers write costs about as much as its bytes.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any

from safeload.core.construct import Handler, Mapped
from safeload.core.errors import MalformedInput
from safeload.core.graph import Call
from safeload.core.names import GlobalName

_FREE = 10_000_000
_EACH = 8
_SHORT = 1_000
_SIZED = frozenset(
    {bytes, bytearray, memoryview, str, list, tuple, dict, set, frozenset, OrderedDict, Counter, defaultdict, deque}
    | {Mapped}
)
"""Exactly these types: no others that take much to copy are made of a file."""


class Amount:
    """How many more parts may be taken over for a pickle of so many bytes: ten million, and eight for each byte."""

    def __init__(self, size: int) -> None:
        self.allowed = self.left = _FREE + _EACH * size

    def spend(self, parts: Iterable[object]) -> None:
        """Count what these hold: characters, bytes, items. Short ones cost as much as naming them.

        Of a tuple, such as the state of an array, its long parts are counted too.

        Raises:
            MalformedInput: it is far more than the file holds.
        """
        for part in parts:
            kind = type(part)  # asked of every object: no call that can be spared
            if kind in _SIZED:
                if kind is tuple and len(part) <= _SHORT:  # type: ignore[arg-type]
                    for one in part:  # type: ignore[attr-defined]
                        if type(one) in _SIZED and len(one) > _SHORT:
                            self._take(len(one))
                elif len(part) > _SHORT:  # type: ignore[arg-type]
                    self._take(len(part))  # type: ignore[arg-type]

    def _take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise MalformedInput(
                "a pickle makes far more than it holds",
                why=f"the same values are taken over again and again, more than {self.allowed:,} of them",
            )


def metered(handlers: Mapping[GlobalName, Handler], size: int) -> dict[GlobalName, Handler]:
    """The same handlers, which together take over no more than a pickle of so many bytes may ask for."""
    amount = Amount(size)

    def counting(handler: Handler) -> Handler:
        def handle(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
            amount.spend(args)
            return handler(args, kwargs, call)

        return handle

    return {name: counting(handler) for name, handler in handlers.items()}
