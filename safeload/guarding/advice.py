"""What to do about a refused pickle, in words for a program that nobody wants to edit."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from safeload.core.errors import PolicyDenied
from safeload.core.names import escape
from safeload.guarding import callers
from safeload.guarding.state import Settings

_PYTHON = os.path.dirname(os.__file__) + os.sep
_UNKNOWN = "unknown='refuse'"
"""The policy of a refusal that is about classes which nobody vouched for, and nothing worse."""


def advised(error: PolicyDenied, space: dict[str, Any], settings: Settings, ours: str) -> PolicyDenied:
    """The same refusal; where the file only names classes that nobody vouched for, with what a guard can do about it.

    `space` is the globals of the code that asked for the load, `ours` the counterpart that refused it. A file that
    tries to do something is no case for this.
    """
    verdict = error.verdict
    if verdict.policy != _UNKNOWN or verdict.parts:
        return error
    named = f"with the program's classes named: {ours}(…, classes=[…])"
    module = callers.module_of(space)
    if module and not _is_library(space):
        known = escape(module, 200)
        remedy = (
            f"if {known} reads only what this program itself wrote, where nobody else can write:\n"
            f"         safeload run --unsafe-pickles-of {known} …, or safeload.guard(unsafe_pickles_of=[{known!r}])\n"
            f"         else, {named}"
        )
    else:  # whoever asks the library would ask it for foreign files as well
        remedy = named
    if settings.strict:
        remedy = "a guard that is not strict can let modules go on: unsafe_pickles_of=[…]; this one cannot"
    reasons = tuple(replace(reason, remedy=remedy) for reason in verdict.reasons)
    return PolicyDenied(error.what, verdict=replace(verdict, reasons=reasons), report=error.report, where=error.where)


def _is_library(space: dict[str, Any]) -> bool:
    """Whether code with these globals is of Python or of a library that is installed, and serves whoever calls it."""
    file = space.get("__file__")
    if not isinstance(file, str):
        return True
    folders = set(os.path.dirname(file).split(os.sep))
    return not folders.isdisjoint(("site-packages", "dist-packages")) or file.startswith(_PYTHON)
