"""The loader of allowlists is strict: a file is as it must be, or an error names the place."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from safeload.core.allowlist import Effect, Use
from safeload.core.errors import ConfigError
from safeload.core.names import GlobalName
from safeload.engine import allowlists
from safeload.engine.allowlists import default_allowlist, parse_allowlists

GOOD = """
library = "x"
versions = "1"
[[globals]]
module = "a.b"
names = ["C", "D"]
effect = "record"
use = "new"
reason = "r"
evidence = "e"
"""


def test_a_good_file_is_read() -> None:
    """Each name of a table becomes an entry with what the table says."""
    allowlist = parse_allowlists({"x.toml": GOOD})
    entry = allowlist.get(GlobalName("a.b", "D"))
    assert entry is not None
    assert (entry.effect, entry.use, entry.reason, entry.evidence) == (Effect.RECORD, Use.NEW, "r", "e")
    assert len(allowlist) == 2


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('library = "x"', "", "x.toml"),
        ('library = "x"', "library = 1", "x.toml"),
        ('library = "x"', 'library = "x"\nextra = 1', "x.toml"),
        ('library = "x"', 'library = "x"\nlibrary = "y"', "line 3"),
        ('versions = "1"', "", "x.toml"),
        ('versions = "1"', "versions = 1", "x.toml"),
        ('names = ["C", "D"]', 'names = ["C",', "line 6"),
        ('reason = "r"', "reason = r", "line 9"),
        ('reason = "r"', "reason", "line 9"),
        ('reason = "r"', 'reason = "r"\nversions = 1', "globals[0].versions"),
        ("[[globals]]", "[globals]", "line 4"),
        ('module = "a.b"', "", "globals[0].module"),
        ('module = "a.b"', 'module = "a..b"', "globals[0].module"),
        ('module = "a.b"', 'module = "a.*"', "globals[0].module"),
        ('names = ["C", "D"]', "names = []", "globals[0].names"),
        ('names = ["C", "D"]', 'names = "C"', "globals[0].names"),
        ('names = ["C", "D"]', 'names = ["C", "D.e"]', "globals[0].names[1]"),
        ('names = ["C", "D"]', 'names = ["C", "*"]', "globals[0].names[1]"),
        ('names = ["C", "D"]', 'names = ["C", "C"]', "globals[0].names[1]"),
        ('effect = "record"', 'effect = "run"', "globals[0].effect"),
        ('effect = "record"', "", "globals[0].effect"),
        ('use = "new"', "", "globals[0].use"),
        ('use = "new"', 'use = "any"', "globals[0].use"),
        ('reason = "r"', 'reason = " "', "globals[0].reason"),
        ('evidence = "e"', "", "globals[0].evidence"),
        ('evidence = "e"', 'evidence = "e"\nsurprise = 1', "globals[0]"),
        ("library", "library =", "line 2"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(old: str, new: str, place: str) -> None:
    """Whatever is missing, unknown, doubled or not exact is an error that names file and entry."""
    with pytest.raises(ConfigError) as caught:
        parse_allowlists({"x.toml": GOOD.replace(old, new, 1)})
    assert "x.toml" in str(caught.value.where)
    assert str(caught.value.where).endswith(place)
    assert caught.value.remedy


def test_a_name_stands_in_one_file_only() -> None:
    """The same name in two files is an error that names both."""
    with pytest.raises(ConfigError, match=r"listed already, in a\.toml"):
        parse_allowlists({"a.toml": GOOD, "b.toml": GOOD})


def test_the_files_are_toml() -> None:
    """What the loader reads in its own way, `tomllib` reads alike."""
    files = sorted(Path(allowlists.__file__).parents[1].joinpath("allowlists").glob("*.toml"))
    assert len(files) >= 13
    for path in files:
        text = path.read_text("utf-8")
        document, tables = allowlists._document(path.name, text)
        assert {**document, "globals": tables} == tomllib.loads(text)


def test_the_default_is_read_once() -> None:
    """Everybody shares one immutable value."""
    assert default_allowlist() is default_allowlist()
