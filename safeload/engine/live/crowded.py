"""Keys that were chosen to have one hash: a dictionary of a hundred thousand of them would take minutes to fill.

Text and bytes hash differently in each process, so nobody can choose those. Numbers do not, nor do tuples of them, nor
what makes its hash of them: fractions, decimals, named tuples, frozen dataclasses.
"""

from __future__ import annotations

import decimal
import fractions
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from safeload.core.errors import MalformedInput
from safeload.core.graph import Call, Dict, FrozenSet, List, Node, Tuple, Value

_MANY = 1_000
"""Different keys of one hash. No data that we know of has two, but for -1 and -2."""
_LEVELS = 4


def refuse_crowded(keys: Sequence[Value]) -> None:
    """Raise `MalformedInput` if more than a thousand different keys have the same hash."""
    if len(keys) <= _MANY:
        return
    hashes = [_hash(key) for key in keys]
    crowd, count = Counter(hashes).most_common(1)[0]
    if count <= _MANY:
        return
    spelled = {repr(_plain(key)) for key, one in zip(keys, hashes, strict=True) if one == crowd}
    if len(spelled) > _MANY:
        raise _slow(len(spelled))


class Crowd:
    """Numbers that were made, by their hash: whether any of them becomes a key is not known yet."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._spelled: dict[int, set[str]] = {}
        self._costly: Counter[str] = Counter()

    def join(self, value: object, kind: type | None = None) -> None:
        """Remember a value, if it is such a number, or extends a number's type.

        The first thousand of a hash are only counted. Raises `MalformedInput` for a thousand different ones more.
        """
        spell = _SPELLED.get(kind or type(value))
        if spell is None:
            return
        try:
            found = hash(value)
        except TypeError:
            return  # a signalling NaN, which is nobody's key
        self._counts[found] = count = self._counts.get(found, 0) + 1
        if count > _MANY:
            spelled = self._spelled.setdefault(found, set())
            spelled.add(spell(value))
            if len(spelled) > _MANY:
                raise _slow(count)

    def spend(self, what: str) -> None:
        """Count something that takes long to make. Raises `MalformedInput` for more of it than any file needs."""
        self._costly[what] += 1
        if self._costly[what] > _MANY:
            raise MalformedInput(
                f"a pickle holds too many {what}", why=f"each takes long to make, and {_MANY:,} are allowed"
            )


_SPELLED: Mapping[type, Callable[[Any], str]] = {
    int: lambda value: int.__format__(value, "x"),
    float: float.__repr__,
    complex: complex.__repr__,
    decimal.Decimal: decimal.Decimal.__str__,
    fractions.Fraction: repr,
    uuid.UUID: str,
}
"""Numbers whose hash can be chosen, as text: by their own type's code, whatever extends that."""


def _slow(count: int) -> MalformedInput:
    return MalformedInput(
        "a pickle uses keys that were chosen to be slow", why=f"{count:,} different ones have the same hash"
    )


def _hash(key: Value, level: int = 0) -> int:
    if isinstance(key, Tuple) and level < _LEVELS and len(key.items) <= _MANY:
        return hash(tuple(_hash(item, level + 1) for item in key.items))
    if isinstance(key, FrozenSet) and level < _LEVELS and len(key.items) <= _MANY:
        return hash(frozenset(_hash(item, level + 1) for item in key.items))
    if isinstance(key, Call) and level < _LEVELS:
        return hash(tuple(_hash(part, level + 1) for part in _parts(key)))
    return hash(key)  # a constant; other nodes hash by identity


def _parts(key: Call) -> list[Value]:
    """What the hash of an object may be made of: its arguments, and its attributes."""
    parts = [*key.args.items] if isinstance(key.args, Tuple) else []
    for state in key.states:
        for layer in state.items if isinstance(state, Tuple) else (state,):
            parts += [value for _, value in layer.pairs] if isinstance(layer, Dict) else []
            parts += layer.items if isinstance(layer, List) else []
    return parts[:_MANY]


def _plain(key: Value, level: int = 0) -> object:
    if isinstance(key, Tuple | FrozenSet) and level < _LEVELS:
        return type(key).__name__, [_plain(item, level + 1) for item in key.items]
    if isinstance(key, Call) and level < _LEVELS:
        return "call", [_plain(part, level + 1) for part in _parts(key)]
    return key if not isinstance(key, Node) else type(key).__name__
