"""Scanning: every file of a model read and judged, nothing run, nothing written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import BinaryIO

from safeload.core.errors import SafeloadError, UsageError
from safeload.core.finding import FileReport, Report, Status
from safeload.core.limits import Limits
from safeload.engine.looked import look, shown, unreadable
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.sources.base import Snapshot
from safeload.sources.resolve import resolve

Progress = Callable[[int, int], None]
"""`(files done, files in all)`."""
_WORTH = 300
"""Files that are worth the start of another process."""


def scan(
    target: str | os.PathLike[str],
    *,
    options: Options | None = None,
    request: Request | None = None,
    digests: Status | None = None,
    progress: Progress | None = None,
    workers: int | None = 1,
) -> Report:
    """Report on every file of a directory, a single file, or a hub model.

    Promised: no file is run, written, or fetched that is not part of the target; each file is in the report once.
    Not promised: digests, unless `digests` asks for them. Scanning reads what matters, not the weights.

    Args:
        digests: files that are at least this bad are read whole, through the same descriptor, for their sha256.
        progress: is called after each file, from one thread at a time.
        workers: how many processes read files; `None` for as many as the cores, where there are enough files.

    Raises:
        SourceError: the target could not be found or fetched.
        LimitExceeded: the target has more files than `options.limits.members`.
    """
    options, request = options or Options(), request or Request()
    snapshot = resolve(
        os.fspath(target),
        revision=request.revision,
        subfolder=request.subfolder,
        limits=options.limits,
        cache_dir=request.access.cache_dir,
        token=request.access.token,
        local_files_only=request.access.local_files_only,
        force_download=request.access.force_download,
        proxies=request.access.proxies,
    )
    snapshot.fetch(snapshot.listing)
    return scan_snapshot(
        snapshot, target=os.fspath(target), options=options, digests=digests, progress=progress, workers=workers
    )


def scan_stream(
    stream: BinaryIO, *, name: str = "stdin", options: Options | None = None, digests: Status | None = None
) -> Report:
    """Report on one file that a stream holds, called `name`. The target of the report is `-`.

    Raises:
        UsageError: `name` is no plain file name.
        SourceError: the stream cannot be read, or is longer than `StreamSnapshot` takes.
    """
    from safeload.sources.stream import StreamSnapshot

    with StreamSnapshot(stream, name=name) as snapshot:
        return scan_snapshot(snapshot, target=snapshot.reference, options=options or Options(), digests=digests)


def scan_snapshot(
    snapshot: Snapshot,
    *,
    target: str,
    options: Options,
    digests: Status | None = None,
    progress: Progress | None = None,
    workers: int | None = 1,
) -> Report:
    """Report on every file of a snapshot whose files are here. Raises nothing for what they hold."""
    paths = sorted(snapshot.listing)
    count = 0

    def done() -> None:
        nonlocal count
        count += 1
        if progress is not None:
            progress(count, len(paths))

    if (many := _workers(workers, len(paths))) > 1:
        from safeload.engine.workers import scan_in_parallel

        reports = scan_in_parallel(snapshot, paths, options.limits, workers=many, digests=digests, done=done)
        return Report(target=target, files=reports)
    return Report(target=target, files=tuple(_each(snapshot, paths, options.limits, digests, done)))


def _each(
    snapshot: Snapshot, paths: list[str], limits: Limits, digests: Status | None, done: Callable[[], None]
) -> Iterator[FileReport]:
    for path in paths:
        try:
            with snapshot.open(path) as file:
                yield look(file, path, limits, shown=shown(snapshot, path), digests=digests)
        except SafeloadError as error:
            yield unreadable(path, error)
        done()


def _workers(asked: int | None, files: int) -> int:
    """How many processes: as many as were asked for, else one for each core that has enough to do."""
    if asked is not None:
        if asked < 1:
            raise UsageError(f"workers={asked} was not used", why="somebody has to read", remedy="workers=1")
        return min(asked, files)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, files // _WORTH)
