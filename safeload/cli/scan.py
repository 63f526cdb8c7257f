"""`safeload scan PATH…`"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from safeload.cli.output import show_error, waiting
from safeload.core.errors import SafeloadError
from safeload.core.finding import Report

if TYPE_CHECKING:
    from safeload.engine.request import Request


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file, a directory, or a model on the hub")
    parser.add_argument("--revision", metavar="REV", help="for models on the hub: a commit, branch or tag")
    parser.add_argument("--with", dest="second", choices=["fickling"], help="ask another analyser as well")
    parser.add_argument("--explain", action="store_true", help="say what would run, in order, with its arguments")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")


def run(parsed: argparse.Namespace) -> int:
    """Scan every target, then print one report. The exit code is that of the worst file."""
    from safeload.engine.options import Options
    from safeload.engine.request import Request
    from safeload.engine.scan import scan
    from safeload.reporters import find
    from safeload.reporters.base import code

    request = Request(revision=parsed.revision) if parsed.revision else None
    reports: list[Report] = []
    errors: list[SafeloadError] = []
    for path in parsed.paths:
        try:
            with waiting(f"scanning {path}"):
                reports.append(scan(path, request=request, options=Options(second_opinion=bool(parsed.second))))
        except SafeloadError as error:  # the other targets are still worth looking at; the error is part of the report
            errors.append(error)
    if parsed.explain:
        return _explain(parsed, request, reports, errors)
    find("json" if parsed.json else "terminal").write(reports, errors, sys.stdout)
    return code(reports, errors)


def _explain(
    parsed: argparse.Namespace, request: Request | None, reports: list[Report], errors: list[SafeloadError]
) -> int:
    """What each file would do, instead of the table. The exit code is that of the scan."""
    from safeload.cli.explain import write_json, write_text
    from safeload.engine.explain import explain
    from safeload.reporters.base import code

    write = write_json if parsed.json else write_text
    write([file for report in reports for file in explain(report.target, request=request)], sys.stdout)
    for error in errors:
        show_error(error)
    return code(reports, errors)
