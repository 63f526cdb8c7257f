"""`safeload kernel`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from safeload.cli.main import main
from tests.hubserver import Hub, hub  # noqa: F401

BASE = "build/torch-cpu"
FILES = {f"{BASE}/__init__.py": b"import subprocess\nsubprocess.run('id')\n", f"{BASE}/_x.abi3.so": b"\x7fELF"}


@pytest.fixture
def relu(hub: Hub) -> str:  # noqa: F811
    return hub.add("acme/relu", FILES, revision="v1", kernel=True)


def test_it_prints_lines_that_a_policy_can_hold(
    relu: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All else that it says is in comments: the whole can be appended to a policy, and the policy is good."""
    assert main(["kernel", "acme/relu"]) == 1
    out = capsys.readouterr().out
    (kernel,) = tomllib.loads(out)["kernel"]
    assert (kernel["repository"], kernel["version"], kernel["revision"]) == ("acme/relu", "v1", relu)
    assert (
        "native library build/torch-cpu/_x.abi3.so" in out and "nothing is known about what native libraries do" in out
    )
    assert "code-process" in out or "process" in out
    (tmp_path / "safeload.toml").write_text("version = 1\n" + out)
    tmp_path.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    assert main(["policy", "check"]) == 0


def test_a_document_for_programs(relu: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With every file, its digest, and the findings."""
    assert main(["kernel", "acme/relu@v1", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    (build,) = document["builds"]
    assert document["revision"] == relu and build["digest"] in build["entry"]
    assert [file["native"] for file in build["files"]] == [False, True]


def test_of_several_builds_one_is_chosen(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """Nothing is fetched before that; each that is read gets its lines."""
    hub.add("acme/two", {**FILES, "build/torch-cuda/__init__.py": b""}, revision="v1", kernel=True)
    assert main(["kernel", "acme/two"]) == 1
    shown = capsys.readouterr()
    assert "build torch-cuda, not read" in shown.out and "--variant NAME" in shown.err and not hub.fetched
    assert main(["kernel", "acme/two", "--variant", "torch-cuda"]) == 1
    assert [one["variant"] for one in tomllib.loads(capsys.readouterr().out)["kernel"]] == ["torch-cuda"]
    assert main(["kernel", "acme/two", "--all"]) == 1
    assert len(tomllib.loads(capsys.readouterr().out)["kernel"]) == 2


def test_hostile_names_and_sources_stay_in_their_comments(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """A file that cannot be read is a finding and exit code 2; no text of it becomes a line of the policy."""
    evil = {f"{BASE}/__init__.py": b"import os\nos.system('''\n[[kernel]]\n\x1b[2J''')\n", f"{BASE}/bad.py": b"def ("}
    hub.add("acme/evil", {**evil, f"{BASE}/a b;[[kernel]].txt": b""}, revision="v1", kernel=True)
    assert main(["kernel", "acme/evil"]) == 2
    out = capsys.readouterr().out
    assert "\x1b" not in out and len(tomllib.loads(out)["kernel"]) == 1


@pytest.mark.parametrize("words", [["acme"], ["acme/relu@v1", "--revision", "v2"], ["acme/absent"], ["acme/relu@v9"]])
def test_what_is_not_there_is_exit_code_two(relu: str, words: list[str]) -> None:
    """A name that is none, two revisions, and what the hub has not."""
    assert main(["kernel", *words]) == 2
