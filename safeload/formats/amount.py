"""How much one pickle may have made of what it holds.

A constant that is written once can be named as often as a file likes, in two bytes each time. What is made of it whole
each time (a `bytearray` of a megabyte, a list of a list, an object of a dictionary) is not: a file of a few megabytes
could ask for a terabyte. What honest picklers write costs about as much as its bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from safeload.core.construct import Handler
from safeload.core.errors import MalformedInput
from safeload.core.graph import Call
from safeload.core.names import GlobalName

_FREE = 10_000_000
_EACH = 8
_SHORT = 1_000
_SIZED = (bytes, bytearray, memoryview, str, list, tuple, dict, set, frozenset)


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
            if isinstance(part, _SIZED):
                if len(part) > _SHORT:
                    self._take(len(part))
                elif type(part) is tuple:
                    for one in part:
                        if isinstance(one, _SIZED) and len(one) > _SHORT:
                            self._take(len(one))

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
