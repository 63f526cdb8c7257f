"""`safeload templates`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safeload.cli.main import main

EVIL = "{{ ''.__class__ }}\nHi\u202e\x1b[31m"


def write(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "chat_template.jinja").write_text(text, "utf-8")
    return folder


def test_templates_are_shown_with_what_they_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Digest, findings and, if asked for, the text with its lines; nothing foreign reaches the terminal raw."""
    assert main(["templates", str(write(tmp_path / "m", EVIL)), "--show"]) == 1
    out = capsys.readouterr().out
    for said in ("dangerous", "sha256", "[template-escape]", "     1  {{ ''.__class__ }}", "\\u202e", "\\x1b[31m"):
        assert said in out
    assert "\u202e" not in out and "\x1b" not in out


def test_a_difference_is_exit_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same template is exit 0, another one exit 1 with a diff."""
    one, other = write(tmp_path / "a", "{{ x }}\n"), write(tmp_path / "b", "{{ x }}\n{{ y }}\n")
    assert main(["templates", str(one), "--against", str(one)]) == 0
    assert main(["templates", str(other), "--against", str(one / "chat_template.jinja")]) == 1
    assert "+{{ y }}" in capsys.readouterr().out


def test_json_has_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Places, digests, findings and differences."""
    model = write(tmp_path / "m", EVIL)
    main(["templates", str(model), "--against", str(model), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "safeload.templates/1"
    assert document["templates"][0]["findings"][0]["rule"] == "template-escape"
    assert document["differences"] == {}


def test_a_folder_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--subfolder` looks at the model that lies there."""
    write(tmp_path / "evil", "{{ ''.__class__ }}")
    write(tmp_path / "good", "{{ messages }}")
    assert main(["templates", str(tmp_path), "--subfolder", "good"]) == 0
    assert main(["templates", str(tmp_path), "--subfolder", "evil"]) == 1
    assert "evil/" in capsys.readouterr().out
