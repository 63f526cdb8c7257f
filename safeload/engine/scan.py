"""Scanning: every file of a model read and judged, nothing run, nothing written."""

from __future__ import annotations

import os

from safeload.core.errors import SafeloadError
from safeload.core.finding import Report
from safeload.engine.held import Held
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.rules import fickling_opinion
from safeload.sources.resolve import resolve


def scan(target: str | os.PathLike[str], *, options: Options | None = None, request: Request | None = None) -> Report:
    """Report on every file of a directory, a single file, or a hub model.

    Promised: no file is run, written, or fetched that is not part of the target; each file is in the report once.
    Not promised: digests. Scanning reads what matters, not the weights.

    Raises:
        SourceError: the target could not be found or fetched.
        LimitExceeded: the target has more files than `options.limits.members`.
        UsageError: `options.second_opinion` needs fickling, and it is not installed.
    """
    options, request = options or Options(), request or Request()
    if options.second_opinion:
        fickling_opinion.require()
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
    reports = []
    with Held(snapshot, options.limits, second_opinion=options.second_opinion) as held:
        for path in sorted(snapshot.listing):
            try:
                held.inspect(path)
            except SafeloadError as error:
                held.note_unreadable(path, error)
            reports.append(held.inspected[path].report)
            held.drop(path)
    return Report(target=os.fspath(target), files=tuple(reports))
