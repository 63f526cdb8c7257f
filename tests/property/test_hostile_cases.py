"""Files that are made to be slow, small ones: each is read, judged and explained, and none is let pass by a budget."""

from __future__ import annotations

import pytest

from benchmarks.hostile import archives, binaries, documents, layers, pickles, shared, templates
from benchmarks.hostile.case import Case
from safeload.core.blob import MemoryBlob
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.engine.explain import explained_file
from safeload.engine.inspect import inspect

FAMILIES = {
    family.__name__.rpartition(".")[2]: family
    for family in (archives, binaries, documents, layers, pickles, shared, templates)
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("family", FAMILIES)
def test_every_hostile_file_is_judged(family: str) -> None:
    """No exception, an explanation no worse than the verdict, and whoever names `os.system` is found out."""
    cases = list(FAMILIES[family].cases())
    assert len(cases) > 50 and len({case.name for case in cases}) == len(cases)
    for case in cases:
        inspected = inspect(MemoryBlob(case.make(2_000)), case.file, Limits())
        explained = explained_file(inspected)
        worst = max((one.status for one in explained.streams), default=Status.SAFE)
        assert worst <= inspected.report.status, case.name
        if case.file == "m.pkl" and "os.system" in case.name:
            assert inspected.report.status >= Status.UNDECIDED, case.name


def test_an_end_by_a_budget_is_never_safe() -> None:
    """Files that ask for more than any of their size are undecided or dangerous, whatever they hold."""
    [tags] = [case for case in templates.cases() if case.name == "template nested '{% macro a() %}'"]
    [fields] = [case for case in binaries.cases() if case.name == "ONNX empty fields"]
    for case in (tags, fields):
        assert _status(case, 400_000) >= Status.UNDECIDED


def _status(case: Case, size: int) -> Status:
    return inspect(MemoryBlob(case.make(size)), case.file, Limits()).report.status
