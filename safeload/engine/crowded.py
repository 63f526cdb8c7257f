"""Keys that were chosen to have one hash: a dictionary of a hundred thousand of them would take minutes to fill.

Text and bytes hash differently in each process, so nobody can choose those. Numbers do not, nor do tuples of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from safeload.core.errors import MalformedInput
from safeload.core.graph import FrozenSet, Tuple, Value

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
        raise MalformedInput(
            "a pickle uses keys that were chosen to be slow", why=f"{len(spelled):,} different ones have the same hash"
        )


def _hash(key: Value, level: int = 0) -> int:
    if isinstance(key, Tuple) and level < _LEVELS and len(key.items) <= _MANY:
        return hash(tuple(_hash(item, level + 1) for item in key.items))
    if isinstance(key, FrozenSet) and level < _LEVELS and len(key.items) <= _MANY:
        return hash(frozenset(_hash(item, level + 1) for item in key.items))
    return hash(key)  # a constant; other nodes hash by identity


def _plain(key: Value, level: int = 0) -> object:
    if isinstance(key, Tuple | FrozenSet) and level < _LEVELS:
        return type(key).__name__, [_plain(item, level + 1) for item in key.items]
    return key
