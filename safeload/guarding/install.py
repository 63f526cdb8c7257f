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
        self._made: dict[str, Fitted] = {}
        """At most one. It is a dictionary because `setdefault` is one step, whatever threads import meanwhile."""
        self._finder = Finder(self._wants, self._open)
        self.missed: list[str] = []

    def _fit(self) -> Fitted:
        if found := self._made.get("fitted"):
            return found
        from safeload.guarding.fitting import Fitted

        return self._made.setdefault("fitted", Fitted())

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
        if fitted := self._made.get("fitted"):
            self.missed = fitted.rebind()

    def take_out(self) -> None:
        """Take all of them out, those included that were bound elsewhere meanwhile."""
        self._finder.remove()
        if fitted := self._made.pop("fitted", None):
            fitted.take_out()
