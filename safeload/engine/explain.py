"""What would run if an ordinary reader loaded a file: in order, with arguments, and with a verdict on each step."""

from __future__ import annotations

import os
from dataclasses import dataclass

from safeload.core.errors import SafeloadError
from safeload.core.finding import FileReport, Finding, Status
from safeload.core.names import Location
from safeload.engine.allowlists import default_allowlist
from safeload.engine.held import Held
from safeload.engine.inspect import Inspected
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.formats.base import PickleStream
from safeload.rules.base import Context
from safeload.rules.script import Step, script
from safeload.sources.resolve import resolve

__all__ = ["Explanation", "Step", "Stream", "explain", "explained_file"]

_STEPS_TELL = ("pickle-dangerous-", "pickle-unlisted-", "pickle-build-", "pickle-item-", "pickle-trailing")
"""Rules whose findings the steps of a pickle tell already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One pickle of a file."""

    location: Location
    role: str
    """What a loader does with it; see `formats.base.PickleStream`."""
    protocol: int
    steps: tuple[Step, ...]

    @property
    def status(self) -> Status:
        return max((step.status for step in self.steps), default=Status.SAFE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What one file would do."""

    report: FileReport
    streams: tuple[Stream, ...]
    others: tuple[Finding, ...]
    """Findings about anything but pickles: programs, templates, references, irregular containers."""


def explain(
    target: str | os.PathLike[str], *, options: Options | None = None, request: Request | None = None
) -> tuple[Explanation, ...]:
    """Explain every file of a directory, a single file, or a hub model. Runs nothing.

    Promised: each call, import, state and persistent load of each pickle that the formats found is in a step, in the
    order of its stream. Not promised: that a loader reads every stream, or in this order; see their roles.

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
    explained = []
    with Held(snapshot, options.limits) as held:
        for path in sorted(snapshot.listing):
            try:
                held.inspect(path)
            except SafeloadError as error:
                held.note_unreadable(path, error)
            explained.append(explained_file(held.inspected[path]))
            held.drop(path)
    return tuple(explained)


def explained_file(inspected: Inspected) -> Explanation:
    """The explanation of a file that was read already."""
    context = Context(allowlist=default_allowlist(), parts=inspected.parts, claimed_by=inspected.formats)
    streams = tuple(
        Stream(
            location=part.location.at(part.reading.start),
            role=part.role,
            protocol=part.reading.protocol,
            steps=script(part, context),
        )
        for part in inspected.parts
        if isinstance(part, PickleStream)
    )
    others = tuple(finding for finding in inspected.report.findings if not _told(finding, streams))
    return Explanation(report=inspected.report, streams=streams, others=others)


def _told(finding: Finding, streams: tuple[Stream, ...]) -> bool:
    if finding.rule == "unreadable":
        ends = {(stream.location.member, step.offset) for stream in streams for step in stream.steps[-1:]}
        return (finding.location.member, finding.location.offset) in ends
    return bool(streams) and finding.rule.startswith(_STEPS_TELL)
