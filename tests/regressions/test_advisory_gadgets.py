"""One test per public report of a callable that a scanner or loader let pass (see `advisories.py`).

The name of each test is the identifier: GHSA-… and CVE-… at github.com/advisories, `project#n` an issue of that
project's repository, `2508.19774` the paper at arXiv; others stand in the project's changelog or test files.
"""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from safeload.core.finding import Status
from tests.corpus.build import checkpoint, legacy, make_zip
from tests.generator.written import Built, Called, Name, pickled
from tests.regressions.advisories import ALL, Advisory
from tests.regressions.files import report, says, status

PLACES = {
    "bare.pkl": lambda data: data,
    "model.bin": lambda data: make_zip(checkpoint(data)),
    "legacy.pt": lambda data: legacy(data, [], []),
    "model.joblib": lambda data: gzip.compress(data, mtime=0),
}


def _outermost(value: Any) -> Name | None:
    """The global that the last call names, if it names one."""
    while isinstance(value, Built):
        value = value.target
    callee = value.callee
    return callee if isinstance(callee, Name) else None


@pytest.mark.parametrize("advisory", ALL, ids=lambda advisory: f"{advisory}-{_named(advisory)}")
def test_what_the_advisory_calls_is_dangerous(advisory: Advisory, marker: object) -> None:
    """In every container; and a finding names the callable, with its place in the file."""
    data = pickled(advisory.value)
    for name, wrap in PLACES.items():
        found = report(wrap(data), name)
        assert found.status is Status.DANGEROUS, (name, says(found))
    loudest = [finding for finding in report(data, "bare.pkl").findings if finding.status is Status.DANGEROUS]
    assert all(finding.location.offset is not None for finding in loudest)
    if (last := _outermost(advisory.value)) is not None:
        assert any(f"{last.module}.{last.name}(" in finding.message for finding in loudest), says(report(data))


def _named(advisory: Advisory) -> str:
    last = _outermost(advisory.value)
    return f"{last.module}.{last.name}" if last else "computed"


def test_the_list_is_not_what_finds_them() -> None:
    """Names that nobody ever published are as dangerous: what decides is that no allowlist has them."""
    for module, name in (("os", "nobody_knows_this"), ("statistics", "median"), ("antigravity", "fly"), ("this", "d")):
        assert status(pickled(Called(Name(module, name), "x"))) is Status.DANGEROUS
