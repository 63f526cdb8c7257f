"""The laws of policies, as `safeload.core.policy` lists them."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from safeload.core.errors import PolicyDenied
from safeload.core.evidence import Difference, Evidence
from safeload.core.finding import FileReport, Finding, Report, Status
from safeload.core.policy import AllOf, AnyOf, NothingRevoked, Policy
from tests.property.strategies import differences, evidences, files, findings, marks, policies, reports, some_marks


@given(evidences)
def test_an_empty_policy_denies(evidence: Evidence) -> None:
    """Whatever is known, a policy that asks nothing allows nothing."""
    assert not AllOf().decide(evidence).allowed
    assert not AnyOf().decide(evidence).allowed
    assert not AllOf((AnyOf(),)).decide(evidence).allowed


@given(policies, evidences, st.lists(files, min_size=1, max_size=3), findings, st.data())
def test_adding_a_finding_never_loosens(
    policy: Policy, evidence: Evidence, more: list[FileReport], finding: Finding, data: st.DataObject
) -> None:
    """What was denied stays denied with another finding, in a file there is or in one more."""
    if policy.decide(evidence).allowed:
        return
    report = evidence.report
    wider = replace(evidence, report=replace(report, files=(*report.files, *more)))
    assert not policy.decide(wider).allowed
    if report.files:
        index = data.draw(st.integers(0, len(report.files) - 1))
        file = report.files[index]
        worse = replace(file, findings=(*file.findings, finding))
        changed = (*report.files[:index], worse, *report.files[index + 1 :])
        assert not policy.decide(replace(evidence, report=replace(report, files=changed))).allowed


@given(policies, evidences)
def test_removing_trust_never_loosens(policy: Policy, evidence: Evidence) -> None:
    """What was denied stays denied without a signature, the lock match or an approval."""
    if policy.decide(evidence).allowed:
        return
    poorer = [replace(evidence, lock=None)]
    poorer += [
        replace(evidence, signatures=evidence.signatures[:i] + evidence.signatures[i + 1 :])
        for i in range(len(evidence.signatures))
    ]
    poorer += [
        replace(evidence, approvals=evidence.approvals[:i] + evidence.approvals[i + 1 :])
        for i in range(len(evidence.approvals))
    ]
    assert not any(policy.decide(less).allowed for less in poorer)


@given(policies, evidences, st.data())
def test_removing_what_a_lock_recorded_never_loosens(policy: Policy, evidence: Evidence, data: st.DataObject) -> None:
    """What was denied stays denied when a lock remembers one signature less."""
    if evidence.lock is None or not evidence.lock.signatures or policy.decide(evidence).allowed:
        return
    index = data.draw(st.integers(0, len(evidence.lock.signatures) - 1))
    fewer = evidence.lock.signatures[:index] + evidence.lock.signatures[index + 1 :]
    assert not policy.decide(replace(evidence, lock=replace(evidence.lock, signatures=fewer))).allowed


@given(policies, evidences, differences, marks)
def test_adding_a_difference_or_a_mark_never_loosens(
    policy: Policy, evidence: Evidence, difference: Difference, more: frozenset[str]
) -> None:
    """What was denied stays denied when one more thing differs, or one more mark is on the model."""
    if policy.decide(evidence).allowed:
        return
    assert not policy.decide(replace(evidence, differences=(*evidence.differences, difference))).allowed
    assert not policy.decide(replace(evidence, marks=evidence.marks | more)).allowed


@given(evidences, some_marks, policies)
def test_a_revocation_beats_everything(evidence: Evidence, revoked: frozenset[str], other: Policy) -> None:
    """Whatever else a policy asks and whatever speaks for a model: one revoked mark, and it is denied."""
    policy = AllOf((other, NothingRevoked(tuple((mark, "") for mark in revoked))))
    assert not policy.decide(replace(evidence, marks=evidence.marks | revoked)).allowed


@given(st.lists(policies, min_size=1, max_size=4), evidences, st.randoms())
def test_order_and_repetition_do_not_matter(parts: list[Policy], evidence: Evidence, random: Random) -> None:
    """`AllOf` and `AnyOf` answer alike, with the same reasons, in any order and with repeated parts."""
    shuffled = [*parts, random.choice(parts)]
    random.shuffle(shuffled)
    for compose in (AllOf, AnyOf):
        first, second = compose(tuple(parts)).decide(evidence), compose(tuple(shuffled)).decide(evidence)
        assert first.allowed == second.allowed
        assert set(first.denials()) == set(second.denials())


@given(policies, evidences)
def test_a_denial_says_why_and_what_next(policy: Policy, evidence: Evidence) -> None:
    """Every denial has a reason, and every reason for it a remedy; an allowance has no denials."""
    verdict = policy.decide(evidence)
    assert bool(verdict.denials()) != verdict.allowed
    assert all(reason.message and reason.remedy for reason in verdict.denials())


@given(policies, evidences)
def test_deciding_is_total_and_pure(policy: Policy, evidence: Evidence) -> None:
    """`decide` never raises, and gives the same verdict twice; `enforce` raises exactly where it is denied."""
    verdict = policy.decide(evidence)
    assert policy.decide(evidence) == verdict
    try:
        verdict.enforce(evidence)
    except PolicyDenied as denied:
        assert not verdict.allowed and denied.verdict is verdict
        assert str(denied).isprintable() or "\n" in str(denied)
    else:
        assert verdict.allowed


@given(reports)
def test_coverage_adds_up_to_the_number_of_files(report: Report) -> None:
    """Every file has exactly one status, and none is left unsaid."""
    assert sum(report.coverage.values()) == len(report.files)
    assert set(report.coverage) == set(Status)
    assert report.status == max((file.status for file in report.files), default=Status.SAFE)
