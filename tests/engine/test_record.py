"""What is written down about an admission comes back as it was; anything else is no record."""

from __future__ import annotations

import copy
import json
import posixpath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.evidence import CodeNeed
from safeload.core.finding import Confidence, FileReport, Finding, Report, Severity, Status
from safeload.core.names import Location
from safeload.engine.admission.record import AdmittedFile, LeftOut, Record, from_json, to_json
from safeload.sources.pinned import Identity

texts = st.text(st.characters(), max_size=20)
"""Lone surrogates included: that is how Python spells file names that are no UTF-8."""
counts = st.integers(0, 1 << 63)
few: Any = lambda item: st.lists(item, max_size=3).map(tuple)  # noqa: E731
locations = st.builds(Location, texts, st.none() | texts, st.none() | counts, st.none() | texts)
findings = st.builds(
    Finding,
    rule=texts,
    status=st.sampled_from(Status),
    severity=st.sampled_from(Severity),
    confidence=st.sampled_from(Confidence),
    location=locations,
    message=texts,
    remedy=texts,
    evidence=few(texts),
    related=few(locations),
    taxonomy=few(texts),
)
reports = st.builds(
    FileReport,
    path=texts,
    format=texts,
    size=counts,
    findings=few(findings),
    sha256=st.none() | texts,
    used=st.booleans(),
)
names = texts.filter(lambda text: not text.startswith("/") and posixpath.normpath(text) == text and text[:2] != "..")
files = st.builds(
    AdmittedFile,
    path=names.filter(lambda text: text != "."),
    source=texts,
    sha256=texts,
    how=st.sampled_from(("copy", "rewritten", "converted", "link")),
    entry=st.just("") | names.filter(lambda text: text != "."),
)
records = st.builds(
    Record,
    inputs=st.dictionaries(texts, st.builds(Identity, counts, counts, counts, counts, counts), max_size=3),
    listing=few(texts),
    files=few(files),
    left_out=few(st.builds(LeftOut, path=texts, reason=texts)),
    report=st.builds(Report, target=texts, files=few(reports)),
    code=few(st.builds(CodeNeed, files=few(texts), why=texts, closure=texts)),
    base=st.none() | texts,
    attention_removed=st.booleans(),
)


@given(records)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    """Through JSON, as the store keeps it, every field is equal and of the same type."""
    again = from_json(json.loads(json.dumps(to_json(record))))
    assert again == record
    assert [type(finding.status) for finding in again.report.findings] == [Status] * len(again.report.findings)
    assert all(type(identity) is Identity for identity in again.inputs.values())


@given(records, st.data())
def test_a_record_that_lacks_something_is_none(record: Record, data: st.DataObject) -> None:
    """Whatever key another version of safeload did not write, or wrote as something else, the reading refuses."""
    document = json.loads(json.dumps(to_json(record)))
    broken = copy.deepcopy(document)
    key = data.draw(st.sampled_from(sorted(document.keys() - {"base", "attention_removed"})))
    if data.draw(st.booleans()):
        del broken[key]
    else:
        broken[key] = data.draw(st.sampled_from((5, None, True)))
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        from_json(broken)


@pytest.mark.parametrize("field", ["path", "entry"])
@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/x", "..", ".", "a//b", "a/", "./a", "/"])
def test_a_record_that_leaves_its_directory_is_none(field: str, path: str) -> None:
    """Whoever edits a record in the store cannot make links elsewhere with it."""
    file = {"path": "a", "source": "a", "sha256": "", "how": "link", "entry": "k/model.safetensors", field: path}
    empty = {"inputs": {}, "listing": [], "left_out": [], "report": {"target": "", "files": []}, "code": []}
    with pytest.raises(ValueError, match="leaves its directory"):
        from_json({**empty, "files": [file], "base": None, "attention_removed": False})


@pytest.mark.parametrize("status", [17, -1, "dangerous", None])
def test_a_status_that_does_not_exist_is_refused(status: Any) -> None:
    """A finding of an unknown status is never read as one that is known."""
    finding = Finding(
        rule="r", status=Status.SAFE, severity=Severity.LOW, confidence=Confidence.LIKELY,
        location=Location("f"), message="m", remedy="r",
    )  # fmt: skip
    report = Report(target="t", files=(FileReport(path="f", format="x", size=1, findings=(finding,)),))
    document = to_json(Record(inputs={}, listing=(), files=(), left_out=(), report=report))
    document["report"]["files"][0]["findings"][0]["status"] = status
    with pytest.raises(ValueError, match="Status"):
        from_json(document)


def test_digests_are_those_of_the_sources() -> None:
    """A policy sees the digest of what was judged, by the name it has in the model."""
    record = Record(
        inputs={}, listing=(), left_out=(), report=Report(target="t"),
        files=(AdmittedFile(path="model.safetensors", source="pytorch_model.bin", sha256="ab", how="converted"),),
    )  # fmt: skip
    assert record.digests == {"pytorch_model.bin": "ab"}
