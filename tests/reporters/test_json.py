"""The JSON document says everything that a report says, and nothing that a terminal would obey."""

from __future__ import annotations

import io
import json

import pytest

from safeload.core.errors import MalformedInput, PolicyDenied, SourceError
from safeload.core.evidence import Evidence
from safeload.core.finding import Report, Status
from safeload.core.policy import DEFAULT_POLICY
from safeload.reporters import find
from safeload.reporters.json import error_data
from tests.reporters.reports import EVIL, EVIL_NAMES, HOSTILE, file, finding, report


def written(*reports: Report, errors: tuple[SourceError, ...] = ()) -> str:
    out = io.StringIO()
    find("json").write(reports, errors, out)
    return out.getvalue()


def test_every_file_is_there_once_with_path_status_and_findings() -> None:
    """`files` holds each file of each target exactly once."""
    data = json.loads(written(EVIL, report(file("a.json"))))
    assert data["schema"] == "safeload.report/1"
    assert [(entry["path"], entry["status"], len(entry["findings"])) for entry in data["files"]] == [
        ("model.safetensors", "safe", 0),
        ("evil.bin", "dangerous", 1),
        ("a.json", "safe", 0),
    ]
    assert data["summary"] == {"dangerous": 1, "safe": 2}


def test_a_finding_keeps_its_place() -> None:
    """A program can go to the exact byte."""
    found = json.loads(written(EVIL))["files"][1]["findings"][0]
    assert found["location"] == {"file": "evil.bin", "member": "archive/data.pkl", "offset": 17, "path": None}
    assert (found["rule"], found["severity"], found["taxonomy"]) == ("pickle-dangerous-call", "critical", ["CWE-502"])


def test_hostile_names_survive_exactly_and_print_harmlessly() -> None:
    """The raw name is there for programs, spelled in ASCII without any control character."""
    text = written(EVIL_NAMES)
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    assert json.loads(text)["files"][0]["path"] == HOSTILE


def test_a_name_that_is_no_utf8_can_be_written() -> None:
    """File names of arbitrary bytes, as Python spells them, do not break the document."""
    name = b"\xff\xfe.bin".decode(errors="surrogateescape")
    assert json.loads(written(report(file(name))))["files"][0]["path"] == name


@pytest.mark.parametrize(
    ("status", "code"),
    [(Status.SAFE, 0), (Status.UNVERIFIED, 1), (Status.UNDECIDED, 2), (Status.DANGEROUS, 1)],
)
def test_the_exit_code_is_in_the_document(status: Status, code: int) -> None:
    """What the process returns is written down too."""
    assert json.loads(written(report(file("x", finding("x", status=status)))))["exit_code"] == code


def test_a_target_that_could_not_be_looked_at_is_undecided() -> None:
    """An error of one target is part of the document and makes it undecided, unless something is dangerous."""
    error = SourceError("'x' was not found", why="no such file")
    data = json.loads(written(report(file("a")), errors=(error,)))
    assert (data["exit_code"], data["errors"][0]["what"]) == (2, "'x' was not found")
    assert json.loads(written(EVIL, errors=(error,)))["exit_code"] == 1


def test_an_error_has_its_four_parts() -> None:
    """What was stopped, where, why and what comes next are fields of their own."""
    error = MalformedInput("reading stopped", where="a » b @ 3", why="it ends", remedy="download it again")
    assert error_data(error) == {
        "schema": "safeload.error/1",
        "error": "MalformedInput",
        "what": "reading stopped",
        "where": "a » b @ 3",
        "why": "it ends",
        "next": "download it again",
    }


def test_a_denial_carries_its_verdict_and_report() -> None:
    """A program learns every reason and every file, not only that it was refused."""
    evidence = Evidence(reference="org/model", report=EVIL)
    with pytest.raises(PolicyDenied) as caught:
        DEFAULT_POLICY.decide(evidence).enforce(evidence)
    data = error_data(caught.value)
    assert data["verdict"]["allowed"] is False
    assert "evil.bin" in data["verdict"]["reasons"][0]["message"]
    assert [entry["path"] for entry in data["report"]["files"]] == ["model.safetensors", "evil.bin"]
