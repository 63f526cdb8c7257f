"""Has the doors put in: into what is imported already, and into the rest when it is."""

from __future__ import annotations

import sys

from safeload.guarding import libraries
from safeload.guarding.imports import Finder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from safeload.guarding.fitting import Fitted


class Installed:
    """The doors as they stand in this process. Those of a library are read when a module of it is imported."""

    def __init__(self) -> None:
        self._packages = libraries.packages()
        self._fitted: Fitted | None = None
        self._finder = Finder(self._wants, self._open)
        self.missed: list[str] = []

    def _fit(self) -> Fitted:
        if self._fitted is None:
            from safeload.guarding.fitting import Fitted

            self._fitted = Fitted()
        return self._fitted

    def _wants(self, name: str) -> bool:
        return name.partition(".")[0] in self._packages and self._fit().wants(name)

    def _open(self, module: ModuleType) -> None:
        self._fit().open(module)

    def put_in(self) -> None:
        """Put the doors into what is imported, and have the rest come by when it is."""
        self._finder.install()
        for name, module in list(sys.modules.items()):
            if self._wants(name) and isinstance(module, type(sys)):
                self._open(module)
        if self._fitted is not None:
            self.missed = self._fitted.rebind()

    def take_out(self) -> None:
        """Take all of them out, those included that were bound elsewhere meanwhile."""
        self._finder.remove()
        if self._fitted is not None:
            self._fitted.take_out()
            self._fitted = None
