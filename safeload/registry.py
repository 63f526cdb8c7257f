"""Folders that are registries: which modules they hold, and what is known of those without importing them.

A format or a rule is one file, found by its folder. Importing all of them for one small file would take most of the
time, so `index` repeats the little that decides which are needed: it is written by `python -m tools.index` and
compared with the files by a test. The index can only save work:

1. A module that it does not name is always imported and asked.
2. A module that it names and that is not there does not count.
3. What it says of a format are the format's own `claims`, which the format is held to where the index is not used.
"""

from __future__ import annotations

import os
from collections.abc import Iterable


def module_names(folder: Iterable[str]) -> list[str]:
    """The modules of a package, by its `__path__`; sorted, private ones left out."""
    names = set()
    for path in folder:
        try:
            found = os.listdir(path)
        except OSError:  # the package is not in a directory, but in an archive
            import pkgutil

            return sorted(module.name for module in pkgutil.iter_modules(folder) if not module.name.startswith("_"))
        for item in found:
            name, _, kind = item.partition(".")
            if kind in ("py", "pyc") or (not kind and os.path.isfile(os.path.join(path, item, "__init__.py"))):
                names.add(name)
    return sorted(name for name in names if not name.startswith("_"))
