"""What an auditor says that code is: three built-in criteria, each holding the one before it, and the user's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

IMPORT, RUN, DEPLOY = "safe-to-import", "safe-to-run", "safe-to-deploy"
DESCRIPTIONS = {
    IMPORT: "importing its modules does nothing beyond defining what they define",
    RUN: "running it on this machine harms neither the machine nor its user",
    DEPLOY: "running it as part of a service, on input from strangers, harms nobody",
}
_BUILT_IN: Mapping[str, tuple[str, ...]] = {RUN: (IMPORT,), DEPLOY: (RUN,)}
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True, slots=True)
class Criteria:
    """The criteria that one set of records knows."""

    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What each of the user's own implies directly."""

    def __contains__(self, name: str) -> bool:
        return name in DESCRIPTIONS or name in self.own

    def implied(self, names: Iterable[str]) -> frozenset[str]:
        """The given criteria and all that they imply. Ends also where they imply each other."""
        found: set[str] = set()
        pending = list(names)
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending += (*_BUILT_IN.get(name, ()), *self.own.get(name, ()))
        return frozenset(found)

    def built_in(self, names: Iterable[str]) -> frozenset[str]:
        """What the given criteria say in words that mean the same in every file."""
        return self.implied(names) & DESCRIPTIONS.keys()
