"""Each finding has a place in three public catalogues, whatever little its rule says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.rules.taxonomies import TITLES, complete, is_entry, link

CWES = st.integers(1, 1500).map(lambda number: f"CWE-{number}")


@given(st.lists(CWES, min_size=1, max_size=3).map(tuple))
def test_a_cwe_is_enough(own: tuple[str, ...]) -> None:
    """What a rule does not say follows from its CWE, and what it says stays first and whole."""
    entries = complete(own)
    assert [entry for entry in entries if entry.startswith("CWE-")] == list(dict.fromkeys(own))
    assert any(entry.startswith("AML.") for entry in entries)
    assert any(entry.startswith("LLM") for entry in entries)
    assert len(set(entries)) == len(entries)


def test_what_a_rule_says_is_not_added_to() -> None:
    """A rule that names its own entries of a catalogue gets no others from it."""
    assert complete(("CWE-502", "AML.T0011.000"), ("LLM01:2025",)) == ("CWE-502", "AML.T0011.000", "LLM01:2025")


def test_families_differ() -> None:
    """A secret is disclosure, an endless loop is consumption, and the rest is the supply chain."""
    assert complete(("CWE-798",))[1:3] == ("AML.T0055", "LLM02:2025")
    assert complete(("CWE-834",))[1:3] == ("AML.T0029", "LLM10:2025")
    assert complete(("CWE-502",))[1:] == ("AML.T0010.003", "LLM03:2025", "ML06:2023")


@pytest.mark.parametrize("text", ["", "CWE-0", "CWE-", "cwe-502", "AML.T11", "LLM11:2025", "ML00:2023", "LLM3:2025"])
def test_what_is_no_entry_is_told_apart(text: str) -> None:
    """A slip in an identifier is noticed by its form."""
    assert not is_entry(text)


def test_every_entry_has_a_page() -> None:
    """Each title belongs to an entry, and each entry leads to its catalogue."""
    for entry in (*TITLES, "CWE-502"):
        assert is_entry(entry)
        assert link(entry).startswith("https://")
    assert link("something") == ""
