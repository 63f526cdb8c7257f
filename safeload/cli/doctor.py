"""`safeload doctor`"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from safeload.engine.doctor import Diagnosis
    from safeload.guarding.about import About


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")


def run(parsed: argparse.Namespace) -> int:
    """Look at this machine. The exit code is 1 if there is a problem."""
    from safeload.engine.doctor import diagnose
    from safeload.guarding.about import about

    diagnosis, guard = diagnose(), about(os.environ)
    if parsed.json:
        _json(diagnosis, guard)
    else:
        _text(diagnosis, guard)
    return diagnosis.exit_code


def _json(diagnosis: Diagnosis, guard: About) -> None:
    from safeload.reporters.json import dump

    notes = [
        {"grade": note.grade.value, "what": note.what, "why": note.why, "next": note.remedy} for note in diagnosis.notes
    ]
    data = {
        "schema": "safeload.doctor/1",
        "versions": dict(diagnosis.versions),
        "limits": dict(diagnosis.limits),
        "store": diagnosis.store,
        "integrity": dict(diagnosis.integrity),
        "guard": {
            "here": guard.here,
            "possible": guard.possible,
            "why": guard.why,
            "libraries": {
                name: {"installed": found, "oldest": oldest} for name, (found, oldest) in guard.libraries.items()
            },
        },
        "notes": notes,
    }
    dump(data, sys.stdout)


def _text(diagnosis: Diagnosis, guard: About) -> None:
    from rich.text import Text

    from safeload.reporters._screen import console

    out = console(sys.stdout)

    def row(left: str, right: str, style: str = "") -> None:
        out.print(Text.assemble(f"  {left:<22}", (right, style)))

    out.print(Text("versions", style="bold"))
    for name, found in diagnosis.versions.items():
        row(name, found or "not installed", "" if found else "dim")
    out.print(Text("limits", style="bold"))
    for name, number in diagnosis.limits.items():
        row(name, f"{number:,}")
    out.print(Text("integrity", style="bold"))
    row("store", diagnosis.store)
    for name, works in diagnosis.integrity.items():
        row(name, "works here" if works else "does not work here", "green" if works else "dim")
    out.print(Text("guard", style="bold"))
    row("in this process", guard.here, "green" if guard.here != "off" else "dim")
    row("safeload run", "works here" if guard.possible else guard.why, "green" if guard.possible else "yellow")
    for name, (found, oldest) in guard.libraries.items():
        known = f"known from {oldest}" if oldest else "any version"
        row(name, f"{found}, {known}" if found else f"not installed, {known}", "" if found else "dim")
    out.print(Text("notes", style="bold"))
    for note in diagnosis.notes:
        out.print(Text.assemble("  ", (note.grade.value, "bold red" if note.grade.value == "problem" else "yellow")))
        for line in (note.what, note.why, f"next: {note.remedy}" if note.remedy else ""):
            if line:
                out.print(Text(f"    {line}"))
    if not diagnosis.notes:
        out.print(Text("  nothing found", style="green"))
