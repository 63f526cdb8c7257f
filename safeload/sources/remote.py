"""Models that stay where they are: snapshots whose files are read by byte ranges, for looking and not for loading.

What is here already, because it was downloaded before, is read from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from safeload.core.errors import SourceError, UsageError
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.core.paths import is_safe_relative
from safeload.sources.base import Listed, Opened, Scannable
from safeload.sources.failures import quoted
from safeload.sources.http_ranges import HttpFile, without_query
from safeload.sources.hub import HubSnapshot
from safeload.sources.ranges import Origin, RangedFile, Traffic

WEB = ("https://", "http://")
CLOUD = ("s3://", "gs://", "gcs://")


class RangedSnapshot:
    """What all of them share: a listing, files that are opened far away, and an account of the traffic."""

    kind = "remote"
    revision: str | None = None

    def __init__(self, reference: str, listing: Mapping[str, Listed], *, notes: tuple[str, ...] = ()) -> None:
        self.reference = self.root = reference
        self.notes = notes
        self.listing: Mapping[str, Listed] = MappingProxyType(dict(sorted(listing.items())))
        self.traffic = Traffic()
        self.opened: dict[str, int] = {}
        """The size of every file that was opened far away."""

    def fetch(self, paths: Iterable[str]) -> None:
        """Nothing is fetched before it is read."""

    def open(self, path: str) -> Opened:
        """Open one listed file. Raises `SourceError` if it cannot be had."""
        if path not in self.listing:
            raise SourceError(
                f"{escape(path)!r} was not opened",
                where=Location(path),
                why=f"{escape(self.reference)} has no such file",
                remedy=f"safeload scan {quoted(self.reference)}",
            )
        file = RangedFile(self._origin(path), path=path, traffic=self.traffic)
        self.opened[path] = file.size
        return file

    def _origin(self, path: str) -> Origin:
        raise AssertionError("every kind has its own")

    def account(self) -> str:
        """How many bytes of how many were read, in words; "" if nothing was."""
        if not self.opened:
            return ""
        return (
            f"{self.traffic.fetched:,} of {sum(self.opened.values()):,} bytes were read "
            f"from {escape(self.reference)}, in {self.traffic.requests:,} requests"
        )


class WebSnapshot(RangedSnapshot):
    """One file on the web. It is opened at once, so that an address that leads nowhere is an error of the target."""

    def __init__(self, url: str) -> None:
        name = unquote(urlsplit(url).path).rpartition("/")[2]
        if not is_safe_relative(name):
            name = "download"
        self._first = HttpFile(url)
        super().__init__(without_query(url), {name: Listed(path=name, size=self._first.size)})
        _counted(self._first, self.traffic)

    def _origin(self, path: str) -> Origin:
        return self._first


class HubRanges(RangedSnapshot):
    """A model on the hub: the listing of one commit, and its files by ranges unless the cache has them."""

    def __init__(self, hub: HubSnapshot, *, within: str = "") -> None:
        listing = {path: row for path, row in hub.listing.items() if not within or _beneath(path, within)}
        if not listing:
            raise SourceError(
                f"{escape(hub.reference)} was not scanned",
                where=Location(hub.reference, path=within),
                why="it has no such file or folder",
                remedy=f"safeload scan {quoted(hub.root)}",
            )
        super().__init__(hub.reference, listing, notes=hub.notes)
        self._hub, self.root, self.revision = hub, hub.root, hub.revision

    def open(self, path: str) -> Opened:
        if path in self.listing and self._hub.is_here(path):
            return self._hub.open(path)
        return super().open(path)

    def _origin(self, path: str) -> Origin:
        url, headers = self._hub.address(path)
        origin = _counted(HttpFile(url, headers=headers), self.traffic)
        listed = self.listing[path].size
        if listed is not None and origin.size != listed:
            origin.close()
            raise SourceError(
                f"{escape(path)!r} was not read",
                where=Location(path),
                why=f"it has {origin.size:,} bytes, and {listed:,} according to the hub",
                remedy="check HF_ENDPOINT, then try again",
            )
        return origin


class CloudSnapshot(RangedSnapshot):
    """Objects in a store that `fsspec` knows, under one prefix."""

    def __init__(self, url: str, limits: Limits) -> None:
        from safeload.sources.fsspec_ranges import listed

        self._system, names = listed(url, limits)
        super().__init__(url, {name: Listed(path=name, size=size) for name, (_, size) in names.items()})
        self._places = {name: place for name, (place, _) in names.items()}

    def _origin(self, path: str) -> Origin:
        from safeload.sources.fsspec_ranges import CloudFile

        return CloudFile(self._system, self._places[path], name=path)


def _counted(origin: HttpFile, traffic: Traffic) -> HttpFile:
    """Account for what the first request brought."""
    traffic.add(len(origin.head))
    return origin


def _beneath(path: str, within: str) -> bool:
    return path == within or path.startswith(within + "/")


def is_remote(text: str) -> bool:
    """Whether a target is an address that is read by ranges; models on the hub are told by `resolve`."""
    return text.startswith((*WEB, *CLOUD))


def remote_snapshot(url: str, *, revision: str | None, limits: Limits) -> RangedSnapshot:
    """The snapshot of an address that `is_remote`.

    Raises `UsageError` for a revision, which addresses do not have, and `SourceError` if it cannot be had.
    """
    if revision is not None:
        raise UsageError(
            f"revision={escape(revision)!r} was not used",
            where=escape(without_query(url)),
            why="only models on the hub have revisions",
            remedy="leave it out",
        )
    return WebSnapshot(url) if url.startswith(WEB) else CloudSnapshot(url, limits)


_HUB = "hf://"
_PULL = re.compile(r"(refs/(?:pr|convert)/[^/@]+)(?:/(.*))?", re.DOTALL)


def split_hub(text: str) -> tuple[str, str]:
    """A reference to the hub, and the file or folder within the model that it may name: `hf://org/name@rev/path`.

    A model without an organisation has no path: `hf://gpt2/config.json` is a model of that name.
    """
    if not text.startswith(_HUB):
        return text, ""
    parts = text.removeprefix(_HUB).removeprefix("models/").split("/", 1)
    if len(parts) < 2 or "@" in parts[0]:
        return text, ""
    name, _, path = parts[1].partition("/")
    if "@" not in name:
        return f"{_HUB}{parts[0]}/{name}", path.strip("/")
    name, _, rest = parts[1].partition("@")
    pull = _PULL.fullmatch(rest)
    revision, path = (pull[1], pull[2] or "") if pull else rest.partition("/")[::2]
    return f"{_HUB}{parts[0]}/{name}@{unquote(revision)}", path.strip("/")


def by_ranges(snapshot: Scannable, *, within: str) -> Scannable:
    """The same model, read by ranges where it is not here; only the part of it that is `within`.

    Raises `SourceError` if there is no such part, `UsageError` if that cannot be told apart.
    """
    if isinstance(snapshot, HubSnapshot):
        return HubRanges(snapshot, within=within)
    raise UsageError(
        "a part of a model was not scanned",
        where=escape(snapshot.reference),
        why="working offline, only whole models of the cache are scanned",
        remedy=f"safeload scan {quoted(snapshot.reference)}",
    )
