"""Which rule applies to a model, and what follows from it."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.errors import ConfigError
from safeload.core.evidence import Evidence
from safeload.core.policy import AllOf
from safeload.trust.policy_file import PolicyFile, Require, Revocation, Rule, Settings
from safeload.trust.rules import Applied, apply, decision, matches
from tests.property.strategies import evidences, names

TODAY = datetime.date(2026, 11, 28)

MATCHES = [
    ("acme/demo", "acme/demo", True),
    ("acme/demo", "acme/demo2", False),
    ("acme/*", "acme/demo", True),
    ("acme/*", "acme/", True),
    ("acme/*", "acme/a/b", False),
    ("*", "gpt2", True),
    ("*", "acme/demo", False),
    ("*/*", "acme/demo", True),
    ("**", "acme/demo", True),
    ("**", "path:/x", True),
    ("acme/*-base", "acme/bert-base", True),
    ("acme/*-base", "acme/bert-base2", False),
    ("a.c/x", "abc/x", False),
    ("path:/srv/**", "path:/srv/a/b", True),
    ("path:/srv/*", "path:/srv/a/b", False),
    ("path:/srv/*", "path:/srv/a\nb", True),
    ("acme/*", "path:/acme/x", False),
]


@pytest.mark.parametrize(("pattern", "target", "match"), MATCHES)
def test_patterns(pattern: str, target: str, match: bool) -> None:
    """`*` stays within a component, `**` does not, and nothing else is special."""
    assert matches(pattern, target) is match


def file(*patterns: str, layer: str = "project") -> PolicyFile:
    rules = tuple(
        Rule(patterns=(pattern,), settings=Settings(integrity="private"), place=f"rule[{index}]")
        for index, pattern in enumerate(patterns)
    )
    return PolicyFile(file="safeload.toml", rules=rules, layer=layer)


CHOICES = [
    (["acme/*", "acme/demo"], "acme/demo"),
    (["acme/demo", "acme/*"], "acme/demo"),
    (["**", "acme/*"], "acme/*"),
    (["*/demo", "acme/*"], "acme/*"),
    (["acme/d*", "acme/*o"], "acme/d*"),
    (["*/*", "other/*"], "*/*"),
    (["other/*"], ""),
]


@pytest.mark.parametrize(("patterns", "chosen"), CHOICES, ids=str)
def test_the_most_specific_rule_applies(patterns: list[str], chosen: str) -> None:
    """Exact before any glob, then the longest literal beginning; the order in the file says nothing."""
    for given_ in (patterns, patterns[::-1]):
        assert apply(file(*given_), ("acme/demo",)).pattern == chosen


def test_a_tie_is_an_error() -> None:
    """Two rules that match equally well: neither is taken."""
    with pytest.raises(ConfigError, match="equally well") as caught:
        apply(file("acme/*", "acme/*o"), ("acme/demo",))
    assert "rule[1].match" in str(caught.value.where)


settings_ = st.builds(
    Settings,
    mode=st.sampled_from(["enforce", "warn"]),
    require=st.builds(Require, st.booleans(), st.frozensets(names, max_size=3), st.integers(0, 3)),
    reverify=st.sampled_from(["", "lock", "load"]),
    formats=st.none() | st.frozensets(names, max_size=2),
    pickle=st.sampled_from(["deny", "restricted", "convert"]),
    remote_code=st.sampled_from(["deny", "audited"]),
)
revoked_ = st.lists(
    st.builds(Revocation, kind=st.just("signer"), value=names, since=st.none() | st.dates()), max_size=2
).map(tuple)
days = st.none() | st.dates()
applied = st.builds(
    lambda settings, revoked, layer, rule: Applied(
        PolicyFile(file="f", layer=layer, revoked=revoked), settings, rule and Rule(**rule, settings=settings)
    ),
    settings_,
    revoked_,
    st.sampled_from(["system", "project"]),
    st.none()
    | st.fixed_dictionaries({"patterns": st.just(("a",)), "place": st.just("p"), "expires": st.none() | st.dates()}),
)


@given(st.lists(applied, min_size=1, max_size=3), applied, evidences)
def test_another_layer_never_loosens(layers: list[Applied], more: Applied, evidence: Evidence) -> None:
    """What some layers deny, they and one more deny."""
    before = AllOf(tuple(decision(one, TODAY) for one in layers))
    after = AllOf(tuple(decision(one, TODAY) for one in (*layers, more)))
    assert before.decide(evidence).allowed or not after.decide(evidence).allowed


@given(applied, evidences, st.booleans())
def test_every_decision_is_total_and_says_why(one: Applied, evidence: Evidence, entering: bool) -> None:
    """Any policy and any evidence give a verdict; a denial has reasons, and each has a remedy."""
    verdict = decision(one, TODAY, entering=entering).decide(evidence)
    assert verdict.allowed or all(reason.remedy for reason in verdict.denials())


@given(applied, evidences)
def test_removing_trust_never_loosens_a_decision(one: Applied, evidence: Evidence) -> None:
    """Without its signatures and its lock, a model that was denied is denied."""
    from dataclasses import replace

    policy = decision(one, TODAY)
    poorer = replace(evidence, lock=None, signatures=())
    assert policy.decide(evidence).allowed or not policy.decide(poorer).allowed


@given(applied, evidences)
def test_a_revocation_in_force_denies(one: Applied, evidence: Evidence) -> None:
    """Also where a rule only warns, and however much is signed and locked."""
    from dataclasses import replace

    inforce = [item for item in one.policy.revoked if item.since is None or item.since <= TODAY]
    marked = replace(evidence, marks=frozenset(item.mark for item in inforce))
    assert not inforce or not decision(one, TODAY).decide(marked).allowed
