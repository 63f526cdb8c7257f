"""The folder that transformers copies remote code into, and imports it from: `HF_MODULES_CACHE`.

safeload never imports from it. Plain transformers does, and does not compare a copy that is already there with the
repository it came from; so whatever was planted there runs. Here every file in it is compared with the hub's cache.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from safeload.core.names import escape
from safeload.engine.doctor.base import Grade, Note
from safeload.sources.ownership import folder_writable_by_others

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")


def hub_folders(environ: Mapping[str, str]) -> tuple[Path, Path]:
    """`(modules cache, hub cache)`, by the rules of huggingface_hub and transformers."""
    base = environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    home = Path(os.path.expanduser(environ.get("HF_HOME") or os.path.join(base, "huggingface")))
    modules = Path(os.path.expanduser(environ.get("HF_MODULES_CACHE") or str(home / "modules")))
    hub = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE") or str(home / "hub")
    return modules, Path(os.path.expanduser(hub))


def look(environ: Mapping[str, str]) -> Iterator[Note]:
    """Yield what is wrong with the folder of remote code; nothing, if there is none."""
    modules, hub = hub_folders(environ)
    if not os.path.isdir(modules):
        return
    where = escape(str(modules))
    if folder_writable_by_others(os.path.realpath(modules)):
        yield Note(
            Grade.PROBLEM, f"others can write to {where}", "transformers imports from there", f"chmod go-w {where}"
        )
    unread: list[OSError] = []
    for directory, _, names in os.walk(modules, onerror=unread.append):
        for name in sorted(names):
            path = Path(directory, name)
            if why := _wrong(path, modules, hub):
                shown = escape(str(path))
                yield Note(Grade.PROBLEM, shown, why, f"look at it, then: rm {shown}")
    for error in unread:
        shown = escape(str(error.filename))
        yield Note(Grade.PROBLEM, shown, f"it cannot be read ({error.strerror})", f"ls -la {shown}")


def _wrong(path: Path, modules: Path, hub: Path) -> str:
    """Why a file should not be there, or the empty string."""
    if path.suffix == ".py":
        return _wrong_source(path, modules, hub)
    if path.suffix in (".pyc", ".so", ".pth"):
        return "it runs when a module is imported, and nothing tells what it was made from"
    return ""


def _wrong_source(path: Path, modules: Path, hub: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    if path.name == "__init__.py" and not data:
        return ""
    parts = path.relative_to(modules).parts
    commits = [part for part in parts if _COMMIT.match(part)]
    if not commits:
        return "it is not from a model on the hub, so there is nothing to compare it with"
    originals = _originals(hub, commits[0], path.name)
    if not originals:
        return "the hub's cache has no file that it is a copy of"
    return "" if hashlib.sha256(data).digest() in originals else "it differs from the file that it should be a copy of"


def _originals(hub: Path, commit: str, name: str) -> set[bytes]:
    """Digests of the files of that name in the cached snapshots of a commit."""
    found = set()
    for snapshot in hub.glob(f"models--*/snapshots/{commit}"):
        for directory, _, names in os.walk(snapshot):
            path = os.path.join(directory, name)
            if name in names and os.access(path, os.R_OK) and os.path.isfile(path):
                found.add(hashlib.sha256(Path(path).read_bytes()).digest())
    return found
