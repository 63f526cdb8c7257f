"""An operator of a graph is none that is known to compute and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.formats.base import Operator, Part
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.operators import known, shown


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if isinstance(part, Operator) and not known(part).listed:
        yield rule.finding(part.location, f"the {shown(part)} is none that is known to compute and nothing else")


def _bad() -> Iterable[Part]:
    yield samples.operator("tensorflow", "MyCompany>DoThings")
    yield samples.operator("onnx", "Conv", domain="com.example")
    yield samples.operator("a-framework-nobody-thought-of", "Add")


def _good() -> Iterable[Part]:
    yield samples.operator("onnx", "Conv")
    yield samples.operator("tensorflow", "__inference_call_1", domain="function")


RULE = Rule(
    id="operator-unlisted",
    title="a graph has an operator that nobody listed",
    why=(
        "The operators that frameworks bring along and that only compute are listed by name. Any other comes from a "
        "library that whoever loads the model must have installed and loaded, and does whatever that library does."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.LOW,
    confidence=Confidence.CERTAIN,
    remedy="ask its author which library the operator is of, and what it does",
    taxonomy=("CWE-829",),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Operator,),
)
