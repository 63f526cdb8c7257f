"""What a user does with the store as a whole, and with the directories that `safeload admit` kept."""

from __future__ import annotations

from safeload.engine.admission.keep import Kept, forget, kept
from safeload.engine.options import Options
from safeload.sources import upkeep
from safeload.sources.store import Store
from safeload.sources.upkeep import Difference, Item, Pruned

__all__ = ["Difference", "Item", "Kept", "Pruned", "listed", "pruned", "verified"]


def listed(options: Options) -> tuple[tuple[Item, ...], tuple[Kept, ...]]:
    """Every entry of the store, least recently used first, and every kept directory.

    Raises `SourceError` if the store cannot be read.
    """
    store = Store(options.store, needed=False)
    return upkeep.list_items(store), tuple(sorted(kept(store), key=lambda item: item.used))


def verified(options: Options) -> tuple[Difference, ...]:
    """Hash all that the store recorded; return every difference. Raises `SourceError` if it cannot be read."""
    return upkeep.verify(Store(options.store, needed=False))


def pruned(
    options: Options, *, older_than: float | None = None, max_size: int | None = None, everything: bool = False
) -> tuple[Pruned, tuple[Kept, ...]]:
    """Make the store smaller; what a live process uses stays. Returns what went, and which kept directories.

    A server that reads a kept directory is no process of ours: its directory goes by age like any other. `max_size`
    is about the store's entries alone. Raises `SourceError` if the file system refuses.
    """
    store = Store(options.store)
    gone = forget(store, older_than=older_than, everything=everything)
    return upkeep.prune(store, older_than=older_than, max_size=max_size, everything=everything), tuple(gone)
