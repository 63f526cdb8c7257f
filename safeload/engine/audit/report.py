"""An audit: what a person needs to decide whether the code of a model may run."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from safeload.core.allowlist import Allowlist
from safeload.core.finding import Confidence, FileReport, Finding, Report, Severity, Status
from safeload.core.names import Location, escape
from safeload.engine.audit.approve import code_snapshot
from safeload.engine.audit.closure import Closure, CodeFile, Missing, find_closure
from safeload.engine.audit.names import misleading
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.rules import judge
from safeload.rules.base import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What the code of one model is, and what it can do."""

    reference: str
    revision: str | None
    closure: Closure
    report: Report
    """One entry for each file of the closure."""

    @property
    def third_party(self) -> tuple[str, ...]:
        """Installed packages that the code needs, without the standard library."""
        return tuple(name for name in self.closure.imports if name not in sys.stdlib_module_names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One file that differs between two closures."""

    name: str
    kind: str
    """`added`, `removed` or `changed`."""
    diff: tuple[str, ...]
    """The lines of a unified diff."""


def audit(
    target: str | os.PathLike[str],
    *,
    options: Options | None = None,
    request: Request | None = None,
    bandit: bool = False,
) -> Audit:
    """Say which code a model would bring along, and what that code can do, without running any of it.

    Promised: every file that is named by a config, or imported from one that is, as far as its source tells; each
    place where that cannot be told is a finding. Not promised: that code without findings is harmless. The answer is
    for a person who reads the code, not instead of one.

    Args:
        bandit: ask bandit about each file as well; its results are findings, and take none away.

    Raises:
        SourceError: the model could not be found or fetched.
        LimitExceeded: the code has more files than anybody could read.
        UsageError: bandit is asked for and not installed.
    """
    options, request = options or Options(), request or Request()
    snapshot = code_snapshot(os.fspath(target), request=request, options=options)
    closure = find_closure(snapshot, options, request)
    files = tuple(_file_report(file, closure) for file in closure.files)
    report = Report(target=os.fspath(target), files=(*files, *_unfound(closure)))
    if bandit:
        from safeload.engine.audit.second import with_bandit

        report = with_bandit(report, closure.files)
    return Audit(reference=snapshot.reference, revision=snapshot.revision, closure=closure, report=report)


def _file_report(file: CodeFile, closure: Closure) -> FileReport:
    parts = (file.facts,) if file.facts is not None else ()
    findings = judge(parts, Context(allowlist=Allowlist()), fault=file.fault, location=Location(file.name))
    lost = (missing for missing in closure.missing if missing.importer == file.name)
    absent = (_absent(file.name, missing) for missing in lost)
    loudest = tuple(sorted((*misleading(file.name), *findings, *absent), key=lambda finding: -finding.severity))
    return FileReport(path=file.name, format="python", size=len(file.source), findings=loudest, sha256=file.sha256)


def _unfound(closure: Closure) -> Iterator[FileReport]:
    """What configs name and the model does not have, under the name of the config."""
    names = {file.name for file in closure.files}
    for missing in closure.missing:
        if missing.importer not in names:
            finding = _absent(missing.importer, missing)
            yield FileReport(path=missing.importer, format="json", size=0, findings=(finding,))


def _absent(importer: str, missing: Missing) -> Finding:
    without = ", and does without: its import is tried" if missing.optional else ""
    return Finding(
        rule="code-missing",
        status=Status.UNVERIFIED if missing.optional else Status.UNDECIDED,
        severity=Severity.LOW if missing.optional else Severity.HIGH,
        confidence=Confidence.CERTAIN,
        location=Location(importer, None, None, f"line {missing.line}" if missing.line else None),
        message=f"it needs code that is not there{without}: {missing.what}",
        remedy="nothing to do: should it appear, that is other code, which needs another approval"
        if missing.optional
        else "fetch the whole model; code that is not there cannot be approved",
        taxonomy=("CWE-829",),
    )


def changes(old: Closure, new: Closure) -> Iterator[Change]:
    """What differs between two closures, file by file; nothing if they are the same code."""
    before = {file.name: file for file in old.files}
    after = {file.name: file for file in new.files}
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was is not None and now is not None and was.sha256 == now.sha256:
            continue
        kind = "added" if was is None else "removed" if now is None else "changed"
        diff = difflib.unified_diff(_lines(was), _lines(now), f"old/{escape(name)}", f"new/{escape(name)}", lineterm="")
        yield Change(name=name, kind=kind, diff=tuple(diff))


def _lines(file: CodeFile | None) -> list[str]:
    return [] if file is None else file.source.decode("utf-8", "backslashreplace").splitlines()
