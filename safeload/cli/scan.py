"""`safeload scan PATH…`

In four steps, one function each: what was asked for, what is there, what of it is accepted, and the report.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from safeload.cli.output import note, replaced, scanning, show_error
from safeload.core.errors import SafeloadError, UsageError
from safeload.core.finding import Finding, Report, Status
from safeload.core.frozen import Frozen, fresh, replace
from safeload.core.names import escape
from safeload.reporters import names

if TYPE_CHECKING:
    from safeload.engine.explain import Explanation
    from safeload.engine.options import Options
    from safeload.engine.scanning.accepted import Accepted
    from safeload.engine.scanning.baseline import Baseline
    from safeload.engine.scanning.rulebook import Selection
    from safeload.engine.scanning.triage import Triaged
    from safeload.reporters.base import About, Reporter

_STANDARD_INPUT = "-"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a file, a directory, a model on the hub, an address (hf:, https:, s3:, gs:), or - for standard input",
    )
    parser.add_argument("--revision", metavar="REV", help="for models on the hub: a commit, branch or tag")
    parser.add_argument("--stdin-name", metavar="NAME", help="what the file on standard input is called")
    shown = parser.add_argument_group("what is shown")
    shown.add_argument("--format", choices=names(), metavar="FORMAT", help=f"one of: {', '.join(names())}")
    shown.add_argument("--explain", action="store_true", help="say what would run, in order, with its arguments")
    shown.add_argument("--json", action="store_true", help="the same as --format json")
    shown.add_argument("-o", "--output", metavar="FILE", help="write the report there, whole or not at all")
    shown.add_argument(
        "--select", metavar="RULE", action="append", default=[], help="show only these rules, by id or its beginning"
    )
    shown.add_argument(
        "--ignore", metavar="RULE", action="append", default=[], help="do not show these; they still count"
    )
    shown.add_argument("--show-accepted", action="store_true", help="show known and suppressed findings too")
    accepted = parser.add_argument_group("what is accepted")
    accepted.add_argument("--baseline", metavar="FILE", help="findings in it are known: only new ones fail")
    accepted.add_argument("--write-baseline", metavar="FILE", help="write a baseline of what is found now")
    accepted.add_argument(
        "--policy", metavar="FILE", help="take [[suppress]] from this file, not from the nearest safeload.toml"
    )
    accepted.add_argument("--no-policy", action="store_true", help="suppress nothing")
    parser.add_argument("--no-cache", action="store_true", help="remember nothing, and read every file again")
    parser.add_argument("--workers", metavar="N", type=int, help="processes that read files; by default one per core")
    parser.add_argument(
        "--with",
        choices=["fickling", "detect-secrets"],
        action="append",
        default=[],
        help="ask another analyser as well: fickling about pickles, detect-secrets about texts",
    )
    parser.add_argument("--watch", action="store_true", help="scan what arrives in a folder, until interrupted")


def run(parsed: argparse.Namespace) -> int:
    """Scan every target, then print one report. The exit code is that of the worst file, without what is accepted."""
    parsed.json = parsed.json or parsed.format == "json"
    if parsed.watch:
        from safeload.cli.watching import watch

        return watch(parsed)
    asked = _asked(parsed)
    if parsed.explain:
        return _explain(parsed)
    reports, errors = _reports(parsed, asked)
    triaged = _triaged(parsed, asked, reports)
    about = _about(parsed, triaged)
    _write(parsed, asked.reporter, triaged, errors, about)
    return triaged.exit_code(errors)


class _Asked(Frozen):
    """What was asked for. Everything that can be refused is refused while this is made, before a file is read."""

    reporter: Reporter
    selection: Selection
    baseline: Baseline | None
    accepted: Accepted
    digests: Status | None
    notes: list[str] = fresh(factory=list)
    """What the scan itself says, such as how much of a remote model was read."""


def _asked(parsed: argparse.Namespace) -> _Asked:
    from safeload.engine.scanning.accepted import Accepted, accepted
    from safeload.engine.scanning.naming import require_outside
    from safeload.engine.scanning.rulebook import Selection
    from safeload.reporters import find

    targets = [path for path in parsed.paths if path != _STANDARD_INPUT]
    _require_sense(parsed)
    reporter = find("json" if parsed.json else parsed.format or "terminal")
    selection = Selection(select=_listed(parsed.select), ignore=_listed(parsed.ignore))
    for option, path in (("--baseline", parsed.baseline), ("--write-baseline", parsed.write_baseline)):
        if path is not None:
            require_outside(path, targets, option)
    baseline = None
    if parsed.baseline is not None:
        from safeload.engine.scanning.baseline import read_baseline

        baseline = read_baseline(parsed.baseline)
    found = Accepted() if parsed.no_policy else accepted(targets, policy=parsed.policy, start=os.getcwd())
    digests = _digests(parsed, reporter.name, found)
    return _Asked(reporter=reporter, selection=selection, baseline=baseline, accepted=found, digests=digests)


def _require_sense(parsed: argparse.Namespace) -> None:
    """Raise `UsageError` for options that contradict each other or ask for nothing."""
    if parsed.paths.count(_STANDARD_INPUT) > 1:
        raise UsageError("standard input was not scanned", why="it can be read once", remedy="name - once")
    if parsed.stdin_name is not None and _STANDARD_INPUT not in parsed.paths:
        raise UsageError("--stdin-name was not used", why="no target is -", remedy="safeload scan - --stdin-name NAME")
    if parsed.json and parsed.format not in (None, "json"):
        raise UsageError(f"--json and --format {parsed.format} contradict each other", remedy="leave one of them out")
    if parsed.explain:
        _require_explicable(parsed)
    if parsed.policy is not None and parsed.no_policy:
        raise UsageError("--policy and --no-policy contradict each other", remedy="leave one of them out")
    for option, path in (("--output", parsed.output), ("--write-baseline", parsed.write_baseline)):
        for target in parsed.paths:
            if path is not None and os.path.exists(path) and os.path.exists(target) and os.path.samefile(path, target):
                raise UsageError(f"{option} {escape(path)} was not used", why="it would replace what is scanned")


def _require_explicable(parsed: argparse.Namespace) -> None:
    """Raise `UsageError` for what --explain cannot honour: it prints all that it knows, of files that are here."""
    unused = ["output", "baseline", "write_baseline", "select", "ignore", "show_accepted"]
    for name in unused:
        if getattr(parsed, name):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"--explain does not go with {option}", why="it prints all", remedy="leave one out")
    if parsed.format not in (None, "json", "terminal"):
        raise UsageError(
            f"--explain does not go with --format {escape(parsed.format)}",
            why="it is for people, or with --json for programs",
            remedy="leave --format out",
        )


def _listed(texts: list[str]) -> tuple[str, ...]:
    return tuple(part.strip() for text in texts for part in text.split(","))


def _digests(parsed: argparse.Namespace, format: str, accepted: Accepted) -> Status | None:
    """Which files need their digest: all for a bill of materials, else those that something binds to their bytes."""
    if format == "cyclonedx":
        return Status.SAFE
    bound = parsed.baseline is not None or parsed.write_baseline is not None
    bound = bound or any(entry.sha256 is not None for entry in accepted.entries)
    return Status.UNVERIFIED if bound else None


def _reports(parsed: argparse.Namespace, asked: _Asked) -> tuple[list[Report], list[SafeloadError]]:
    """The report on each target. An error of one is kept for the end: the others are still worth looking at."""
    reports: list[Report] = []
    errors: list[SafeloadError] = []
    for path in parsed.paths:
        try:
            reports.append(_report(path, parsed, asked))
        except SafeloadError as error:
            errors.append(error)
    return reports, errors


def _report(path: str, parsed: argparse.Namespace, asked: _Asked) -> Report:
    from safeload.engine.scan import scan, scan_stream

    with scanning(path) as progress:
        if path == _STANDARD_INPUT:
            return scan_stream(
                sys.stdin.buffer,
                name="stdin" if parsed.stdin_name is None else parsed.stdin_name,
                options=_options(parsed),
                digests=asked.digests,
            )
        request = None  # which is made only if something is asked for: that takes time
        if parsed.revision:
            from safeload.engine.request import Request

            request = Request(revision=parsed.revision)
        return scan(
            path,
            options=_options(parsed),
            request=request,
            digests=asked.digests,
            progress=progress,
            workers=parsed.workers,
            cache=not parsed.no_cache,
            note=asked.notes.append,
        )


def _options(parsed: argparse.Namespace) -> Options | None:
    """Which other analysers are asked; nothing is made if none is: that takes time."""
    asked: list[str] = getattr(parsed, "with")
    if not asked:
        return None
    from safeload.engine.options import Options

    return Options(second_opinion="fickling" in asked, secret_opinion="detect-secrets" in asked)


def _triaged(parsed: argparse.Namespace, asked: _Asked, reports: list[Report]) -> Triaged:
    """What is accepted of what was found; written as a baseline first, if that was asked for."""
    from safeload.engine.scanning.triage import Kind, triage

    decide = partial(
        triage,
        reports,
        selection=asked.selection,
        suppressions=asked.accepted.entries,
        folder=asked.accepted.folder,
    )
    triaged = decide(baseline=asked.baseline)
    if parsed.write_baseline is not None:
        from safeload.engine.scanning.baseline import read_baseline, written

        leave = {key for key, aside in triaged.aside.items() if aside.kind is Kind.SUPPRESSED}
        folder = os.path.dirname(os.path.abspath(parsed.write_baseline))
        text, count = written(reports, folder, leave)
        with replaced(parsed.write_baseline) as stream:
            stream.write(text)
        note(f"{parsed.write_baseline}: {count:,} known findings; dangerous ones are never among them")
        triaged = decide(baseline=read_baseline(parsed.write_baseline))
    return replace(triaged, notes=(*asked.accepted.notes, *asked.notes, *triaged.notes))


def _about(parsed: argparse.Namespace, triaged: Triaged) -> About:
    """What reporters may know beside the reports."""
    from safeload import __version__
    from safeload.engine.scanning.naming import Names
    from safeload.engine.scanning.rulebook import Cards
    from safeload.reporters.base import About

    return About(
        version=__version__,
        rules=Cards(),
        aside=triaged.aside,
        notes=triaged.notes,
        name=Names(os.getcwd()).of,
        fingerprint=_fingerprint,
        all=parsed.show_accepted,
    )


def _fingerprint(name: str, finding: Finding) -> str:
    from safeload.engine.scanning.baseline import fingerprint

    return fingerprint(name, finding)


def _write(
    parsed: argparse.Namespace, reporter: Reporter, triaged: Triaged, errors: list[SafeloadError], about: About
) -> None:
    if parsed.output is None:
        reporter.write(triaged.reports, errors, sys.stdout, about)
        return
    from safeload.reporters.base import count

    with replaced(parsed.output) as stream:
        reporter.write(triaged.reports, errors, stream, about)
    words = ", ".join(f"{number:,} {status}" for status, number in count(triaged.reports).items()) or "no files"
    note(f"{words}; written to {parsed.output}")


def _explain(parsed: argparse.Namespace) -> int:
    """What each file would do, instead of the table. The exit code is that of the worst, as for a scan."""
    from safeload.cli.explain import write_json, write_text
    from safeload.engine.explain import explain, explain_stream
    from safeload.engine.request import Request
    from safeload.reporters.base import code

    options = _options(parsed)
    request = Request(revision=parsed.revision) if parsed.revision else None
    explained: list[Explanation] = []
    errors: list[SafeloadError] = []
    for path in parsed.paths:
        try:
            with scanning(path):
                if path == _STANDARD_INPUT:
                    name = "stdin" if parsed.stdin_name is None else parsed.stdin_name
                    explained.append(explain_stream(sys.stdin.buffer, name=name, options=options))
                else:
                    explained += explain(path, options=options, request=request)
        except SafeloadError as failure:
            errors.append(failure)
    write = write_json if parsed.json else write_text
    write(explained, sys.stdout)
    for error in errors:
        show_error(error)
    return code([Report(target="", files=tuple(one.report for one in explained))], errors)
