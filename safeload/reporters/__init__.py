"""Outputs: one file each, found by this folder.

Reporters only print. They decide nothing, and treat every foreign string as hostile to whatever shows it.
"""

from __future__ import annotations

import os

from safeload.core.errors import UsageError
from safeload.reporters.base import Reporter


def names() -> tuple[str, ...]:
    """The outputs there are: the files of this folder."""
    found = (file.removesuffix(".py") for file in os.listdir(os.path.dirname(__file__)) if file.endswith(".py"))
    return tuple(sorted(name for name in found if name not in _NOT_ONE and not name.startswith("_")))


def find(name: str) -> Reporter:
    """The reporter of that name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in names():
        raise UsageError(f"there is no output {name!r}", why=f"there are: {', '.join(names())}")
    from importlib import import_module

    reporter = import_module(f"safeload.reporters.{name}").REPORTER
    assert isinstance(reporter, Reporter)
    return reporter


_NOT_ONE = ("__init__", "base")
