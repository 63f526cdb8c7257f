"""Regular expressions that are compiled when they are first needed: most files need none of a reader's or rule's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator


class Later:
    """A pattern, with the methods of a compiled one that are used here."""

    __slots__ = ("_compiled", "_flags", "_needs", "_pattern")

    def __init__(self, pattern: str, flags: re.RegexFlag = re.NOFLAG, *, needs: tuple[str, ...] = ("",)) -> None:
        """`needs`: what a text holds one of, if it matches. Most texts hold none, and are not searched any further."""
        self._pattern, self._flags, self._needs = pattern, flags, needs
        self._compiled: re.Pattern[str] | None = None

    @property
    def compiled(self) -> re.Pattern[str]:
        if self._compiled is None:
            self._compiled = re.compile(self._pattern, self._flags)
        return self._compiled

    def match(self, text: str) -> re.Match[str] | None:
        return self.compiled.match(text) if self._possible(text) else None

    def fullmatch(self, text: str) -> re.Match[str] | None:
        return self.compiled.fullmatch(text) if self._possible(text) else None

    def search(self, text: str) -> re.Match[str] | None:
        return self.compiled.search(text) if self._possible(text) else None

    def _possible(self, text: str) -> bool:
        for need in self._needs:  # noqa: SIM110 (every setting comes by here: a generator takes twice as long)
            if need in text:
                return True
        return False

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        return self.compiled.finditer(text)

    def sub(self, new: Callable[[re.Match[str]], str], text: str) -> str:
        return self.compiled.sub(new, text)
