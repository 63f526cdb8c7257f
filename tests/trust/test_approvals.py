"""Which records approve which code, and why the others do not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.trust.approvals import Answer, approvals_for
from safeload.trust.audit_records import Audit, Audits, Publisher, Violation
from safeload.trust.auditors import Who
from safeload.trust.closest import nearest
from safeload.trust.criteria import Criteria
from safeload.trust.judge import Code, Demand
from tests.trust.records import TODAY, A, B, C, audit, code, days, digest_of, files_of, records

RUN = frozenset({"safe-to-run"})


def ask(
    *found: Audit | Violation | Audits,
    about: Code | None = None,
    signed: Mapping[str, Collection[Who]] | None = None,
    today: int = 0,
    demands: tuple[Demand, ...] | None = None,
    **demand: Any,
) -> Answer:
    files = [one for one in found if isinstance(one, Audits)]
    files.append(records(*(one for one in found if not isinstance(one, Audits))))
    wanted = (Demand(**demand),) if demands is None else demands
    return approvals_for(about or code(), files, wanted, days(today), signed)


def why(*found: Audit | Violation | Audits, **more: Any) -> str:
    """Why it is not approved: everything that is said."""
    answer = ask(*found, **more)
    assert not answer.approvals
    return "; ".join(answer.reasons)


def by(signer: str, *audits: Audit, key: str = "") -> dict[str, set[Who]]:
    return {one.seal: {(signer, f"key:{key or signer}")} for one in audits}


# ── one record ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_record_of_this_code_approves_it() -> None:
    """One record that says enough is enough, and the approval names code, criteria and auditor."""
    [given_] = ask(audit()).approvals
    assert (given_.closure, given_.criteria, given_.who) == (A, "safe-to-run", "jo")


def test_nothing_approves_without_a_record_or_without_a_demand() -> None:
    """No record, no approval; and where nobody demands anything, nothing is approved either."""
    assert not ask().approvals and ask().wanted == ("safe-to-run",)
    assert not ask(audit(), demands=()).approvals


def test_a_record_of_other_code_says_what_changed() -> None:
    """The refusal names the files that changed since the nearest record."""
    assert "m.py changed since jo read it" in why(audit("b", files=files_of("b")))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"entries": frozenset({"m.Other"})}, "the entries m.M"),
        ({"entries": frozenset()}, "the entries m.M"),
        ({"imports": frozenset()}, "the imports torch"),
        ({"imports": frozenset({"Torch"})}, "the imports torch"),
        ({"expires": days(-1)}, "it expired on 2026-11-27"),
        ({"day": days(2)}, "it is of 2026-11-30, and today is 2026-11-28"),
        ({"criteria": frozenset({"safe-to-import"})}, "it says safe-to-import, and safe-to-run is needed"),
        ({"base": "b"}, "which a delta starts from, is not approved"),
    ],
)
def test_what_a_record_does_not_say_it_does_not_approve(change: dict[str, Any], said: str) -> None:
    """Another class, a further import, an expired record, one from the future, and weaker criteria approve nothing."""
    assert said in why(audit(**change))


@pytest.mark.parametrize("change", [{"expires": TODAY}, {"day": days(1)}, {"imports": frozenset({"torch", "numpy"})}])
def test_what_is_just_enough_is_enough(change: dict[str, Any]) -> None:
    """The last day counts, so does the date of a country where it is tomorrow, and more imports than there are."""
    assert ask(audit(**change)).approvals


def test_growth_of_imports_is_refused_whoever_approved_the_rest() -> None:
    """An import that no record names stops the load, and the reason names it."""
    about = code(imports=frozenset({"torch", "requests"}))
    assert "the imports requests" in why(audit(), audit(who="ana"), about=about)


def test_each_place_that_cannot_be_followed_must_be_named() -> None:
    """A record approves no computed import or executed text that it does not name."""
    about = code(unfollowed=frozenset({"m.py:3", "m.py:9"}))
    assert "m.py:9" in why(audit(unfollowed=frozenset({"m.py:3"})), about=about)
    assert ask(audit(unfollowed=frozenset({"m.py:3", "m.py:9"})), about=about).approvals


def test_two_halves_of_a_record_are_no_record() -> None:
    """What one record lacks another does not make up for."""
    about = code(entries=frozenset({"m.M", "m.N"}))
    halves = (audit(entries=frozenset({"m.M"})), audit(entries=frozenset({"m.N"})))
    assert not ask(*halves, about=about).approvals


def test_faults_are_not_approved() -> None:
    """Code that cannot be read has no approval, whatever a record says."""
    assert why(audit(), about=code(faults=("m.py is no Python",))) == "m.py is no Python"
    assert not ask(audit(), about=code(faults=("m.py is no Python",))).wanted


# ── criteria ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("said", "needed", "enough"),
    [
        ("safe-to-deploy", "safe-to-import", True),
        ("safe-to-deploy", "safe-to-run", True),
        ("safe-to-run", "safe-to-import", True),
        ("safe-to-run", "safe-to-deploy", False),
        ("safe-to-import", "safe-to-run", False),
    ],
)
def test_each_built_in_word_holds_the_one_before_it(said: str, needed: str, enough: bool) -> None:
    """safe-to-import < safe-to-run < safe-to-deploy."""
    assert bool(ask(audit(criteria=frozenset({said})), criteria=needed).approvals) is enough


def test_own_criteria_imply_what_they_say_and_nothing_else() -> None:
    """One's own criteria imply others, also in a circle; they are implied by none that does not say so."""
    own = Criteria({"ours": ("mine",), "mine": ("ours", "safe-to-import")})
    one = records(audit(criteria=frozenset({"ours"})), criteria=own)
    assert ask(one, criteria="safe-to-import").approvals and ask(one, criteria="mine").approvals
    assert not ask(one, criteria="safe-to-run").approvals
    assert not ask(records(audit(), criteria=own), criteria="ours").approvals


def test_each_file_has_its_own_words() -> None:
    """What criteria of the same name imply in one file they do not imply in another."""
    strong = records(criteria=Criteria({"ours": ("safe-to-deploy",)}))
    weak = records(audit(criteria=frozenset({"ours"})), criteria=Criteria({"ours": ()}))
    assert not ask(strong, weak).approvals


def test_demanded_criteria_that_no_file_knows_are_said_to_be_unknown() -> None:
    """A misspelt word in a policy refuses, and the reason says that no file knows it."""
    assert "ours-reveiwed, which no file of audits knows" in why(audit(), criteria="ours-reveiwed")


def test_every_layer_must_be_content() -> None:
    """Two demands need an approval each, and what is lacking is said of each."""
    demands = (Demand(), Demand(criteria="safe-to-deploy", place="/etc/safeload/policy.toml » defaults"))
    answer = ask(audit(), demands=demands)
    assert not answer.approvals and answer.wanted == ("safe-to-deploy",) and "/etc/" in "".join(answer.reasons)
    good = ask(audit(criteria=frozenset({"safe-to-deploy"})), demands=demands)
    assert [one.criteria for one in good.approvals] == ["safe-to-run", "safe-to-deploy"]
    both = ask(demands=(Demand(criteria="safe-to-import"), *demands))
    assert both.wanted == ("safe-to-import", "safe-to-run", "safe-to-deploy")


# ── deltas ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_deltas_lead_from_what_is_approved() -> None:
    """A chain of deltas from a full audit approves, and names everybody it rests on."""
    [given_] = ask(audit("c", who="eve"), audit("b", base="c", who="ana"), audit(base="b")).approvals
    assert given_.who == "ana, eve, jo"


@pytest.mark.parametrize(
    "found",
    [
        (audit(base="b"),),
        (audit(base="b"), audit("b", base="c")),
        (audit(base="b"), audit("b", base="a")),
        (audit(base="b"), audit("b", base="a"), audit("c")),
        (audit(base="b"), audit("b", expires=days(-1))),
        (audit(base="b"), audit("b", criteria=frozenset({"safe-to-import"}))),
        (audit(base="b", criteria=frozenset({"safe-to-import"})), audit("b")),
        (audit("b", base="a"), audit("b")),
    ],
    ids=["unknown", "chain", "circle", "apart", "expired", "weak base", "weak delta", "backwards"],
)
def test_deltas_from_what_is_not_approved_approve_nothing(found: tuple[Audit, ...]) -> None:
    """Neither an unknown beginning, nor a circle, nor a base that does not count, nor a delta away from here helps."""
    assert not ask(*found).approvals


def test_a_delta_must_name_what_the_code_at_hand_needs() -> None:
    """The last step names entries, imports and places; what the base named does not count for it."""
    assert "the imports torch" in why(audit("b"), audit(base="b", imports=frozenset()))


def test_a_delta_from_a_violation_approves_nothing() -> None:
    """Who read only what changed since code that turned out to be bad read too little."""
    chain = (audit("b", files=files_of("b")), audit(base="b"))
    assert ask(*chain).approvals
    assert "what it starts from is a violation" in why(*chain, Violation(closure=B))
    assert "what it starts from is a violation" in why(*chain, Violation(file_sha256=files_of("b")["m.py"]))
    further = (audit("c"), audit("b", base="c"), audit(base="b"))
    assert ask(*further).approvals and not ask(*further, Violation(closure=C)).approvals


# ── violations ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "violation",
    [
        Violation(closure=A, reason="it\nlies"),
        Violation(file_sha256=files_of("a")["m.py"]),
        Violation(patterns=("evil/*",)),
        Violation(patterns=("**",)),
    ],
)
def test_a_violation_beats_everything(violation: Violation) -> None:
    """Violations of the code, a file or the model beat audits, deltas, exemptions, publishers and signatures."""
    about = code(names=("evil/model",), signers=frozenset({("acme", "key:1")}))
    most = audit(criteria=frozenset({"safe-to-deploy"}))
    found = (most, audit(who="ana"), audit(exempt=True, expires=days(1)), records(publishers=(publisher(),)))
    assert ask(*found, about=about).approvals
    answer = ask(*found, violation, about=about, signed=by("jo", most))
    assert not answer.approvals and not answer.wanted and "is a violation" in answer.reasons[0]
    assert "\n" not in answer.reasons[0]


def test_a_violation_of_something_else_is_none() -> None:
    """Other code, other files and other models do not count, and neither do empty fields."""
    others = (Violation(closure=B), Violation(file_sha256="0" * 64), Violation(patterns=("evil/*",)), Violation())
    assert ask(audit(), *others, about=code(names=("good/model",))).approvals


# ── who ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("names", "count"),
    [
        (("jo",), 1),
        (("jo", "jo"), 1),
        (("jo", "Jo "), 1),
        (("jo", "j\u043e"), 1),
        (("jo", "j\u03bf"), 1),
        (("jo", "J\u00f3"), 1),
        (("jo", "j\u200bo"), 1),
        (("jo", "j0"), 1),
        (("jo", "\uff4a\uff4f"), 1),
        (("jo", "jo."), 1),
        (("jo", "ana"), 2),
        (("\u5c71\u7530", "\u7530\u5c71"), 2),
    ],
)
def test_auditors_are_people_that_can_be_told_apart(names: tuple[str, ...], count: int) -> None:
    """One name written in several ways, also with letters that only look the same, is one auditor."""
    found = [audit(who=name) for name in names]
    assert ask(*found, least=count).approvals
    assert f"{count} of the {count + 1} auditors needed" in why(*found, least=count + 1)


def test_each_step_needs_as_many_auditors() -> None:
    """Two on the delta and one on its base are not two."""
    delta = (audit(base="b"), audit(base="b", who="ana"))
    assert not ask(audit("b"), *delta, least=2).approvals
    assert ask(audit("b"), audit("b", who="eve"), *delta, least=2).approvals


def test_another_organisation_is_one_auditor() -> None:
    """Whoever writes an imported file could write any names into it."""
    theirs = [audit(who=name, origin="acme") for name in ("ana", "eve")]
    assert not ask(*theirs, least=2).approvals
    assert ask(*theirs, audit(), least=2).approvals
    assert ask(theirs[0], audit(who="eve", origin="other"), least=2).approvals


def test_named_auditors_count_only_with_a_signature() -> None:
    """Where a policy names auditors, a name in the file is nothing, nor is the signature of somebody else."""
    one = audit(seal="1" * 64)
    jo = frozenset({"jo"})
    assert "signed by nobody of jo" in why(one, auditors=jo)
    assert "signed by nobody of jo" in why(one, auditors=jo, signed=by("eve", one))
    assert not ask(one, auditors=jo, signed={"2" * 64: {("jo", "key:1")}}).approvals
    assert not ask(one, auditors=frozenset(), signed=by("jo", one)).approvals
    [given_] = ask(replace(one, who="somebody"), auditors=jo, signed=by("jo", one)).approvals
    assert given_.who == "jo"


@pytest.mark.parametrize(
    ("pairs", "count"),
    [
        ([("jo", "1")], 1),
        ([("jo", "1"), ("ana", "1")], 1),
        ([("jo", "1"), ("jo", "2")], 1),
        ([("jo", "1"), ("ana", "2")], 2),
        ([("jo", "1"), ("ana", "1"), ("ana", "2")], 2),
        ([("jo", "2"), ("jo", "1"), ("ana", "1"), ("eve", "2"), ("eve", "3")], 3),
        ([("jo", "1"), ("ana", "1"), ("eve", "1"), ("eve", "2")], 2),
    ],
)
def test_keys_make_auditors(pairs: list[tuple[str, str]], count: int) -> None:
    """One key under two names is one auditor, and so is one name with two keys."""
    one = audit(seal="1" * 64)
    signed = {one.seal: {(name, f"key:{key}") for name, key in pairs}}
    everybody = frozenset({"jo", "ana", "eve"})
    assert ask(one, least=count, auditors=everybody, signed=signed).approvals
    assert not ask(one, least=count + 1, auditors=everybody, signed=signed).approvals


def test_a_mapping_does_not_add_to_what_was_signed() -> None:
    """Where auditors are named, an imported record counts for what its auditor meant, not for what we map it to."""
    theirs = audit(origin="acme", meant=frozenset({"deep"}), seal="1" * 64)
    assert ask(theirs).approvals
    said = why(theirs, auditors=frozenset({"jo"}), signed=by("jo", theirs))
    assert "safe-to-run is not what its auditor signed" in said


# ── publishers and exemptions ─────────────────────────────────────────────────────────────────────────────────


def publisher(**more: Any) -> Publisher:
    known: dict[str, Any] = {"patterns": ("evil/*", "acme/*"), "criteria": RUN, "imports": frozenset({"torch"})}
    return Publisher(signer="acme", **(known | {"start": days(-10), "end": days(10)} | more))


def published(**more: Any) -> Code:
    return code(names=("acme/model",), **({"signers": frozenset({("acme", "key:1")})} | more))


def test_what_a_trusted_publisher_signed_is_approved() -> None:
    """The signature over all of the code stands for an audit."""
    [given_] = ask(records(publishers=(publisher(),)), about=published()).approvals
    assert given_.who == "acme"


@pytest.mark.parametrize(
    ("change", "about", "said"),
    [
        ({"start": days(1)}, {}, "it holds from"),
        ({"end": days(-1)}, {}, "it holds from"),
        ({"patterns": ("other/*",)}, {}, "about other models"),
        ({"criteria": frozenset({"safe-to-import"})}, {}, "safe-to-run is needed"),
        ({"imports": frozenset()}, {}, "the imports torch"),
        ({}, {"unfollowed": frozenset({"m.py:1"})}, "need an audit"),
        ({}, {"signers": frozenset()}, "acme did not sign"),
        ({}, {"signers": frozenset({("system:acme", "key:1")})}, "acme did not sign"),
        ({}, {"names": ("path:/tmp/acme/model",)}, "about other models"),
    ],
)
def test_trust_in_a_publisher_ends_where_it_says(change: dict[str, Any], about: dict[str, Any], said: str) -> None:
    """Another day, model, signer or import, weaker criteria, and code that cannot be followed are not covered."""
    assert said in why(records(publishers=(publisher(**change),)), about=replace(published(), **about))


def test_a_publisher_is_no_auditor() -> None:
    """Where a policy names auditors, the signature of a model is no audit, even by one of them."""
    said = why(records(publishers=(publisher(),)), about=published(), auditors=frozenset({"acme"}))
    assert "a model's signature is no audit" in said


def test_an_exemption_ends() -> None:
    """An exemption approves until its last day, and not after it."""
    one = audit(exempt=True, expires=days(3))
    assert ask(one, today=3).approvals and "it expired" in why(one, today=4)


# ── laws ──────────────────────────────────────────────────────────────────────────────────────────────────────

NAMES = "abc"
_audits = st.builds(
    lambda name, base, who, criteria, imports, expires, day, origin, seal, files: audit(
        name,
        base=base if base != name else "",
        who=who,
        criteria=frozenset({criteria}),
        imports=frozenset(imports),
        expires=None if expires is None else days(expires),
        day=None if day is None else days(day),
        origin=origin,
        seal=seal,
        files=files_of(name) if files else {},
    ),
    st.sampled_from(NAMES),
    st.sampled_from(["", *NAMES]),
    st.sampled_from(["jo", "ana"]),
    st.sampled_from(["safe-to-import", "safe-to-run", "safe-to-deploy"]),
    st.sampled_from([["torch"], ["torch", "numpy"], []]),
    st.sampled_from([None, -1, 0, 5]),
    st.sampled_from([None, 0, 3]),
    st.sampled_from(["", "", "acme"]),
    st.sampled_from(["1", "2", "3"]),
    st.booleans(),
)
_violations = st.builds(
    lambda name, file: Violation(file_sha256=files_of(name)["m.py"]) if file else Violation(closure=digest_of(name)),
    st.sampled_from(NAMES),
    st.booleans(),
)
_demands = st.builds(
    Demand,
    criteria=st.sampled_from(["safe-to-import", "safe-to-run"]),
    least=st.integers(1, 2),
    auditors=st.sampled_from([None, None, frozenset({"jo", "ana"}), frozenset({"jo"})]),
)
_signed = st.dictionaries(
    st.sampled_from(["1", "2", "3"]),
    st.frozensets(st.tuples(st.sampled_from(["jo", "ana", "eve"]), st.sampled_from(["key:1", "key:2"])), max_size=2),
)
_situation = st.tuples(st.lists(_audits, max_size=6), st.lists(_violations, max_size=1), _demands, _signed)


@given(_situation, _violations)
def test_a_violation_never_admits(situation: Any, violation: Violation) -> None:
    """Whatever there is, one more violation approves nothing that was not approved."""
    audits, violated, demand, signed = situation
    before = ask(*audits, *violated, demands=(demand,), signed=signed)
    after = ask(*audits, *violated, violation, demands=(demand,), signed=signed)
    assert before.approvals or not after.approvals
    if violation.closure == A or violation.file_sha256 in files_of("a").values():
        assert not after.approvals


@given(_situation, _audits)
def test_a_record_that_is_no_violation_never_refuses(situation: Any, one: Audit) -> None:
    """Whatever there is, one more record takes no approval away, unless it shows that a file in it is a violation."""
    audits, violated, demand, signed = situation
    before = ask(*audits, *violated, demands=(demand,), signed=signed)
    after = ask(*audits, replace(one, files={}), *violated, demands=(demand,), signed=signed)
    assert after.approvals or not before.approvals


@given(_situation, st.randoms())
def test_the_order_of_records_is_irrelevant(situation: Any, random: Any) -> None:
    """Records in another order, or in several files, approve the same."""
    audits, violated, demand, signed = situation
    shuffled = list(audits)
    random.shuffle(shuffled)
    before = ask(*audits, *violated, demands=(demand,), signed=signed)
    after = ask(*(records(one) for one in shuffled), records(*violated), demands=(demand,), signed=signed)
    assert bool(before.approvals) == bool(after.approvals)
    assert set(ask(*shuffled, *violated, demands=(demand,), signed=signed).reasons) == set(before.reasons)


@given(_situation, st.integers(0, 20))
def test_a_later_day_never_admits(situation: Any, later: int) -> None:
    """Time only takes away, but for records that lay in the future."""
    audits, violated, demand, signed = situation
    dated = [replace(one, day=None) for one in audits]
    before = ask(*dated, *violated, demands=(demand,), signed=signed)
    after = ask(*dated, *violated, demands=(demand,), signed=signed, today=later)
    assert before.approvals or not after.approvals


@given(_situation, _demands)
def test_another_demand_never_admits(situation: Any, more: Demand) -> None:
    """Layers are ANDed."""
    audits, violated, demand, signed = situation
    before = ask(*audits, *violated, demands=(demand,), signed=signed)
    after = ask(*audits, *violated, demands=(demand, more), signed=signed)
    assert before.approvals or not after.approvals


@given(_situation)
def test_named_auditors_approve_only_what_they_signed(situation: Any) -> None:
    """Where auditors are named, taking all their signatures away leaves nothing."""
    audits, violated, demand, _ = situation
    named = replace(demand, auditors=frozenset({"jo", "ana"}))
    assert not ask(*audits, *violated, demands=(named,), signed={"1": {("eve", "key:1")}}).approvals


@given(_situation)
def test_every_refusal_has_a_reason_unless_there_is_no_record(situation: Any) -> None:
    """Where there are records of this code and they are not enough, something is said."""
    audits, violated, demand, signed = situation
    answer = ask(*audits, *violated, demands=(demand,), signed=signed)
    assert not (answer.approvals and answer.wanted)
    assert answer.approvals or answer.wanted or violated
    if not answer.approvals and any(one.closure == A for one in audits):
        assert answer.reasons


# ── what is nearest ───────────────────────────────────────────────────────────────────────────────────────────


def test_nearest_is_what_leaves_the_least_to_read() -> None:
    """One long file that changed is more to read than two short ones; code without a common file is none."""
    files = {"a.py": "1", "b.py": "2", "c.py": "3"}
    long, short = audit("a", files=files | {"a.py": "x"}), audit("b", files=files | {"b.py": "x", "c.py": "x"})
    sizes = {"a.py": 1_000, "b.py": 10, "c.py": 10}
    assert nearest(files, [long, short], sizes) is short and nearest(files, [long, short]) is long
    assert nearest(files, [audit("c", files={"z.py": "1"}), audit("c")]) is None
