"""Objects in a store that `fsspec` reaches (`s3://`, `gs://`): their listing, and their bytes by ranges.

Credentials and endpoints are those of `fsspec`'s own configuration. What names an object's version differs from store
to store; whichever it has is compared before and after each read.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from safeload.core.errors import LimitExceeded, SafeloadError, SourceError, UsageError
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.core.paths import is_safe_relative

_VERSION = ("ETag", "etag", "generation", "version_id", "md5Hash", "content_md5", "mtime", "LastModified", "updated")
_VERSION_TOO = ("last_modified", "created")


def listed(url: str, limits: Limits) -> tuple[Any, dict[str, tuple[str, int]]]:
    """The file system of an address, and each object under it: its place there and its size, by relative name.

    Raises:
        UsageError: the client of that store is not installed.
        SourceError: the store cannot be asked, has nothing there, or has names that are no relative paths.
        LimitExceeded: it has more objects than `limits.members`.
    """
    with _Ours(url):
        from fsspec.core import url_to_fs

        system, root = url_to_fs(url)
        info = system.info(root)
        if info["type"] == "file":
            rows = {root: info}
            top = root.rpartition("/")[0]
        else:
            rows = system.find(root, detail=True)
            top = root
    names: dict[str, tuple[str, int]] = {}
    for place, row in rows.items():
        name = str(place).removeprefix(top.rstrip("/")).lstrip("/")
        if not is_safe_relative(name):
            raise SourceError(
                "the store was not read",
                where=escape(url),
                why=f"an object has a name that is no relative path: {escape(name, 100)!r}",
                remedy="name a folder within it",
            )
        names[name] = (place, int(row["size"]))
        if len(names) > limits.members:
            raise LimitExceeded("members", allowed=limits.members, wanted=len(names), where=escape(url))
    if not names:
        raise SourceError(
            "nothing was scanned", where=escape(url), why="there is no object", remedy="check the address"
        )
    return system, names


class CloudFile:
    """An `Origin` over one object."""

    def __init__(self, system: Any, place: str, *, name: str) -> None:
        self._system, self._place, self._name = system, place, name
        self.head = b""
        info = self._info()
        self.size = int(info["size"])
        self._version = _version(info)
        if self._version is None:
            raise self._failed("its store does not say which version of it this is")

    def close(self) -> None:
        """Nothing is held."""

    def fetch(self, start: int, stop: int) -> bytes:
        """Exactly the bytes of `[start, stop)`. Raises `SourceError` otherwise."""
        with _Ours(self._name):
            data = bytes(self._system.cat_file(self._place, start=start, end=stop))
        info = self._info()
        if _version(info) != self._version or int(info["size"]) != self.size:
            raise self._failed("it changed while it was read")
        if len(data) != stop - start:
            raise self._failed(f"{stop - start:,} bytes were asked for, and {len(data):,} came")
        return data

    def _info(self) -> dict[str, Any]:
        with _Ours(self._name):
            self._system.invalidate_cache()
            return dict(self._system.info(self._place))

    def _failed(self, why: str) -> SourceError:
        return SourceError(
            f"{escape(self._name)!r} was not read",
            where=Location(self._name),
            why=why,
            remedy="download it, and scan the copy",
        )


def _version(info: dict[str, Any]) -> str | None:
    return next((f"{name}={info[name]}" for name in (*_VERSION, *_VERSION_TOO) if info.get(name)), None)


class _Ours:
    """Turns whatever the store's client raises into one of our errors. Only calls of it stand inside."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, SafeloadError) or not isinstance(error, Exception):
            return
        if isinstance(error, ImportError):
            store = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}.get(self._where.partition("://")[0], "")
            raise UsageError(
                f"{escape(self._where)} was not read",
                where=escape(self._where),
                why=f"the client of its store cannot be imported: {escape(str(error))}",
                remedy=f"pip install 'safeload[remote]' {store}".rstrip(),
            ) from error
        raise SourceError(
            f"{escape(self._where)} was not read",
            where=escape(self._where),
            why=escape(str(error)) or type(error).__name__,
            remedy="check the address and your credentials for it",
        ) from error
