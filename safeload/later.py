"""Regular expressions that are compiled when they are first needed: most files need none of a reader's or rule's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import AnyStr, Generic


class Later(Generic[AnyStr]):
    """A pattern, with the methods of a compiled one that are used here. `compiled` has the others."""

    __slots__ = ("_compiled", "_flags", "_needs", "_pattern")

    def __init__(self, pattern: AnyStr, flags: re.RegexFlag = re.NOFLAG, *, needs: tuple[AnyStr, ...] = ()) -> None:
        """`needs`: what a text holds one of, if it matches. Most texts hold none, and are not searched any further."""
        self._pattern: AnyStr = pattern
        self._needs: tuple[AnyStr, ...] = needs
        self._flags = flags
        self._compiled: re.Pattern[AnyStr] | None = None

    @property
    def compiled(self) -> re.Pattern[AnyStr]:
        if self._compiled is None:
            self._compiled = re.compile(self._pattern, self._flags)
        return self._compiled

    def match(self, text: AnyStr) -> re.Match[AnyStr] | None:
        return self.compiled.match(text) if self._possible(text) else None

    def fullmatch(self, text: AnyStr) -> re.Match[AnyStr] | None:
        return self.compiled.fullmatch(text) if self._possible(text) else None

    def search(self, text: AnyStr) -> re.Match[AnyStr] | None:
        return self.compiled.search(text) if self._possible(text) else None

    def _possible(self, text: AnyStr) -> bool:
        for need in self._needs:
            if need in text:
                return True
        return not self._needs

    def finditer(self, text: AnyStr) -> Iterator[re.Match[AnyStr]]:
        return self.compiled.finditer(text)

    def sub(self, new: Callable[[re.Match[AnyStr]], AnyStr], text: AnyStr) -> AnyStr:
        return self.compiled.sub(new, text)
