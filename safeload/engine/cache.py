"""What a user does with the store as a whole."""

from __future__ import annotations

from safeload.engine.options import Options
from safeload.sources import upkeep
from safeload.sources.store import Store
from safeload.sources.upkeep import Difference, Item, Pruned

__all__ = ["Difference", "Item", "Pruned", "listed", "pruned", "verified"]


def listed(options: Options) -> tuple[Item, ...]:
    """Every entry of the store, least recently used first. Raises `SourceError` if it cannot be read."""
    return upkeep.list_items(Store(options.store))


def verified(options: Options) -> tuple[Difference, ...]:
    """Hash all that the store recorded; return every difference. Raises `SourceError` if it cannot be read."""
    return upkeep.verify(Store(options.store))


def pruned(
    options: Options, *, older_than: float | None = None, max_size: int | None = None, everything: bool = False
) -> Pruned:
    """Make the store smaller; what a live process uses stays. Raises `SourceError` if the file system refuses."""
    return upkeep.prune(Store(options.store), older_than=older_than, max_size=max_size, everything=everything)
