"""Whether a checkpoint may be converted: the policy is that of loading."""

from __future__ import annotations

import dataclasses

from safeload.core.errors import MalformedInput
from safeload.core.evidence import Evidence
from safeload.core.finding import FileReport, Report, Status
from safeload.core.names import escape
from safeload.core.policy import DEFAULT_POLICY, AllOf
from safeload.engine.convert.keras import without_weights
from safeload.engine.convert.order import Order
from safeload.engine.held import Held

_PROGRAM = frozenset({"program", "operator-unlisted", "operator-reaches-out"})
"""Rules about what a program would do, which a conversion leaves behind."""

_WITH_WEIGHTS = ("torchscript", "pt2")
"""Formats of programs whose tensors are read apart from them."""


def judge(held: Held, order: Order) -> Report:
    """Let the policy decide about every file that was inspected; return what was found in them.

    Raises:
        PolicyDenied: it refused them.
        MalformedInput: it refused them because one cannot be read.
    """
    reports = [without_weights(inspected) for inspected in held.inspected.values()]
    if order.options.unsafe_convert_dangerous:
        reports = [dataclasses.replace(one, used=one.status is not Status.DANGEROUS) for one in reports]
    digests = {} if _judges_findings_alone(order) else {path: held.open(path).sha256() for path in held.inspected}
    evidence = Evidence(
        reference=order.reference,
        revision=held.snapshot.revision,
        report=Report(target=order.reference, files=tuple(map(without_program, reports))),
        digests=digests,
    )
    verdict = order.options.judge.decide(evidence)
    undecided = [one for one in evidence.report.findings if one.status is Status.UNDECIDED]
    if not verdict.allowed and undecided and all(one.status is not Status.DANGEROUS for one in reports):
        first = undecided[0]
        raise MalformedInput(
            f"{escape(first.location.file)!r} cannot be converted",
            where=first.location,
            why=first.message,
            remedy=first.remedy,
        )
    verdict.enforce(evidence)
    return Report(target=order.reference, files=tuple(reports))


def _judges_findings_alone(order: Order) -> bool:
    """Whether the verdict cannot depend on digests, so that it need not wait for them."""
    return type(order.options.policy) is AllOf and order.options.policy == DEFAULT_POLICY


def without_program(report: FileReport) -> FileReport:
    """The report on what a conversion takes: of an archive with a program the tensors, never the program."""
    if report.format not in _WITH_WEIGHTS:
        return report
    return dataclasses.replace(report, findings=tuple(one for one in report.findings if one.rule not in _PROGRAM))
