"""Folders that are registries: which modules they hold, and what is known of those without importing them.

A format or a rule is one file, found by its folder. Importing all of them for one small file would take most of the
time, so `index` repeats the little that decides which are needed: it is written by `python -m tools.index` and
compared with the files by a test. The index can only save work:

1. A module that it does not name, or whose file has another size than the one it was written from, is always imported
   and asked.
2. A module that it names and that is not there does not count.
3. What it says of a format are the format's own `claims`, which the format is held to where the index is not used.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


def modules(folder: Iterable[str]) -> dict[str, int]:
    """The modules of a package, by its `__path__`, and the sizes of their files; sorted, private ones left out."""
    found = {}
    for path in folder:
        try:
            items = list(os.scandir(path))
        except OSError:  # the package is not in a directory, but in an archive
            import pkgutil

            return {module.name: -1 for module in pkgutil.iter_modules(folder) if not module.name.startswith("_")}
        for item in items:
            name, _, kind = item.name.partition(".")
            if name.startswith("_"):
                continue
            if kind == "py":
                found[name] = item.stat().st_size
            elif kind == "pyc":
                found.setdefault(name, -1)
            elif not kind and os.path.isfile(start := os.path.join(item.path, "__init__.py")):
                found[name] = os.path.getsize(start)
    return dict(sorted(found.items()))


def indexed(index: Mapping[str, tuple[int, Any]], name: str, size: int) -> Any:
    """What the index says of a module with a file of this size; `None` if that does not count."""
    known = index.get(name)
    return known[1] if known is not None and known[0] == size else None
