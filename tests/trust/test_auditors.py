"""How many auditors there are: a matching of names and proofs."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.trust.auditors import Who, distinct, likeness, people

_pairs = st.frozensets(st.tuples(st.sampled_from("abcde"), st.sampled_from("12345")), max_size=9)


def slow(who: frozenset[Who]) -> int:
    """The same by trying everything: each of some names is given a proof that no other one has."""
    names, proofs = sorted({name for name, _ in who}), sorted({proof for _, proof in who})
    padded = [*proofs, *[""] * len(names)]
    chosen = {tuple(order[: len(names)]) for order in permutations(padded, len(names))} if names else {()}
    return max(sum(pair in who for pair in zip(names, order, strict=True)) for order in chosen)


@given(st.frozensets(st.tuples(st.sampled_from("abc"), st.sampled_from("123")), max_size=6))
def test_it_is_the_most_that_can_be_told_apart(who: frozenset[Who]) -> None:
    """No way to give names a proof of their own finds more."""
    assert distinct(who) == slow(who)


@given(_pairs, st.tuples(st.sampled_from("abcde"), st.sampled_from("12345")))
def test_one_more_never_makes_fewer(who: frozenset[Who], one: Who) -> None:
    """Another signature takes no auditor away, and adds one at most."""
    assert distinct(who) <= distinct(who | {one}) <= distinct(who) + 1


def test_a_thousand_auditors_are_counted() -> None:
    """The count needs no recursion: a chain through a thousand names is followed."""
    chain = {(f"n{i:04}", f"p{i:04}") for i in range(1_000)} | {(f"n{i:04}", f"p{i + 1:04}") for i in range(1_000)}
    assert distinct(chain) == 1_000


@given(st.text(max_size=20))
def test_likeness_is_settled(name: str) -> None:
    """What a name looks like is the same for everything that looks like it: capitals, spaces, and itself doubled up."""
    assert likeness(name) == likeness(f" {name}\u200b. ")


@pytest.mark.parametrize(
    "other", ["j\u0585", "jo\u3164", "jo\u115f", "\u03f3o", "j\u1d0f", "jo\uffa0", "J\u00f3", "j\u043e"], ids=ascii
)
def test_a_look_alike_is_no_second_person(other: str) -> None:
    """Letters of other alphabets, small capitals, and letters that are not shown make nobody else."""
    assert likeness(other) == likeness("jo")


@pytest.mark.parametrize(
    "name", ["\u0531\u0576\u0576\u0561", "\u0418\u0432\u0430\u043d", "\uc870", "\u738b\u82b3"], ids=ascii
)
def test_a_name_in_any_script_is_a_name(name: str) -> None:
    """Armenian, Cyrillic, Korean and Chinese names are those of people, and are known apart."""
    assert likeness(name) and likeness(name) != likeness(f"{name}{name}") != likeness("jo")


def test_one_person_in_two_organisations_is_one() -> None:
    """Whoever is named here and in the records of others is the same person; those of one organisation are one."""
    ours, theirs = ("ana", "name:ana"), ("acme/Ana", "import:acme")
    assert people({ours, theirs}) == 1
    assert people({ours, ("acme/bob", "import:acme")}) == 2
    assert people({("acme/ana", "import:acme"), ("acme/bob", "import:acme")}) == 1
    assert people({("acme/ana", "import:acme"), ("other/bob", "import:other")}) == 2
    assert people({("acme/ana", "import:acme"), ("other/\u0430na", "import:other")}) == 1
    assert people({ours, theirs, ("acme/bob", "import:acme")}) == 2
