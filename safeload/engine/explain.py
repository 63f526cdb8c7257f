"""What would run if an ordinary reader loaded a file: in order, with arguments, and with a verdict on each step."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

from safeload.core.errors import SafeloadError, UsageError
from safeload.core.finding import FileReport, Finding, Status
from safeload.core.names import Location, escape
from safeload.engine.allowlists import default_allowlist
from safeload.engine.inspect import Inspected, inspect
from safeload.engine.options import Options
from safeload.engine.reach import reach
from safeload.engine.request import Request
from safeload.engine.scan import company, require_opinions
from safeload.engine.scanning.looked import shown, unreadable
from safeload.formats.base import PickleStream
from safeload.rules.base import Context
from safeload.rules.fickling import pseudo_source
from safeload.rules.script import Step, script
from safeload.sources.base import Snapshot
from safeload.sources.http_ranges import without_query
from safeload.sources.remote import is_remote

__all__ = ["Explanation", "Step", "Stream", "explain", "explain_stream", "explained_file"]

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
    source: str = ""
    """The same as Python that must not be run, in the opinion of fickling; if it was asked."""

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

    With `options.second_opinion`, fickling is asked about each pickle, and decompiles it; what detect-secrets says
    with `options.secret_opinion` is among the `others`.

    Raises:
        SourceError: the target could not be found or fetched.
        LimitExceeded: the target has more files than `options.limits.members`.
        UsageError: `options` ask for another analyser, and it is not installed; or the target is an address.
    """
    options, request = options or Options(), request or Request()
    require_opinions(options)
    if isinstance(target, str) and is_remote(target):
        raise UsageError(
            "it was not explained",
            where=escape(without_query(target)),
            why="that takes whole files, and this one is elsewhere",
            remedy="fetch it first, and name the file",
        )
    snapshot = reach(
        os.fspath(target), request.access, revision=request.revision, subfolder=request.subfolder, limits=options.limits
    )
    snapshot.fetch(snapshot.listing)
    return tuple(_explained(snapshot, path, options) for path in sorted(snapshot.listing))


def explain_stream(stream: BinaryIO, *, name: str = "stdin", options: Options | None = None) -> Explanation:
    """Explain one file that a stream holds, called `name`.

    Raises:
        UsageError: `name` is no plain file name, or `options` ask for another analyser, and it is not installed.
        SourceError: the stream cannot be read, or is longer than `StreamSnapshot` takes.
    """
    from safeload.sources.stream import StreamSnapshot

    options = options or Options()
    require_opinions(options)
    with StreamSnapshot(stream, name=name) as snapshot:
        return _explained(snapshot, name, options)


def _explained(snapshot: Snapshot, path: str, options: Options) -> Explanation:
    try:
        memo: dict[int, object] = {}
        with snapshot.open(path) as file:
            inspected = inspect(
                file,
                path,
                options.limits,
                shown=shown(snapshot, path),
                options=options,
                company=company(snapshot, path),
                memo=memo,
            )
            return explained_file(inspected, pseudo=options.second_opinion, memo=memo)
    except SafeloadError as error:
        report = unreadable(path, error)
        return Explanation(report=report, streams=(), others=report.findings)


def explained_file(inspected: Inspected, *, pseudo: bool = False, memo: dict[int, object] | None = None) -> Explanation:
    """The explanation of a file that was read already. `pseudo` asks fickling to decompile its pickles.

    `memo` is what judging its very parts has left, so that nothing is judged twice.
    """
    context = Context(
        allowlist=default_allowlist(),
        parts=inspected.parts,
        claimed_by=inspected.formats,
        memo={} if memo is None else memo,
    )
    streams = tuple(
        Stream(
            location=part.location.at(part.reading.start),
            role=part.role,
            protocol=part.reading.protocol,
            steps=script(part, context),
            source=pseudo_source(part.reading, part.location) if pseudo else "",
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
