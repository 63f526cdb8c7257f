"""`safeload lock [REF …]`"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from safeload.cli.output import note, waiting
from safeload.core.names import escape

if TYPE_CHECKING:
    from safeload.engine.lock import Locked


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "references", nargs="*", metavar="REF", help="a model on the hub, or a directory; without any, all in the lock"
    )
    parser.add_argument("--revision", metavar="REV", help="for models on the hub: a commit, branch or tag")
    parser.add_argument("--upgrade", action="store_true", help="let entries change, and follow their branch or tag")
    parser.add_argument("--downgrade", action="store_true", help="with --upgrade: let them go back to an earlier state")
    parser.add_argument("--check", action="store_true", help="change nothing; code 1 if a model is not what is locked")
    parser.add_argument("--from-cache", action="store_true", help="use what the hub's cache holds; connect to nothing")
    parser.add_argument("--lock", metavar="FILE", help="this lock (default: $SAFELOAD_LOCK, else the project's)")
    parser.add_argument("--policy", metavar="FILE", help="this policy instead of the project's safeload.toml")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(parsed: argparse.Namespace) -> int:
    """Lock, or check. Code 1 if a check finds a difference."""
    from safeload.engine.lock import lock
    from safeload.engine.options import Options

    options = Options(lock=parsed.lock, **({"policy": parsed.policy} if parsed.policy else {}))
    with waiting("locking"):
        path, done = lock(
            *parsed.references,
            revision=parsed.revision,
            upgrade=parsed.upgrade,
            downgrade=parsed.downgrade,
            check=parsed.check,
            from_cache=parsed.from_cache,
            options=options,
        )
    if parsed.json:
        from safeload.reporters.json import dump

        dump({"schema": "safeload.lock/1", "lock": path, "models": [_data(one) for one in done]}, sys.stdout)
    else:
        for one in done:
            _tell(one)
        if not done:
            note(f"{path} holds no models: safeload lock REF")
    return 1 if any(one.outcome == "differs" for one in done) else 0


def _tell(one: Locked) -> None:
    for text in one.notes:
        note(text)
    model = one.model
    signers = sorted({f"{signature.signer} ({signature.identity})" for signature in model.signatures})
    what = f"{len(model.files)} files, {model.tree}"
    print(f"{one.outcome}: {escape(model.id)} {model.revision[:12]} {what}".replace("  ", " "))
    print(f"  signed by {escape(', '.join(signers))}" if signers else "  signed by nobody that the policy names")
    for difference in one.differences:
        print(f"  {difference.kind}: {difference.message}")
        print(f"    next: {difference.remedy}")


def _data(one: Locked) -> dict[str, object]:
    model = one.model
    return {
        "id": model.id,
        "outcome": one.outcome,
        "requested": model.requested,
        "revision": model.revision,
        "tree": model.tree,
        "files": len(model.files),
        "signers": [
            {"signer": one.signer, "identity": one.identity, "bundle": one.bundle, "covers": len(one.covers)}
            for one in model.signatures
        ],
        "differences": [
            {"kind": one.kind, "file": one.file, "message": one.message, "next": one.remedy} for one in one.differences
        ],
        "notes": list(one.notes),
    }
