"""`safeload approve REF --criteria safe-to-run --as NAME`"""

from __future__ import annotations

import argparse
import sys
from datetime import date
from typing import TYPE_CHECKING

from safeload.cli.keys import passphrase_arguments
from safeload.cli.output import note, waiting
from safeload.core.names import escape

if TYPE_CHECKING:
    from safeload.engine.audit.approve import Approval


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REF", help="a directory, a model on the hub, or a file of Python")
    parser.add_argument("--revision", metavar="REV", help="for models on the hub: a commit, branch or tag")
    parser.add_argument(
        "--code-revision", metavar="REV", help="at which revision the code of other repositories is taken"
    )
    parser.add_argument(
        "--criteria",
        metavar="NAME",
        action="append",
        required=True,
        help="safe-to-import, safe-to-run, safe-to-deploy, or one's own",
    )
    parser.add_argument("--as", dest="who", metavar="NAME", required=True, help="who read the code")
    parser.add_argument("--note", metavar="TEXT", default="", help="anything worth knowing, in a sentence")
    parser.add_argument(
        "--unfollowed",
        metavar="FILE:LINE",
        action="append",
        default=[],
        help="a place that cannot be followed by reading, and that you looked at",
    )
    parser.add_argument(
        "--closure", metavar="h1:…", default="", help="the code that you read, so that nothing else can be approved"
    )
    parser.add_argument("--from", dest="base", metavar="h1:…", default="", help="you read only what changed since this")
    parser.add_argument("--expires", metavar="DAY", type=_day, help="the last day on which it counts")
    parser.add_argument("--exempt", action="store_true", help="nobody read it yet; needs --expires")
    parser.add_argument("--key", metavar="NAME|PEM", help="sign the record with this key")
    passphrase_arguments(parser)
    parser.add_argument("--audits", metavar="FILE", help="this file (default: the project's audits.toml)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day such as 2027-03-31") from None


def run(parsed: argparse.Namespace) -> int:
    """Write the record, and print what it approves."""
    from safeload.cli.sign import private_key
    from safeload.engine.audit.approve import approve
    from safeload.engine.options import Options
    from safeload.engine.request import Request

    key = private_key(parsed) if parsed.key else None
    with waiting(f"reading the code of {parsed.reference}"):
        done = approve(
            parsed.reference,
            criteria=parsed.criteria,
            who=parsed.who,
            unfollowed_named=parsed.unfollowed,
            closure=parsed.closure,
            base=parsed.base,
            expires=parsed.expires,
            note=parsed.note,
            exempt=parsed.exempt,
            key=key,
            request=Request(revision=parsed.revision, code_revision=parsed.code_revision),
            options=Options(audits=parsed.audits),
        )
    if parsed.json:
        from safeload.reporters.json import dump

        dump(_document(done), sys.stdout)
    else:
        _print(done)
    return 0


def _document(done: Approval) -> dict[str, object]:
    audit = done.audit
    return {
        "schema": "safeload.approval/1",
        "audits": done.path,
        "closure": audit.closure,
        "from": audit.base,
        "who": audit.who,
        "criteria": sorted(audit.criteria),
        "entries": sorted(audit.entries),
        "imports": sorted(audit.imports),
        "unfollowed": sorted(audit.unfollowed),
        "files": dict(audit.files),
        "signed": done.signed,
        "approved": bool(done.answer.approvals),
        "reasons": list(done.answer.reasons),
    }


def _print(done: Approval) -> None:
    audit = done.audit
    print(f"{escape(audit.who)} approves {audit.closure} as {', '.join(sorted(audit.criteria))}")
    for label, names in (
        ("file", audit.files),
        ("entry", audit.entries),
        ("imports", audit.imports),
        ("unfollowed", audit.unfollowed),
    ):
        for name in sorted(names):
            print(f"  {label:<11}{escape(name)}")
    print(f"written to {escape(done.path)}")
    if not done.signed:
        note("it is not signed, so it is only as strong as the file it stands in: --key NAME signs it")
    if not done.answer.approvals:
        print("the code is not approved yet")
        for reason in done.answer.reasons:
            print(f"  {reason}")
