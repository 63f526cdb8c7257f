"""The worked example of approvals does what its README says."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from safeload.cli.main import main
from safeload.core.digest import sha256
from safeload.core.errors import ConfigError
from safeload.trust import layers
from tests.docs.pages import ROOT, blocks

SOURCE = ROOT / "examples" / "audits"


@pytest.fixture(autouse=True)
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the example, in a project of its own."""
    tmp_path.chmod(0o700)
    folder = tmp_path / "example"
    shutil.copytree(SOURCE, folder)
    (folder / ".git").mkdir()
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o022)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(layers, "SYSTEM", str(tmp_path / "none.toml"))
    monkeypatch.setattr(layers, "SYSTEM_AUDITS", str(tmp_path / "none.toml"))
    monkeypatch.setattr(layers, "user_audits", lambda: None)
    return folder


def test_the_records_of_the_guide_can_be_read(example: Path) -> None:
    """The files that docs/approving.md shows are records and a policy as they stand there."""
    records, policy, *_ = (block.text for block in blocks(ROOT / "docs" / "approving.md", "toml"))
    digest = sha256((example / "acme/audits.toml").read_bytes())
    (example / "audits.toml").write_text(records.replace("8f0c…", digest))
    found = layers.read_audits("audits.toml")
    assert len(found.own) == 3 and len(found.violations) == 2 and len(found.publishers) == 1
    (example / "safeload.toml").write_text("version = 1\n" + policy)
    with pytest.raises(ConfigError, match="there is no signer 'jo'"):
        layers.read_policy("safeload.toml")


def check(model: str) -> int:
    return main(["audit", model, "--check"])


def test_the_gate_of_ci_passes_and_fails(example: Path, tmp_path: Path) -> None:
    """ci.sh ends with 0 as it is, and with 1 as soon as a file of one model has a byte more."""
    program = tmp_path / "bin" / "safeload"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m safeload "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}

    def gate() -> int:
        command = ["sh", "ci.sh"]
        return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=300).returncode

    assert gate() == 0
    with open(example / "models/tiny-v1/modeling_tiny.py", "a") as stream:
        stream.write("#")
    assert gate() == 1


def test_each_model_is_approved_for_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """Two people for tiny, a delta for its successor, ACME for widget; whose word it rests on is said."""
    for model, who in (("tiny-v1", "Ana, Jo"), ("tiny-v2", "Ana, Jo"), ("widget", "acme/Robin of ACME")):
        assert check(f"models/{model}") == 0
        assert f"read-by-ml-team, by {who}" in capsys.readouterr().out
    assert main(["audit", "--check"]) == 0


def test_the_violation_of_another_organisation_beats_our_record(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What ACME found is refused here, although Jo approved it, and the reason is shown."""
    assert check("refused/gadget") == 1
    assert "it keeps the hub token" in capsys.readouterr().out


def test_without_the_second_reader_or_the_base_nothing_is_approved(example: Path) -> None:
    """Production needs two, at each step."""
    text = (example / "audits.toml").read_text()
    (example / "audits.toml").write_text(text.replace('who = "Ana"', 'who = "J\u043e"'))
    assert check("models/tiny-v1") == 1 and check("models/tiny-v2") == 1 and check("models/widget") == 0


def test_a_change_of_what_we_import_is_noticed(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another byte in ACME's file stops everything, with the new digest to write down."""
    with open(example / "acme/audits.toml", "a") as stream:
        stream.write("\n")
    assert check("models/tiny-v1") == 2
    assert "imports.acme.sha256" in capsys.readouterr().err


def test_what_changed_is_suggested(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After one byte more there is one file to read, and a delta of both makes it approved again."""
    with open(example / "models/tiny-v1/modeling_tiny.py", "a") as stream:
        stream.write("# more\n")
    assert main(["audit", "models/tiny-v1", "--suggest"]) == 1
    said = capsys.readouterr().out
    read, _, command = said.partition("that is all that changed since")
    assert "modeling_tiny.py" in read and "configuration_tiny.py" not in read.partition("to read")[2]
    line = next(line for line in command.splitlines() if "safeload approve" in line)
    arguments = shlex.split(line)[1:]
    before = (example / "audits.toml").read_text()
    for who in ("Jo", "Ana"):
        assert main([*arguments[:-1], who]) == 0
    assert check("models/tiny-v1") == 0
    assert (example / "audits.toml").read_text().startswith(before)


def test_a_conflict_is_an_error_until_both_records_stand_there(example: Path) -> None:
    """Marks of a conflict and records that were mixed up are refused; both of them whole are fine."""
    path = example / "audits.toml"
    text = path.read_text()
    one, other = (f"\n[[audit]]\n{part}" for part in text.split("\n[[audit]]\n")[1:3])
    marked = text.replace(one + other, f"\n<<<<<<< ours{one}=======\n{other}>>>>>>> theirs\n")
    mixed = text.replace("[[audit]]\n", "", 2).replace(one, one.replace("[[audit]]\n", ""))
    for wrong in (marked, mixed):
        assert wrong != text
        path.write_text(wrong)
        assert check("models/tiny-v1") == 2
    path.write_text(text.replace(one + other, other + one))
    assert check("models/tiny-v1") == 0


def test_the_records_of_two_branches_are_taken_together(example: Path) -> None:
    """Each branch has the record of one of the two; together they are enough."""
    path, other = example / "audits.toml", example / "theirs.toml"
    head, *records = path.read_text().split("\n[[audit]]\n")
    for place, kept in ((path, records[0]), (other, records[1].partition("[[delta]]")[0])):
        place.write_text(f"{head}\n[[audit]]\n{kept}")
    assert check("models/tiny-v1") == 1 and main(["audit", "models/tiny-v1", "--check", "--audits", str(other)]) == 1
    assert main(["audit", "--take", str(other)]) == 0
    assert check("models/tiny-v1") == 0
