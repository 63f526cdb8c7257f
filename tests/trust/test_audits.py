"""`audits.toml`: what it may say, and the place of everything that it may not."""

from __future__ import annotations

import base64
import contextlib
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.digest import sha256
from safeload.core.errors import ConfigError
from safeload.trust.audits import LARGEST
from tests.trust.records import A, B, Raw, digest_of, files_of, full, parse, refused, table

OWN = '[criteria.ours]\ndescription = "read by two of us"\nimplies = ["safe-to-run"]\n'
DELTA: dict[str, Any] = {"from": A, "to": B, "who": "jo", "criteria": ["safe-to-run"]}
EXEMPTION: dict[str, Any] = {
    "closure": A,
    "who": "jo",
    "criteria": ["safe-to-run"],
    "expires": date(2027, 1, 31),
}
TRUSTED: dict[str, Any] = {
    "signer": "acme",
    "match": ["ACME/*"],
    "criteria": ["safe-to-run"],
    "start": date(2026, 11, 1),
    "end": date(2027, 11, 1),
}
THEIRS = (
    'version = 1\n[criteria.quick]\ndescription = "a glance"\nimplies = ["safe-to-import"]\n'
    '[criteria.deep]\ndescription = "in their own words"\n'
    + full(criteria=["safe-to-deploy"])
    + full(closure=B, criteria=["quick", "deep"], who="ana")
    + table("violation", file_sha256="a" * 64, reason="steals tokens")
    + table("exemption", **(EXEMPTION | {"closure": digest_of("e")}))
    + table("trusted", **TRUSTED)
    + '[imports.third]\nfile = "third.toml"\nsha256 = "'
    + "0" * 64
    + '"\n'
).encode()


def imported(mapping: str = '{ safe-to-run = ["safe-to-run"] }', data: bytes = THEIRS, pin: bytes | None = None) -> str:
    digest = sha256(data if pin is None else pin)
    return f'[imports.acme]\nfile = "acme.toml"\nsha256 = "{digest}"\ncriteria-map = {mapping}\n'


def entry(name: str, values: dict[str, Any], **changes: Any) -> str:
    kept = {key: value for key, value in (values | changes).items() if value is not None}
    return OWN + table(name, **kept)


def test_everything_that_it_can_say() -> None:
    """Each kind of record is taken, with all that it names."""
    listed = Raw('[{ name = "m.py", sha256 = "' + files_of("a")["m.py"] + '" }]')
    more = {"unfollowed": ["m.py:3"], "date": date(2026, 11, 1), "model": "org/m", "revision": "c" * 40, "note": "ok"}
    found = parse(
        OWN
        + full(criteria=["ours"], files=listed, **more)
        + table("delta", **DELTA)
        + table("exemption", **EXEMPTION)
        + table("violation", closure=A, who="jo", reason="it lies")
        + table("violation", file_sha256="b" * 64)
        + table("violation", match=["Evil/*", "path:models/x"])
        + table("trusted", **TRUSTED)
    )
    first, delta, exempt = found.audits
    assert (first.closure, first.who, first.unfollowed) == (A, "jo", {"m.py:3"})
    assert first.meant == {"ours", "safe-to-run", "safe-to-import"} and first.files == files_of("a")
    assert (delta.base, delta.closure, exempt.exempt) == (A, B, True)
    assert [one.patterns for one in found.violations] == [(), (), ("evil/*", "path:/project/models/x")]
    assert found.publishers[0].patterns == ("acme/*",) and found.descriptions == {"ours": "read by two of us"}
    assert first.place == "audits.toml » audit[0]" and len({one.seal for one in found.audits}) == 3


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("version = 2\n", "version", "knows version 1"),
        ("version = true\n", "version", "must be a number"),
        ("colour = 1\n", "colour", "no such key"),
        ("audit = 1\n", "audit", "a list of tables"),
        ("audit = [1]\n", "audit[0]", "must be a table"),
        ("[audit]\nwho = 'jo'\n", "audit", "a list of tables"),
        ('audit = []\n[[audit]]\nwho = "jo"\n', "", "no TOML"),
        (full() + "who = 'ana'\n", "", "no TOML"),
        (full(whom="jo"), "audit[0].whom", "no such key"),
        (full() + full(who=None), "audit[1].who", "missing"),
        (full(who=""), "audit[0].who", "empty"),
        (full(who="\u200b --"), "audit[0].who", "no letter"),
        (full(who=3), "audit[0].who", "must be a text"),
        (full(closure=None), "audit[0].closure", "missing"),
        (full(closure="h1:abc"), "audit[0].closure", "h1:"),
        (full(closure=A.replace("h1:", "H1:")), "audit[0].closure", "h1:"),
        (full(closure=A[:-2] + chr(ord(A[-2]) + 1) + "="), "audit[0].closure", "written like that"),
        (full(criteria=[]), "audit[0].criteria", "names none"),
        (full(criteria="safe-to-run"), "audit[0].criteria", "list of texts"),
        (full(criteria=["safe-to-run", "Safe-To-Run"]), "audit[0].criteria[1]", "no criteria"),
        (full(criteria=["safe-to-run", "safe-to-run"]), "audit[0].criteria[1]", "twice"),
        (full(entries=["m.M", ""]), "audit[0].entries[1]", "not empty"),
        (full(imports=["torch", "torch"]), "audit[0].imports[1]", "twice"),
        (full(date=Raw("2026-02-30")), "", "no TOML"),
        (full(date=Raw("2026-11-01T10:00:00")), "audit[0].date", "a date"),
        (full(date="2026-11-01"), "audit[0].date", "a date"),
        (full(expires="never"), "audit[0].expires", "a date"),
        (full(files=Raw("[1]")), "audit[0].files[0]", "must be a table"),
        (full(files=Raw('[{ name = "m.py" }]')), "audit[0].files[0].sha256", "missing"),
        (full(files=Raw('[{ name = "m.py", sha256 = "' + "A" * 64 + '" }]')), "files[0].sha256", "hexadecimal"),
        (full(files=Raw('[{ name = "m.py", sha256 = "' + "a" * 64 + '" }]')), "audit[0].files", "not the code"),
        (full(files=Raw('[{ name = "m\\n.py", sha256 = "' + "a" * 64 + '" }]')), "audit[0].files", "line break"),
        (
            full(files=Raw("[" + ", ".join(['{ name = "m.py", sha256 = "' + "a" * 64 + '" }'] * 2) + "]")),
            "files[1].name",
            "twice",
        ),
        (entry("delta", DELTA, **{"from": None}), "delta[0].from", "missing"),
        (entry("delta", DELTA, **{"from": "v1"}), "delta[0].from", "h1:"),
        (entry("delta", DELTA, to=A), "delta[0].to", "what it starts from"),
        (entry("delta", DELTA, closure=A), "delta[0].closure", "no such key"),
        (full(**{"from": A}), "audit[0].from", "no such key"),
        (entry("exemption", EXEMPTION, expires=None), "exemption[0].expires", "its last day"),
        (entry("exemption", EXEMPTION, who=None), "exemption[0].who", "missing"),
        (entry("violation", {}), "violation[0]", "one of closure"),
        (entry("violation", {"closure": A, "match": ["a/b"]}), "violation[0]", "one of closure"),
        (entry("violation", {"file-sha256": "C" * 64}), "violation[0].file-sha256", "hexadecimal"),
        (entry("violation", {"match": []}), "violation[0].match", "matches nothing"),
        (entry("violation", {"match": ["a/**/b"]}), "violation[0].match[0]", "no pattern"),
        (entry("violation", {"match": ["path:../x"]}), "violation[0].match[0]", "no pattern"),
        (entry("violation", {"closure": A, "criteria": ["safe-to-run"]}), "violation[0].criteria", "no such key"),
        (entry("trusted", TRUSTED, end=None), "trusted[0].end", "last day"),
        (entry("trusted", TRUSTED, start=None), "trusted[0].start", "first"),
        (entry("trusted", TRUSTED, end=date(2027, 11, 3)), "trusted[0].end", "at most a year"),
        (entry("trusted", TRUSTED, end=date(2026, 10, 31)), "trusted[0].end", "at most a year"),
        (entry("trusted", TRUSTED, match=[]), "trusted[0].match", "matches nothing"),
        (entry("trusted", TRUSTED, signer=None), "trusted[0].signer", "missing"),
        (entry("trusted", TRUSTED, entries=["m.M"]), "trusted[0].entries", "no such key"),
        ("[criteria.safe-to-run]\ndescription = 'mine'\n", "criteria.safe-to-run", "not built in"),
        ("[criteria.Ours]\ndescription = 'mine'\n", "criteria.Ours", "small letters"),
        ("[criteria.ours]\n", "criteria.ours.description", "missing"),
        ("[criteria]\nours = 1\n", "criteria.ours", "a table"),
        ("[criteria.ours]\ndescription = 'x'\nimplies = ['theirs']\n", "criteria.ours.implies", "no criteria 'theirs'"),
        ("[imports]\nacme = 1\n", "imports.acme", "must be a table"),
        ("[imports.'a/b']\nfile = 'x'\n", "imports.a/b", "plain name"),
        ("[imports.acme]\nfile = 'acme.toml'\n", "imports.acme.sha256", "missing"),
        (imported() + "transitive = true\n", "imports.acme.transitive", "no such key"),
        ("<<<<<<< HEAD\n" + full(), "line 2", "merge conflict"),
    ],
)
def test_what_cannot_be_meant_is_an_error_with_its_place(text: str, place: str, why: str) -> None:
    """Every malformed record is refused, with the file, the place in it, and what is wrong there."""
    said = refused(text, {"acme.toml": THEIRS})
    assert place in said and why in said


@pytest.mark.parametrize("data", [b"", b"\xff", b"version = 1\n" + b"#" * LARGEST, b"a = " + b"[" * 5_000])
def test_what_is_no_file_of_records_is_an_error(data: bytes) -> None:
    """An empty file, bytes that are no text, a file that is too long and one nested too deep are refused."""
    assert refused(data)


def test_a_year_of_trust_may_hold_a_leap_day() -> None:
    """Trust from one day to the same day of the next year is at most a year, also over the 29th of February."""
    found = parse(entry("trusted", TRUSTED, start=date(2027, 3, 1), end=date(2028, 3, 1)))
    assert found.publishers[0].end == date(2028, 3, 1)


# ── imports ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_their_records_have_our_criteria_and_their_name() -> None:
    """What is mapped is taken over; what is not mapped, exempted, trusted or imported by them is not."""
    found = parse(imported(), {"acme.toml": THEIRS})
    [one] = found.audits
    assert (one.closure, one.criteria, one.origin, one.who) == (A, {"safe-to-run"}, "acme", "jo")
    assert one.meant == {"safe-to-deploy", "safe-to-run", "safe-to-import"}
    assert not found.publishers and [imp.name for imp in found.imports] == ["acme"] and not found.own


def test_their_violations_count_at_once() -> None:
    """A violation needs no mapping."""
    [one] = parse(imported("{}"), {"acme.toml": THEIRS}).violations
    assert (one.file_sha256, one.origin, one.reason) == ("a" * 64, "acme", "steals tokens")


def test_criteria_of_their_own_mean_what_we_map_them_to() -> None:
    """Criteria that say nothing in common words are for us to judge."""
    found = parse(imported('{ deep = ["safe-to-run"] }'), {"acme.toml": THEIRS})
    assert [(one.closure, one.criteria) for one in found.audits] == [(B, {"safe-to-run"})]


@pytest.mark.parametrize("change", [b"", b"version = 1\n", THEIRS + b"\n", THEIRS.replace(b"jo", b"Jo", 1)])
def test_a_changed_import_is_refused(change: bytes) -> None:
    """One byte more in the other file is an error that names its digest, so that somebody reads what changed."""
    said = refused(imported(pin=THEIRS), {"acme.toml": change})
    assert "imports.acme.sha256" in said and sha256(change) in said


@pytest.mark.parametrize(
    ("mapping", "why"),
    [
        ('{ safe-to-import = ["safe-to-run"] }', "less than safe-to-run"),
        ('{ safe-to-run = ["safe-to-deploy"] }', "less than safe-to-deploy"),
        ('{ safe-to-import = ["ours"] }', "less than safe-to-run"),
        ('{ quick = ["safe-to-run"] }', "less than safe-to-run"),
        ('{ safe-to-rnu = ["safe-to-run"] }', "they have no such criteria"),
        ('{ safe-to-run = ["safe-to-rnu"] }', "there are no criteria"),
        ("{ safe-to-run = [] }", "names none"),
    ],
)
def test_no_mapping_makes_more_of_a_word_than_it_says(mapping: str, why: str) -> None:
    """A built-in word, or one that implies one, is not mapped to a stronger one, nor one that is not there."""
    said = refused(OWN + imported(mapping), {"acme.toml": THEIRS})
    assert "imports.acme.criteria-map" in said and why in said


@pytest.mark.parametrize(
    "theirs",
    [b"version = 1\n[[audit]]\nwho = 3\n", b"\xff", b"version = 1\n[[violation]]\n", b"version = 1\nexemptions = 1\n"],
)
def test_a_malformed_import_is_an_error_in_its_own_file(theirs: bytes) -> None:
    """What is wrong in another organisation's file is said with the place in that file."""
    assert "acme.toml" in refused(imported(data=theirs), {"acme.toml": theirs})


def test_an_import_that_is_not_there_is_an_error() -> None:
    """A missing file is no empty file."""
    assert "imports.acme.file" in refused(imported(), {})


def test_one_file_is_no_two_organisations() -> None:
    """The same records under a second name would count as a second person."""
    twice = imported() + imported().replace("imports.acme", "imports.other").replace("acme.toml", "other.toml")
    assert "imports.other" in refused(twice, {"acme.toml": THEIRS, "other.toml": THEIRS})


# ── laws ──────────────────────────────────────────────────────────────────────────────────────────────────────

_BASE = (OWN + full() + table("delta", **DELTA) + table("violation", closure=A) + table("trusted", **TRUSTED)).encode()


@given(st.binary(max_size=60))
def test_any_bytes_are_records_or_an_error(data: bytes) -> None:
    """Reading is total over bytes."""
    with contextlib.suppress(ConfigError):
        parse(b"version = 1\n" + data)


@given(st.data())
def test_any_damage_is_records_or_an_error(data: st.DataObject) -> None:
    """Reading is total over files that were once good."""
    text = bytearray(b"version = 1\n" + _BASE)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(ConfigError):
        parse(bytes(text))


def test_a_digest_that_is_written_in_another_way_is_none() -> None:
    """Base 64 has several spellings of some bytes; one that is not ours would match nothing, and is refused."""
    raw = base64.b64decode(A.removeprefix("h1:"))
    others = {f"{A[:-2]}{letter}=" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"}
    same = {one for one in others - {A} if base64.b64decode(one.removeprefix("h1:")) == raw}
    assert len(same) == 3
    for spelling in same:
        assert "written like that" in refused(table("violation", closure=spelling))
