"""Doors of modules that are imported after a guard came on: they are put in when the module is done, before anybody
who imports it sees it.

A finder in front of all others lets them find a module, and has its loader say when the module has run. Nothing else of
the module changes: not its spec, not its loader, not its file. `importlib.reload` comes by here as well.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


class Finder:
    """Watches for modules.

    Args:
        wants: whether a module, by its full name, has doors.
        done: puts them in, once the module has run.
    """

    def __init__(self, wants: Callable[[str], bool], done: Callable[[ModuleType], None]) -> None:
        self._wants = wants
        self._done = done

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not self._wants(fullname):
            return None
        for finder in list(sys.meta_path):
            if finder is self:
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                self._follow(spec)
                return spec
        return None

    def _follow(self, spec: ModuleSpec) -> None:
        loader: Any = spec.loader
        run = getattr(loader, "exec_module", None)
        if run is None:
            return  # a namespace: no code of its own
        if isinstance(loader, type):
            spec.loader = _Stand(loader, self._done)  # type: ignore[assignment]
            return

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            loader.exec_module(module)
            self._done(module)

        loader.exec_module = exec_module

    def install(self) -> None:
        """Stand in front of all finders."""
        self.remove()
        sys.meta_path.insert(0, self)  # no `MetaPathFinder`: `importlib.abc` costs more than all of this

    def remove(self) -> None:
        """Stand there no more."""
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]


class _Stand:
    """In the place of a loader that is one for all modules, as that of modules built into Python is; it steps back
    before the module runs."""

    def __init__(self, loader: Any, done: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._done = done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        found: ModuleType | None = self._loader.create_module(spec)
        return found

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._done(module)
