"""One file per library: `LIBRARY` names its doors. A new library is one new file here."""

from __future__ import annotations

import importlib

from safeload.guarding.doors import Library
from safeload.registry import modules


def libraries() -> tuple[Library, ...]:
    """All that are known, by name."""
    return tuple(importlib.import_module(f"{__name__}.{name}").LIBRARY for name in modules(__path__))
