"""What `safeload scan` shows, accepts and writes: every option, and what it must not do."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from pathlib import Path

import pytest

from safeload.cli.main import main
from safeload.reporters import names

UNLISTED = b"\x80\x02cacme.train\nSettings\n)\x81}b."
LATER = "2999-01-01"


@pytest.fixture
def work(tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a folder of models: one that is dangerous, one with an unlisted class, one of unknown format."""
    folder = tmp_path / "work"
    (folder / "models").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / "models/evil.pkl").write_bytes(evil(marker))
    (folder / "models/ours.pkl").write_bytes(UNLISTED)
    (folder / "models/unknown.xyz").write_bytes(bytes(range(256)) * 4)
    monkeypatch.chdir(folder)
    return folder


def evil(marker: Path) -> bytes:
    return f"cos\nsystem\n(S'touch {marker}'\ntR.".encode()


def suppress(rule: str, path: str, more: str = "", expires: str = LATER) -> str:
    return f'[[suppress]]\nrule = "{rule}"\npath = "{path}"\nreason = "we know"\nexpires = {expires}\n{more}\n'


def scanned(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict]:
    code = main(["scan", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", names())
def test_every_format_is_written_and_has_the_same_code(
    name: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the format, the exit code is the same, and nothing is on standard error."""
    assert main(["scan", "models", "--format", name]) == 1
    captured = capsys.readouterr()
    assert "evil.pkl" in captured.out and captured.err == ""


def test_a_report_is_written_whole_or_not_at_all(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`-o` replaces a file at once, keeps standard output empty, and leaves no draft behind."""
    (work / "out.json").write_text("old")
    assert main(["scan", "models", "--format", "json", "-o", "out.json"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "1 dangerous" in captured.err
    assert json.loads((work / "out.json").read_text())["exit_code"] == 1
    assert sorted(path.name for path in work.iterdir()) == [".git", "models", "out.json"]


@pytest.mark.parametrize("path", ["nowhere/out.json", "models"])
def test_a_report_that_cannot_be_written_is_an_error(path: str, work: Path) -> None:
    """A missing folder, or a folder in place of the file, is code 2; nothing is left there."""
    assert main(["scan", "models/ours.pkl", "-o", path]) == 2
    assert sorted(os.listdir(work)) == [".git", "models"]


def test_a_device_is_not_replaced(work: Path) -> None:
    """A pipe or device in place of the file is refused, not renamed over."""
    os.mkfifo(work / "pipe")
    assert main(["scan", "models/ours.pkl", "-o", "pipe"]) == 2
    assert not os.path.isfile(work / "pipe")


def test_a_report_never_replaces_what_is_scanned(work: Path) -> None:
    """`-o` on the scanned file is refused before anything is read."""
    assert main(["scan", "models/ours.pkl", "-o", "models/ours.pkl"]) == 2
    assert (work / "models/ours.pkl").read_bytes() == UNLISTED


def test_selecting_changes_what_is_shown_and_nothing_else(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file stays dangerous and the code 1, whether the finding is shown or not; it is counted."""
    for options in (["--ignore", "pickle-dangerous-call,opaque"], ["--select", "pickle-unlisted-global"]):
        code, data = scanned(capsys, "models", *options)
        assert (code, data["summary"]["dangerous"], data["findings"]["ignored"]) == (1, 1, 2)
        assert [found["rule"] for each in data["files"] for found in each["findings"]] == ["pickle-unlisted-global"]


@pytest.mark.parametrize(
    "options",
    [
        ["--select", "pickle-nothing"],
        ["--ignore", ""],
        ["--json", "--format", "sarif"],
        ["--policy", "a.toml", "--no-policy"],
        ["--baseline", "nothing.json"],
        ["--policy", "nothing.toml"],
        ["--policy", "models/safeload.toml"],
        ["--baseline", "models/baseline.json"],
        ["--write-baseline", "models/baseline.json"],
        ["--stdin-name", "x"],
        ["--watch", "--json"],
        ["--watch", "--no-policy"],
        ["--watch", "--select", "pickle-"],
        ["--watch", "models"],
    ],
)
def test_what_cannot_be_honoured_is_refused(options: list[str], work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unknown rules, contradictions, missing files, and files within the target are errors before anything is read."""
    assert main(["scan", "models", *options]) == 2
    assert "evil.pkl" not in capsys.readouterr().out


def test_a_baseline_lets_old_findings_pass_and_new_ones_fail(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was there is known; what is dangerous, changed in its bytes, or new is not."""
    (work / "models/evil.pkl").unlink()
    assert main(["scan", "models", "--write-baseline", "known.json"]) == 0
    assert "2 known findings" in capsys.readouterr().err
    code, data = scanned(capsys, "models", "--baseline", "known.json")
    assert (code, data["findings"]["baseline"], data["summary"]) == (0, 2, {"undecided": 1, "unverified": 1})
    assert scanned(capsys, "models/ours.pkl", "--baseline", "known.json")[0] == 0
    (work / "models/more.pkl").write_bytes(UNLISTED)
    assert scanned(capsys, "models", "--baseline", "known.json")[0] == 1
    (work / "models/more.pkl").unlink()
    (work / "models/unknown.xyz").write_bytes(bytes(range(255)) * 4)
    assert scanned(capsys, "models", "--baseline", "known.json")[0] == 2


def test_a_baseline_does_not_make_danger_known(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Writing a baseline over a poisoned folder still fails."""
    assert main(["scan", "models", "--write-baseline", "known.json"]) == 1
    assert "pickle-dangerous-call" not in (work / "known.json").read_text()


def test_a_suppression_is_found_upward_and_counted(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nearest safeload.toml above the working directory counts, with paths relative to it."""
    (work / "safeload.toml").write_text(suppress("pickle-unlisted-global", "models/*.pkl"))
    (work / "sub").mkdir()
    monkeypatch.chdir(work / "sub")
    assert main(["scan", "../models/ours.pkl"]) == 0
    out = capsys.readouterr().out
    assert "unverified (accepted)" in out and "1 suppressed" in out and "acme" not in out
    assert main(["scan", "../models/ours.pkl", "--show-accepted"]) == 0
    assert "suppressed until 2999-01-01: we know" in capsys.readouterr().out
    assert main(["scan", "../models/ours.pkl", "--no-policy"]) == 1


def test_a_dangerous_file_is_suppressed_by_its_digest_alone(
    work: Path, marker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`unsafe-dangerous` and the digest let it pass; one byte more does not."""
    path = work / "models/evil.pkl"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    more = f'sha256 = "{digest}"\nunsafe-dangerous = true'
    (work / "safeload.toml").write_text(suppress("pickle-dangerous-call", "models/evil.pkl"))
    assert main(["scan", "models/evil.pkl"]) == 1
    assert "unsafe-dangerous" in capsys.readouterr().out
    (work / "safeload.toml").write_text(suppress("pickle-dangerous-call", "models/evil.pkl", more))
    code, data = scanned(capsys, "models/evil.pkl")
    assert (code, data["files"][0]["status"], data["files"][0]["accepted"]) == (0, "dangerous", True)
    assert f"accepted by {work}/safeload.toml: 1 finding, 1 of them dangerous" in data["notes"]
    path.write_bytes(evil(marker) + b"\n")
    assert main(["scan", "models/evil.pkl"]) == 1


def test_a_model_cannot_bring_its_own_acquittal(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A safeload.toml within the target, beside the file, or above it from within is left out, and that is said."""
    text = suppress("pickle-unlisted-global", "ours.pkl") + suppress("pickle-unlisted-global", "models/ours.pkl")
    (work / "models/safeload.toml").write_text(text)
    monkeypatch.chdir(work / "models")
    for target in (".", "ours.pkl", str(work / "models"), "../models/ours.pkl"):
        code, data = scanned(capsys, target)
        assert code == 1
        assert any("left out" in note for note in data["notes"])
    (work / "models/deep").mkdir()
    monkeypatch.chdir(work / "models/deep")
    assert scanned(capsys, "../ours.pkl")[0] == 1


def test_what_lies_above_a_folder_of_no_project_suppresses_nothing(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive may hold a safeload.toml, and the folder that one works in below it."""
    (work / ".git").rmdir()
    (work / "safeload.toml").write_text(suppress("pickle-unlisted-global", "models/*.pkl"))
    monkeypatch.chdir(work / "models")
    assert scanned(capsys, "ours.pkl")[0] == 1
    monkeypatch.chdir(work)
    code, data = scanned(capsys, "models/ours.pkl")
    assert code == 0 and data["notes"][-1] == f"accepted by {work}/safeload.toml: 1 finding"
    monkeypatch.chdir(work / "models")
    (work / "pyproject.toml").touch()
    assert scanned(capsys, "ours.pkl")[0] == 0


def test_a_found_file_speaks_for_its_own_folder(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An entry for an absolute path counts only in a file that was named by hand."""
    text = suppress("pickle-unlisted-global", f"{work}/../elsewhere/*".replace("/work/..", ""))
    (work / "safeload.toml").write_text(text)
    other = work.parent / "elsewhere"
    other.mkdir()
    (other / "ours.pkl").write_bytes(UNLISTED)
    code, data = scanned(capsys, str(other / "ours.pkl"))
    assert code == 1 and "needs --policy" in data["notes"][0]
    assert scanned(capsys, str(other / "ours.pkl"), "--policy", "safeload.toml")[0] == 0


def test_a_file_that_others_may_write_suppresses_nothing(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was found by searching must be ours alone."""
    path = work / "safeload.toml"
    path.write_text(suppress("pickle-unlisted-global", "models/*"))
    path.chmod(0o666)
    code, data = scanned(capsys, "models/ours.pkl")
    assert code == 1 and "others may write it" in data["notes"][0]


@pytest.mark.parametrize(
    "text",
    [
        "[[suppress]]",
        "suppress = 3",
        "[[suppress",
        "\xff",
        suppress("pickle-nothing", "models/*"),
        "a = " + "[" * 9_999,
    ],
)
def test_a_broken_file_stops_the_scan(text: str, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be read is an error with its place, never nothing."""
    (work / "safeload.toml").write_text(text, encoding="latin-1")
    assert main(["scan", "models"]) == 2
    assert "safeload.toml" in capsys.readouterr().err


def test_an_expired_suppression_is_said(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After its last day a finding counts again, and the entry is named."""
    (work / "safeload.toml").write_text(suppress("pickle-unlisted-global", "models/*.pkl", expires="2020-01-01"))
    assert main(["scan", "models/ours.pkl"]) == 1
    assert "note: " in (out := capsys.readouterr().out) and "suppress[0]" in out and "ended on 2020-01-01" in out


class Standard:
    """Standard input that holds these bytes."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def test_standard_input_is_a_file(
    work: Path, marker: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-` reads one file of any format, judged as on disk; its name may be given."""
    monkeypatch.setattr(sys, "stdin", Standard(evil(marker)))
    code, data = scanned(capsys, "-")
    assert (code, data["files"][0]["path"], data["files"][0]["status"]) == (1, "stdin", "dangerous")
    monkeypatch.setattr(sys, "stdin", Standard(b"import os\n"))
    code, data = scanned(capsys, "-", "--stdin-name", "model.py")
    assert (data["files"][0]["path"], data["files"][0]["format"]) == ("model.py", "python")


@pytest.mark.parametrize("options", [["-"], ["--stdin-name", "a/b"], ["--stdin-name", ".."], ["--stdin-name", ""]])
def test_standard_input_is_read_once_and_has_a_plain_name(
    options: list[str], work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice `-`, or a name that is a path, is code 2."""
    monkeypatch.setattr(sys, "stdin", Standard(UNLISTED))
    assert main(["scan", "-", *options]) == 2
