"""Explanations for people and for programs. What is foreign in them is escaped already, and is escaped here again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from safeload.cli.output import coloured
from safeload.core.finding import Finding, Status
from safeload.core.names import Location, escape

if TYPE_CHECKING:
    from safeload.engine.explain import Explanation, Step, Stream

VERSION = 1
"""Of the JSON document: it grows when a key changes its meaning or goes."""
_COLOUR = {Status.SAFE: "32", Status.UNVERIFIED: "33", Status.UNDECIDED: "35", Status.DANGEROUS: "1;31"}


def write_text(explanations: Iterable[Explanation], stream: TextIO) -> None:
    """One paragraph for each pickle: offset, verdict and step on each line; safe files without any are left out."""
    colour = coloured(stream)
    for explanation in explanations:
        report = explanation.report
        if not explanation.streams and not explanation.others:
            continue
        print(f"{_painted(escape(report.path), '1', colour)}: {_status(report.status, colour)}", file=stream)
        for one in explanation.streams:
            print(f"  {_heading(one)}", file=stream)
            for step in one.steps:
                for line in _lines(step, colour):
                    print(f"    {line}", file=stream)
            if one.source:
                print("    the same as Python, by fickling:", file=stream)
                for line in one.source.split("\n"):
                    print(f"      {escape(line, 2_000)}", file=stream)
        for finding in explanation.others:
            print(f"  {_status(finding.status, colour)}  {_place(finding.location)}", file=stream)
            print(f"    {escape(finding.message, 2_000)}  [{finding.rule}]", file=stream)
        print(file=stream)


def document(explanations: Sequence[Explanation]) -> dict[str, Any]:
    """The same as data for `json`, with every key that `docs/judgement.md` names."""
    return {
        "version": VERSION,
        "files": [
            {
                "path": explanation.report.path,
                "format": explanation.report.format,
                "status": str(explanation.report.status),
                "pickles": [_stream(one) for one in explanation.streams],
                "others": [_finding(finding) for finding in explanation.others],
            }
            for explanation in explanations
        ],
    }


def write_json(explanations: Sequence[Explanation], stream: TextIO) -> None:
    json.dump(document(explanations), stream, indent=2)
    stream.write("\n")


def _heading(one: Stream) -> str:
    roles = {"data": "", "nested": " (within another)", "trailing": " (behind the first)", "member": " (beside it)"}
    return f"the pickle at {_place(one.location)}{roles.get(one.role, f' ({one.role})')}, protocol {one.protocol}"


def _place(location: Location) -> str:
    """A place in the file that the paragraph is about."""
    parts = [escape(part) for part in (location.member, location.path) if part is not None]
    return " » ".join([*parts, *([f"byte {location.offset:,}"] if location.offset is not None else [])]) or "the file"


def _lines(step: Step, colour: bool) -> Iterable[str]:
    verdict = _status(step.status, colour)
    yield f"{step.offset:>10,}  {verdict}{' ' * (10 - len(str(step.status)))}  {escape(step.text, 2_000)}"
    indent = " " * 24
    if step.why:
        yield f"{indent}because {escape(step.why, 2_000)}"
    for text in step.reveals:
        yield f"{indent}decoded: {escape(text, 2_000)}"


def _stream(one: Stream) -> dict[str, Any]:
    return {
        "member": one.location.member,
        "path": one.location.path,
        "offset": one.location.offset,
        "role": one.role,
        "protocol": one.protocol,
        "status": str(one.status),
        "steps": [
            {
                "offset": step.offset,
                "act": step.act,
                "text": step.text,
                "status": str(step.status),
                "why": step.why,
                "reveals": list(step.reveals),
                "times": step.times,
            }
            for step in one.steps
        ],
        **({"source": one.source} if one.source else {}),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "status": str(finding.status),
        "where": str(finding.location),
        "message": finding.message,
    }


def _status(status: Status, colour: bool) -> str:
    return _painted(str(status), _COLOUR[status], colour)


def _painted(text: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text
