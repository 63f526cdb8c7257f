"""`safeload diff A B`"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from safeload.cli.output import waiting
from safeload.core.names import escape


def arguments(parser: argparse.ArgumentParser) -> None:
    what = "a lock file, a directory, or a model on the hub (org/name, hf://org/name@revision)"
    parser.add_argument("before", metavar="A", help=what)
    parser.add_argument("after", metavar="B", help="the same")
    parser.add_argument("--offline", action="store_true", help="use what the hub's cache holds; connect to nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")


def run(parsed: argparse.Namespace) -> int:
    """Print what differs. Code 1 if anything does."""
    from safeload.engine.diff import diff
    from safeload.engine.request import Access

    with waiting("comparing"):
        changes = diff(parsed.before, parsed.after, access=Access(local_files_only=parsed.offline))
    if parsed.json:
        from safeload.reporters.json import dump

        dump({"schema": "safeload.diff/1", "changes": [asdict(one) for one in changes]}, sys.stdout)
    else:
        for one in changes:
            sign = "+" if not one.before else "-" if not one.after else "~"
            print(f"{sign} {escape(one.model)} {escape(one.what)}")
            for mark, text in (("-", one.before), ("+", one.after)):
                if text:
                    print(f"    {mark} {escape(text)}")
    return 1 if changes else 0
