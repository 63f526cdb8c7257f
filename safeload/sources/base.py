"""Where a model comes from, resolved once: a fixed set of names, each of which opens to fixed bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from safeload.core.frozen import Frozen

if TYPE_CHECKING:
    from safeload.sources.pinned import PinnedFile


class Recorded(Frozen):
    """A digest that the origin recorded. Comparing with it finds corruption; it is not trust in a publisher."""

    algorithm: str
    """`sha256`, or `git-sha1` (the object id that git gives a blob)."""
    value: str


class Listed(Frozen):
    """A file that a snapshot has, fetched or not."""

    path: str
    """POSIX path relative to the snapshot's root, without `..`, never absolute."""
    size: int | None = None
    recorded: Recorded | None = None
    git: str = ""
    """The object id that git has for it: of the pointer, for a large file."""
    xet: str = ""


class Snapshot(Protocol):
    """One model at one revision. Everything later goes through the descriptors it opens, never through names."""

    @property
    def reference(self) -> str:
        """What the user asked for."""
        ...

    @property
    def kind(self) -> str:
        """`directory`, `file`, `cache` or `hub`."""
        ...

    @property
    def root(self) -> str:
        """An absolute path, or `org/name` for the hub and its cache."""
        ...

    @property
    def revision(self) -> str | None:
        """The 40-hex commit, for the hub and its cache."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Choices the user should hear of, such as a local folder that shadows a hub id."""
        ...

    @property
    def answered(self) -> str | None:
        """The name that the hub answered with, if it is another one than was asked for: the model was renamed."""
        ...

    @property
    def listing(self) -> Mapping[str, Listed]: ...

    def fetch(self, paths: Iterable[str]) -> None:
        """Make these files available locally, in parallel; those already here cost nothing.

        Raises `SourceError` if one cannot be had.
        """
        ...

    def open(self, path: str) -> PinnedFile:
        """Open one listed file once, as a regular file inside the snapshot. The caller closes it.

        Raises `SourceError` if it cannot be opened or is not a regular file, `VerificationFailed` if its
        recorded digest was checked and differs.
        """
        ...


class Opened(Protocol):
    """An open file as far as looking at it goes: a `Blob`, wherever its bytes are."""

    @property
    def size(self) -> int: ...

    def read_at(self, offset: int, length: int) -> bytes: ...

    def sha256(self) -> str:
        """The digest of all its bytes. Raises `SourceError` or `VerificationFailed` if they cannot be had."""
        ...

    def __enter__(self) -> Opened: ...

    def __exit__(self, *_: object) -> None: ...


class Scannable(Protocol):
    """As much of a `Snapshot` as a scan needs: also models that stay where they are have it."""

    @property
    def reference(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def listing(self) -> Mapping[str, Listed]: ...

    def fetch(self, paths: Iterable[str]) -> None: ...

    def open(self, path: str) -> Opened:
        """Open one listed file. Raises `SourceError` or `VerificationFailed` if it cannot be had."""
        ...
