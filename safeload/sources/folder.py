"""A snapshot whose files lie in a directory of this machine, and the walk that lists it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from safeload.core.errors import LimitExceeded, SourceError
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.sources.base import Listed
from safeload.sources.contain import Allowed
from safeload.sources.failures import os_failure, quoted
from safeload.sources.pinned import PinnedFile, pin

DEEPEST = 128
"""How many directories a snapshot may be nested."""

_LIKE_A_FILE = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".gguf", ".json", ".jinja", ".model", ".py")
"""A directory named like one of these is listed as if it were a file, so that opening it says what it is."""

_IGNORED = frozenset({".git"})
_CLIENT_FOLDER = ".cache/huggingface"
"""Where `hf download --local-dir` keeps its own notes."""


def anywhere(_: str) -> bool:
    """Every place beneath the anchor."""
    return True


class FolderSnapshot:
    """A `Snapshot` over files beneath `anchor`.

    Args:
        base: where the snapshot's root lies, relative to the anchor; "" if it is the anchor.
        allowed: where links may lead, see `contain.open_beneath`.
        names: for snapshots whose names are not those of the files: the path beneath `base`, by listed path.
        answered: see `Snapshot`.
    """

    def __init__(
        self,
        *,
        reference: str,
        kind: str,
        root: str,
        anchor: str,
        listing: Mapping[str, Listed],
        base: str = "",
        revision: str | None = None,
        notes: tuple[str, ...] = (),
        allowed: Allowed = anywhere,
        names: Mapping[str, str] | None = None,
        answered: str | None = None,
    ) -> None:
        self.reference = reference
        self.kind = kind
        self.root = root
        self.revision = revision
        self.notes = notes
        self.answered = answered
        self.listing: Mapping[str, Listed] = MappingProxyType(dict(listing))
        self._anchor, self._base, self._allowed = anchor, base, allowed
        self._names = names or {}

    def fetch(self, paths: Iterable[str]) -> None:
        """Everything is here already: raises `SourceError` for what is not listed."""
        for path in paths:
            self._listed(path)

    def open(self, path: str) -> PinnedFile:
        """Open one listed file, see `Snapshot.open`."""
        listed = self._listed(path)
        beneath = self._names.get(path, path)
        where = f"{self._base}/{beneath}" if self._base else beneath
        return pin(self._anchor, where, name=path, allowed=self._allowed, recorded=listed.recorded)

    def _listed(self, path: str) -> Listed:
        listed = self.listing.get(path)
        if listed is None:
            raise SourceError(
                f"{escape(path)!r} was not opened",
                where=Location(path),
                why=f"{escape(self.reference)} has no such file"
                + (f" at revision {self.revision}" if self.revision else ""),
                remedy=f"safeload scan {quoted(self.reference)}",
            )
        return listed


def walk(root: str, *, limits: Limits) -> dict[str, Listed]:
    """Every file beneath `root`, in order of its path, with its size.

    What is not a regular file is listed too (pipes, devices, links that lead nowhere or out, directories that
    cannot be read or are named like a file): opening it raises. Links to directories beneath `root` are followed,
    others are not. Not listed: `.git`, and the notes of the hub's client in `.cache/huggingface`.

    Raises `LimitExceeded` for more than `limits.members` files, `SourceError` if `root` cannot be read.
    """
    found: dict[str, Listed] = {}
    inside = root.rstrip("/") + "/"
    pending: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while pending:
        prefix, above = pending.pop()
        if len(above) > DEEPEST:
            raise SourceError(
                "the directory was not read",
                where=Location(os.path.join(root, prefix)),
                why=f"its directories are nested deeper than {DEEPEST}",
                remedy=f"ls -d {quoted(os.path.join(root, prefix.split('/', 1)[0]))}",
            )
        folder = os.path.join(root, prefix)
        try:
            here = os.stat(folder)
            with os.scandir(folder) as entries:
                items = list(entries)
        except OSError as error:
            if not prefix:
                raise os_failure(error, "the directory was not read", path=root) from error
            found[prefix.rstrip("/")] = Listed(path=prefix.rstrip("/"))
            continue
        if (here.st_dev, here.st_ino) in above:
            continue
        chain = above | {(here.st_dev, here.st_ino)}
        for item in items:
            path = prefix + item.name
            folder_like, size = _examine(item, inside)
            if folder_like:
                if item.name in _IGNORED or path == _CLIENT_FOLDER:
                    continue
                pending.append((path + "/", chain))
                if not item.name.lower().endswith(_LIKE_A_FILE):
                    continue
            found[path] = Listed(path=path, size=size)
            if len(found) > limits.members:
                raise LimitExceeded("members", allowed=limits.members, wanted=len(found), where=Location(root))
    return dict(sorted(found.items()))


def _examine(item: os.DirEntry[str], inside: str) -> tuple[bool, int | None]:
    """Whether to go into `item`, and its size if it is a regular file."""
    try:
        info = item.stat(follow_symlinks=False)
        if stat.S_ISLNK(info.st_mode):
            info = item.stat()
            if stat.S_ISDIR(info.st_mode):
                return (os.path.realpath(item.path) + "/").startswith(inside), None
    except OSError:
        # A link to nowhere, or into a loop: listed as it is, so that opening it says so.
        return False, None
    return stat.S_ISDIR(info.st_mode), info.st_size if stat.S_ISREG(info.st_mode) else None
