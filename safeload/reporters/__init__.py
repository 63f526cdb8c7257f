"""Outputs: one file each, found by this folder.

Reporters only print. They decide nothing, and treat every foreign string as hostile to whatever shows it.
"""

from __future__ import annotations

from pathlib import Path

from safeload.core.errors import UsageError
from safeload.reporters.base import Reporter


def names() -> tuple[str, ...]:
    """The outputs there are: the files of this folder."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in _NOT_ONE))


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


_NOT_ONE = ("__init__", "base", "cyclonedx")
"""A bill of materials is no report: `safeload bom` writes it."""
