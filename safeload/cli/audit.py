"""`safeload audit REF`"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from safeload.cli.output import note, waiting
from safeload.core.errors import UsageError
from safeload.core.finding import Severity
from safeload.core.names import escape

if TYPE_CHECKING:
    from rich.console import Console

    from safeload.engine.audit.report import Audit, Change
    from safeload.reporters._code import CodePage


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "reference",
        metavar="REF",
        nargs="*",
        help="a directory, a model on the hub, or a file of Python; with --check, every model of the project's lock if "
        "none is named; 'check' or 'suggest' before it is the same as the option (./check is a directory)",
    )
    parser.add_argument("--revision", metavar="REV", help="for models on the hub: a commit, branch or tag")
    parser.add_argument(
        "--code-revision", metavar="REV", help="at which revision the code of other repositories is taken"
    )
    parser.add_argument("--against", metavar="REF", help="show only what differs from the code of another model")
    parser.add_argument(
        "--against-revision", metavar="REV", help="the revision of that one; REF itself, if no --against"
    )
    parser.add_argument(
        "--check", action="store_true", help="say whether the code is approved; exit code 1 if it is not: for CI"
    )
    parser.add_argument("--suggest", action="store_true", help="say what there is to read before it can be approved")
    parser.add_argument(
        "--take", metavar="FILE", help="add the records of this file, such as that of another branch, to the project's"
    )
    parser.add_argument(
        "--audits", metavar="FILE", help="with these three: this file (default: the project's audits.toml)"
    )
    parser.add_argument("--policy", metavar="FILE", help="with --check and --suggest: instead of the project's policy")
    parser.add_argument("--bandit", action="store_true", help="ask bandit as well; its results are further findings")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--format", choices=("text", "json", "html"), help="html: one page with the code, to read")
    parser.add_argument("-o", "--output", metavar="FILE", help="write it there instead of printing it")


def run(parsed: argparse.Namespace) -> int:
    """Print what the code is and what it can do. Exit code 0: no code; 1: code to read; 2: code that cannot be read."""
    from safeload.engine.audit.report import audit, changes
    from safeload.engine.request import Request

    _understand_words(parsed)
    if parsed.check or parsed.suggest or parsed.take:
        from safeload.cli.audit_check import run as run_check

        return run_check(parsed)
    if parsed.reference is None:
        raise UsageError("nothing was audited", why="no model is named", remedy="safeload audit REF")
    request = Request(revision=parsed.revision, code_revision=parsed.code_revision)
    with waiting(f"reading the code of {parsed.reference}"):
        found = audit(parsed.reference, request=request, bandit=parsed.bandit)
        old = _approved_before(parsed, found) if parsed.format == "html" else None
        if parsed.against or parsed.against_revision:
            old = audit(parsed.against or parsed.reference, request=Request(revision=parsed.against_revision))
    differing = None if old is None else tuple(changes(old.closure, found.closure))
    with _to(parsed.output) as stream:
        if parsed.format == "html":
            from safeload.reporters._code import write_page

            write_page(_page(found, old), stream)
        elif parsed.json or parsed.format == "json":
            from safeload.reporters.json import dump

            dump(_document(found, differing), stream)
        else:
            _show(found, differing, stream)
            if found.closure.files:
                command = f"safeload approve {escape(found.reference)} --closure {found.closure.digest}"
                note(f"once you have read it: {command} --criteria safe-to-run --as YOU")
    return found.report.status.exit_code


def _understand_words(parsed: argparse.Namespace) -> None:
    """`audit check REF` is `audit REF --check`, and `audit suggest REF` likewise. Leaves at most one reference."""
    words: list[str] = parsed.reference
    if words[:1] in (["check"], ["suggest"]):
        setattr(parsed, words.pop(0), True)
    if len(words) > 1:
        raise UsageError("nothing was audited", why="more than one model is named", remedy="safeload audit REF")
    parsed.reference = words[0] if words else None


def _approved_before(parsed: argparse.Namespace, found: Audit) -> Audit | None:
    """The version that was approved last, if a record says where it is to be had; not if another was named."""
    from safeload.core.errors import SourceError
    from safeload.engine.audit.check import check, suggest
    from safeload.engine.audit.report import audit
    from safeload.engine.options import Options
    from safeload.engine.request import Request

    if parsed.against or parsed.against_revision or not found.closure.files:
        return None
    options = Options(audits=parsed.audits, **({"policy": parsed.policy} if parsed.policy else {}))
    request = Request(revision=parsed.revision, code_revision=parsed.code_revision)
    checked = check(parsed.reference, request=request, options=options)
    nearest = suggest(checked).audit
    if nearest is None or not nearest.revision or nearest.closure == found.closure.digest:
        return None
    try:
        return audit(nearest.model, request=Request(revision=nearest.revision))
    except SourceError as error:
        note(f"the version that {escape(nearest.who)} approved cannot be had: {error.why or error.what}")
        return None


@contextmanager
def _to(path: str | None) -> Iterator[TextIO]:
    """Where the result goes. A file that cannot be written is the caller's mistake."""
    if path is None:
        yield sys.stdout
        return
    try:
        stream = open(path, "w", encoding="utf-8")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise UsageError(
            "the report was not written", where=path, why=str(error.strerror), remedy="-o FILE, in a directory of yours"
        ) from error
    with stream:
        yield stream


def _page(found: Audit, old: Audit | None) -> CodePage:
    from safeload.reporters._code import CodeFile, CodePage

    reports = {report.path: report for report in found.report.files}
    before = {file.name: file.source for file in old.closure.files} if old else {}
    files = [
        CodeFile(
            name=file.name,
            source=file.source,
            old=before.get(file.name, b"") if old else None,
            findings=reports[file.name].findings,
        )
        for file in found.closure.files
    ]
    names = {file.name for file in files}
    files += [
        CodeFile(name=path, source=b"", findings=one.findings) for path, one in reports.items() if path not in names
    ]
    return CodePage(
        title=f"The code of {found.reference}",
        facts=tuple(_facts(found)),
        files=tuple(files),
        beside=f"{old.reference} {old.revision or ''} {old.closure.digest}" if old else "",
        removed=tuple(name for name in before if name not in names),
    )


def _show(found: Audit, differing: tuple[Change, ...] | None, stream: TextIO) -> None:
    from safeload.reporters._screen import console

    out = console(stream)
    if not found.closure.files and not found.closure.missing:
        note(f"{escape(found.reference)} brings no code along")
        return
    for label, text in _facts(found):
        out.print(f"{label:<10}{escape(text, 4_000)}", soft_wrap=True)
    out.print()
    if differing is None:
        _findings(found, out, {file.path for file in found.report.files})
    else:
        _differences(differing, out)
        _findings(found, out, {change.name for change in differing})


def _facts(found: Audit) -> Iterator[tuple[str, str]]:
    """What stands at the head of a report. Not escaped."""
    closure = found.closure
    rules = Counter(finding.rule for finding in found.report.findings)
    yield "code", closure.digest
    yield "model", found.reference + (f" at {found.revision}" if found.revision else "")
    yield from (("also from", f"{name} at {commit}") for name, commit in closure.repositories)
    yield from (("entry", f"{entry.why} → {entry.target}") for entry in closure.entries)
    yield from (("file", f"{file.name} ({len(file.source):,} bytes)") for file in closure.files)
    yield "imports", ", ".join(found.third_party) or "the standard library only"
    yield "findings", ", ".join(f"{rule} {number}" for rule, number in rules.most_common()) or "none"


def _findings(found: Audit, out: Console, names: set[str]) -> None:
    for file in found.report.files:
        for finding in file.findings if file.path in names else ():
            style = "bold red" if finding.severity >= Severity.HIGH else ""
            out.print(f"{finding.severity!s:<10}{finding.location}  [{finding.rule}]", style=style, soft_wrap=True)
            for line in (finding.message, *finding.evidence):
                out.print(f"{'':<10}{escape(line, limit=2_000)}", soft_wrap=True)
            out.print()


def _differences(differing: tuple[Change, ...], out: Console) -> None:
    if not differing:
        out.print("the same code")
    for change in differing:
        out.print(f"{change.kind}: {escape(change.name)}", style="bold", soft_wrap=True)
        for line in change.diff:
            style = "green" if line.startswith("+") else "red" if line.startswith("-") else ""
            out.print(escape(line, limit=2_000), style=style, soft_wrap=True)
        out.print()


def _document(found: Audit, differing: tuple[Change, ...] | None) -> dict[str, object]:
    from safeload.reporters import json

    closure = found.closure
    document: dict[str, object] = {
        "schema": "safeload.audit/1",
        "reference": found.reference,
        "revision": found.revision,
        "closure": closure.digest,
        "entries": [{"why": e.why, "target": e.target, "file": e.file} for e in closure.entries],
        "repositories": dict(closure.repositories),
        "imports": list(found.third_party),
        "report": json.document([found.report]),
    }
    if differing is not None:
        document["changes"] = [{"name": c.name, "kind": c.kind, "diff": list(c.diff)} for c in differing]
    return document
