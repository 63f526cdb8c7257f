"""detect-secrets adds findings about texts, takes none away, shows no whole secret, and asks nobody."""

from __future__ import annotations

import builtins
import io
import json
import socket
import sys
from pathlib import Path

import pytest

from safeload.cli.main import main
from safeload.core.blob import MemoryBlob
from safeload.core.errors import UsageError
from safeload.core.finding import Finding, Severity, Status
from safeload.core.limits import Limits
from safeload.engine.inspect import inspect
from safeload.engine.options import Options
from safeload.engine.scan import scan, scan_stream
from safeload.rules import detect_secrets
from safeload.rules.secret_opinion import MOST_CHARACTERS

ASKED = Options(secret_opinion=True)
WORD = "correct-horse-" + "battery-staple"


def found(name: str, data: bytes, options: Options | None = ASKED) -> list[Finding]:
    report = inspect(MemoryBlob(data), name, Limits(), options=options).report
    return [finding for finding in report.findings if finding.rule == "secret-opinion"]


TEXTS = {
    "config.json": json.dumps({"deep": [{"password": WORD}]}).encode(),
    "config.yaml": f"a: 1\npassword: {WORD}\n".encode(),
    "train.py": f'password = "{WORD}"\n'.encode(),
    "README.md": f'é\nset `password = "{WORD}"` first\n'.encode(),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_settings_and_code_are_asked_about(name: str) -> None:
    """What stands behind `password` is told, by its first letters, and nothing is told without the option."""
    (finding,) = found(name, TEXTS[name])
    assert (finding.status, finding.severity) == (Status.SAFE, Severity.NOTE)
    assert "(Secret Keyword): corr… of 28 characters" in finding.message
    assert WORD[4:] not in str(finding)
    assert not found(name, TEXTS[name], None)


def test_the_place_is_the_line() -> None:
    """In bytes from the beginning of the file."""
    (finding,) = found("README.md", TEXTS["README.md"])
    assert finding.location.offset == 3


def test_a_form_of_its_own_counts_for_more_than_a_word() -> None:
    """A key of a known form is low, a word behind `password` a note."""
    (finding,) = found("a.py", b'x = "AKIA' + b'QWERTYUIOPASDFGH"\n')
    assert finding.severity is Severity.LOW


@pytest.mark.parametrize("length", [3, 4, 7, 8, 11, 12, 40])
def test_a_short_secret_is_hardly_shown(length: int) -> None:
    """Never more than a fourth of it, nor more than four characters."""
    word = "xylophonicallyQ" * 3
    (finding,) = found("a.py", f'password = "{word[:length]}"\n'.encode())
    assert finding.message.endswith(f": {word[: min(length // 4, 4)]}… of {length} characters")


def test_a_comment_does_not_silence_it() -> None:
    """detect-secrets has a comment that allows a line; whoever wrote the file does not decide what is told."""
    line = f'password = "{WORD}"  # pragma: allowlist secret\n'
    assert found("a.py", line.encode())


def test_it_never_changes_the_status_nor_takes_a_finding_away() -> None:
    """All that is found without it is found with it."""
    source = b"import os\nos.system('x')\n" + TEXTS["train.py"]
    plain = inspect(MemoryBlob(source), "modeling.py", Limits()).report
    asked = inspect(MemoryBlob(source), "modeling.py", Limits(), options=ASKED).report
    assert set(plain.findings) < set(asked.findings)
    assert plain.status is asked.status


def test_nobody_is_asked_whether_it_is_real(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the process has set detect-secrets up to ask: no connection is opened."""
    from detect_secrets.settings import get_settings

    def refused(*args: object, **options: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "create_connection", refused)
    policy = "detect_secrets.filters.common.is_ignored_due_to_verification_policies"
    monkeypatch.setitem(get_settings().filters, policy, {"min_level": 2})
    token = "xox" + "b-123456789012-abcdefghijkl"
    assert any("Slack" in finding.message for finding in found("a.py", f"t = '{token}'\n".encode()))


def test_its_plugins_of_others_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A baseline or settings that name a plugin by its path: the file is not run."""
    from detect_secrets.settings import get_settings

    marker = tmp_path / "marker"
    (tmp_path / "plugin.py").write_text(f"open({str(marker)!r}, 'w')\n")
    monkeypatch.setitem(get_settings().plugins, "Evil", {"path": f"file://{tmp_path}/plugin.py"})
    (tmp_path / ".secrets.baseline").write_text(json.dumps({"plugins_used": [{"name": "Evil", "path": "plugin.py"}]}))
    detect_secrets._plugins.cache_clear()
    scan(tmp_path, options=ASKED)
    assert not marker.exists()


def test_what_it_was_not_asked_about_is_told() -> None:
    """Long texts and documents, many candidates, and many secrets: each with a finding that says so."""
    line = "nothing here\n"
    (finding,) = found("a.txt", line.encode() * (MOST_CHARACTERS // len(line) + 1))
    assert "not about all" in finding.message
    (finding,) = found("config.json", json.dumps(["abcd " * 100] * 1_000).encode())
    assert "not about all" in finding.message
    many = found("a.py", "".join(f'password = "{WORD}{n}"\n' for n in range(30)).encode())
    assert len(many) == 21 and "the rest is not told" in many[-1].message
    (finding,) = found("a.py", b'password = "12345-678"\n' * 200)
    assert "gives up" in finding.message


def test_whatever_it_raises_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even what no analyser should raise; what it said before stays said."""
    from detect_secrets.plugins.jwt import JwtTokenDetector

    def explode(self: object, line: str) -> list[str]:
        if "bang" in line:
            raise MemoryError(line)
        return []

    monkeypatch.setattr(JwtTokenDetector, "analyze_string", explode)
    first, second = found("a.py", TEXTS["train.py"] + b"x = 'bang'\n")
    assert "Secret Keyword" in first.message
    assert "gives up: MemoryError" in second.message


def test_without_detect_secrets_the_option_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For files and for streams, with the command that installs it; nothing else needs it."""
    ordinary = builtins.__import__

    def missing(name: str, *args: object) -> object:
        if name.startswith("detect_secrets"):
            raise ImportError("no detect_secrets")
        return ordinary(name, *args)

    detect_secrets._plugins.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "detect_secrets"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", missing)
    (tmp_path / "a.py").write_bytes(TEXTS["train.py"])
    for ask in (lambda: scan(tmp_path, options=ASKED), lambda: scan_stream(io.BytesIO(b""), options=ASKED)):
        with pytest.raises(UsageError, match="detect-secrets") as refused:
            ask()
        assert "safeload[secrets]" in refused.value.remedy
    assert scan(tmp_path).files


def test_the_option_is_true_or_false() -> None:
    """A text such as 'no' would count as true."""
    with pytest.raises(UsageError, match="secret_opinion"):
        Options(secret_opinion="no")


def test_the_command_asks_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`safeload scan --with detect-secrets`, beside another, over files and standard input."""
    (tmp_path / "config.json").write_bytes(TEXTS["config.json"])
    assert main(["scan", str(tmp_path), "--with", "detect-secrets", "--with", "fickling", "--json"]) == 0
    told = capsys.readouterr().out
    assert "secret-opinion" in told and WORD not in told
