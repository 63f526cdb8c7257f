"""What a scanned file is called in files that outlive the scan: baselines, suppressions, reports for code hosting."""

from __future__ import annotations

import os
from typing import NamedTuple

from safeload.core.errors import UsageError
from safeload.core.names import escape

STANDARD_INPUT = "-"


class Names(NamedTuple):
    """Names relative to one folder, with `/` between folders.

    A file beneath the folder has its relative path, any other file of this machine its absolute one, a file of a model
    on the hub `hf://org/model/path`, whatever its revision, and standard input what it was called.
    """

    folder: str

    def of(self, target: str, path: str) -> str:
        """The name of a file in a target. `path` is its path in the report on that target."""
        if target == STANDARD_INPUT:
            return path
        if "://" not in target and os.path.lexists(target):
            return self.local(os.path.join(target, path) if os.path.isdir(target) else target)
        # Elsewhere an address has no revision, and what follows an @ is a part of its path.
        on_hub = target.startswith("hf://") or "://" not in target
        model = (target.partition("@")[0] if on_hub else target).rstrip("/")
        return f"{model}/{path}" if "://" in model else f"hf://{model}/{path}"

    def local(self, path: str) -> str:
        """The name of a path of this machine. Links in it are not followed: names are what people write."""
        whole = os.path.abspath(path)
        base = os.path.abspath(self.folder)
        inside = os.path.relpath(whole, base)
        return inside if inside != os.pardir and not inside.startswith(os.pardir + "/") else whole


def within(path: str, target: str) -> bool:
    """Whether a file of this machine lies in a target that is a directory of this machine.

    Both the place of its name and the place it links to count: in a cache, the files of a model are links out of it.
    """
    if "://" in target or not os.path.isdir(target):
        return False
    root, whole = os.path.realpath(target), os.path.abspath(path)
    named = os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))
    return any(os.path.commonpath([place, root]) == root for place in (named, os.path.realpath(whole)))


def beside(path: str, target: str) -> bool:
    """Whether a file lies in the folder of a target that is a single file, or in one beneath it, links followed."""
    if "://" in target or not os.path.lexists(target) or os.path.isdir(target):
        return False
    return any(within(path, os.path.dirname(place) or ".") for place in (target, os.path.realpath(target)))


def require_outside(path: str, targets: list[str], option: str) -> None:
    """Raise `UsageError` if a file that would loosen the result lies within what is scanned.

    Whoever made a model could otherwise bring their own acquittal.
    """
    for target in targets:
        if within(path, target):
            raise UsageError(
                f"{option} {escape(path)} was not used",
                where=escape(target),
                why="it lies within what is scanned, and nothing in a model may vouch for it",
                remedy="move it out, or scan the folders of models one by one",
            )
