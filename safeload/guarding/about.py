"""What `safeload doctor` says of the guard: whether it is on, whether it could be, and which libraries it knows."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

from safeload.guarding import children, program
from safeload.guarding.libraries import libraries
from safeload.guarding.state import current

_DISTRIBUTIONS = {"yaml": "PyYAML"}
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The guard, on this machine and in this environment."""

    here: str
    """`on`, `on, strictly` or `off`: of this very process, which is guarded if Python is where it runs."""
    possible: bool
    why: str
    """Why `safeload run` could not guard a program here; empty if it could."""
    libraries: Mapping[str, tuple[str | None, str]]
    """By name: the version that is installed, and the oldest one that the guard was made for (empty: any)."""


def about(environ: Mapping[str, str]) -> About:
    """Look, without importing any of the libraries. Raises nothing of its own."""
    settings = current()
    oldest = _oldest()
    return About(
        here="off" if settings is None else "on, strictly" if settings.strict else "on",
        possible=not (why := _why_not(environ)),
        why=why,
        libraries={
            one.name: (_version(one.name), oldest.get(_normal(one.name), ""))
            for one in libraries()
            if one.name != "pickle"  # Python's own
        },
    )


def _why_not(environ: Mapping[str, str]) -> str:
    if program.ignores_environment():
        return "this Python was started with -I, -E or -S, and would start others so"
    if not os.path.isfile(os.path.join(children.START, "sitecustomize.py")):
        return "safeload is not installed as files that Python can start from"
    if children.VARIABLE in environ and current() is None:
        return f"{children.VARIABLE} is set, and this Python did not start under guard: its PYTHONPATH was taken away"
    return ""


def _version(name: str) -> str | None:
    try:
        return version(_DISTRIBUTIONS.get(name, name))
    except PackageNotFoundError:
        return None


def _oldest() -> dict[str, str]:
    """What safeload's own metadata asks of libraries. Empty where it runs from a checkout that is not installed."""
    try:
        found = requires("safeload") or []
    except PackageNotFoundError:
        found = []
    lines = [line for line in found if "dev" not in line.partition(";")[2]]
    return {_normal(match[1]): match[2] for line in lines if (match := _REQUIREMENT.match(line))}


def _normal(name: str) -> str:
    return name.lower().replace("-", "_")
