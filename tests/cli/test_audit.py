"""`safeload audit`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safeload.cli.main import main
from tests.audit.test_closure import CONFIG, write
from tests.hubserver import Hub, hub

__all__ = ["hub"]

TWO = "class='code two'"
"""How a page writes two versions side by side."""


def test_the_code_and_its_deeds_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command names the digest, the entries, the files and each finding with its line; code to read is exit 1."""
    model = write(tmp_path, config=CONFIG, modeling_x="import os\nos.system('true')\n")
    assert main(["audit", str(model)]) == 1
    out = capsys.readouterr().out
    for said in ("h1:", "modeling_x.XModel", "modeling_x.py", "line 2", "[code-process]", "os.system('true')"):
        assert said in out


def test_a_model_without_code_is_nothing_to_audit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model without code gives exit 0 and a note."""
    assert main(["audit", str(write(tmp_path, config='{"model_type": "bert"}'))]) == 0
    assert "brings no code along" in capsys.readouterr().err


def test_json_has_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON document holds entries, imports, digest and report."""
    model = write(tmp_path, config=CONFIG, modeling_x="import einops\nimport os\nos.system('true')\n")
    assert main(["audit", str(model), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["closure"].startswith("h1:") and document["imports"] == ["einops"]
    assert document["entries"][0]["file"] == "modeling_x.py"
    assert document["report"]["files"][0]["findings"][0]["rule"] == "code-process"


def test_only_what_differs_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Against another model, only changed files and their findings are shown."""
    old = write(
        tmp_path / "old", config=CONFIG, modeling_x="from .b import B\nimport ctypes\nctypes.CDLL('x')\n", b="B = 1\n"
    )
    code = {"modeling_x": (old / "modeling_x.py").read_text(), "b": "import os\nB = os.system\n"}
    new = write(tmp_path / "new", config=CONFIG, **code)
    assert main(["audit", str(new), "--against", str(old)]) == 1
    out = capsys.readouterr().out
    assert "+B = os.system" in out and "[code-process]" in out and "[code-native]" not in out


def test_hostile_names_do_not_reach_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters of names and source lines are escaped."""
    source = "import os\nos.system('\x1b[2J\u202e')\n"
    config = json.dumps({"auto_map": {"AutoModel": "modeling_x.X\x1b[31m"}})
    assert main(["audit", str(write(tmp_path, config=config, modeling_x=source))]) == 1
    out = capsys.readouterr().out
    assert "\x1b[2J" not in out and "\x1b[31m" not in out and "\u202e" not in out


def test_a_model_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing directory is exit 2."""
    assert main(["audit", str(tmp_path / "none")]) == 2
    assert "next:" in capsys.readouterr().err


def test_a_page_is_written_and_has_the_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--format html -o FILE` writes one page; the exit code is that of the audit."""
    model = write(tmp_path / "m", config=CONFIG, modeling_x="import os\nos.system('<b>')\n")
    page = tmp_path / "audit.html"
    assert main(["audit", str(model), "--format", "html", "-o", str(page)]) == 1
    text = page.read_text("utf-8")
    assert "code-process" in text and "&lt;b&gt;" in text and "<b>'" not in text
    assert capsys.readouterr().out == ""


def test_a_page_shows_the_version_that_it_is_compared_with(tmp_path: Path) -> None:
    """With `--against`, the older code stands beside the new."""
    old = write(tmp_path / "old", config=CONFIG, modeling_x="import os\nx = 1\n")
    new = write(tmp_path / "new", config=CONFIG, modeling_x="import os\nx = 2\n")
    page = tmp_path / "audit.html"
    main(["audit", str(new), "--against", str(old), "--format", "html", "-o", str(page)])
    assert TWO in page.read_text("utf-8")


def test_a_page_that_cannot_be_written_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The place is said, and the exit code is 2."""
    model = write(tmp_path / "m", config=CONFIG, modeling_x="x = 1\n")
    assert main(["audit", str(model), "--format", "html", "-o", str(tmp_path / "no" / "a.html")]) == 2
    assert "was not written" in capsys.readouterr().err


def test_html_shows_what_was_approved_last(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without `--against` the page puts the version that a record names beside the new one.

    It is fetched by the commit of the record; where the hub no longer has it, the page has the new version alone.
    """
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "audit.html"

    def push(body: str) -> str:
        return hub.add("org/m", {"config.json": CONFIG.encode(), "modeling_x.py": f"{body}\n".encode()})

    def shown() -> str:
        main(["audit", "org/m", "--format", "html", "-o", str(page)])
        return page.read_text()

    first = push("elder_word = 1")
    assert "elder_word" in shown() and TWO not in shown()
    assert main(["approve", "org/m", "--criteria", "safe-to-run", "--as", "jo"]) == 0
    push("newer_word = 2")
    assert main(["audit", "org/m", "--format", "html", "-o", str(page)]) == 0
    text = page.read_text()
    assert TWO in text and "elder_word" in text and "newer_word" in text
    assert first in (tmp_path / "audits.toml").read_text()
    record = (tmp_path / "audits.toml").read_text()
    (tmp_path / "audits.toml").write_text(record.replace(first, first[:-4] + "0000"))
    text = shown()
    assert TWO not in text and "newer_word" in text and "elder_word" not in text
    assert "that jo approved cannot be had" in capsys.readouterr().err


def test_a_program_on_the_hub_is_compared_with_another_version_of_it(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`hf://org/name/file.py` is a reference on both sides, in each format, by revision or as a file that lies here."""
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "audit.html"

    def push(body: str, revision: str) -> None:
        beside = {"beside.py": b"x = 1\n", "README.md": b""}
        hub.add(
            "org/p",
            {"pipeline.py": f"import os\nfrom .beside import x\n{body}\n".encode(), **beside},
            revision=revision,
        )

    push("elder_word = os.getpid()", "v1")
    push("newer_word = os.getpid()", "v2")
    program = "hf://org/p/pipeline.py"
    assert main(["audit", f"{program}@v2", "--against", f"{program}@v1", "--format", "html", "-o", str(page)]) < 2
    text = page.read_text()
    assert TWO in text and "elder_word" in text and "newer_word" in text
    assert (
        main(["audit", program, "--revision", "v2", "--against-revision", "v1", "--format", "html", "-o", str(page)])
        < 2
    )
    assert TWO in page.read_text() and "elder_word" in page.read_text()
    (tmp_path / "pipeline.py").write_text("import os\nfrom .beside import x\nelder_word = os.getpid()\n")
    (tmp_path / "beside.py").write_text("x = 1\n")
    assert main(["audit", f"{program}@v2", "--against", "pipeline.py", "--format", "html", "-o", str(page)]) < 2
    assert TWO in page.read_text() and "elder_word" in page.read_text()
    capsys.readouterr()
    main(["audit", f"{program}@v2", "--against", f"{program}@v1"])
    shown = capsys.readouterr().out
    assert "pipeline.py" in shown and "beside.py" not in shown.partition("changed")[2].partition("\n")[0]
    assert main(["audit", f"{program}@v2", "--against", "hf://org/p/absent.py@v1"]) == 2
