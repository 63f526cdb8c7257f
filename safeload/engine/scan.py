"""Scanning: every file of a model read and judged, nothing run, nothing written."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO

from safeload.core.errors import SafeloadError
from safeload.core.finding import FileReport, Report, Status
from safeload.engine.held import Held
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.sources.base import Snapshot
from safeload.sources.resolve import resolve

Progress = Callable[[int, int], None]
"""`(files done, files in all)`."""


def scan(
    target: str | os.PathLike[str],
    *,
    options: Options | None = None,
    request: Request | None = None,
    digests: Status | None = None,
    progress: Progress | None = None,
) -> Report:
    """Report on every file of a directory, a single file, or a hub model.

    Promised: no file is run, written, or fetched that is not part of the target; each file is in the report once.
    Not promised: digests, unless `digests` asks for them. Scanning reads what matters, not the weights.

    Args:
        digests: files that are at least this bad are read whole, through the same descriptor, for their sha256.
        progress: is called after each file.

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
    return scan_snapshot(snapshot, target=os.fspath(target), options=options, digests=digests, progress=progress)


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
        return scan_snapshot(snapshot, target="-", options=options or Options(), digests=digests)


def scan_snapshot(
    snapshot: Snapshot,
    *,
    target: str,
    options: Options,
    digests: Status | None = None,
    progress: Progress | None = None,
) -> Report:
    """Report on every file of a snapshot whose files are here. Raises nothing for what they hold."""
    reports = []
    with Held(snapshot, options.limits) as held:
        for path in sorted(snapshot.listing):
            reports.append(_one(held, path, digests))
            held.drop(path)
            if progress is not None:
                progress(len(reports), len(snapshot.listing))
    return Report(target=target, files=tuple(reports))


def _one(held: Held, path: str, digests: Status | None) -> FileReport:
    try:
        report = held.inspect(path).report
        if digests is not None and report.status >= digests:
            report = replace(report, sha256=held.open(path).sha256())
    except SafeloadError as error:
        held.note_unreadable(path, error)
        report = held.inspected[path].report
    return report
