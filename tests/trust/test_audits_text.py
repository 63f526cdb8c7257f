"""Writing records: a new file, and one that people have written in."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.digest import sha256, tree_digest
from safeload.core.errors import ConfigError
from safeload.trust.audit_records import Audit, Audits, Import, Publisher, Violation, statement
from safeload.trust.audits_edit import same_but_for, with_record
from safeload.trust.audits_text import audit_text, dump
from safeload.trust.criteria import Criteria
from tests.trust.records import A, B, Raw, audit, digest_of, files_of, full, parse, table

MINE = """# Our audits.
version = 1   # the only one

[criteria.ours]   # asked for by Ana
description = "two of us"

# ---- models of ACME ----
{one}
# read on the train; look again
[[audit]]  # see ticket 7
closure = "{b}"
who = "ana"   # on leave
criteria = ["safe-to-run"]
note = '''
[[audit]]
# no comment: it is in the text
'''
files = [
  # the only file
  {{ name = "m.py", sha256 = "{sha}" }},
]

# ---- what must not run ----
[[violation]]
closure = "{c}"
# the end
"""


def mine() -> str:
    return MINE.format(one=full(), b=B, sha=files_of("b")["m.py"], c=digest_of("c"))


def sealed(**more: Any) -> Audit:
    one = audit("d", **({"place": ""} | more))
    return replace(one, seal=sha256(statement(one)))


def edited(text: str, one: Audit, *places: str) -> str:
    before = parse(text)
    replaced = [known for known in before.own if known.place.endswith(places)] if places else []
    data = with_record(text.encode(), one, replaced)
    same_but_for(before, parse(data), one, replaced)
    return data.decode()


def test_a_record_is_added_at_the_end_and_nothing_else_changes() -> None:
    """The file is what it was, and the record after it."""
    one = sealed()
    assert edited(mine(), one) == mine() + audit_text(one)


def test_a_new_file_says_what_it_is() -> None:
    """The first record makes a file that can be read, with a head that says where it is explained."""
    data = with_record(b"", sealed())
    assert data.startswith(b"# Who read") and parse(data).own[0].closure == digest_of("d")


def test_a_record_takes_the_place_of_another_and_its_comments_stay() -> None:
    """The comments of the record that goes stand above the one that comes; all other lines are as they were."""
    one = sealed()
    text = edited(mine(), one, "audit[1]")
    kept = mine().splitlines()
    gone = text.splitlines()
    for comment in ("# read on the train; look again", "# see ticket 7", "# on leave", "# the only file", "# the end"):
        assert comment in gone
    assert [line for line in kept[:20] if line in gone][:10] == kept[:10]
    assert gone.index("# ---- what must not run ----") > gone.index(f'closure = "{digest_of("d")}"')
    assert B not in text and "no comment" not in text


def test_several_records_become_one() -> None:
    """The record stands where the first of those was that it replaces."""
    one = sealed()
    text = edited(mine(), one, "audit[0]", "audit[1]")
    assert len(parse(text).own) == 1 and text.index(digest_of("d")) < text.index("[[violation]]")


@pytest.mark.parametrize("ending", ["", "\n", "\n\n# end"])
def test_the_end_of_the_file_does_not_matter(ending: str) -> None:
    """Without a last line break, or with a comment there, a record can be added all the same."""
    assert len(parse(edited(("version = 1\n" + full()).rstrip("\n") + ending, sealed())).own) == 2


def test_line_breaks_of_windows_stay() -> None:
    """A file with CRLF has CRLF afterwards, everywhere."""
    text = edited(mine().replace("\n", "\r\n"), sealed(), "audit[0]")
    assert text.count("\n") == text.count("\r\n")


@pytest.mark.parametrize("header", ['[["audit"]]', "[[ audit ]]", "  [[audit]]", "[['audit']] # [[audit]]"])
def test_headers_of_every_form_are_found(header: str) -> None:
    """A header may be quoted, spaced, indented or commented."""
    text = "version = 1\n" + full(note="[[audit]]").replace("[[audit]]\n", header + "\n", 1) + full(who="ana")
    assert [one.who for one in parse(edited(text, sealed(), "audit[0]")).own] == ["jo", "ana"]


@pytest.mark.parametrize(
    "text",
    [
        "version = 1\naudit = []\n",
        f'version = 1\naudit = [{{ closure = "{A}", who = "jo", criteria = ["safe-to-run"] }}]\n',
        f'version = 1\naudit = [\n{{ closure = "{A}", who = "jo", criteria = ["safe-to-run"] }}\n]\n[criteria]\n',
    ],
)
def test_a_file_that_cannot_be_added_to_is_refused(text: str) -> None:
    """Records that are written as one inline list are an error that says so, not a broken file."""
    for places in ((), ("audit[0]",)):
        with pytest.raises(ConfigError):
            edited(text, sealed(), *places)


def test_what_would_say_something_else_is_refused() -> None:
    """The comparison notices a record that is gone, one that is new, and a violation that changed."""
    before = parse(mine())
    one = sealed()
    good = parse(with_record(mine().encode(), one))
    same_but_for(before, good, one, [])
    for wrong in (
        before,
        parse(mine() + full(who="eve") + audit_text(one)),
        replace(good, violations=()),
        replace(good, audits=good.audits[1:]),
        replace(good, criteria=Criteria()),
    ):
        with pytest.raises(ConfigError, match="was not changed"):
            same_but_for(before, wrong, one, [])


# ── laws ──────────────────────────────────────────────────────────────────────────────────────────────────────

_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
_who = _text.map(lambda text: f"jo{text}")
_names = st.frozensets(_text, max_size=3)
_day = st.dates(date(2020, 1, 1), date(2030, 1, 1))
_file = st.text("abc/._-é\"'\\\t", min_size=1, max_size=8)
_file_maps = st.dictionaries(_file, st.binary(max_size=3).map(sha256), min_size=1, max_size=3)
_digest = st.text(max_size=3).map(digest_of)


@st.composite
def _audit(draw: st.DrawFn) -> Audit:
    files = draw(st.one_of(st.just({}), _file_maps))
    closure = tree_digest(files) if files else draw(_digest)
    base = draw(st.one_of(st.just(""), _digest))
    exempt = not base and draw(st.booleans())
    criteria = draw(st.frozensets(st.sampled_from(["safe-to-run", "safe-to-deploy", "ours"]), min_size=1))
    one = Audit(
        closure=closure,
        base=base if base != closure else "",
        who=draw(_who),
        criteria=criteria,
        meant=Criteria({"ours": ()}).implied(criteria),
        entries=draw(_names),
        imports=draw(_names),
        unfollowed=draw(_names),
        files=files,
        day=draw(st.one_of(st.none(), _day)),
        expires=draw(_day if exempt else st.one_of(st.none(), _day)),
        note=draw(st.one_of(st.just(""), _text)),
        model=draw(st.one_of(st.just(""), _text)),
        revision=draw(st.one_of(st.just(""), _text)),
        exempt=exempt,
    )
    return replace(one, seal=sha256(statement(one)))


_violation = st.one_of(
    st.builds(Violation, closure=_digest, who=_text, reason=_text),
    st.builds(Violation, file_sha256=st.binary(max_size=3).map(sha256)),
    st.just(Violation(patterns=("evil/*", "**"))),
)
_publisher = st.builds(
    lambda signer, imports, day: Publisher(
        signer=signer, patterns=("acme/*",), criteria=frozenset({"ours"}), imports=imports, start=day, end=day
    ),
    _text,
    _names,
    _day,
)


def plain(found: Audits) -> Audits:
    return replace(
        found,
        audits=tuple(sorted((replace(one, place="") for one in found.audits), key=lambda one: one.seal)),
        violations=tuple(replace(one, place="") for one in found.violations),
        publishers=tuple(replace(one, place="") for one in found.publishers),
    )


@given(st.lists(_audit(), max_size=4), st.lists(_violation, max_size=3), st.lists(_publisher, max_size=2), _text)
def test_what_is_written_is_read(
    audits: list[Audit], violations: list[Violation], publishers: list[Publisher], description: str
) -> None:
    """Reading what was written gives the same records, whatever texts are in them; written again, the same bytes."""
    them = b"version = 1\n"
    records = Audits(
        criteria=Criteria({"ours": ()}),
        descriptions={"ours": description},
        audits=tuple(audits),
        violations=tuple(violations),
        publishers=tuple(publishers),
        imports=(Import(name="acme", file="acme.toml", sha256=sha256(them)),),
    )
    data = dump(records)
    found = parse(data, {"acme.toml": them})
    assert plain(found) == plain(records) and dump(found) == data


@given(st.lists(_audit(), max_size=3), _audit(), st.integers(0, 2))
def test_an_edit_says_what_it_should(audits: list[Audit], one: Audit, index: int) -> None:
    """Adding or replacing a record in a file that can be read gives exactly those records."""
    base = dump(Audits(criteria=Criteria({"ours": ()}), descriptions={"ours": "x"}, audits=tuple(audits)))
    before = parse(base)
    replaced = [*before.own][index : index + 1]
    data = with_record(base, one, replaced)
    same_but_for(before, parse(data), one, replaced)


def test_the_seal_is_over_everything_but_the_list_of_files() -> None:
    """Records that differ in anything that counts have different seals: to sign one is not to sign the other."""
    changes: list[dict[str, Any]] = [
        {"base": "b"},
        {"who": "ana"},
        {"criteria": frozenset({"safe-to-import"})},
        {"meant": frozenset({"safe-to-run", "safe-to-import", "safe-to-deploy"})},
        {"entries": frozenset()},
        {"imports": frozenset()},
        {"unfollowed": frozenset({"m.py:1"})},
        {"day": date(2026, 1, 1)},
        {"expires": date(2027, 1, 1)},
        {"expires": date(2027, 1, 1), "exempt": True},
        {"model": "org/m"},
        {"revision": "c" * 40},
        {"note": "x"},
    ]
    seals = {sealed().seal, *(sealed(**change).seal for change in changes)}
    assert len(seals) == len(changes) + 1
    assert sealed(files=files_of("d"), place="elsewhere").seal == sealed().seal


def test_another_meaning_of_criteria_breaks_the_seal() -> None:
    """Who makes one's own criteria stronger does not make stronger what was signed."""
    own = '[criteria.ours]\ndescription = "x"\nimplies = {}\n'
    weak, strong = (parse(own.format(Raw(said)) + full(criteria=["ours"])) for said in ("[]", '["safe-to-run"]'))
    assert weak.own[0].seal != strong.own[0].seal
    assert table("x", a=1) == "[[x]]\na = 1\n"
