"""SARIF 2.1.0, for code hosting and editors.

- Every finding is a result with a rule that explains itself, a stable fingerprint, the file as an artifact, the member
  within it as a logical location, and its byte offset as an address: files of models have no lines, but viewers ask
  for one, so each region is line 1.
- Known and suppressed findings are results too, marked as SARIF marks them; viewers close those.
- In a SARIF message `[text](target)` is a link and `{0}` a placeholder. Foreign text is neither: it is escaped.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, TextIO
from urllib.parse import quote

from safeload.core.errors import SafeloadError
from safeload.core.finding import Confidence, FileReport, Finding, Report, Severity
from safeload.core.names import Location, escape
from safeload.reporters.base import About, Aside, Card, Reporter
from safeload.reporters.terminal import inner

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
FINGERPRINT = "safeload/v1"
_REMOTE = ("hf", "https", "s3", "gs")
_LEVEL = {
    Severity.NOTE: "note",
    Severity.LOW: "note",
    Severity.MEDIUM: "warning",
    Severity.HIGH: "error",
    Severity.CRITICAL: "error",
}
_SCORE = {
    Severity.NOTE: "1.0",
    Severity.LOW: "3.0",
    Severity.MEDIUM: "5.5",
    Severity.HIGH: "8.0",
    Severity.CRITICAL: "9.5",
}
"""What code hosting sorts by: the middle of the band that CVSS gives each word."""
_PRECISION = {Confidence.POSSIBLE: "medium", Confidence.LIKELY: "high", Confidence.CERTAIN: "very-high"}


def text(foreign: str, limit: int = 4_000) -> str:
    """Foreign text within a message: no link, no placeholder, no control character."""
    clean = re.sub(r"([\\\[\]])", r"\\\1", escape(foreign, limit))
    return re.sub(r"\{(\d+)\}", r"{{\1}}", clean)


def uri(name: str) -> dict[str, Any]:
    """A file name as an artifact location: relative to the sources, absolute, or on the hub."""
    if name.startswith("/"):
        return {"uri": f"file://{_quoted(name)}"}
    scheme, sign, rest = name.partition("://")
    if sign and scheme in _REMOTE:
        return {"uri": f"{scheme}://{_quoted(rest)}"}
    return {"uri": _quoted(name), "uriBaseId": "%SRCROOT%"}


def _quoted(name: str) -> str:
    try:
        data = name.encode("utf-8", "surrogateescape")  # a name that is no UTF-8 gets its own bytes back
    except UnicodeEncodeError:
        data = name.encode("utf-8", "surrogatepass")
    return quote(data, safe="/")


def log(reports: Sequence[Report], errors: Sequence[SafeloadError], about: About) -> dict[str, Any]:
    """The whole log as plain data."""
    rules = _rules(reports, about)
    numbers = {rule["id"]: index for index, rule in enumerate(rules)}
    artifacts: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    compared = "baseline" in about.set_aside(reports)
    seen: Counter[str] = Counter()
    for report in reports:
        for file in report.files:
            index = len(artifacts)
            artifacts.append(_artifact(report, file, about))
            for finding, aside in about.told(report, file):
                result = _result(report, file, finding, aside, about)
                result["ruleIndex"] = numbers[finding.rule]
                if about.fingerprint is not None:
                    stable = about.fingerprint(about.name(report.target, file.path), finding)
                    seen[stable] += 1  # the same twice is two results, which a viewer must tell apart
                    result["partialFingerprints"] = {
                        FINGERPRINT: stable,
                        "primaryLocationLineHash": f"{stable}:{seen[stable]}",
                    }
                result["locations"][0]["physicalLocation"]["artifactLocation"]["index"] = index
                if compared:
                    result["baselineState"] = "unchanged" if aside and aside.kind == "baseline" else "new"
                results.append(result)
    driver: dict[str, Any] = {"name": "safeload", "rules": rules}
    if about.version:
        driver["version"] = about.version
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(reports, errors, about)],
        "artifacts": artifacts,
        "results": results,
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rules(reports: Sequence[Report], about: About) -> list[dict[str, Any]]:
    """The rules that findings name, by id. One that nobody describes has only its id."""
    named = {finding.rule for report in reports for finding in report.findings}
    known = {card.id: _rule(card) for card in about.rules if card.id in named}
    return [known.get(rule) or {"id": rule} for rule in sorted(named)]


def _rule(card: Card) -> dict[str, Any]:
    title = f"{card.title[0].upper()}{card.title[1:]}."
    remedy = card.remedy.replace("{file}", "FILE")
    cwes = [entry for entry in card.catalogued if entry.startswith("CWE-")]
    others = [entry for entry in card.catalogued if entry not in cwes]
    return {
        "id": card.id,
        "name": "".join(word.capitalize() for word in card.id.split("-")),
        "shortDescription": {"text": title},
        "fullDescription": {"text": card.why},
        "help": {
            "text": f"{card.why} What to do: {remedy}.",
            "markdown": f"{card.why}\n\n**What to do.** {remedy}.\n\n{', '.join(card.catalogued)}\n",
        },
        "defaultConfiguration": {"level": _LEVEL[card.severity]},
        "properties": {
            "tags": ["security", *(f"external/cwe/{entry.lower()}" for entry in cwes), *others],
            "security-severity": _SCORE[card.severity],
            "precision": _PRECISION[card.confidence],
        },
    }


def _artifact(report: Report, file: FileReport, about: About) -> dict[str, Any]:
    artifact: dict[str, Any] = {
        "location": uri(about.name(report.target, file.path)),
        "length": file.size,
        "roles": ["analysisTarget"],
        "properties": {"status": str(file.status), "format": escape(file.format)},
    }
    if file.sha256:
        artifact["hashes"] = {"sha-256": file.sha256}
    return artifact


def _result(report: Report, file: FileReport, finding: Finding, aside: Aside | None, about: About) -> dict[str, Any]:
    name = about.name(report.target, file.path)
    place = inner(finding.location)
    sentence = text(f"{finding.status}: {finding.message}{f' ({place})' if place else ''}")
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "level": _LEVEL[finding.severity],
        "message": {"text": f"{sentence}. Next: {text(finding.remedy)}" if finding.remedy else sentence},
        "locations": [_location(name, finding.location)],
        "properties": {
            "status": str(finding.status),
            "confidence": str(finding.confidence),
            "evidence": [escape(line, 4_000) for line in finding.evidence],
            "tags": list(finding.taxonomy),
        },
    }
    if finding.related:
        result["relatedLocations"] = [
            {**_location(name, other), "id": index} for index, other in enumerate(finding.related)
        ]
    if aside is not None and aside.kind == "suppressed":
        reason = f"{aside.reason} (until {aside.expires})" if aside.expires else aside.reason
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": escape(reason, 2_000)}]
    return result


def _location(name: str, place: Location) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": uri(name), "region": {"startLine": 1}}
    logical: list[dict[str, Any]] = []
    if place.member is not None:
        member = escape(place.member, 4_096)
        logical.append({"name": member, "fullyQualifiedName": f"{escape(name, 4_096)}!{member}", "kind": "member"})
        if place.offset is not None:
            logical[0]["properties"] = {"byteOffset": place.offset}
    elif place.offset is not None:
        physical["address"] = {"absoluteAddress": place.offset, "kind": "data"}
    if place.path is not None:
        logical.append({"name": escape(place.path, 4_096), "kind": "key"})
    return {"physicalLocation": physical, **({"logicalLocations": logical} if logical else {})}


def _invocation(reports: Sequence[Report], errors: Sequence[SafeloadError], about: About) -> dict[str, Any]:
    said = [{"level": "error", "message": {"text": text(" ".join(str(error).split()))}} for error in errors]
    said += [{"level": "warning", "message": {"text": text(note)}} for note in about.notes]
    invocation: dict[str, Any] = {"executionSuccessful": not errors, "exitCode": about.code(reports, errors)}
    if said:
        invocation["toolExecutionNotifications"] = said
    return invocation


def _render(reports: Sequence[Report], errors: Sequence[SafeloadError], stream: TextIO, about: About) -> None:
    json.dump(log(reports, errors, about), stream, indent=1, ensure_ascii=True, allow_nan=False)
    stream.write("\n")


REPORTER = Reporter(name="sarif", title="a SARIF 2.1.0 log", render=_render)
