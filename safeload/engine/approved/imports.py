"""Absolute imports within approved code whose loader would have put its folder on the path.

`torch.hub` does that: `from models.yolo import Model` in a `hubconf.py` means a file of the repository. Here nothing is
put on a path. A module of such code gets an `__import__` of its own, which looks for these names among the modules of
the same code, and for all others where Python does. Names of the standard library are the standard library's.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Collection
from importlib import import_module
from typing import Any


def builtins_for(root: str, modules: Collection[str]) -> dict[str, Any]:
    """The builtins for a module of the code under the package `root`. `modules`: the full names of all of it."""
    within = (name.removeprefix(f"{root}.").partition(".")[0] for name in modules if name.startswith(f"{root}."))
    return {**vars(builtins), "__import__": _importing(root, frozenset(within) - sys.stdlib_module_names)}


def _importing(root: str, own: frozenset[str]) -> Callable[..., Any]:
    genuine = builtins.__import__

    def importing(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        top = name.partition(".")[0]
        if level or top not in own:
            return genuine(name, globals, locals, fromlist, level)
        import_module(f"{root}.{name}")
        if fromlist:
            return genuine(f"{root}.{name}", globals, locals, fromlist, 0)
        return sys.modules[f"{root}.{top}"]

    return importing
