"""Each machine format is what its schema says, for any report."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from typing import Any

from hypothesis import given, settings
from jsonschema import Draft4Validator, Draft202012Validator

from safeload.core.finding import Status
from safeload.core.names import Location
from safeload.engine.scanning.baseline import fingerprint
from safeload.engine.scanning.rulebook import cards
from safeload.engine.scanning.triage import Aside, Kind
from safeload.reporters.base import About
from safeload.reporters.sarif import uri
from tests.architecture.source import ROOT
from tests.reporters.hostile import Scanned, scans
from tests.reporters.reports import EVIL, file, finding, report

FEW = settings(max_examples=25)


@cache
def schema(path: str) -> Any:
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


@cache
def sarif_validator() -> Draft4Validator:
    return Draft4Validator(schema("tests/data/sarif-2.1.0-rtm.5.json"))


def test_our_schema_is_a_schema() -> None:
    """The published schema is itself valid."""
    Draft202012Validator.check_schema(schema("docs/schema/scan-v1.json"))


@FEW
@given(scan=scans())
def test_json_is_as_published(scan: Scanned) -> None:
    """Every document satisfies docs/schema/scan-v1.json, and its counts add up."""
    data = json.loads(scan.written("json"))
    Draft202012Validator(schema("docs/schema/scan-v1.json")).validate(data)
    counts = data["findings"]
    assert counts.pop("total") == sum(counts.values()) == scan.findings


def test_json_says_nothing_that_the_schema_does_not_know() -> None:
    """Each field that is written is described."""
    data = json.loads(Scanned(reports=(EVIL,), errors=(), about=About()).written("json"))
    published = schema("docs/schema/scan-v1.json")
    assert set(data) == set(published["properties"])
    one = data["files"][1]
    assert set(one) == set(published["$defs"]["file"]["properties"])
    assert set(one["findings"][0]) == set(published["$defs"]["finding"]["properties"])


@FEW
@given(scan=scans())
def test_sarif_is_valid(scan: Scanned) -> None:
    """Every log satisfies the schema of SARIF 2.1.0."""
    sarif_validator().validate(json.loads(scan.written("sarif")))


@settings(max_examples=10)
@given(scan=scans())
def test_cyclonedx_is_valid(scan: Scanned) -> None:
    """Every document satisfies the strict schema of CycloneDX 1.6."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(scan.written("cyclonedx")) is None


def told(**changed: Any) -> About:
    return About(version="1", rules=cards(), fingerprint=fingerprint, **changed)


def test_sarif_tells_code_hosting_what_it_shows() -> None:
    """A result points at the file, the member and the byte; its rule explains itself and has a score."""
    run = json.loads(Scanned(reports=(EVIL,), errors=(), about=told()).written("sarif"))["runs"][0]
    (result,), (rule,) = run["results"], run["tool"]["driver"]["rules"]
    assert result["ruleId"] == rule["id"] == "pickle-dangerous-call"
    assert result["level"] == "error" and result["partialFingerprints"]["safeload/v1"]
    place = result["locations"][0]
    assert place["physicalLocation"]["artifactLocation"] == {"uri": "evil.bin", "uriBaseId": "%SRCROOT%", "index": 1}
    assert place["logicalLocations"][0]["name"] == "archive/data.pkl"
    assert place["logicalLocations"][0]["properties"] == {"byteOffset": 17}
    assert "external/cwe/cwe-502" in rule["properties"]["tags"]
    assert float(rule["properties"]["security-severity"]) > 9 and rule["help"]["markdown"]
    assert run["invocations"][0]["exitCode"] == 1


def test_what_is_accepted_is_marked_in_every_format() -> None:
    """A suppressed finding is a result that viewers close, a skipped test, and no annotation."""
    found = finding("evil.bin")
    one = report(file("evil.bin", found))
    aside = {("org/model", "evil.bin", found): Aside(kind=Kind.SUPPRESSED, reason="ours", expires="2027-01-31")}
    scan = Scanned(reports=(one,), errors=(), about=told(aside=aside))
    run = json.loads(scan.written("sarif"))["runs"][0]
    assert run["results"][0]["suppressions"] == [
        {"kind": "external", "status": "accepted", "justification": "ours (until 2027-01-31)"}
    ]
    data = json.loads(scan.written("json"))
    assert (data["exit_code"], data["files"][0]["status"], data["files"][0]["accepted"]) == (0, "dangerous", True)
    assert data["files"][0]["findings"][0]["aside"]["kind"] == "suppressed"
    assert "<skipped" in scan.written("junit") and "<failure" not in scan.written("junit")
    assert "::error" not in scan.written("github") and "1 suppressed" in scan.written("github")
    bom = json.loads(scan.written("cyclonedx"))
    assert bom["vulnerabilities"][0]["analysis"]["response"] == ["will_not_fix"]
    assert json.loads(scan.written("codequality")) == []
    for name in ("terminal", "markdown"):
        assert "dangerous (accepted)" in scan.written(name) and "calls os.system" not in scan.written(name)
    assert "calls os.system" in scan.written("html")


def test_a_baseline_is_told_to_sarif() -> None:
    """Known findings are unchanged, all others new."""
    known, new = (finding("a", status=Status.UNVERIFIED, message=text) for text in ("x", "y"))
    aside = {("org/model", "a", known): Aside(kind=Kind.BASELINE)}
    scan = Scanned(reports=(report(file("a", known, new)),), errors=(), about=told(aside=aside))
    states = [result["baselineState"] for result in json.loads(scan.written("sarif"))["runs"][0]["results"]]
    assert states == ["unchanged", "new"]


def test_the_same_twice_is_told_apart() -> None:
    """Two findings with the same words have the same stable fingerprint, and identities of their own for viewers."""
    same = [dataclasses.replace(finding("a"), location=Location("a", offset=offset)) for offset in (1, 2)]
    scan = Scanned(reports=(report(file("a", *same)),), errors=(), about=told())
    prints = [result["partialFingerprints"] for result in json.loads(scan.written("sarif"))["runs"][0]["results"]]
    assert len({each["safeload/v1"] for each in prints}) == 1
    assert len({each["primaryLocationLineHash"] for each in prints}) == 2
    assert len({each["fingerprint"] for each in json.loads(scan.written("codequality"))}) == 2


def test_what_nobody_asked_to_see_is_counted() -> None:
    """An ignored finding is in no output but as a number, and the file stays what it is."""
    found = finding("evil.bin")
    aside = {("org/model", "evil.bin", found): Aside(kind=Kind.IGNORED)}
    scan = Scanned(reports=(report(file("evil.bin", found)),), errors=(), about=told(aside=aside))
    for name in ("terminal", "markdown", "html", "github", "junit", "sarif", "json", "cyclonedx", "codequality"):
        assert "calls os.system" not in scan.written(name)
    for name in ("terminal", "markdown", "html", "github"):
        assert "1 not shown" in scan.written(name) and "dangerous" in scan.written(name)
    assert json.loads(scan.written("json"))["exit_code"] == 1


def test_places_become_addresses() -> None:
    """Relative, absolute and remote names each become the right kind of URI, whatever characters they have."""
    assert uri("a b/c%.bin") == {"uri": "a%20b/c%25.bin", "uriBaseId": "%SRCROOT%"}
    assert uri("javascript:alert(1)")["uri"] == "javascript%3Aalert%281%29"
    assert uri("javascript://x")["uri"].startswith("javascript%3A")
    assert uri("/tmp/x y")["uri"] == "file:///tmp/x%20y"
    assert uri("hf://org/model/a.bin") == {"uri": "hf://org/model/a.bin"}
