"""What policies allow and deny, and that nobody can misread a verdict. The laws are in tests/property."""

from __future__ import annotations

import pickle

import pytest

from safeload.core.allowlist import Allowlist, Effect, Entry
from safeload.core.errors import PolicyDenied, UsageError
from safeload.core.evidence import CodeNeed, Difference, Evidence, LockMatch, VerifiedApproval, VerifiedSignature
from safeload.core.finding import Confidence, FileReport, Finding, Report, Severity, Status
from safeload.core.names import GlobalName, Location
from safeload.core.policy import (
    DEFAULT_POLICY,
    AllOf,
    AnyOf,
    Locked,
    NothingDiffers,
    NothingRevoked,
    NothingWorseThan,
    OnlyApprovedCode,
    Policy,
    Reason,
    SignedBy,
    Verdict,
)


def evidence(*statuses: Status, used: bool = True, remedy: str = "next", **more: object) -> Evidence:
    findings = tuple(
        Finding(
            rule="r",
            status=status,
            severity=Severity.LOW,
            confidence=Confidence.LIKELY,
            location=Location("a\x1b.bin"),
            message="m",
            remedy=remedy,
        )
        for status in statuses
    )
    files = (FileReport(path="a\x1b.bin", format="f", size=0, findings=findings, used=used),)
    return Evidence(reference="org/m", report=Report(target="t", files=files), **more)  # type: ignore[arg-type]


NEED = CodeNeed(files=("a\x1b.py", "b.py"), why="config.json » auto_map\x1b", closure="sha256:1")
ALLOWED, DENIED = Verdict("x", True), Verdict("x", False, (Reason("no", "do"),))


def test_the_default_policy_denies_what_is_dangerous_or_undecided() -> None:
    """With no policy file: unverified data loads, dangerous and undecided files do not."""
    assert DEFAULT_POLICY.decide(evidence()).allowed
    assert DEFAULT_POLICY.decide(evidence(Status.SAFE, Status.UNVERIFIED)).allowed
    assert not DEFAULT_POLICY.decide(evidence(Status.UNDECIDED)).allowed
    assert not DEFAULT_POLICY.decide(evidence(Status.UNVERIFIED, Status.DANGEROUS)).allowed
    assert isinstance(DEFAULT_POLICY, Policy)


def test_a_file_that_the_load_leaves_out_does_not_count() -> None:
    """A dangerous file that is not used is reported, and the load goes on."""
    assert DEFAULT_POLICY.decide(evidence(Status.DANGEROUS, used=False)).allowed


def test_a_threshold_denies_everything_above_it() -> None:
    """`NothingWorseThan(x)` allows x and denies each worse finding, for every x."""
    for worst in Status:
        for status in Status:
            assert NothingWorseThan(worst).decide(evidence(status)).allowed == (status <= worst)
    assert not NothingWorseThan(Status.SAFE).decide(evidence(Status.UNVERIFIED, Status.DANGEROUS)).allowed


def test_a_finding_without_remedy_gets_the_command_to_look() -> None:
    """The reason of a denial has a remedy even if its finding has none, and shows no raw name."""
    (reason,) = NothingWorseThan().decide(evidence(Status.DANGEROUS, remedy="")).denials()
    assert reason.remedy == "safeload scan a\\x1b.bin" and "\x1b" not in reason.message


def test_code_needs_an_approval_that_names_it() -> None:
    """Code from the model runs only if an approval names exactly its digest; none names unknown code."""
    approval = VerifiedApproval(closure="sha256:1", criteria="c", who="w")
    policy = OnlyApprovedCode()
    assert policy.decide(evidence()).allowed
    assert policy.decide(evidence(code=(NEED,), approvals=(approval,))).allowed
    other = VerifiedApproval(closure="sha256:2", criteria="c", who="w")
    assert not policy.decide(evidence(code=(NEED,), approvals=(other,))).allowed
    unknown = CodeNeed(files=("a.py",), why="w")
    blank = VerifiedApproval(closure="", criteria="c", who="w")
    assert not policy.decide(evidence(code=(unknown,), approvals=(blank,))).allowed
    (reason,) = policy.decide(evidence(code=(NEED,))).denials()
    assert "a\\x1b.py, b.py" in reason.message and "\x1b" not in reason.message
    assert [place.file for place in reason.locations] == ["a\x1b.py", "b.py"]


def by(signer: str, identity: str, *covers: str) -> VerifiedSignature:
    return VerifiedSignature(signer=signer, identity=identity, covers=frozenset(covers))


PAIRINGS = {
    "one signer, two keys": ([by("a", "k1"), by("a", "k2")], 1),
    "one key under two names": ([by("a", "k1"), by("b", "k1")], 1),
    "each their own": ([by("a", "k1"), by("b", "k2")], 2),
    "the first takes another key": ([by("a", "k1"), by("a", "k2"), by("b", "k1")], 2),
    "two names share what is left": ([by("a", "k1"), by("a", "k2"), by("b", "k3"), by("c", "k3")], 2),
    "a chain of replacements": ([by("a", "k1"), by("a", "k2"), by("b", "k1"), by("b", "k3"), by("c", "k1")], 3),
    "strangers do not count": ([by("x", "k1"), by("y", "k2"), by("a", "k3")], 1),
    "nobody": ([], 0),
}


@pytest.mark.parametrize("case", PAIRINGS)
def test_k_of_n_counts_distinct_signers_and_distinct_keys(case: str) -> None:
    """A threshold is met by so many signers, each of whom has a key that no other one needs."""
    signatures, count = PAIRINGS[case]
    for wanted in range(1, 5):
        verdict = SignedBy(frozenset("abc"), wanted).decide(evidence(signatures=tuple(signatures)))
        assert verdict.allowed == (count >= wanted)
    assert SignedBy(frozenset("abc"), 0).decide(evidence(signatures=tuple(signatures))).allowed == (count >= 1)


def test_a_signature_must_cover_all_that_is_used() -> None:
    """Who signed one of two used files has signed nothing that helps."""
    policy = SignedBy(frozenset({"a"}))
    used = {"x": "1", "y": "2"}
    assert not policy.decide(evidence(digests=used, signatures=(by("a", "k", "x"), by("a", "l", "y")))).allowed
    assert policy.decide(evidence(digests=used, signatures=(by("a", "k", "x", "y", "z"),))).allowed


def test_what_a_lock_recorded_counts_only_where_it_may() -> None:
    """Signatures of a lock help a policy that takes them, and no other one."""
    lock = LockMatch(lock="l", tree="t", signatures=(by("a", "k"),))
    assert SignedBy(frozenset({"a"}), locked=True).decide(evidence(lock=lock)).allowed
    assert not SignedBy(frozenset({"a"})).decide(evidence(lock=lock)).allowed
    assert not SignedBy(frozenset({"a"}), locked=True).decide(evidence()).allowed


def test_locked_means_in_a_lock() -> None:
    """`Locked` denies what no lock names, with the command that locks it."""
    assert Locked().decide(evidence(lock=LockMatch(lock="l", tree="t"))).allowed
    (reason,) = Locked().decide(evidence()).denials()
    assert reason.remedy == "safeload lock org/m"


def test_every_difference_is_a_reason() -> None:
    """All that differs is listed at once, each with its kind."""
    found = (
        Difference(kind="changed", message="a", remedy="r", file="f"),
        Difference(kind="extra", message="b", remedy=""),
    )
    assert NothingDiffers().decide(evidence()).allowed
    verdict = NothingDiffers().decide(evidence(differences=found))
    assert [reason.message for reason in verdict.denials()] == ["changed: a", "extra: b"]
    assert all(reason.remedy for reason in verdict.denials())


def test_a_revoked_mark_denies() -> None:
    """One mark of a model among the revoked ones is enough, and its reason is told."""
    policy = NothingRevoked((("key:1", "stolen\x1b"), ("tree:2", "")))
    assert policy.decide(evidence(marks=frozenset({"key:3"}))).allowed
    (one,) = policy.decide(evidence(marks=frozenset({"key:1"}))).denials()
    assert one.message == "revoked: key:1 (stolen\\x1b)"
    (two,) = policy.decide(evidence(marks=frozenset({"tree:2"}))).denials()
    assert two.message == "revoked: tree:2"


def test_a_verdict_has_no_truth_value() -> None:
    """Forgetting `.allowed` is an error, not an allowance."""
    for verdict in (ALLOWED, DENIED):
        with pytest.raises(TypeError, match="truth value"):
            bool(verdict)


def test_enforce_raises_unless_allowed() -> None:
    """`enforce` returns nothing, or raises with verdict and report."""
    ALLOWED.enforce(evidence())
    with pytest.raises(PolicyDenied, match="org/m") as caught:
        DENIED.enforce(evidence())
    assert caught.value.verdict is DENIED and caught.value.report == evidence().report


@pytest.mark.parametrize(
    "reasons", [(), (Reason("no"),), (Reason("no", "do"), Reason("nor this"))], ids=["none", "no remedy", "one of two"]
)
def test_a_denial_says_what_to_do(reasons: tuple[Reason, ...]) -> None:
    """A denial without a reason, or with a reason that has no remedy, cannot be built."""
    with pytest.raises(UsageError, match="without saying what to do"):
        Verdict("x", False, reasons)


def test_denials_are_those_of_denied_parts_once_each() -> None:
    """Reasons of allowed parts do not count, and repeated ones count once."""
    fine = Verdict("y", True, (Reason("well"),))
    verdict = Verdict("all", False, parts=(DENIED, fine, DENIED, Verdict("z", False, (Reason("nor", "do"),))))
    assert [reason.message for reason in verdict.denials()] == ["no", "nor"]
    assert Verdict("any", True, parts=(DENIED, fine)).denials() == ()
    assert pickle.loads(pickle.dumps(verdict)) == verdict


def test_an_empty_composition_denies() -> None:
    """Neither `AllOf()` nor `AnyOf()` allows anything."""
    for policy in (AllOf(), AnyOf()):
        assert not policy.decide(evidence()).allowed


def test_composition() -> None:
    """`AllOf` needs all, `AnyOf` one; both keep the parts."""
    strict, lax = NothingWorseThan(Status.SAFE), NothingWorseThan(Status.DANGEROUS)
    bad = evidence(Status.DANGEROUS)
    assert not AllOf((strict, lax)).decide(bad).allowed and AnyOf((strict, lax)).decide(bad).allowed
    assert not AnyOf((strict, strict)).decide(bad).allowed and AllOf((lax,)).decide(bad).allowed
    assert len(AllOf((strict, lax)).decide(bad).parts) == 2


def entry(module: str, name: str) -> Entry:
    return Entry(name=GlobalName(module, name), effect=Effect.DATA, reason="r", evidence="e")


def test_an_allowlist_holds_exact_pairs() -> None:
    """Membership is by module and name, never by their spelling together."""
    allowlist = Allowlist([entry("os.path", "join")])
    assert GlobalName("os.path", "join") in allowlist and allowlist.get(GlobalName("os.path", "join")) is not None
    for other in (GlobalName("os", "path.join"), GlobalName("os.path", "joi"), GlobalName("", "os.path.join")):
        assert other not in allowlist and allowlist.get(other) is None


def test_extending_an_allowlist_leaves_it_as_it_is() -> None:
    """One call can never loosen another: extension makes a new value, and the old one cannot be changed."""
    first = Allowlist([entry("a", "b")])
    second = first.extended([entry("c", "d")])
    assert len(first) == 1 and len(second) == 2 and list(second)[:1] == list(first) and len(Allowlist()) == 0
    with pytest.raises(TypeError):
        first._entries[GlobalName("c", "d")] = entry("c", "d")  # type: ignore[index]
