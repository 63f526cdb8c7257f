"""`safeload audit --check` and `--suggest`: what the records of audits say of one model, or of every locked one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from safeload.cli.output import note, waiting
from safeload.core.errors import UsageError
from safeload.core.names import escape

if TYPE_CHECKING:
    from safeload.engine.audit.check import Checked, Overview, Suggestion
    from safeload.engine.options import Options

_WEAK = "only as strong as the file it stands in"


def run(parsed: argparse.Namespace) -> int:
    """Exit code 0: all code is approved, or there is none; else 1."""
    from safeload.engine.options import Options

    if parsed.take:
        return _take(parsed)
    options = Options(audits=parsed.audits, **({"policy": parsed.policy} if parsed.policy else {}))
    if parsed.reference is not None:
        return _one(parsed, options)
    if not parsed.check or parsed.suggest or parsed.revision or parsed.code_revision:
        raise UsageError("nothing was checked", why="no model is named", remedy="safeload audit REF --suggest")
    return _all(parsed, options)


def _take(parsed: argparse.Namespace) -> int:
    """Add the records of another file. Exit code 0, also if there was nothing to add."""
    from safeload.engine.audit.approve import target
    from safeload.engine.audit.recording import take
    from safeload.engine.options import Options

    if parsed.reference is not None or parsed.check or parsed.suggest or parsed.revision or parsed.policy:
        raise UsageError("nothing was taken over", why="--take stands alone", remedy="safeload audit --take FILE")
    options = Options(audits=parsed.audits)
    path = target(options)
    audits, violations = take(path, parsed.take)
    if parsed.json:
        _dump({"schema": "safeload.audit-take/1", "audits": path, "added": audits, "violations": violations})
    else:
        print(f"{escape(path)}: {audits} audits and {violations} violations added")
    return 0


def _look(reference: str, revision: str | None, options: Options, code_revision: str | None = None) -> Checked:
    from safeload.engine.audit.check import check
    from safeload.engine.request import Request

    with waiting(f"reading the code of {reference}"):
        return check(reference, request=Request(revision=revision, code_revision=code_revision), options=options)


def _one(parsed: argparse.Namespace, options: Options) -> int:
    from safeload.engine.audit.check import suggest

    found = _look(parsed.reference, parsed.revision, options, parsed.code_revision)
    if parsed.json:
        _dump({"schema": "safeload.audit-check/1", **_document(found, suggest(found))})
    else:
        _print(found)
        if parsed.suggest and found.answer.wanted:
            _print_suggestion(found, suggest(found))
    return 0 if found.fine else 1


def _all(parsed: argparse.Namespace, options: Options) -> int:
    from safeload.engine.audit.check import locked_models, overview, suggest

    seen = overview(options)
    found = [_look(reference, revision, options) for reference, revision in locked_models(options)]
    if parsed.json:
        models = [_document(one, suggest(one)) for one in found]
        _dump({"schema": "safeload.audit-records/1", **_overview_document(seen), "models": models})
    else:
        _print_overview(seen)
        if not found:
            note("no lock names a model to check: safeload lock REF, or safeload audit REF --check")
        for one in found:
            _print(one, told=True)
    return 0 if all(one.fine for one in found) else 1


def _print(found: Checked, *, told: bool = False) -> None:
    if not found.has_code:
        note(f"{escape(found.reference)} brings no code along")
        return
    print(f"{'approved' if found.approved else 'not approved'}: {escape(found.reference)} {found.closure.digest}")
    for approval in found.answer.approvals:
        print(f"  {escape(approval.criteria)}, by {escape(approval.who)}")
    for reason in found.answer.reasons:
        print(f"  {reason}")
    for audit in found.exempted:
        note(f"{escape(audit.who)} exempted this code until {audit.expires}: that is not to say that anybody read it")
    for audit in () if told else found.unsigned:
        note(f"{escape(audit.who)}'s record is not signed by anybody a policy knows: it is {_WEAK}")
    if not found.approved:
        criteria = "".join(f" --criteria {escape(name)}" for name in found.answer.wanted)
        closure = found.closure.digest
        after = f"; then: safeload approve {escape(found.reference)} --closure {closure}{criteria} --as YOU"
        after = after if criteria else ""
        print(f"next: safeload audit {escape(found.reference)}{after}")


def _print_suggestion(found: Checked, suggestion: Suggestion) -> None:
    name = escape(found.reference)
    print(f"to read, {suggestion.bytes:,} bytes:")
    for file in suggestion.changed:
        print(f"  {escape(file)}")
    if (old := suggestion.audit) is None:
        print("no record approves anything that is like it")
        return
    print(f"that is all that changed since {escape(old.who)} approved {old.closure} [{escape(old.place)}]")
    if not old.revision:
        print("next: compare with what you have of that code, then")
    else:
        print(
            f"next: safeload audit {name} --against {escape(old.model)} --against-revision {escape(old.revision)}; then"
        )
    criteria = " ".join(f"--criteria {escape(name)}" for name in found.answer.wanted)
    print(f"      safeload approve {name} --closure {found.closure.digest} --from {old.closure} {criteria} --as YOU")


def _print_overview(seen: Overview) -> None:
    if not seen.records:
        print("no audits.toml counts here")
    for one in seen.records:
        kinds = {"audit": one.audits, "violation": one.violations, "publisher": one.publishers}
        counts = ((name, len(items)) for name, items in kinds.items() if items)
        said = ", ".join(f"{number} {name}{'s' * (number > 1)}" for name, number in counts) or "no records"
        print(f"{escape(one.file)}: {said}")
    if seen.unsigned:
        number = len(seen.unsigned)
        what = "1 audit is" if number == 1 else f"{number} audits are"
        note(f"{what} not signed by anybody a policy knows: {_WEAK}")
    for word, items in (("expired", seen.expired), ("expires", seen.ending)):
        for place, who, day in _dated(items):
            print(f"  {word} on {day}: {escape(who)} [{escape(place)}]")


def _dated(items: Iterable[Any]) -> Iterable[tuple[str, str, str]]:
    """Where each record stands, whose it is, and its last day."""
    for one in items:
        day = getattr(one, "expires", None) or one.end
        yield one.place, getattr(one, "who", None) or one.signer, str(day)


def _document(found: Checked, suggestion: Suggestion) -> dict[str, object]:
    old = suggestion.audit
    return {
        "reference": found.reference,
        "closure": found.closure.digest,
        "code": found.has_code,
        "approved": found.approved,
        "approvals": [{"criteria": one.criteria, "who": one.who} for one in found.answer.approvals],
        "reasons": list(found.answer.reasons),
        "wanted": list(found.answer.wanted),
        "unsigned": [audit.who for audit in found.unsigned],
        "exempted": [{"who": audit.who, "until": str(audit.expires)} for audit in found.exempted],
        "nearest": None if old is None else {"closure": old.closure, "who": old.who, "model": old.model},
        "to_read": list(suggestion.changed),
    }


def _overview_document(seen: Overview) -> dict[str, object]:
    return {
        "files": [one.file for one in seen.records],
        "unsigned": [audit.place for audit in seen.unsigned],
        "expired": [{"place": place, "who": who, "day": day} for place, who, day in _dated(seen.expired)],
        "expiring": [{"place": place, "who": who, "day": day} for place, who, day in _dated(seen.ending)],
    }


def _dump(document: dict[str, object]) -> None:
    from safeload.reporters.json import dump

    dump(document, sys.stdout)
