"""`safeload policy init|check|explain`"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from safeload.cli.output import note, waiting
from safeload.core.names import escape

if TYPE_CHECKING:
    from safeload.engine.explain_policy import Explanation
    from safeload.engine.options import Options


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    begin = actions.add_parser("init", help="write a safeload.toml to begin with", allow_abbrev=False)
    begin.add_argument("--strict", action="store_true", help="only locked models, only safetensors and GGUF, no code")
    begin.add_argument("--into", metavar="FILE", help="write it there (default: at the root of the project)")
    checking = actions.add_parser("check", help="read every policy file and lock that counts here", allow_abbrev=False)
    explaining = actions.add_parser(
        "explain", help="which rule applies to a model, what was found, what is missing", allow_abbrev=False
    )
    explaining.add_argument("reference", metavar="REF", help="a model on the hub, or a directory")
    explaining.add_argument("--revision", metavar="REV", help="for models on the hub: a commit, branch or tag")
    explaining.add_argument("--offline", action="store_true", help="use what the hub's cache holds")
    for action in (checking, explaining):
        action.add_argument("--policy", metavar="FILE", help="this policy instead of the project's safeload.toml")
        action.add_argument("--lock", metavar="FILE", help="this lock (default: the project's and $SAFELOAD_LOCK)")
        action.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    for action, act in ((begin, _init), (checking, _check), (explaining, _explain)):
        action.set_defaults(act=act)


def run(parsed: argparse.Namespace) -> int:
    """Do what the action says. `explain` ends with code 1 if the model may not load."""
    code: int = parsed.act(parsed)
    return code


def _options(parsed: argparse.Namespace) -> Options:
    from safeload.engine.options import Options

    return Options(lock=parsed.lock, **({"policy": parsed.policy} if parsed.policy else {}))


def _init(parsed: argparse.Namespace) -> int:
    from safeload.engine.explain_policy import init

    print(init(parsed.into, strict=parsed.strict))
    return 0


def _check(parsed: argparse.Namespace) -> int:
    from safeload.engine.explain_policy import check

    policies, locks = check(_options(parsed))
    if parsed.json:
        from safeload.reporters.json import dump

        rows = [
            {"layer": one.layer, "file": one.file, "rules": len(one.rules), "signers": sorted(one.signers)}
            for one in policies
        ]
        dump({"schema": "safeload.policy/1", "policies": rows, "locks": list(locks)}, sys.stdout)
        return 0
    for one in policies:
        print(f"{one.layer:<8} {escape(one.file)}: {len(one.rules)} rules, {len(one.signers)} signers")
    for path in locks:
        print(f"lock     {escape(path)}")
    if not policies:
        note("there is no policy file here; the defaults hold: safeload policy init")
    return 0


def _explain(parsed: argparse.Namespace) -> int:
    from safeload.engine.explain_policy import explain_policy
    from safeload.engine.request import Access, Request

    request = Request(revision=parsed.revision, access=Access(local_files_only=parsed.offline))
    with waiting(f"looking at {parsed.reference}"):
        said = explain_policy(parsed.reference, request=request, options=_options(parsed))
    if parsed.json:
        from safeload.reporters.json import dump

        dump(_data(said), sys.stdout)
    else:
        _tell(said)
    return 0 if said.verdict.allowed else 1


def _tell(said: Explanation) -> None:
    from safeload.engine.explain_policy import told

    print(f"{escape(said.reference)} is {', '.join(map(escape, said.names))}" + _at(said.revision))
    for layer in said.layers:
        applied = layer.applied
        which = f"match {escape(applied.pattern)!r}" if applied.rule else "no rule matches"
        print(f"{applied.policy.layer}: {escape(applied.place)} ({which}): {_word(layer.verdict.allowed)}")
        print("  " + "; ".join(f"{key} {escape(value)}" for key, value in told(layer.applied)))
    if not said.layers:
        print("no policy file: the defaults hold")
    for path, named in said.locks:
        print(f"lock {escape(path)}: {'names it' if named else 'does not name it'}")
    for one in said.found.signatures:
        print(f"signed by {escape(one.signer)} ({escape(one.identity)}), {len(one.covers)} files: {escape(one.bundle)}")
    for failure in said.found.failures:
        print(f"not counted: {failure}")
    for reason in said.missing:
        print(f"refused: {reason.message}")
        print(f"  next: {reason.remedy}")
    if said.verdict.allowed:
        print("nothing that policies and locks ask for is missing; files are judged when they load")


def _at(revision: str | None) -> str:
    return f" at {revision}" if revision else ""


def _word(allowed: bool) -> str:
    return "allows" if allowed else "refuses"


def _data(said: Explanation) -> dict[str, Any]:
    from safeload.engine.explain_policy import told
    from safeload.reporters.json import verdict_data

    return {
        "schema": "safeload.explanation/1",
        "reference": said.reference,
        "names": list(said.names),
        "revision": said.revision,
        "tree": said.model.tree,
        "layers": [
            {
                "layer": one.applied.policy.layer,
                "place": one.applied.place,
                "match": one.applied.pattern or None,
                "settings": dict(told(one.applied)),
                "allowed": one.verdict.allowed,
            }
            for one in said.layers
        ],
        "locks": [{"lock": path, "names_it": named} for path, named in said.locks],
        "signatures": [
            {"signer": one.signer, "identity": one.identity, "bundle": one.bundle, "covers": len(one.covers)}
            for one in said.found.signatures
        ],
        "not_counted": list(said.found.failures),
        "verdict": verdict_data(said.verdict),
    }
