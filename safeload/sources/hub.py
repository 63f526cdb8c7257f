"""A model on the Hugging Face hub, through `huggingface_hub`, which is imported when a connection is needed.

1. A revision is resolved to a commit once. If that cannot be done the load ends: a name is never taken for the
   commit it pointed to yesterday, unless working offline was asked for.
2. Everything later names the commit. What the commit has is asked for once and recorded in the cache, so that a
   commit that is fully cached needs no connection at all.
3. Only what is asked for is fetched. Its bytes are compared with the recorded digests when they are digested.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from safeload.core.errors import LimitExceeded, SafeloadError, SourceError, UsageError
from safeload.core.limits import Limits
from safeload.core.names import escape
from safeload.sources import hfcache
from safeload.sources.base import Listed
from safeload.sources.failures import quoted
from safeload.sources.folder import FolderSnapshot
from safeload.sources.hfcache import COMMIT, Kind, Place

if TYPE_CHECKING:
    from concurrent.futures import Future

    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import KernelInfo, ModelInfo

_DOWNLOADS = 8
"""Files fetched at a time, as `huggingface_hub` does."""
_PAGE = 1000
"""Files of a listing that are awaited at a time, as many as the hub sends."""
_PATIENCE = 6
"""How often the client may try again in the time that a page of a listing has."""
_OF_KIND: Mapping[Kind, str] = {"models": "", "kernels": " --repo-type kernel"}
_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_REVISION = re.compile(r"[A-Za-z0-9_][^\x00-\x20\x7f~^:?*\[\\]{0,254}")
T = TypeVar("T")
_TRUE = frozenset({"1", "ON", "YES", "TRUE"})


def is_hub_id(text: str) -> bool:
    """Whether `text` can be the id of a model: `name` or `org/name`."""
    parts = text.split("/")
    return (
        len(parts) <= 2
        and len(text) <= 96
        and all(_PART.fullmatch(part) for part in parts)
        and "--" not in text
        and ".." not in text
        and not text.endswith(".git")
    )


def is_offline() -> bool:
    """Whether the environment asks for no connections."""
    return any(os.environ.get(name, "").upper() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def hub_snapshot(
    repository: str,
    *,
    reference: str,
    limits: Limits,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
    proxies: Mapping[str, str] | None = None,
    notes: tuple[str, ...] = (),
    kind: Kind = "models",
) -> FolderSnapshot:
    """The snapshot of a model on the hub, or of what the cache has of it if working offline was asked for. With another
    `kind`, that of a repository of kernels.

    Raises `UsageError` for an option that cannot be honoured, `SourceError` if the revision cannot be resolved,
    `LimitExceeded` if the model has more than `limits.members` files.
    """
    if proxies:
        raise UsageError(
            "`proxies` was not used",
            where=reference,
            why="huggingface_hub takes no proxies for a single call",
            remedy="export HTTPS_PROXY=… (and HTTP_PROXY), or huggingface_hub.set_client_factory(…)",
        )
    wanted = _revision(revision)
    cache = os.path.realpath(os.path.expanduser(cache_dir if cache_dir is not None else hfcache.default_cache()))
    if local_files_only or is_offline():
        if force_download:
            raise UsageError(
                "`force_download` was not used",
                where=reference,
                why="working offline was asked for as well",
                remedy="leave one of force_download and local_files_only (HF_HUB_OFFLINE) out",
            )
        return _offline(cache, repository, wanted, reference, limits, notes, kind)

    remote = _Remote(repository, wanted, cache, token, kind)
    place = Place(cache, repository, wanted, kind) if COMMIT.fullmatch(wanted) else None
    listing = hfcache.read_tree(place, limits=limits) if place is not None else None
    answered: str | None = None
    if place is None or listing is None:
        place, answered = remote.resolve()
        if answered is not None:
            notes += (f"the hub answers for {repository} with {escape(answered)}",)
        listing = hfcache.read_tree(place, limits=limits) or remote.list_files(place, limits)
    return HubSnapshot(
        remote, place, reference=reference, listing=listing, notes=notes, force=force_download, answered=answered
    )


def _revision(revision: str | None) -> str:
    # huggingface_hub's `ResolvedRevision` is a string that shows the name and carries the commit.
    resolved = getattr(revision, "resolved", None)
    wanted = str(resolved if resolved is not None else revision if revision is not None else "main")
    if not _REVISION.fullmatch(wanted) or not hfcache.is_relative(wanted) or ".." in wanted:
        raise UsageError(
            f"{escape(wanted)!r} is not a revision",
            where="revision",
            why="a revision is a branch, a tag or a commit",
            remedy="revision='main'",
        )
    return wanted


def _offline(
    cache: str, repository: str, wanted: str, reference: str, limits: Limits, notes: tuple[str, ...], kind: Kind
) -> FolderSnapshot:
    commit = wanted if COMMIT.fullmatch(wanted) else hfcache.read_ref(cache, repository, wanted, kind)
    if commit is None or not os.path.isdir(Place(cache, repository, commit, kind).folder):
        raise SourceError(
            f"{repository} at {escape(wanted)} was not loaded",
            where=cache,
            why="it is not in the cache, and working offline was asked for",
            remedy=f"hf download {repository} --revision {quoted(wanted)}{_OF_KIND[kind]}",
        )
    return hfcache.cached_snapshot(
        Place(cache, repository, commit, kind), reference=reference, limits=limits, notes=notes
    )


class HubSnapshot(FolderSnapshot):
    """A `Snapshot` whose files are fetched into the cache when they are asked for."""

    def __init__(
        self,
        remote: _Remote,
        place: Place,
        *,
        reference: str,
        listing: Mapping[str, Listed],
        notes: tuple[str, ...],
        force: bool,
        answered: str | None,
    ) -> None:
        super().__init__(
            reference=reference,
            kind="hub",
            root=place.repository,
            revision=place.commit,
            notes=notes,
            listing=listing,
            anchor=place.cache,
            base=place.base,
            allowed=place.allowed,
            answered=answered,
        )
        self._remote, self._place, self._force = remote, place, force
        self._fetched: set[str] = set()

    def fetch(self, paths: Iterable[str]) -> None:
        """Fetch what is not in the cache, in parallel. Raises `SourceError` naming everything that failed."""
        asked = dict.fromkeys(paths)
        for path in asked:
            self._listed(path)
        missing = [path for path in asked if path not in self._fetched and (self._force or not self._cached(path))]
        failures: dict[str, SourceError] = {}

        def one(path: str) -> None:
            try:
                self._remote.download(self._place, path, force=self._force)
                if not self._cached(path):
                    raise _strange(f"{self._place.repository} » {escape(path)}", "it sent another commit's file")
                self._fetched.add(path)
            except SourceError as error:
                failures[path] = error

        if len(missing) == 1:
            one(missing[0])
        elif missing:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(min(_DOWNLOADS, len(missing)), thread_name_prefix="safeload-fetch") as pool:
                list(pool.map(one, missing))
        if failures:
            first = next(iter(failures.values()))
            whys = dict.fromkeys(f"{escape(path)}: {error.why}" for path, error in sorted(failures.items()))
            raise SourceError(
                f"{len(failures)} of {len(asked)} files of {self._place.repository} could not be fetched",
                where=f"{self._place.repository} at {self._place.commit}",
                why="\n         ".join(whys),
                remedy=first.remedy,
            ) from first

    def is_here(self, path: str) -> bool:
        """Whether opening a file takes no connection."""
        return path in self._fetched or (not self._force and self._cached(path))

    def address(self, path: str) -> tuple[str, dict[str, str]]:
        """Where the hub has a file of this commit, and the headers that only the hub may see."""
        return self._remote.address(self._place, path)

    def _cached(self, path: str) -> bool:
        return os.path.exists(os.path.join(self._place.folder, path))


class _Remote:
    """What is asked of the hub, with every failure as one of our errors."""

    def __init__(
        self, repository: str, revision: str, cache: str, token: str | bool | None, kind: Kind = "models"
    ) -> None:
        self.repository, self.revision, self.cache, self.token = repository, revision, cache, token
        self.kind: Kind = kind
        self.type = kind.removesuffix("s")
        # Read when it is used: the client binds it when it is imported.
        self.endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or None

    def resolve(self) -> tuple[Place, str | None]:
        """The commit that the revision names now, and the model's name if that is another one by now."""
        if self.kind == "kernels" and not hasattr(self._api(), "kernel_info"):
            raise UsageError(
                "the installed huggingface_hub knows no repositories of kernels",
                where=escape(self.repository),
                why="they are a kind of their own, which came with a later version",
                remedy="pip install --upgrade huggingface_hub",
            )
        with _Ours(self.repository, self.revision):
            from huggingface_hub.constants import HF_HUB_ETAG_TIMEOUT

            def ask() -> KernelInfo | ModelInfo:
                named: Any = {"revision": self.revision, "timeout": HF_HUB_ETAG_TIMEOUT}
                if self.kind == "kernels":
                    return self._api().kernel_info(self.repository, **named)
                return self._api().model_info(self.repository, expand=["sha"], **named)

            info = self._in_time(ask, "answer")
            commit, name = str(info.sha), str(info.id)
        if not COMMIT.fullmatch(commit) or (COMMIT.fullmatch(self.revision) and commit != self.revision):
            raise _strange(
                f"{self.repository} at {escape(self.revision)}", f"it answered with the commit {escape(commit)!r}"
            )
        place = Place(self.cache, self.repository, commit, self.kind)
        if not COMMIT.fullmatch(self.revision):
            hfcache.write_ref(place, self.revision)
        moved = name.lower() != self.repository.lower()
        return place, name if moved else None

    def list_files(self, place: Place, limits: Limits) -> dict[str, Listed]:
        """Everything the commit has; recorded in the cache."""
        rows: dict[str, dict[str, Any]] = {}
        with _Ours(self.repository, self.revision):
            items = self._api().list_repo_tree(
                self.repository, recursive=True, revision=place.commit, repo_type=self.type
            )
            for item in self._awaited(iter(items), min(_PAGE, limits.members + 1)):
                blob = getattr(item, "blob_id", None)
                if blob is None:
                    continue
                row: dict[str, Any] = {"size": item.size, "blob_id": blob}  # type: ignore[union-attr]
                if lfs := getattr(item, "lfs", None):
                    row |= {"size": lfs.size, "lfs_sha256": lfs.sha256, "lfs_size": lfs.size}
                if xet := getattr(item, "xet_hash", None):
                    row["xet_hash"] = xet
                rows[item.path] = row
                if len(rows) > limits.members:
                    raise LimitExceeded("members", allowed=limits.members, wanted=len(rows), where=self.repository)
            listing = {name: hfcache.row_listed(name, row) for name, row in rows.items()}
        hfcache.write_tree(place, rows)
        return listing

    def _awaited(self, items: Iterator[T], at_a_time: int) -> Iterator[T]:
        """The items of a listing, page by page."""
        while found := self._in_time(lambda: [*islice(items, at_a_time)], "listing"):
            yield from found

    def _in_time(self, call: Callable[[], T], what: str) -> T:
        """What a call of the client gives, which would wait as long as a byte comes now and then."""
        import threading
        from concurrent.futures import Future
        from concurrent.futures import TimeoutError as FutureTimeout

        from huggingface_hub.constants import HF_HUB_DOWNLOAD_TIMEOUT

        patience = _PATIENCE * HF_HUB_DOWNLOAD_TIMEOUT
        answer: Future[T] = Future()
        # A daemon, because the program must be able to end although the hub is silent.
        threading.Thread(target=self._fulfil, args=(answer, call), daemon=True).start()
        try:
            return answer.result(timeout=patience)
        except FutureTimeout:
            raise TimeoutError(f"no {what} came for {patience} seconds") from None

    def _fulfil(self, answer: Future[T], call: Callable[[], T]) -> None:
        try:
            with _Ours(self.repository, self.revision):
                from safeload.sources.hub_wire import careful

                with careful(self.repository, endpoint=self.endpoint):
                    answer.set_result(call())
        except SafeloadError as error:
            answer.set_exception(error)

    def download(self, place: Place, path: str, *, force: bool) -> None:
        """Fetch one file into the cache."""
        with _Ours(self.repository, self.revision, path):
            from huggingface_hub import hf_hub_download

            from safeload.sources.hub_answers import plain_names
            from safeload.sources.hub_wire import careful

            where = f"{self.repository} » {escape(path)}"
            with plain_names(where), careful(where, endpoint=self.endpoint, most=None):
                hf_hub_download(
                    self.repository,
                    path,
                    repo_type=self.type,
                    revision=place.commit,
                    cache_dir=self.cache,
                    token=self.token,
                    force_download=force,
                    endpoint=self.endpoint,
                    library_name="safeload",
                )

    def address(self, place: Place, path: str) -> tuple[str, dict[str, str]]:
        with _Ours(self.repository, self.revision, path):
            from huggingface_hub import constants
            from huggingface_hub.utils._headers import build_hf_headers

            headers = build_hf_headers(token=self.token, library_name="safeload")
            token = {name: text for name, text in headers.items() if name.lower() == "authorization"}
            endpoint = self.endpoint or constants.ENDPOINT
        folder = "" if self.kind == "models" else f"{self.kind}/"
        return f"{endpoint}/{folder}{place.repository}/resolve/{place.commit}/{quote(path)}", token

    def _api(self) -> HfApi:
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.endpoint, token=self.token, library_name="safeload")


class _Ours:
    """Turns whatever the client raises into `SourceError`, never into an answer. Only calls of it stand inside."""

    def __init__(self, repository: str, revision: str, path: str = "") -> None:
        self.repository, self.revision, self.path = repository, revision, path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None or isinstance(error, SafeloadError):
            return
        if isinstance(error, ImportError):
            raise SourceError(
                f"{self.repository} was not fetched",
                where=self.repository,
                why=f"the hub's client cannot be imported: {escape(str(error))}",
                remedy="pip install 'safeload[hub]'",
            ) from error
        if isinstance(error, Exception):
            from safeload.sources.hub_errors import explain

            raise explain(error, repository=self.repository, revision=self.revision, path=self.path) from error


def _strange(where: str, why: str) -> SourceError:
    return SourceError(
        "the hub's answer was not used", where=where, why=why, remedy="check HF_ENDPOINT, then try again"
    )
