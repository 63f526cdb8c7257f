"""A file that a program wants to load: opened once, read once, judged by whatever policies and locks count for it.

1. A path is opened as any local model is, and the policy files and locks that name it have their say. So they have of
   an open file, as far as its name leads to it: see `handed`. It is read from where it stands to its end. Of buffers
   and streams, policy files say what they say of everything.
2. The bytes are read by the inert machine, and judged, before anybody makes an object of them.
3. The caller makes objects from that same reading. When it is done, the file must be what it was when opened.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from safeload.core.blob import Blob, Extent, MemoryBlob
from safeload.core.errors import MalformedInput, UsageError
from safeload.core.evidence import Evidence
from safeload.core.finding import Report, Status
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.engine.enforce import INTEGRITIES, guard_for
from safeload.engine.handed import Given, claimed, plain_file, snapshots_of
from safeload.engine.held import Held
from safeload.engine.inspect import Inspected, inspect
from safeload.engine.options import Integrity, Options
from safeload.formats.base import PickleStream
from safeload.sources.base import Snapshot
from safeload.sources.local import local_snapshot
from safeload.sources.pinned import PinnedFile

Inspector = Callable[[Blob, str, Limits], Inspected]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What came in, judged and allowed."""

    inspected: Inspected
    blob: Blob
    file: PinnedFile | None
    """The open file, if it is one; `None` for bytes in memory."""
    integrity: Integrity
    limits: Limits

    @property
    def location(self) -> Location:
        return Location(self.inspected.path)

    def streams(self, *roles: str) -> list[PickleStream]:
        """The pickles of the file in these roles."""
        return [part for part in self.inspected.parts if isinstance(part, PickleStream) and part.role in roles]


Remedies = Mapping[str, str]


@contextmanager
def opened(
    f: Any, options: Options, *, reader: Inspector | None = None, remedies: Remedies | None = None
) -> Iterator[Door]:
    """What a path, an open binary file or a buffer holds.

    Args:
        f: a path, an object with `read`, bytes, or a `Given`.
        reader: reads and judges the bytes; every format that claims them, if absent.
        remedies: by the id of a rule, what to do instead where that made the file undecided.

    Raises:
        PolicyDenied: a policy refused it.
        MalformedInput: it cannot be read, and is not known to be dangerous.
        UsageError: it is nothing that can be read.
        SourceError: there is no such file.
        VerificationFailed: the file changed while it was read.
    """
    if isinstance(f, str | os.PathLike):
        with _from_path(os.fspath(f), options, reader, remedies or {}) as door:
            yield door
        return
    if isinstance(f, Given):
        with _from_given(f, options, reader, remedies or {}) as door:
            yield door
        return
    if (found := plain_file(f)) is None:
        with _from_given(Given(_from_memory(f), _name_of(f)), options, reader, remedies or {}) as door:
            yield door
        return
    file, start = found
    with file:
        f.seek(file.size)
        rest = file if not start else Extent(file, start, max(0, file.size - start))
        given = Given(rest, Location(file.path).file, file, claimed(f))
        with _from_given(given, options, reader, remedies or {}) as door:
            yield door
        file.verify_unchanged()


@contextmanager
def _from_given(given: Given, options: Options, reader: Inspector | None, remedies: Remedies) -> Iterator[Door]:
    inspected = _inspected(given.blob, given.name, options, reader)
    integrities = [
        options.integrity,
        *(_asked(one, given, inspected, options, remedies) for one in snapshots_of(given, options.limits)),
    ]
    yield Door(
        inspected=inspected,
        blob=given.blob,
        file=given.file,
        integrity=max(integrities, key=INTEGRITIES.index),
        limits=options.limits,
    )


def _asked(snapshot: Snapshot, given: Given, inspected: Inspected, options: Options, remedies: Remedies) -> Integrity:
    """Have everything that is about a snapshot of what was given decide. Returns the integrity that is asked for."""
    guard = guard_for(snapshot, options, asked=None)
    with Held(snapshot, options.limits) as held:  # opens nothing: what there is, is open
        (name,) = snapshot.listing
        held.inspected[name] = inspected
        digests = {} if guard.judges_findings_alone else {name: given.sha256()}
        found = guard.find(digests, lambda: digests, held)
    report = _report(snapshot.reference, inspected, options)
    evidence = Evidence(reference=snapshot.reference, revision=snapshot.revision, report=report, digests=digests)
    _decide(inspected, found.into(evidence), guard.policy, remedies)
    return guard.integrity


@contextmanager
def _from_path(path: Any, options: Options, reader: Inspector | None, remedies: Remedies) -> Iterator[Door]:
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    snapshot = local_snapshot(path, limits=options.limits)
    if snapshot.kind == "directory":
        raise UsageError(
            f"{escape(path)!r} was not loaded", why="it is a directory", remedy="name the checkpoint file in it"
        )
    guard = guard_for(snapshot, options, asked=None)
    with Held(snapshot, options.limits) as held:
        (name,) = snapshot.listing
        file = held.open(name)
        inspected = _inspected(file, name, options, reader)
        held.inspected[name] = inspected
        digests = {} if guard.judges_findings_alone else {name: file.sha256()}
        found = guard.find(digests, lambda: digests, held)
        report = _report(path, inspected, options)
        evidence = found.into(Evidence(reference=path, revision=snapshot.revision, report=report, digests=digests))
        _decide(inspected, evidence, guard.policy, remedies)
        yield Door(inspected=inspected, blob=file, file=file, integrity=guard.integrity, limits=options.limits)
        file.verify_unchanged()


def _from_memory(f: Any) -> Blob:
    if isinstance(f, bytes | bytearray | memoryview):
        return MemoryBlob(bytes(f))
    read = getattr(f, "read", None)
    if not callable(read):
        raise UsageError(
            "nothing was loaded",
            why=f"a {type(f).__name__} is neither a path nor an open binary file",
            remedy="pass a path, an open file, or bytes",
        )
    data = read()
    if not isinstance(data, bytes | bytearray | memoryview):
        raise UsageError("nothing was loaded", why="the file is open as text", remedy="open it with mode 'rb'")
    return MemoryBlob(bytes(data))


def _name_of(f: Any) -> str:
    """What messages call a buffer: the name of the open file, if it says one."""
    name = getattr(f, "name", None) if isinstance(f, io.IOBase) else None
    return os.path.basename(name) or "<buffer>" if isinstance(name, str) else "<buffer>"


def _inspected(blob: Blob, name: str, options: Options, reader: Inspector | None) -> Inspected:
    return (reader or inspect)(blob, name, options.limits)


def _report(reference: str, inspected: Inspected, options: Options) -> Report:
    report = inspected.report
    if options.unsafe_convert_dangerous:
        report = replace(report, used=report.status is not Status.DANGEROUS)
    return Report(target=reference, files=(report,))


def _decide(inspected: Inspected, evidence: Evidence, policy: Any, remedies: Remedies) -> None:
    """Let the policy decide; say of what is merely unreadable why it is so."""
    verdict = policy.decide(evidence)
    report = inspected.report
    undecided = [one for one in report.findings if one.status is Status.UNDECIDED]
    if not verdict.allowed and undecided and report.status is not Status.DANGEROUS and not evidence.differences:
        # What could not be read is why other things could not be told apart.
        first = next((one for one in undecided if one.rule == "unreadable"), undecided[0])
        raise MalformedInput(
            f"{escape(inspected.path)!r} cannot be loaded",
            where=first.location,
            why=first.message,
            remedy=remedies.get(first.rule, first.remedy),
        )
    verdict.enforce(evidence)
