"""`safeload approve`, and `safeload audit` with `--check` and `--suggest`: what they print, and their exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from safeload.cli.main import main
from safeload.engine.lock import lock
from tests.engine.audit.coded import BLOCKS, DAY, MODELING, TODAY, coded, make_project, policy
from tests.engine.models import model, write
from tests.hubserver import Hub, hub  # noqa: F401  (a fixture)

APPROVE = ("approve", "m", "--criteria", "safe-to-run", "--as")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_project(tmp_path, monkeypatch)


def out(capsys: pytest.CaptureFixture[str], *arguments: str, code: int) -> str:
    """What a command prints, on both streams; it must end with this code."""
    capsys.readouterr()
    assert main(arguments) == code
    said = capsys.readouterr()
    return said.out + said.err


def document(capsys: pytest.CaptureFixture[str], *arguments: str, code: int) -> Any:
    capsys.readouterr()
    assert main((*arguments, "--json")) == code
    return json.loads(capsys.readouterr().out)


def test_an_approval_is_shown_with_all_that_it_names(capsys: pytest.CaptureFixture[str]) -> None:
    """Files, classes, imports, where it was written, and that an unsigned record is only as strong as its file."""
    said = out(capsys, *APPROVE, "jo", code=0)
    for text in ("h1:", "blocks.py", "modeling_x.XModel", "torch", "audits.toml", "only as strong as the file"):
        assert text in said
    assert "not approved yet" not in said


def test_a_signed_approval_is_by_a_key(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    """`--key` signs the record; with the key in the policy, nothing is weak about it."""
    assert main(["keys", "new", "jo", "--unsafe-no-passphrase"]) == 0
    public = capsys.readouterr().out
    assert public
    assert "only as strong" not in out(capsys, *APPROVE, "jo", "--key", "jo", code=0)
    pub = next(Path(os.environ["XDG_CONFIG_HOME"]).rglob("jo.pub"))
    write(project / "keys/jo.pub", pub.read_bytes())
    policy(project / "safeload.toml", '[defaults]\nauditors = ["jo"]\n')
    said = out(capsys, "audit", "m", "--check", code=0)
    assert "safe-to-run, by jo" in said and "only as strong" not in said
    assert (project / "audits.toml.sig").exists()


def test_what_is_still_lacking_is_said_at_once(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    """The record is written, and the code is not approved yet."""
    policy(project / "safeload.toml", "[defaults]\nmin-auditors = 2\n")
    said = out(capsys, *APPROVE, "jo", code=0)
    assert "not approved yet" in said and "1 of the 2 auditors needed" in said
    found = document(capsys, *APPROVE, "jo", code=0)
    assert not found["approved"] and found["reasons"] and found["who"] == "jo" and not found["signed"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("approve", "m", "--as", "jo"),
        ("approve", "m", "--criteria", "safe-to-run"),
        (*APPROVE, "jo", "--expires", "soon"),
        (*APPROVE, "jo", "--expires", "2020-01-01"),
        (*APPROVE, "jo", "--exempt"),
        (*APPROVE, "jo", "--from", "v1"),
        (*APPROVE, "jo", "--closure", "v1"),
        (*APPROVE, "jo", "--closure", f"h1:{'A' * 43}="),
        (*APPROVE, "jo", "--unfollowed", "m.py:1"),
        (*APPROVE, "jo", "--key", "nobody"),
        ("approve", "m", "--criteria", "safe", "--as", "jo"),
        ("approve", "none", "--criteria", "safe-to-run", "--as", "jo"),
        ("audit", "--suggest"),
        ("audit",),
        ("audit", "suggest"),
        ("audit", "m", "m"),
        ("audit", "check", "m", "m"),
        ("audit", "m", "check"),
        ("audit", "--check", "--revision", "main"),
        ("audit", "--check", "--audits", "none.toml"),
        ("audit", "m", "--check", "--policy", "none.toml"),
    ],
)
def test_what_cannot_be_done_is_exit_code_2(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    """Wrong arguments write nothing."""
    out(capsys, *arguments, code=2)
    assert not Path("audits.toml").exists()


def test_a_check_is_for_ci(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    """Exit code 1 without an approval, 0 with one, 0 without code, 2 where the records cannot be read."""
    said = out(capsys, "audit", "m", "--check", code=1)
    assert (
        "not approved: m h1:" in said
        and f"safeload approve m --closure {said.split()[3]} --criteria safe-to-run --as YOU" in said
    )
    out(capsys, *APPROVE, "jo", code=0)
    said = out(capsys, "audit", "m", "--check", code=0)
    assert "safe-to-run, by jo" in said and "only as strong as the file it stands in" in said
    model(project / "plain")
    assert "brings no code" in out(capsys, "audit", "plain", "--check", code=0)
    good = (project / "audits.toml").read_text()
    violation = '[[violation]]\nmatch = ["path:m"]\nreason = "steals \\u001b[2J"\n'
    write(project / "audits.toml", good + violation)
    said = out(capsys, "audit", "m", "--check", code=1)
    assert "is a violation: steals" in said and "\x1b" not in said and "safeload approve" not in said
    assert "approve" not in out(capsys, "audit", "m", "--suggest", code=1).replace("not approved", "")
    write(project / "audits.toml", good + "[[violation]]\n")
    assert "violation[0]" in out(capsys, "audit", "m", "--check", code=2)


def test_check_and_suggest_are_words_as_well(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    """They say what the options say; a directory of such a name is reached by its path."""
    out(capsys, *APPROVE, "jo", code=0)
    write(project / "m/blocks.py", BLOCKS + "x = 1\n")
    for word in ("check", "suggest"):
        assert out(capsys, "audit", word, "m", code=1) == out(capsys, "audit", "m", f"--{word}", code=1)
    assert out(capsys, "audit", "check", code=0) == out(capsys, "audit", "--check", code=0)
    model(project / "check")
    assert "brings no code" in out(capsys, "audit", "./check", code=0)
    assert "brings no code" in out(capsys, "audit", "check", "check", code=0)


def test_what_there_is_to_read_is_suggested(
    capsys: pytest.CaptureFixture[str],
    project: Path,
    hub: Hub,  # noqa: F811
) -> None:
    """The files that changed since what is approved, how to compare them, and the command that approves the delta."""
    assert "no record approves" in out(capsys, "audit", "m", "--suggest", code=1)
    code = {"modeling_x.py": MODELING.encode(), "blocks.py": BLOCKS.encode()}
    config = (project / "m/config.json").read_bytes()
    commit = hub.add("org/m", code | {"config.json": config})
    out(capsys, "approve", "org/m", "--criteria", "safe-to-run", "--as", "jo", code=0)
    write(project / "m/blocks.py", BLOCKS + "x = 1\n")
    said = out(capsys, "audit", "m", "--suggest", code=1)
    assert f"--against org/m --against-revision {commit}" in said and "blocks.py" in said
    base = said.split("--from ")[1].split()[0]
    assert f" --from {base} --criteria safe-to-run --as YOU" in said and "approve m --closure h1:" in said
    out(capsys, *APPROVE, "ana", "--from", base, code=0)
    assert "safe-to-run, by ana, jo" in out(capsys, "audit", "m", "--check", code=0)
    found = document(capsys, "audit", "m", "--check", code=0)
    assert (
        found["approved"] and found["schema"] == "safeload.audit-check/1" and found["approvals"][0]["who"] == "ana, jo"
    )


def test_without_a_model_every_locked_one_is_checked(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    """One command for CI: the records are read, and each model of the lock must be approved or without code."""
    assert "no audits.toml counts here" in out(capsys, "audit", "--check", code=0)
    coded(project / "n", blocks="class Block:\n    y = 2\n")
    model(project / "plain")
    lock("plain")
    out(capsys, *APPROVE, "jo", code=0)
    lock("m")
    said = out(capsys, "audit", "--check", code=0)
    assert "toml: 1 audit\n" in said and "1 audit is not signed" in said and "only as strong" in said
    lock("n")
    said = out(capsys, "audit", "--check", code=1)
    assert said.count("not approved: ") == 1 and "safeload approve" in said
    found = document(capsys, "audit", "--check", code=1)
    assert [one["approved"] for one in found["models"] if one["code"]] == [True, False]
    assert len(found["files"]) == 1 and found["unsigned"] == [f"{project}/audits.toml » audit[0]"]


def test_records_that_end_are_told_before_they_do(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    """What has expired, and what will within a month, is said by a check; what holds longer is not."""
    for name, days in (("jo", 5), ("ana", 200)):
        out(capsys, *APPROVE, name, "--exempt", "--expires", str(TODAY + days * DAY), code=0)
    text = (project / "audits.toml").read_text()
    dates = f"start = {TODAY - 9 * DAY}\nend = {TODAY - DAY}\n"
    trusted = f'[[trusted]]\nsigner = "acme"\nmatch = ["a/*"]\ncriteria = ["safe-to-run"]\n{dates}'
    write(project / "audits.toml", text + trusted)
    said = out(capsys, "audit", "--check", code=0)
    assert f"expires on {TODAY + 5 * DAY}: jo" in said and f"expired on {TODAY - DAY}: acme" in said
    assert ": ana" not in said
    said = out(capsys, "audit", "m", "--check", code=0)
    assert f"jo exempted this code until {TODAY + 5 * DAY}" in said and "not to say that anybody read it" in said
    assert [one["who"] for one in document(capsys, "audit", "m", "--check", code=0)["exempted"]] == ["jo", "ana"]


def test_records_of_another_branch_are_taken(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    """`--take FILE` adds what is not there, and says how much; it goes with nothing else."""
    out(capsys, *APPROVE, "jo", code=0)
    (project / "audits.toml").rename(project / "other.toml")
    out(capsys, *APPROVE, "ana", code=0)
    assert "1 audits and 0 violations added" in out(capsys, "audit", "--take", "other.toml", code=0)
    found = document(capsys, "audit", "--take", "other.toml", code=0)
    assert (found["added"], found["violations"]) == (0, 0)
    for arguments in (("m",), ("--check",), ("--policy", "safeload.toml")):
        out(capsys, "audit", "--take", "other.toml", *arguments, code=2)
    out(capsys, "audit", "--take", "none.toml", code=2)


def test_hostile_names_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters in names and notes are escaped wherever they are shown."""
    out(capsys, *APPROVE, "jo\x1b[2J\u202e", "--note", "\x1b[31m", code=0)
    for arguments, code in (
        (("audit", "m", "--check"), 0),
        (("audit", "--check"), 0),
        (("audit", "m", "--suggest"), 0),
    ):
        said = out(capsys, *arguments, code=code)
        assert "\x1b" not in said and "\u202e" not in said
