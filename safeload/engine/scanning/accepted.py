"""Where the suppressions of a scan come from: a file that a person named, or the nearest `safeload.toml` upward.

1. Nothing within a scanned directory, and nothing beside or beneath a scanned file, may suppress anything: whoever
   made the model could have put it there. A file that was found there is left out, and that is said; one that was
   named by hand is refused.
2. The search begins in the working directory and ends at the root of the project (the first folder with a `.git` or a
   `pyproject.toml`), as that for policies does. Without one, only the working directory is looked at: what lies above
   may be anybody's, such as the archive that the folder came out of.
3. A file that was found, and that others own or may write, is left out too; and so is each of its entries that is
   about files of this machine outside its folder. Leaving out is the strict side.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from safeload.core.errors import ConfigError
from safeload.core.frozen import Frozen
from safeload.core.names import Location, escape
from safeload.engine.scanning.naming import beside, require_outside, within
from safeload.engine.scanning.rulebook import require_known
from safeload.sources.ownership import folder_writable_by_others, writable_by_others

if TYPE_CHECKING:
    from safeload.trust.suppressions import Suppression

NAME = "safeload.toml"
_LARGEST = 1 << 22
_ROOTS = (".git", "pyproject.toml")


class Accepted(Frozen):
    """Suppressions, the folder that their paths are relative to, and what a person should hear about them."""

    entries: tuple[Suppression, ...] = ()
    folder: str = ""
    notes: tuple[str, ...] = ()


def accepted(targets: Sequence[str], *, policy: str | None, start: str) -> Accepted:
    """The suppressions for a scan of these targets.

    Args:
        policy: a file that a person named; then nothing is searched for.
        start: the folder where the search begins.

    Raises:
        UsageError: the named file lies within a target.
        ConfigError: the file cannot be read, or is not as it must be.
    """
    if policy is not None:
        require_outside(policy, list(targets), "--policy")
        return _read(policy, ())
    notes: list[str] = []
    for folder in _upward(os.path.abspath(start)):
        path = os.path.join(folder, NAME)
        if not os.path.isfile(path):
            continue
        why = _unusable(path, targets)
        if not why:
            return _own(_read(path, tuple(notes)))
        notes.append(f"{escape(path)} was left out: {why}")
    return Accepted(notes=tuple(notes))


def _upward(folder: str) -> list[str]:
    """A folder and those above it, up to the root of its project; the folder alone if it belongs to none."""
    found = [folder]
    while not any(os.path.lexists(os.path.join(found[-1], root)) for root in _ROOTS):
        if os.path.dirname(found[-1]) == found[-1]:
            return [folder]
        found.append(os.path.dirname(found[-1]))
    return found


def _unusable(path: str, targets: Sequence[str]) -> str:
    for target in targets:
        if within(path, target):
            return f"it lies within {escape(target)}, and nothing in a model may vouch for it"
        if beside(path, target):
            return f"it lies beside {escape(target)}; if it is yours and not the model's: --policy {escape(path)}"
    real = os.path.realpath(path)
    if writable_by_others(os.stat(real)) or folder_writable_by_others(os.path.dirname(real)):
        return "others may write it"
    return ""


def _own(found: Accepted) -> Accepted:
    """What was found, without entries for absolute paths: whoever wrote it speaks for the files beneath its folder."""
    entries = tuple(entry for entry in found.entries if not entry.path.startswith("/"))
    far = [entry for entry in found.entries if entry.path.startswith("/")]
    notes = [f"{entry.where} was left out: an absolute path needs --policy" for entry in far]
    return Accepted(entries=entries, folder=found.folder, notes=(*found.notes, *notes))


def _read(path: str, notes: tuple[str, ...]) -> Accepted:
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise _wrong(path, error.strerror or "it cannot be opened") from error
    if len(data) > _LARGEST:
        raise _wrong(path, f"it has more than {_LARGEST:,} bytes")
    import tomllib

    from safeload.trust.suppressions import suppressions

    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _wrong(path, f"it is no TOML: {escape(str(error))}") from error
    entries = suppressions(document.get("suppress", []), file=path)
    require_known(entries)
    return Accepted(entries=entries, folder=os.path.dirname(os.path.abspath(path)), notes=notes)


def _wrong(path: str, why: str) -> ConfigError:
    return ConfigError("no suppression was used", where=Location(path), why=why, remedy="docs/scanning.md shows one")
