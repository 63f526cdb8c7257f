"""Evidence of every shape, for the laws of policies."""

from __future__ import annotations

from hypothesis import strategies as st

from safeload.core.evidence import CodeNeed, Difference, Evidence, LockMatch, VerifiedApproval, VerifiedSignature
from safeload.core.finding import Confidence, FileReport, Finding, Report, Severity, Status
from safeload.core.names import Location
from safeload.core.policy import (
    AllOf,
    AnyOf,
    Locked,
    NothingDiffers,
    NothingRevoked,
    NothingWorseThan,
    OnlyApprovedCode,
    Policy,
    SignedBy,
)

texts = st.text(max_size=8)
places = st.builds(Location, texts, st.none() | texts, st.none() | st.integers(0, 99), st.none() | texts)
findings = st.builds(
    Finding,
    rule=texts,
    status=st.sampled_from(Status),
    severity=st.sampled_from(Severity),
    confidence=st.sampled_from(Confidence),
    location=places,
    message=texts,
    remedy=texts,
    related=st.lists(places, max_size=2).map(tuple),
)
files = st.builds(
    FileReport,
    path=texts,
    format=texts,
    size=st.integers(0, 9),
    findings=st.lists(findings, max_size=3).map(tuple),
    used=st.booleans(),
)
reports = st.builds(Report, target=texts, files=st.lists(files, max_size=4).map(tuple))
closures = st.sampled_from(["", "a", "b"])
needs = st.builds(CodeNeed, files=st.lists(texts, max_size=2).map(tuple), why=texts, closure=closures)
approvals = st.builds(VerifiedApproval, closure=closures, criteria=texts, who=texts)
names = st.sampled_from(["a", "b", "c"])
signatures = st.builds(VerifiedSignature, signer=names, identity=names, covers=st.frozensets(names, max_size=3))
signed = st.lists(signatures, max_size=3).map(tuple)
differences = st.builds(Difference, kind=texts, message=texts, remedy=texts, file=texts)
_mark = st.sampled_from(["signer:a", "key:k", "tree:t"])
marks, some_marks = st.frozensets(_mark, max_size=2), st.frozensets(_mark, min_size=1, max_size=2)
evidences = st.builds(
    Evidence,
    reference=texts,
    report=reports,
    digests=st.dictionaries(names, texts, max_size=2),
    lock=st.none() | st.builds(LockMatch, lock=texts, tree=texts, signatures=signed),
    signatures=signed,
    differences=st.lists(differences, max_size=2).map(tuple),
    marks=marks,
    approvals=st.lists(approvals, max_size=2).map(tuple),
    code=st.lists(needs, max_size=2).map(tuple),
)
simple: st.SearchStrategy[Policy] = st.one_of(
    st.builds(NothingWorseThan, st.sampled_from(Status)),
    st.just(OnlyApprovedCode()),
    st.just(NothingDiffers()),
    st.just(Locked()),
    st.builds(
        NothingRevoked, st.lists(st.tuples(st.sampled_from(["signer:a", "key:k"]), texts), max_size=2).map(tuple)
    ),
    st.builds(SignedBy, st.frozensets(names, max_size=3), st.integers(-1, 3), st.booleans()),
)
policies: st.SearchStrategy[Policy] = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.builds(AllOf, st.lists(inner, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)
