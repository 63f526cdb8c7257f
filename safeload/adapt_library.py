"""What every adapter needs of the library it stands for: the library itself, in a version that will do."""

from __future__ import annotations

import functools
import importlib
import re
from importlib import metadata
from types import ModuleType

from safeload.core.errors import UsageError

_TORCH = ("torch", "2.10")


@functools.cache
def library(module: str, *, distribution: str, oldest: str, extra: str) -> ModuleType:
    """The installed library.

    Raises:
        UsageError: it is not installed, or it or torch is older than safeload knows it.
    """
    _require(distribution, oldest, extra)
    _require(*_TORCH, extra)
    return importlib.import_module(module)


def _require(distribution: str, oldest: str, extra: str) -> None:
    install = f"pip install 'safeload[{extra}]'"
    try:
        version = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        raise UsageError(f"{distribution} is not installed", where=f"safeload[{extra}]", remedy=install) from None
    if _numbers(version) < _numbers(oldest):
        raise UsageError(
            f"{distribution} {version} is too old",
            where=f"safeload[{extra}]",
            why=f"safeload stands on what {distribution} {oldest} and newer guarantee",
            remedy=install,
        )


def _numbers(version: str) -> tuple[int, ...]:
    """The release as numbers; `2.13.0+cpu` is `(2, 13, 0)`."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(number) for number in found[0].split(".")) if found else ()
