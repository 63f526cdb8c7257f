"""Scanning: every file of a model read and judged, nothing run, nothing written."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Container, Iterator
from typing import TYPE_CHECKING, BinaryIO, TypeGuard, cast

from safeload.core.errors import SafeloadError, UsageError
from safeload.core.finding import FileReport, Report, Status
from safeload.core.limits import Limits
from safeload.engine.inspect import Company
from safeload.engine.scanning.looked import look, shown, unreadable
from safeload.sources.base import Scannable, Snapshot
from safeload.sources.resolve import resolve

if TYPE_CHECKING:
    from safeload.engine.options import Options
    from safeload.engine.request import Request
    from safeload.engine.scanning.results import Results
    from safeload.sources.pinned import PinnedFile
    from safeload.sources.remote import RangedSnapshot

Progress = Callable[[int, int], None]
"""`(files done, files in all)`."""
_INDEX = re.compile(r"\.index(?:\.[^/.]+)?\.json\Z")
"""Names of files that say which files hold a model's weights."""
_CONNECTIONS = 8
_LIMITS = Limits()
_WORTH = 100
"""Files that are worth the start of another process."""


def scan(
    target: str | os.PathLike[str],
    *,
    options: Options | None = None,
    request: Request | None = None,
    digests: Status | None = None,
    progress: Progress | None = None,
    workers: int | None = 1,
    note: Callable[[str], None] | None = None,
    cache: bool = False,
) -> Report:
    """Report on every file of a directory, a single file, or a hub model.

    Promised: no file is run, written, or fetched that is not part of the target; each file is in the report once. Of
    models on the hub and at other addresses only the bytes that matter are fetched.
    Not promised: digests, unless `digests` asks for them. Scanning reads what matters, not the weights.

    Args:
        digests: files that are at least this bad are read whole, through the same descriptor, for their sha256.
        progress: is called after each file, from one thread at a time.
        cache: remember below `options.store` what was found, and do not read again what nobody could have changed.
        note: is told what a person should hear of the scan itself, such as how much of a remote model was read.
        workers: how many processes read files; `None` for as many as the cores, where there are enough files.

    Raises:
        SourceError: the target could not be found or fetched.
        LimitExceeded: the target has more files than `options.limits.members`.
        UsageError: `options` ask for another analyser, and it is not installed.
    """
    limits = _limits(options)
    if options is not None and require_opinions(options):
        workers, cache = 1, False  # the other analyser answers here, and what it says is kept nowhere
    snapshot = _snapshot(os.fspath(target), limits, request)
    snapshot.fetch(snapshot.listing)
    results = _results(snapshot, os.fspath(target), options, digests) if cache else None
    try:
        return scan_snapshot(
            snapshot,
            target=_told(os.fspath(target)),
            options=options,
            digests=digests,
            progress=progress,
            workers=workers,
            results=results,
        )
    finally:
        if note is not None:
            for text in (*snapshot.notes, *_account(snapshot)):
                note(text)


def _told(target: str) -> str:
    """A target as reports tell it, which are handed on: of an address on the web without what may be a key."""
    if "://" not in target:
        return target
    from safeload.sources.http_ranges import without_query
    from safeload.sources.remote import WEB

    return without_query(target) if target.startswith(WEB) else target


def require_opinions(options: Options) -> bool:
    """Whether other analysers are to be asked. Raises `UsageError` if one of them is not installed."""
    if options.second_opinion:
        from safeload.rules import fickling

        fickling.require()
    if options.secret_opinion:
        from safeload.rules import detect_secrets

        detect_secrets.require()
    return options.second_opinion or options.secret_opinion


def _limits(options: Options | None) -> Limits:
    """Options are only made by who asks for something: a scan of a small file has no time for policies."""
    return _LIMITS if options is None else options.limits


def _results(snapshot: Scannable, target: str, options: Options | None, digests: Status | None) -> Results | None:
    if _is_remote(snapshot):
        return None
    from safeload.engine.scanning.results import Results
    from safeload.sources.roots import default_root

    root = os.fspath(options.store) if options is not None and options.store is not None else default_root()
    return Results(os.path.abspath(root), target, limits=_limits(options), digests=digests)


def _account(snapshot: Scannable) -> tuple[str, ...]:
    """How much of a model that is elsewhere was read."""
    return (snapshot.account(),) if _is_remote(snapshot) and snapshot.account() else ()


def _is_remote(snapshot: Scannable) -> TypeGuard[RangedSnapshot]:
    return snapshot.kind == "remote"


def _snapshot(target: str, limits: Limits, request: Request | None) -> Scannable:
    """What a target names. Of what is not on this machine, nothing is fetched yet, and never all of it."""
    within = ""
    if "://" in target:
        from safeload.sources.remote import is_remote, remote_snapshot, split_hub

        if is_remote(target):
            return remote_snapshot(target, revision=request.revision if request is not None else None, limits=limits)
        target, within = split_hub(target)
    snapshot: Scannable = _resolved(target, limits, request)
    if snapshot.kind == "hub" or within:
        from safeload.sources.remote import by_ranges

        return by_ranges(snapshot, within=within)
    return snapshot


def _resolved(target: str, limits: Limits, request: Request | None) -> Snapshot:
    if request is None:
        return resolve(target, limits=limits)
    from safeload.engine.reach import reach

    return reach(target, request.access, revision=request.revision, subfolder=request.subfolder, limits=limits)


def scan_stream(
    stream: BinaryIO, *, name: str = "stdin", options: Options | None = None, digests: Status | None = None
) -> Report:
    """Report on one file that a stream holds, called `name`. The target of the report is `-`.

    Raises:
        UsageError: `name` is no plain file name, or another analyser is asked for and is not installed.
        SourceError: the stream cannot be read, or is longer than `StreamSnapshot` takes.
    """
    if options is not None:
        require_opinions(options)
    from safeload.sources.stream import StreamSnapshot

    with StreamSnapshot(stream, name=name) as snapshot:
        return scan_snapshot(snapshot, target="-", options=options, digests=digests)


def scan_snapshot(
    snapshot: Scannable,
    *,
    target: str,
    options: Options | None,
    digests: Status | None = None,
    progress: Progress | None = None,
    workers: int | None = 1,
    results: Results | None = None,
) -> Report:
    """Report on every file of a snapshot whose files are here. Raises nothing for what they hold."""
    paths = sorted(snapshot.listing)
    count = 0

    def done() -> None:
        nonlocal count
        count += 1
        if progress is not None:
            progress(count, len(paths))

    if _is_remote(snapshot):
        return Report(target=target, files=_at_once(snapshot, paths, options, digests, done))
    limits = _limits(options)
    # What is said of an index depends on other files, so that is not remembered; and only this process knows of them.
    indexes = [path for path in paths if _INDEX.search(path)]
    lone = [path for path in paths if not _INDEX.search(path)] if indexes else paths
    known = {} if results is None else _known(cast(Snapshot, snapshot), lone, results, done)
    left = [path for path in lone if path not in known]
    opened = results.opened if results is not None else None
    begun = time.monotonic()
    if (many := _workers(workers, len(left))) > 1:
        from safeload.engine.scanning.workers import scan_in_parallel

        here = cast(Snapshot, snapshot)  # what is not remote
        found = scan_in_parallel(here, left, limits, workers=many, digests=digests, done=done, opened=opened)
    else:
        found = tuple(_each(snapshot, left, options, digests, done, opened))
    if results is not None:
        results.spent(time.monotonic() - begun)
        for report in found:
            results.found(report)
        results.save()
    known |= zip(left, found, strict=True)
    known |= zip(indexes, _each(snapshot, indexes, options, digests, done, None), strict=True)
    return Report(target=target, files=tuple(known[path] for path in paths))


def _known(snapshot: Snapshot, paths: list[str], results: Results, done: Callable[[], None]) -> dict[str, FileReport]:
    """The reports on files that were read before and have not changed."""
    known = {}
    for path in filter(results.known, paths):
        try:
            with snapshot.open(path) as file:
                report = results.look_up(path, file)
        except SafeloadError:
            continue  # it is opened again, and what is wrong with it said
        if report is not None:
            known[path] = report
            done()
    return known


def _each(
    snapshot: Scannable,
    paths: list[str],
    options: Options | None,
    digests: Status | None,
    done: Callable[[], None],
    opened: Callable[[str, PinnedFile], None] | None,
) -> Iterator[FileReport]:
    for path in paths:
        yield _one(snapshot, path, options, digests, opened)
        done()


def _one(
    snapshot: Scannable,
    path: str,
    options: Options | None,
    digests: Status | None,
    opened: Callable[[str, PinnedFile], None] | None = None,
) -> FileReport:
    try:
        with snapshot.open(path) as file:
            if opened is not None:
                opened(path, cast("PinnedFile", file))
            return look(
                file,
                path,
                _limits(options),
                shown=shown(snapshot, path),
                digests=digests,
                options=options,
                company=company(snapshot, path),
            )
    except SafeloadError as error:
        return unreadable(path, error)


def company(snapshot: Scannable, path: str) -> Company | None:
    """What an index may name. Beside a single file of this machine there may be others, of which nothing is known."""
    if not _INDEX.search(path):
        return None
    if snapshot.kind == "file":
        root = cast(Snapshot, snapshot).root
        if root != "-":
            return Company(scanned=snapshot.listing, beside=_Neighbours(os.path.dirname(root)))
    return Company(scanned=snapshot.listing)


class _Neighbours(Container[str]):
    """The files of a folder. Only whether a name is there is looked at."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and "\0" not in path and os.path.isfile(os.path.join(self._folder, path))


def _at_once(
    snapshot: Scannable, paths: list[str], options: Options | None, digests: Status | None, done: Callable[[], None]
) -> tuple[FileReport, ...]:
    """The same for files that are elsewhere: most of the time is waiting, so several are read at a time."""
    from concurrent.futures import ThreadPoolExecutor

    reports = []
    with ThreadPoolExecutor(min(_CONNECTIONS, max(1, len(paths))), thread_name_prefix="safeload-remote") as pool:
        try:
            for report in pool.map(lambda path: _one(snapshot, path, options, digests), paths):
                reports.append(report)
                done()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return tuple(reports)


def _workers(asked: int | None, files: int) -> int:
    """How many processes: as many as were asked for, else one for each core that has enough to do."""
    if asked is not None:
        if asked < 1:
            raise UsageError(f"workers={asked} was not used", why="somebody has to read", remedy="workers=1")
        return min(asked, files)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, files // _WORTH)
