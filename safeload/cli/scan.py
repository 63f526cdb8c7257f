"""`safeload scan PATH…`"""

from __future__ import annotations

import argparse
import sys

from safeload.cli.output import waiting
from safeload.core.errors import SafeloadError
from safeload.core.finding import Report


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file, a directory, or a model on the hub")
    parser.add_argument("--revision", metavar="REV", help="for models on the hub: a commit, branch or tag")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")


def run(parsed: argparse.Namespace) -> int:
    """Scan every target, then print one report. The exit code is that of the worst file."""
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
                reports.append(scan(path, request=request))
        except SafeloadError as error:  # the other targets are still worth looking at; the error is part of the report
            errors.append(error)
    find("json" if parsed.json else "terminal").write(reports, errors, sys.stdout)
    return code(reports, errors)
