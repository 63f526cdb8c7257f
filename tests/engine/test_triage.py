"""Triage sets findings aside, beside reports that it never changes. Counts add up, and danger is not waved through."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.errors import ConfigError, SourceError, UsageError
from safeload.core.finding import Confidence, FileReport, Finding, Report, Severity, Status
from safeload.core.names import Location
from safeload.engine.scanning import baseline as baselines
from safeload.engine.scanning.baseline import Baseline, read_baseline
from safeload.engine.scanning.naming import Names, beside, require_outside
from safeload.engine.scanning.rulebook import Selection, cards, require_known
from safeload.engine.scanning.triage import Kind, Triaged, triage
from safeload.trust.suppressions import Suppression

TODAY = datetime.date(2026, 12, 1)
RULES = ("pickle-dangerous-call", "opaque-file", "pickle-unlisted-global", "pickle-trailing")
DIGESTS = ("a" * 64, "b" * 64)


def finding(
    rule: str = RULES[2], status: Status = Status.UNVERIFIED, *, offset: int = 0, message: str = "names x"
) -> Finding:
    return Finding(
        rule=rule,
        status=status,
        severity=Severity.HIGH,
        confidence=Confidence.CERTAIN,
        location=Location("a.bin", offset=offset),
        message=message,
        remedy="look",
    )


def whole(message: str = "python code") -> Finding:
    return dataclasses.replace(finding("python-source", message=message), location=Location("a.py"))


def report(*findings: Finding, target: str = "org/model", path: str = "a.bin", sha256: str | None = None) -> Report:
    file = FileReport(path=path, format="pickle", size=1, findings=findings, sha256=sha256)
    return Report(target=target, files=(file,))


def entry(**changed: object) -> Suppression:
    said = {
        "rule": RULES[2],
        "path": "hf://org/model/a.bin",
        "reason": "ours",
        "expires": datetime.date(2027, 1, 1),
        "where": Location("safeload.toml", path="suppress[0]"),
        **changed,
    }
    return Suppression(**said)


FINDINGS = st.builds(
    finding,
    st.sampled_from(RULES),
    st.sampled_from(Status),
    offset=st.integers(0, 3),
    message=st.sampled_from(["x", "y"]),
)
REPORTS = st.lists(
    st.builds(
        lambda target, path, found, sha256: report(*found, target=target, path=path, sha256=sha256),
        st.sampled_from(["org/one", "org/two"]),
        st.sampled_from(["a.bin", "b/c.bin"]),
        st.lists(FINDINGS, max_size=5),
        st.sampled_from([None, *DIGESTS]),
    ),
    max_size=3,
)
ENTRIES = st.lists(
    st.builds(
        lambda **said: entry(**said),
        rule=st.sampled_from(RULES),
        path=st.sampled_from(["hf://org/**", "hf://org/one/*", "other"]),
        expires=st.sampled_from([TODAY, TODAY - datetime.timedelta(1)]),
        sha256=st.sampled_from([None, *DIGESTS]),
        unsafe_dangerous=st.booleans(),
    ),
    max_size=3,
)
SELECTIONS = st.none() | st.builds(
    Selection,
    select=st.lists(st.sampled_from(["pickle-", "opaque-file"]), max_size=2).map(tuple),
    ignore=st.lists(st.sampled_from(["pickle-d", "opaque"]), max_size=2).map(tuple),
)


def known(reports: list[Report]) -> Baseline:
    rows = json.loads(baselines.written(reports, "/base", set())[0])["findings"]
    keys = {(row["fingerprint"], row["sha256"] or ""): row for row in rows}
    return Baseline(
        folder="/base",
        known=Counter({key: row["count"] for key, row in keys.items()}),
        files={key: row["file"] for key, row in keys.items()},
    )


def done(reports: list[Report], selection: Selection | None, entries: list[Suppression], base: bool) -> Triaged:
    return triage(
        reports,
        selection=selection,
        baseline=known(reports) if base else None,
        suppressions=entries,
        folder="/base",
        today=TODAY,
    )


@given(REPORTS, SELECTIONS, ENTRIES, st.booleans())
def test_reports_stay_whole_and_counts_add_up(
    reports: list[Report], selection: Selection | None, entries: list[Suppression], base: bool
) -> None:
    """No finding leaves its report, and each is counted once."""
    result = done(reports, selection, entries, base)
    assert result.reports == tuple(reports)
    assert sum(result.counts.values()) == sum(len(one.findings) for one in reports)


@given(REPORTS, ENTRIES, st.booleans())
def test_danger_is_taken_out_only_by_name_and_digest(
    reports: list[Report], entries: list[Suppression], base: bool
) -> None:
    """A dangerous finding counts unless an entry in force names its rule, says so, and has the file's digest."""
    result = done(reports, None, entries, base)
    for one in reports:
        for file in one.files:
            for found in file.findings:
                aside = result.aside.get((one.target, file.path, found))
                if found.status is Status.DANGEROUS and aside is not None:
                    assert any(
                        each.rule == found.rule
                        and each.unsafe_dangerous
                        and each.sha256 is not None
                        and not each.expired(TODAY)
                        for each in entries
                    )


@given(REPORTS, SELECTIONS)
def test_what_is_not_shown_still_counts(reports: list[Report], selection: Selection | None) -> None:
    """Selecting and ignoring never change an exit code."""
    plain = max((one.status for one in reports), default=Status.SAFE)
    result = done(reports, selection, [], False)
    counted = [result.counting(one, file) for one in reports for file in one.files]
    assert max(counted, default=Status.SAFE) is plain
    assert result.exit_code() == triage(reports).exit_code()


@given(REPORTS, ENTRIES, ENTRIES)
def test_accepting_more_never_makes_it_worse(
    reports: list[Report], few: list[Suppression], more: list[Suppression]
) -> None:
    """Each file counts for no more with further suppressions than without, and never for more than it is."""
    one, two = done(reports, None, few, False), done(reports, None, few + more, False)
    for each in reports:
        for file in each.files:
            assert two.counting(each, file) <= one.counting(each, file) <= file.status


def test_a_suppressed_finding_is_counted_and_explained() -> None:
    """What somebody lives with is taken out of the exit code, with the reason and the last day."""
    found = finding()
    result = triage([report(found)], suppressions=[entry()], folder="/base", today=TODAY)
    assert (result.exit_code(), result.counts["suppressed"]) == (0, 1)
    aside = result.aside["org/model", "a.bin", found]
    assert (aside.kind, aside.reason, aside.expires) == (Kind.SUPPRESSED, "ours", "2027-01-01")


@pytest.mark.parametrize(
    ("changed", "note"),
    [
        ({"expires": datetime.date(2026, 11, 30)}, "ended on 2026-11-30"),
        ({"sha256": "b" * 64}, "for another file"),
        ({"rule": "program"}, "nothing that was found needs it"),
        ({"rule": "pickle-dangerous-call"}, "nothing that was found needs it"),
    ],
)
def test_a_suppression_that_does_not_apply_is_reported(changed: dict[str, object], note: str) -> None:
    """One that is over, for other bytes, or of no use does nothing, and says so with its place."""
    result = triage([report(finding(), sha256="a" * 64)], suppressions=[entry(**changed)], folder="/", today=TODAY)
    assert result.exit_code() == 1
    assert "suppress[0]" in result.notes[0] and note in result.notes[0]


def test_a_dangerous_finding_stays_until_it_is_spelled_out() -> None:
    """Without `unsafe-dangerous` and the digest, danger counts, and the note says what is missing."""
    call = finding(RULES[0], Status.DANGEROUS)
    for changed in ({}, {"sha256": "a" * 64}, {"unsafe_dangerous": True}):
        said = entry(rule=RULES[0], **changed)
        result = triage([report(call, sha256="a" * 64)], suppressions=[said], folder="/", today=TODAY)
        assert result.exit_code() == 1
        assert "unsafe-dangerous" in result.notes[0]
    said = entry(rule=RULES[0], sha256="a" * 64, unsafe_dangerous=True)
    assert triage([report(call, sha256="a" * 64)], suppressions=[said], folder="/", today=TODAY).exit_code() == 0
    assert triage([report(call, sha256="b" * 64)], suppressions=[said], folder="/", today=TODAY).exit_code() == 1


def test_a_known_finding_may_move_and_a_new_one_fails() -> None:
    """Another offset is the same finding; other words, another file and one more of the same are not."""
    base = known([report(finding(offset=1))])
    assert triage([report(finding(offset=99))], baseline=base).exit_code() == 0
    assert triage([report(finding(message="names y"))], baseline=base).exit_code() == 1
    assert triage([report(finding(), path="b.bin")], baseline=base).exit_code() == 1
    assert triage([report(finding(offset=1), finding(offset=2))], baseline=base).exit_code() == 1


def test_a_baseline_holds_no_dangerous_finding() -> None:
    """Known or not, danger fails until somebody accepts it by hand."""
    dangerous = report(finding(RULES[0], Status.DANGEROUS), sha256="a" * 64)
    assert baselines.written([dangerous], "/base", set())[1] == 0
    assert triage([dangerous], baseline=known([dangerous])).exit_code() == 1


def test_an_undecided_file_is_known_by_its_bytes() -> None:
    """The same words about other bytes are new; without a digest nothing undecided is known."""
    one, two, none = (report(finding(RULES[1], Status.UNDECIDED), sha256=value) for value in (*DIGESTS, None))
    assert triage([one], baseline=known([one])).exit_code() == 0
    assert triage([two], baseline=known([one])).exit_code() == 2
    assert triage([none], baseline=known([none])).exit_code() == 2


def test_a_finding_about_a_whole_file_is_known_by_its_bytes() -> None:
    """ "There is Python code" is true of any code: other code is new."""
    one, two = (report(whole(), sha256=value) for value in DIGESTS)
    assert triage([one], baseline=known([one])).exit_code() == 0
    assert triage([two], baseline=known([one])).exit_code() == 1


@pytest.mark.parametrize("where", ["message", "evidence"])
def test_a_finding_whose_words_were_cut_short_is_known_by_its_bytes(where: str) -> None:
    """What a long name ends with is not in the words: other bytes with the same beginning are new."""
    text = "names acme." + "x" * 300 + "…"
    said = dataclasses.replace(finding(), **{where: text if where == "message" else (text,)})  # type: ignore[arg-type]
    one, two = (report(said, sha256=value) for value in DIGESTS)
    assert triage([one], baseline=known([one])).exit_code() == 0
    assert triage([two], baseline=known([one])).exit_code() == 1
    assert known([report(said)]).known == Counter()


def test_what_is_no_longer_found_is_said() -> None:
    """A baseline that knows more than there is asks to be written anew, once the file was looked at."""
    base = known([report(finding())])
    assert "no longer there" in triage([report()], baseline=base).notes[0]
    assert triage([report(path="other.bin")], baseline=base).notes == ()


def test_a_baseline_survives_its_file(tmp_path: Path) -> None:
    """What is written is read back the same, and twice the same scan gives the same bytes."""
    reports = [report(finding(), finding(offset=5), finding(RULES[1], Status.UNDECIDED), sha256="a" * 64)]
    text, count = baselines.written(reports, str(tmp_path), set())
    assert text == baselines.written(reports, str(tmp_path), set())[0]
    path = tmp_path / "baseline.json"
    path.write_text(text)
    assert (count, triage(reports, baseline=read_baseline(str(path))).exit_code()) == (2, 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"schema": "safeload.baseline/2", "findings": []}',
        '{"schema": "safeload.baseline/1"}',
        '{"schema": "safeload.baseline/1", "findings": [3]}',
        '{"schema": "safeload.baseline/1", "findings": [{"fingerprint": "x", "file": "a"}]}',
        '{"schema": "safeload.baseline/1", "findings": [{"fingerprint": "x", "file": "a", "count": true}]}',
        '{"schema": "safeload.baseline/1", "findings": [{"fingerprint": "x", "file": "a", "count": 0}]}',
        '{"schema": "safeload.baseline/1", "findings": [{"fingerprint": 3, "file": "a", "count": 1}]}',
    ],
)
def test_what_is_no_baseline_is_refused(text: str, tmp_path: Path) -> None:
    """A damaged or newer baseline is an error with a place, not an empty one."""
    path = tmp_path / "baseline.json"
    path.write_text(text)
    with pytest.raises(ConfigError):
        read_baseline(str(path))


def test_a_baseline_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A misspelt name does not mean that nothing is known."""
    with pytest.raises(SourceError):
        read_baseline(str(tmp_path / "nothing"))


@pytest.mark.parametrize("text", ["", "nothing", "Pickle", "pickle-dangerous-calls"])
def test_a_rule_that_does_not_exist_is_refused(text: str) -> None:
    """A slip in `--ignore` does not silently ignore nothing."""
    for option in ("select", "ignore"):
        with pytest.raises(UsageError):
            Selection(**{option: (text,)})
    if text:
        with pytest.raises(ConfigError):
            require_known([entry(rule=text)])


def test_every_rule_has_a_card() -> None:
    """What findings name can be looked up, also the one that no rule makes."""
    assert {"file-unreadable", "pickle-dangerous-call"} <= {card.id for card in cards()}
    require_known([entry(rule=card.id) for card in cards()])


def test_names_last_longer_than_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a file was named on the command line, its name is the same."""
    (tmp_path / "models" / "sub").mkdir(parents=True)
    (tmp_path / "models" / "sub" / "a.bin").touch()
    names = Names(str(tmp_path))
    monkeypatch.chdir(tmp_path / "models")
    for target, path in (("sub", "a.bin"), ("sub/a.bin", "a.bin"), (str(tmp_path), "models/sub/a.bin")):
        assert names.of(target, path) == "models/sub/a.bin"
    assert names.of("/etc/hostname", "hostname") == "/etc/hostname"
    assert names.of("org/model", "a.bin") == names.of("hf://org/model@main", "a.bin") == "hf://org/model/a.bin"
    assert names.of("-", "stdin") == "stdin"
    for address in ("https://host/good@v2/a.bin", "s3://bucket/good@v2"):  # only on the hub has a name revisions
        assert names.of(address, "a.bin") == f"{address}/a.bin"


def test_nothing_within_a_model_may_vouch_for_it(tmp_path: Path) -> None:
    """A file within a target, by whatever link, is refused; one beside a single file is told apart."""
    model, link = tmp_path / "model", tmp_path / "link"
    (model / "sub").mkdir(parents=True)
    (model / "safeload.toml").touch()
    (model / "a.bin").touch()
    link.symlink_to(model)
    for target in (model, link, tmp_path):
        for path in (model / "safeload.toml", link / "safeload.toml"):
            with pytest.raises(UsageError):
                require_outside(str(path), [str(target)], "--policy")
    (tmp_path / "blob").touch()
    (model / "linked.toml").symlink_to(tmp_path / "blob")  # as a cache of the hub lays out a model
    with pytest.raises(UsageError):
        require_outside(str(model / "linked.toml"), [str(model)], "--policy")
    assert beside(str(model / "linked.toml"), str(model / "a.bin"))
    require_outside(str(tmp_path / "safeload.toml"), [str(model), str(model / "a.bin"), "org/model"], "--policy")
    assert beside(str(model / "safeload.toml"), str(model / "a.bin"))
    assert not beside(str(tmp_path / "safeload.toml"), str(model / "a.bin"))
