"""The cache that huggingface_hub keeps on this machine, read without its help and without a connection.

    <cache>/models--org--name/refs/<revision>          the commit that a name pointed to
    <cache>/models--org--name/snapshots/<commit>/…     links to blobs (files, where links are not supported)
    <cache>/models--org--name/blobs/<digest>           named by sha256 (large files) or git's object id (the rest)
    <cache>/models--org--name/trees/<commit>.json      everything the commit has, with sizes and digests
    <cache>/blobs/<xx>/<hash>                          blobs that several repositories share

Repositories of kernels lie in `kernels--org--name`. Links are followed only to these places. A digest recorded here
finds corruption. It is not trust in a publisher: whoever can write the cache can write the record.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Literal, NamedTuple

from safeload.core.errors import LimitExceeded, SourceError
from safeload.core.frozen import replace
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.later import Later
from safeload.sources.base import Listed, Recorded
from safeload.sources.folder import FolderSnapshot, walk
from safeload.sources.pinned import GIT_SHA1, SHA256, pin

COMMIT = Later(r"[0-9a-f]{40}")
Kind = Literal["models", "kernels"]
"""What a repository holds; the hub and its cache call it so."""
_SNAPSHOT = Later(r"/[a-z]+--[A-Za-z0-9._-]+/snapshots/[0-9a-f]{40}(?:/|\Z)", needs=("/snapshots/",))
_REPOSITORY = Later(r"models--([A-Za-z0-9._-]+)", needs=("models--",))
_BLOB = Later(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHARED_BLOB = Later(r"blobs/([0-9a-f]{2})/\1[0-9a-f]{62}", needs=("blobs/",))
_TREE_VERSION = 1


def default_cache() -> str:
    """Where huggingface_hub keeps its cache, by the same environment variables."""
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache"), "huggingface"
    )
    hub = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or os.path.join(home, "hub")
    return os.path.expandvars(os.path.expanduser(hub))


def repository_folder(repository: str, kind: Kind = "models") -> str:
    """The name of a repository's directory in the cache."""
    return "--".join((kind, *repository.split("/")))


class Place(NamedTuple):
    """One commit of one repository in a cache. `cache` is absolute and without links."""

    cache: str
    repository: str
    commit: str
    kind: Kind = "models"

    @property
    def home(self) -> str:
        """The repository's directory."""
        return repository_folder(self.repository, self.kind)

    @property
    def base(self) -> str:
        return f"{self.home}/snapshots/{self.commit}"

    @property
    def folder(self) -> str:
        return os.path.join(self.cache, self.base)

    def allowed(self, path: str) -> bool:
        """Whether a file at `path`, relative to the cache, may belong to this snapshot."""
        blobs = f"{self.home}/blobs/"
        if path.startswith(blobs):
            return "/" not in path[len(blobs) :]
        return path.startswith(self.base + "/") or bool(_SHARED_BLOB.fullmatch(path))


def find_place(path: str) -> tuple[Place, str] | None:
    """The place in a cache that the absolute `path` lies in, and the rest of the path within the snapshot.

    Only the directories are looked at, never what the last component links to. `None` if it is no such place.
    """
    parts = path.split("/")
    for at in range(len(parts) - 3, 0, -1):
        named = _REPOSITORY.fullmatch(parts[at])
        if named and parts[at + 1] == "snapshots" and COMMIT.fullmatch(parts[at + 2]):
            cache = "/".join(parts[:at]) or "/"
            if not os.path.isdir(os.path.join(cache, parts[at], "blobs")):
                return None
            name = named[1].replace("--", "/")
            return Place(cache, name, parts[at + 2]), "/".join(parts[at + 3 :])
    return None


def in_cache(path: str) -> bool:
    """Whether the absolute `path` lies in a snapshot of a cache, of a repository of any kind."""
    return find_place(path) is not None or bool(_SNAPSHOT.search(path))


def read_ref(cache: str, repository: str, revision: str, kind: Kind = "models") -> str | None:
    """The commit that the cache recorded for a branch or tag, or `None` if it has none.

    Raises `SourceError` if the record is something else than a commit.
    """
    folder = os.path.join(cache, repository_folder(repository, kind), "refs")
    if not os.path.lexists(os.path.join(folder, revision)):
        return None
    with pin(os.path.realpath(folder), revision, name=f"refs/{revision}", allowed=lambda _: True) as file:
        text = file.read_at(0, 64).decode("ascii", "replace").strip()
    if not COMMIT.fullmatch(text):
        raise SourceError(
            "the cached revision was not used",
            where=Location(os.path.join(folder, revision)),
            why="it does not name a commit",
            remedy=f"hf download {repository} --revision {revision}",
        )
    return text


def write_ref(place: Place, revision: str) -> bool:
    """Record that `revision` is this commit, as huggingface_hub does, so that it can be loaded without a connection.

    Says whether the cache could be written; nothing else depends on it.
    """
    path = os.path.join(place.cache, place.home, "refs", revision)
    try:
        if os.path.isfile(path):
            with open(path, encoding="ascii", errors="replace") as stream:
                if stream.read(64) == place.commit:
                    return True
    except OSError:
        return False
    return _replace(path, place.commit)


def read_tree(place: Place, *, limits: Limits) -> dict[str, Listed] | None:
    """Everything the commit has, as the cache recorded it, or `None` if there is no record that can be used.

    Raises `LimitExceeded` for more than `limits.members` files.
    """
    path = f"{place.home}/trees/{place.commit}.json"
    try:
        with pin(place.cache, path, name=path, allowed=lambda found: found == path) as file:
            data = file.read_at(0, limits.text_bytes)
    except SourceError:
        return None
    import json

    try:
        document = json.loads(data)
        if document["format_version"] != _TREE_VERSION:
            return None
        rows = document["files"].items()
        if len(rows) > limits.members:
            raise LimitExceeded("members", allowed=limits.members, wanted=len(rows), where=Location(path))
        return {name: row_listed(name, row) for name, row in rows}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # Written by another version, or torn: the listing comes from elsewhere.
        return None


def write_tree(place: Place, rows: Mapping[str, Mapping[str, object]]) -> bool:
    """Record everything the commit has, as huggingface_hub does, so that no later load asks for it again.

    Each row has `size`, `blob_id`, and where they exist `lfs_sha256`, `lfs_size`, `xet_hash`. Says whether the
    cache could be written; nothing else depends on it.
    """
    import json

    path = os.path.join(place.cache, place.home, "trees", f"{place.commit}.json")
    document = {"format_version": _TREE_VERSION, "files": {name: dict(rows[name]) for name in sorted(rows)}}
    return _replace(path, json.dumps(document, indent=1))


def _replace(path: str, text: str) -> bool:
    import secrets

    draft = f"{path}.{secrets.token_hex(6)}.tmp"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(draft, "x", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(draft, path)
    except OSError:
        return False
    return True


def row_listed(name: str, row: Mapping[str, object]) -> Listed:
    """One row of a recorded tree as a listed file. Raises `ValueError`, `KeyError` or `TypeError` for junk."""
    size, blob, sha256 = row["size"], row["blob_id"], row.get("lfs_sha256")
    name.encode()  # `UnicodeEncodeError` is a `ValueError`: no address can hold such a name
    if not is_relative(name) or type(size) is not int or size < 0:
        raise ValueError(f"{escape(name)!r} is no usable name, or {escape(str(size))} no size")
    recorded = recorded_from(str(sha256) if sha256 is not None else str(blob))
    if recorded is None or (sha256 is not None and recorded.algorithm != SHA256):
        raise ValueError(f"{escape(name)!r} has no digest")
    git, xet = _digest_or_nothing(blob, 40), _digest_or_nothing(row.get("xet_hash"), 64)
    return Listed(path=name, size=size, recorded=recorded, git=git, xet=xet)


def _digest_or_nothing(value: object, digits: int) -> str:
    return value if isinstance(value, str) and len(value) == digits and _BLOB.fullmatch(value) else ""


def is_relative(path: str) -> bool:
    """Whether `path` is a plain relative POSIX path: no empty part, no `.` or `..`, nothing no file can be called."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return "\0" not in path and all(part not in ("", ".", "..") for part in path.split("/"))


def recorded_from(name: str) -> Recorded | None:
    """What a blob's name says about its bytes."""
    if not _BLOB.fullmatch(name):
        return None
    return Recorded(algorithm=SHA256 if len(name) == 64 else GIT_SHA1, value=name)


def cached_listing(place: Place, *, limits: Limits, tree: Mapping[str, Listed] | None = None) -> dict[str, Listed]:
    """The files of the commit that are here, with the digests recorded for them.

    Raises `SourceError` if the snapshot is not in the cache, `LimitExceeded` if it has too many files.
    """
    known = tree if tree is not None else read_tree(place, limits=limits) or {}
    listing: dict[str, Listed] = {}
    for path, listed in walk(place.folder, limits=limits).items():
        row = known.get(path, listed)
        listing[path] = replace(
            row, size=listed.size, recorded=row.recorded or _recorded_by_link(os.path.join(place.folder, path))
        )
    return listing


def _recorded_by_link(path: str) -> Recorded | None:
    try:
        if not stat.S_ISLNK(os.lstat(path).st_mode):
            return None
        return recorded_from(os.path.basename(os.readlink(path)))
    except OSError:
        return None


def cached_snapshot(
    place: Place, *, reference: str, limits: Limits, notes: tuple[str, ...] = (), within: str = ""
) -> FolderSnapshot:
    """The snapshot of a commit as far as the cache has it. Nothing connects. Raises as `cached_listing` does.

    `within` makes a directory of the snapshot its root.
    """
    tree = read_tree(place, limits=limits)
    listing = cached_listing(place, limits=limits, tree=tree)
    missing = len((tree or {}).keys() - listing.keys())
    if missing:
        notes += (f"{missing} of the {len(tree or ())} files of {place.repository} are not in the cache",)
    if within:
        prefix = within + "/"
        listing = {
            path.removeprefix(prefix): replace(listed, path=path.removeprefix(prefix))
            for path, listed in listing.items()
            if path.startswith(prefix)
        }
    return FolderSnapshot(
        reference=reference,
        kind="cache",
        root=place.repository,
        revision=place.commit,
        notes=notes,
        listing=listing,
        anchor=place.cache,
        base=f"{place.base}/{within}" if within else place.base,
        allowed=place.allowed,
    )
