"""bandit as a second analyser, and names of files that are not what they seem."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from safeload.core.errors import UsageError
from safeload.core.finding import Finding, Severity
from safeload.engine.audit.names import misleading
from safeload.engine.audit.report import audit
from tests.audit.test_closure import CONFIG, write

SHELL = "import subprocess\nsubprocess.Popen(command, shell=True)  # nosec\n"


def test_what_bandit_says_is_a_finding(tmp_path: Path) -> None:
    """With its line, its severity and its CWE; and `# nosec` in the source silences nothing."""
    found = audit(write(tmp_path, config=CONFIG, modeling_x=SHELL), bandit=True).report
    (one,) = (finding for finding in found.findings if finding.rule == "bandit-b602")
    assert one.severity is Severity.HIGH
    assert "CWE-78" in one.taxonomy
    assert str(one.location) == "modeling_x.py » line 2"
    assert one.evidence == ("subprocess.Popen(command, shell=True)  # nosec",)


def test_bandit_takes_nothing_away(tmp_path: Path) -> None:
    """Whatever it says, what was found without it stays, and the status with it."""
    model = write(tmp_path, config=CONFIG, modeling_x=SHELL + "x = 1\n")
    alone, together = audit(model).report, audit(model, bandit=True).report
    assert set(alone.findings) <= set(together.findings)
    assert together.status >= alone.status


@pytest.mark.parametrize(
    "source", ["def broken(:\n", "x = '\x00'\n", "# coding: no-such\nx = 1\n", "(" * 500 + ")" * 500]
)
def test_what_cannot_be_read_is_not_given_to_bandit(tmp_path: Path, source: str) -> None:
    """A file that is no Python is undecided, with bandit or without."""
    model = write(tmp_path, config=CONFIG, modeling_x=source)
    assert audit(model, bandit=True).report.status == audit(model).report.status


def test_what_bandit_skips_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that it stumbles over is a finding: silence would look like a clean bill."""
    from bandit.core import manager

    def stumble(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr(manager.BanditManager, "_execute_ast_visitor", stumble)
    found = audit(write(tmp_path, config=CONFIG, modeling_x="x = 1\n"), bandit=True).report
    assert [finding.rule for finding in found.findings] == ["bandit-skipped"]


def test_without_bandit_asking_for_it_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option that cannot be honoured raises, with the command that helps."""
    monkeypatch.setitem(sys.modules, "bandit.core", None)
    with pytest.raises(UsageError, match=r"safeload\[bandit\]"):
        audit(write(tmp_path, config=CONFIG, modeling_x="x = 1\n"), bandit=True)


def said(name: str) -> list[Finding]:
    return list(misleading(name))


@pytest.mark.parametrize(
    "name",
    [
        "modeling_\u202ex.py",
        "modeling\u200b_x.py",
        "m\u043edeling_x.py",
        "modeling_x\uff0epy",
        "model\u00adx.py",
        "a\x1b[1m.py",
    ],
)
def test_a_name_that_is_shown_as_another_is_found(name: str) -> None:
    """Marks of direction, characters without width, letters of other scripts, and compatibility forms."""
    assert said(name)
    assert all(finding.message.isascii() for finding in said(name))


@pytest.mark.parametrize("name", ["modeling_x.py", "custom_generate/generate.py", "größe.py", "модель.py", "模型.py"])
def test_an_honest_name_is_no_finding(name: str) -> None:
    """Any one script is somebody's own."""
    assert said(name) == []


def test_names_are_looked_at_in_every_audit(tmp_path: Path) -> None:
    """The name of a file of the closure, as the config names it."""
    config = CONFIG.replace("modeling_x", "m\u043edeling_x")
    model = write(tmp_path, config=config)
    (model / "m\u043edeling_x.py").write_text("class XModel: pass\n")
    assert "code-file-name" in {finding.rule for finding in audit(model).report.findings}
