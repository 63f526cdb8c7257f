"""One file per library: `LIBRARY` names its doors. A new library is one new file here.

A file has the name of the package that its doors are in, and is read when a program imports that package, not before.
"""

from __future__ import annotations

import importlib

from safeload.registry import modules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from safeload.guarding.doors import Library

ALSO = {"_pickle": "pickle"}
"""Packages whose doors are in the file of another one, because they are two halves of one thing."""


def packages() -> frozenset[str]:
    """The packages that have doors, without a look at them."""
    return frozenset(modules(__path__)) | set(ALSO)


def library(package: str) -> Library:
    """The doors of one of these packages."""
    found: Library = importlib.import_module(f"{__name__}.{ALSO.get(package, package)}").LIBRARY
    return found


def libraries() -> tuple[Library, ...]:
    """All that are known, by name."""
    return tuple(library(name) for name in modules(__path__))
