"""`[[suppress]]` is read strictly: whoever accepts a finding says which, where, why and until when."""

from __future__ import annotations

import datetime
import re
import tomllib
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.errors import ConfigError
from safeload.trust.suppressions import Suppression, covers, suppressions

DIGEST = "a" * 64
GOOD = f"""
[[suppress]]
rule = "pickle-unlisted-global"
path = "models/*.bin"
reason = "ours"
expires = 2027-01-31

[[suppress]]
rule = "pickle-dangerous-call"
path = "models/**"
reason = "a tool of 2019 that nobody loads any more"
expires = 2026-12-31
sha256 = "{DIGEST}"
unsafe-dangerous = true
"""


def read(text: str) -> tuple[Suppression, ...]:
    return suppressions(tomllib.loads(text).get("suppress", []), file="safeload.toml")


def refused(**changed: Any) -> ConfigError:
    entry = {"rule": "program", "path": "a.bin", "reason": "x", "expires": datetime.date(2027, 1, 1), **changed}
    entry = {key.replace("_", "-"): value for key, value in entry.items() if value is not None}
    with pytest.raises(ConfigError) as caught:
        suppressions([entry], file="safeload.toml")
    return caught.value


def test_a_good_file_is_read_whole() -> None:
    """Each entry keeps what it says and where it stands."""
    first, second = read(GOOD)
    assert (first.rule, first.sha256, first.unsafe_dangerous) == ("pickle-unlisted-global", None, False)
    assert (second.sha256, second.unsafe_dangerous) == (DIGEST, True)
    assert str(second.where) == "safeload.toml » suppress[1]"


def test_tables_that_another_parser_kept_are_read_too() -> None:
    """A tuple of read-only tables, as the parser of the whole file keeps them, gives the same entries."""
    tables = tuple(MappingProxyType(table) for table in tomllib.loads(GOOD)["suppress"])
    assert suppressions(tables, file="safeload.toml") == read(GOOD)


def test_nothing_is_nothing() -> None:
    """A file without the key suppresses nothing."""
    assert read("version = 1") == ()


@pytest.mark.parametrize("missing", ["rule", "path", "reason", "expires"])
def test_each_part_is_required(missing: str) -> None:
    """An entry without a rule, path, reason or last day is refused at that place."""
    error = refused(**{missing: None})
    assert str(error.where) == f"safeload.toml » suppress[0].{missing}"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rule", "pickle-*"),
        ("rule", ""),
        ("rule", ["program"]),
        ("path", "**"),
        ("path", "*/*"),
        ("path", "../a.bin"),
        ("path", "a/../../b"),
        ("path", ""),
        ("path", 3),
        ("path", "*a" * 11),
        ("reason", "  "),
        ("reason", True),
        ("expires", "2027-01-31"),
        ("expires", datetime.datetime(2027, 1, 31)),
        ("expires", 20270131),
        ("sha256", "A" * 64),
        ("sha256", "a" * 63),
        ("unsafe_dangerous", "true"),
        ("unsafe_dangerous", True),
        ("unsafe_dangerous", 1),
        ("reasons", "misspelt"),
    ],
)
def test_a_wrong_value_is_named_by_its_place(key: str, value: object) -> None:
    """What is not of its kind is refused, and the error says where it stands."""
    assert str(refused(**{key: value}).where) == f"safeload.toml » suppress[0].{key.replace('_', '-')}"


@pytest.mark.parametrize("data", [{"rule": "program"}, "program", None, 3])
def test_what_is_no_list_is_refused(data: object) -> None:
    """`[suppress]` in place of `[[suppress]]` is an error, not nothing."""
    with pytest.raises(ConfigError):
        suppressions(data, file="safeload.toml")


def test_all_problems_are_listed() -> None:
    """Who corrects a file learns of every place at once."""
    with pytest.raises(ConfigError) as caught:
        suppressions([{"rule": "program"}, 3], file="safeload.toml")
    for place in ("suppress[0].path", "suppress[0].reason", "suppress[0].expires", "suppress[1]:"):
        assert place in caught.value.why


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        ("a.bin", "a.bin", True),
        ("a.bin", "b/a.bin", False),
        ("*.bin", "a.bin", True),
        ("*.bin", "b/a.bin", False),
        ("b/*", "b/c/a.bin", False),
        ("b/**", "b/c/a.bin", True),
        ("**/a.bin", "a.bin", True),
        ("**/a.bin", "b/c/a.bin", True),
        ("**/a.bin", "b/xa.bin", False),
        ("a.bin", "aXbin", False),
        ("a?bin", "a/bin", False),
        ("[a].bin", "a.bin", False),
        ("a*", "a\nb", True),
    ],
)
def test_patterns_stay_within_a_folder(pattern: str, name: str, covered: bool) -> None:
    """`*` does not cross `/`; nothing but `*`, `**` and `?` is special; the whole name counts."""
    entry = {"rule": "program", "path": pattern, "reason": "x", "expires": datetime.date(2027, 1, 1)}
    assert suppressions([entry], file="f")[0].matches(name) is covered


def test_the_last_day_still_counts() -> None:
    """An entry applies on the day it names, and not on the next."""
    first = read(GOOD)[0]
    assert not first.expired(datetime.date(2027, 1, 31))
    assert first.expired(datetime.date(2027, 2, 1))


TOML = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["rule", "path", "x"]), inner),
    max_leaves=8,
)


@given(TOML)
def test_anything_ends_in_entries_or_our_error(data: object) -> None:
    """Whatever a TOML document holds there, the answer is a tuple or a `ConfigError`."""
    try:
        assert isinstance(suppressions(data, file="f"), tuple)
    except ConfigError as error:
        assert error.why


@given(st.text("a/*?.", max_size=8), st.text("a/.", max_size=8))
def test_patterns_mean_what_a_plain_translation_means(pattern: str, name: str) -> None:
    """Walking a pattern gives the same answer as the regular expression that its docstring describes."""
    spelled = {"**/": r"(?:.*/)?", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    plain = "".join(spelled.get(piece) or re.escape(piece) for piece in pieces)
    assert covers(pattern, name) is (re.fullmatch(plain, name, re.DOTALL) is not None)


def test_a_name_cannot_make_a_pattern_slow() -> None:
    """A pattern of many wildcards over a name that nearly fits ends, which backtracking would not."""
    assert not covers("**/*a*a*a*a*a*a*a*a*a*b", "a" * 4_000)
