"""Every rule's own examples, and what all rules have in common."""

from __future__ import annotations

import re

import pytest

from safeload.core.finding import Finding
from safeload.engine.allowlists import default_allowlist
from safeload.formats import base as formats
from safeload.formats.base import Part
from safeload.rules import all_rules, judge
from safeload.rules.base import Context, Rule
from safeload.rules.taxonomies import TITLES, is_entry

RULES = all_rules()
ANNOUNCED = {formats.TensorView, formats.TensorTable, formats.NumpyArray, formats.Config}
"""Parts that hold plain data, of which there is nothing to say; what steers in a config becomes a `Reference`."""


def _examples(kind: str) -> list[object]:
    return [
        pytest.param(rule, part, id=f"{rule.id}-{index}")
        for rule in RULES
        for index, part in enumerate(getattr(rule, kind)())
    ]


def _asked(part: Part) -> tuple[Finding, ...]:
    context = Context(
        allowlist=default_allowlist(),
        parts=(part,),
        second_opinion=True,
        secret_opinion=True,
        scanned={"example.safetensors"},
    )
    return judge((part,), context)


@pytest.mark.parametrize(("rule", "part"), _examples("bad"))
def test_bad_examples_are_found(rule: Rule, part: Part) -> None:
    """Each bad example gives a finding of its rule."""
    assert rule.id in {finding.rule for finding in _asked(part)}


@pytest.mark.parametrize(("rule", "part"), _examples("good"))
def test_good_examples_are_left_alone(rule: Rule, part: Part) -> None:
    """No good example gives a finding of its rule."""
    assert rule.id not in {finding.rule for finding in _asked(part)}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_says_all_there_is_to_say(rule: Rule) -> None:
    """Each rule has words, a remedy, a place in a public catalogue, and examples of both kinds."""
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.id)
    assert rule.title and len(rule.why) > 80 and rule.remedy
    assert any(entry.startswith("CWE-") for entry in rule.taxonomy)
    assert all(is_entry(entry) for entry in rule.catalogued)
    for catalogue in ("AML.", ("LLM", "ML")):
        known = [entry for entry in rule.catalogued if entry.startswith(catalogue)]
        assert known and all(entry in TITLES for entry in known)
    assert list(rule.bad()) and list(rule.good())


def test_ids_are_unique() -> None:
    """No two rules share an id."""
    assert len({rule.id for rule in RULES}) == len(RULES)


def test_a_rule_is_named_after_its_file() -> None:
    """There are as many rules as files that define one: the registry finds each."""
    assert len(RULES) >= 20


def test_every_kind_of_part_is_looked_at() -> None:
    """No part that a format can yield goes past every rule, but for those that hold nothing but data."""
    kinds = {
        value
        for value in vars(formats).values()
        if isinstance(value, type) and issubclass(value, Part) and value is not Part
    }
    seen = {kind for kind in kinds if any(issubclass(kind, rule.looks_at) for rule in RULES)}
    assert kinds - seen - ANNOUNCED == {kind for kind in kinds if kind.__name__ == "Composite"}


def test_remedies_quote_the_file() -> None:
    """A file name that a shell would take apart is quoted in the command to paste."""
    part = formats.Irregularity(location=formats.Location("a; touch b"), kind="name-disagrees", detail="x")
    (finding,) = judge((part,), Context(allowlist=default_allowlist()))
    assert "'a; touch b'" in finding.remedy
    (finding,) = judge((part,), Context(allowlist=default_allowlist(), shown="/models/a; touch b"))
    assert "'/models/a; touch b'" in finding.remedy
