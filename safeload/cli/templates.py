"""`safeload templates REF`"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from safeload.cli.output import note, waiting
from safeload.core.finding import Severity
from safeload.core.names import escape

if TYPE_CHECKING:
    from rich.console import Console

    from safeload.engine.templates import Found, Template

_LONGEST_LINE = 2_000


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REF", help="a directory, a file, or a model on the hub")
    parser.add_argument("--revision", metavar="REV", help="for models on the hub: a commit, branch or tag")
    parser.add_argument("--subfolder", metavar="DIR", default="", help="the model lies in this folder of REF")
    parser.add_argument(
        "--against", metavar="REF", help="compare with a template that you trust: a file, a directory or a model"
    )
    parser.add_argument("--against-revision", metavar="REV", help="the revision of that one")
    parser.add_argument("--show", action="store_true", help="print the templates, with what is not shown spelled out")
    parser.add_argument("--offline", action="store_true", help="use what the hub's cache holds; connect to nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(parsed: argparse.Namespace) -> int:
    """Print each template. The exit code is that of a scan of them; 1 if one differs from what it was compared with."""
    from safeload.engine.request import Access, Request
    from safeload.engine.templates import differences, find_templates

    access = Access(local_files_only=parsed.offline)
    with waiting(f"reading the templates of {parsed.reference}"):
        request = Request(revision=parsed.revision, subfolder=parsed.subfolder, access=access)
        found = find_templates(parsed.reference, request=request)
        differing: Mapping[str, tuple[str, ...]] | None = None
        if parsed.against is not None:
            asked = Request(revision=parsed.against_revision, access=access)
            differing = differences(find_templates(parsed.against, request=asked), found)
    if parsed.json:
        _dump(found, differing)
    else:
        _show(found, differing, whole=parsed.show)
    return found.status.exit_code or int(bool(differing))


def _show(found: Found, differing: Mapping[str, tuple[str, ...]] | None, *, whole: bool) -> None:
    from safeload.reporters._screen import console

    out = console(sys.stdout)
    for path in found.skipped:
        note(f"not looked into, because it would have to be fetched first: {escape(path)}")
    for fault in found.faults:
        out.print(f"undecided {fault.location}: {escape(fault.message, _LONGEST_LINE)}", style="bold", soft_wrap=True)
    if not found.templates:
        note(f"{escape(found.reference)} has no chat template")
    for template in found.templates:
        _one(template, found, out)
        if whole:
            _text(template, out)
        lines = None if differing is None else differing.get(str(template.location))
        if differing is not None and lines is None:
            out.print(f"{'':<10}the same as the one it was compared with", soft_wrap=True)
        for line in lines or ():
            style = "green" if line.startswith("+") else "red" if line.startswith("-") else ""
            out.print(escape(line, _LONGEST_LINE), style=style, soft_wrap=True)
        out.print()


def _one(template: Template, found: Found, out: Console) -> None:
    out.print(
        f"{template.status!s:<10}{template.location}  ({escape(template.name, 80)})", style="bold", soft_wrap=True
    )
    out.print(f"{'sha256':<10}{template.sha256}", soft_wrap=True)
    if template.known:
        for known in template.known:
            out.print(f"{'known':<10}{known.name}: {known.source}", soft_wrap=True)
    elif found.expected:
        names = ", ".join(known.name for known in found.expected)
        out.print(
            f"{'known':<10}no: it is none of {names}, which are for {escape(found.model_type, 80)}", soft_wrap=True
        )
    for finding in template.findings:
        style = "bold red" if finding.severity >= Severity.HIGH else ""
        out.print(f"{finding.severity!s:<10}{finding.message}  [{finding.rule}]", style=style, soft_wrap=True)
        for line in finding.evidence:
            out.print(f"{'':<10}{escape(line, _LONGEST_LINE)}", soft_wrap=True)


def _text(template: Template, out: Console) -> None:
    for number, line in enumerate(template.text.splitlines(), 1):
        out.print(f"{number:>6}  {escape(line, 1 << 20)}", soft_wrap=True)


def _dump(found: Found, differing: Mapping[str, tuple[str, ...]] | None) -> None:
    from safeload.reporters.json import dump

    document: dict[str, object] = {
        "schema": "safeload.templates/1",
        "reference": found.reference,
        "model_type": found.model_type or None,
        "status": str(found.status),
        "skipped": list(found.skipped),
        "unreadable": [{"place": str(one.location), "message": one.message} for one in found.faults],
        "templates": [
            {
                "place": str(one.location),
                "name": one.name,
                "sha256": one.sha256,
                "status": str(one.status),
                "known": [{"name": known.name, "source": known.source} for known in one.known],
                "findings": [
                    {
                        "rule": finding.rule,
                        "status": str(finding.status),
                        "severity": str(finding.severity),
                        "message": finding.message,
                        "evidence": list(finding.evidence),
                        "taxonomy": list(finding.taxonomy),
                    }
                    for finding in one.findings
                ],
            }
            for one in found.templates
        ],
        "expected": [known.name for known in found.expected],
    }
    if differing is not None:
        document["differences"] = {place: list(lines) for place, lines in differing.items()}
    dump(document, sys.stdout)
