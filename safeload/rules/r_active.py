"""A file of R objects holds code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Part, Reference
from safeload.rules import samples
from safeload.rules.base import Context, Rule

_WORDS = {
    "promise": "a promise, which R runs as soon as somebody looks at it",
    "promise in an environment": "a promise in an environment, which R runs when its variable is used",
    "closure": "a function, which runs when it is called, as methods of `predict` or `print` do",
    "call": "a call, which runs when it is evaluated",
    "bytecode": "compiled code of a function",
    "external pointer": "a pointer to memory that is not in the file",
    "persistent name": "a name that the reading program resolves",
}


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not isinstance(part, Reference) or part.kind != "r-active":
        return
    promise = part.target == "promise"
    yield rule.finding(
        part.location,
        f"holds {_WORDS.get(part.target, escape(part.target))}",
        status=Status.DANGEROUS if promise else rule.status,
        severity=Severity.HIGH if promise else rule.severity,
    )


def _bad() -> Iterable[Part]:
    yield samples.reference("r-active", "promise", "model.rds", "")
    yield samples.reference("r-active", "closure", "model.rds", "")


def _good() -> Iterable[Part]:
    yield samples.opaque("r-data", "model.rds")


RULE = Rule(
    id="r-active",
    title="a file of R objects holds code",
    why=(
        "`readRDS` and `load` restore functions, calls and promises. A promise outside of an environment runs when the "
        "object is printed or used at all (CVE-2024-27322), and no program saves one; functions and calls are "
        "common in fitted models and run when the model is used."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.LOW,
    confidence=Confidence.CERTAIN,
    remedy="ask its author for the numbers (a data frame, CSV or Parquet); read it only in a sandbox",
    taxonomy=("CWE-502", "AML.T0011.000"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Reference,),
)
