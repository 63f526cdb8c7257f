"""Which globals may appear in a file that is called safe, and what safeload makes of each.

An `Allowlist` is an immutable value that is passed as an argument, so that one call can never loosen another.
It holds exact pairs of module and name: no prefixes, no patterns, no dotted paths into an object.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from safeload.core.frozen import Frozen
from safeload.core.names import GlobalName


class Effect(enum.Enum):
    """What becomes of a call to an allowlisted global."""

    DATA = "data"
    """Rebuilt as plain data."""
    REBUILD = "rebuild"
    """Rebuilt by our own code, which checks the arguments."""
    RECORD = "record"
    """Kept as an inert record: the real class is never imported."""


class Use(enum.Enum):
    """How a file that is called safe may use an allowlisted global. Anything else is outside the allowlist."""

    CALL = "call"
    """Called with any allowlisted arguments."""
    NEW = "new"
    """Instances made as picklers make them: without arguments to the constructor, state set afterwards."""
    MEMBER = "member"
    """An enumeration: members looked up by value or name. They are shared, so nothing is set on them."""
    NAME = "name"
    """Only named, never called."""


class Entry(Frozen):
    """One allowlisted global, with the reason it is there."""

    name: GlobalName
    effect: Effect
    reason: str
    evidence: str
    """Where it was seen or read: a file, a package, a public thread."""
    use: Use = Use.CALL


class Allowlist:
    """An immutable set of entries, looked up by exact name."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries: Mapping[GlobalName, Entry] = MappingProxyType({entry.name: entry for entry in entries})

    def __contains__(self, name: GlobalName) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: GlobalName) -> Entry | None:
        return self._entries.get(name)

    def extended(self, entries: Iterable[Entry]) -> Allowlist:
        """A new allowlist with more entries; this one stays as it is."""
        return Allowlist((*self, *entries))
