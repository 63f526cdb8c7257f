"""What other programs read of this repository is as they expect it, and the commands in it run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from safeload.cli import COMMANDS
from safeload.cli.scan import arguments
from tests.architecture.source import ROOT
from tests.docs.pages import blocks

ACTION, HOOKS, GITLAB = ROOT / "action.yml", ROOT / ".pre-commit-hooks.yaml", ROOT / "integrations/gitlab"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@cache
def published(name: str) -> Any:
    """A schema of GitHub or GitLab, as the package check-jsonschema carries it."""
    from importlib.resources import files

    return json.loads((files("check_jsonschema") / f"builtin_schemas/vendor/{name}.json").read_text(encoding="utf-8"))


def step(name: str) -> dict[str, Any]:
    return next(each for each in read(ACTION)["runs"]["steps"] if each.get("name") == name)


def test_the_action_is_valid() -> None:
    """It satisfies the schema of actions, and every action that it uses is pinned by its whole hash."""
    Draft7Validator(published("github-actions")).validate(read(ACTION))
    uses = re.findall(r"uses:\s*(.+)", ACTION.read_text(encoding="utf-8"))
    assert len(uses) == 2
    for line in uses:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v[\d.]+", line.strip()), line


def test_the_action_puts_no_input_into_a_command() -> None:
    """Scripts take inputs from variables: nothing that a caller writes is part of a script."""
    for each in read(ACTION)["runs"]["steps"]:
        assert "${{" not in each.get("run", "")


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"\x80\x04N.", 0), (b"cos\nsystem\n(S'x'\ntR.", 1), (b"\x80\x04]\x94(K", 2)],
    ids=["safe", "dangerous", "undecided"],
)
def test_the_script_of_the_action_runs(data: bytes, code: int, tmp_path: Path) -> None:
    """It scans every path, whatever it is called, writes the log, says the code, and the verdict ends with it."""
    models = tmp_path / "models $(touch owned)"
    models.mkdir()
    (models / "-x.pkl").write_bytes(data)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "PATHS": f"{models.name}\n\n",
        "POLICY": "",
        "BASELINE": "",
    }
    bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
    subprocess.run([*bash, step("scan")["run"]], env=environment, cwd=tmp_path, check=True, timeout=120)
    said = dict(line.split("=", 1) for line in (tmp_path / "output").read_text().splitlines())
    assert said == {"code": str(code), "sarif": str(tmp_path / "safeload.sarif")}
    assert json.loads((tmp_path / "safeload.sarif").read_text())["version"] == "2.1.0"
    verdict = subprocess.run([*bash, step("verdict")["run"]], env={"CODE": said["code"]}, check=False)
    assert verdict.returncode == code
    assert not (tmp_path / "owned").exists()


def test_a_scan_that_did_not_take_place_has_no_log(tmp_path: Path) -> None:
    """A policy that is not there is code 2 without a log, an old one is gone, and the verdict fails for it."""
    (tmp_path / "safeload.sarif").write_text("old")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "PATHS": ".",
        "POLICY": "nothing.toml",
        "BASELINE": "",
    }
    bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
    subprocess.run([*bash, step("scan")["run"]], env=environment, cwd=tmp_path, check=True, timeout=120)
    assert (tmp_path / "output").read_text() == "code=2\n"
    assert "steps.scan.outputs.sarif == ''" in step("verdict")["if"]


def test_the_hook_names_a_command_and_the_files_it_is_for() -> None:
    """pre-commit would call `safeload scan` with names of model files, and with no sources."""
    (hook,) = read(HOOKS)
    program, command = hook["entry"].split()
    assert program == "safeload" and command in COMMANDS
    assert hook["args"] == ["--"]
    pattern = re.compile(hook["files"])
    for name in ("a.bin", "b/c.PKL", "x.pt", "x.ckpt", "x.npz", "m.safetensors", "x.joblib", "chat_template.jinja"):
        assert pattern.search(name), name
    for name in ("setup.py", "README.md", "a.png", "bin/tool", "a.binary"):
        assert not pattern.search(name), name


def test_the_gitlab_template_is_valid() -> None:
    """It satisfies the schema of GitLab's pipelines, and what it writes is what it reports."""
    path = GITLAB / "safeload.gitlab-ci.yml"
    document = read(path)
    Draft7Validator(published("gitlab-ci")).validate(document)
    job = document["safeload"]
    scripts = "\n".join(job["script"])
    for report in job["artifacts"]["reports"].values():
        assert f"-o {report} " in scripts


def test_the_commands_of_the_template_run(tmp_path: Path) -> None:
    """The two scans of the template write their reports; the second decides."""
    (tmp_path / "a.pkl").write_bytes(b"cos\nsystem\n(S'x'\ntR.")
    program = str(Path(sys.executable).parent / "safeload")
    scans = [line for line in read(GITLAB / "safeload.gitlab-ci.yml")["safeload"]["script"] if " scan " in line]
    script = "\n".join(line.replace("/tmp/safeload/bin/safeload", shlex.quote(program)) for line in scans)
    environment = {"PATH": os.environ["PATH"], "SAFELOAD_PATHS": "a.pkl", "SAFELOAD_OPTIONS": ""}
    result = subprocess.run(["bash", "-ec", script], env=environment, cwd=tmp_path, check=False, timeout=120)
    assert result.returncode == 1
    (entry,) = json.loads((tmp_path / "gl-code-quality-report.json").read_text())
    assert (entry["location"]["path"], entry["severity"]) == ("a.pkl", "blocker")
    assert "<failure" in (tmp_path / "safeload.xml").read_text()


def test_the_image_runs_as_nobody() -> None:
    """The container file ends with a user that is not root and the command people expect."""
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    last = text.rpartition("FROM ")[2]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE)
    assert 'ENTRYPOINT ["safeload", "scan"]' in last


@pytest.mark.parametrize("image", ["Containerfile", "examples/serving/Containerfile"])
def test_an_image_is_built_of_all_that_it_needs(image: str) -> None:
    """What is copied exists and is let into the build; all packages of the wheel are among it, and what names them."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / image).read_text(encoding="utf-8"), re.MULTILINE)
    copied = {name for line in lines for name in line.split() if not name.startswith("--")}
    assert all((ROOT / name).exists() for name in copied)
    everything, *let_in = (ROOT / ".containerignore").read_text(encoding="utf-8").split()
    assert everything == "*" and {f"!{name}" for name in copied} <= set(let_in)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {*packages, "pyproject.toml", project["project"]["readme"], "LICENSE"} <= copied


def test_the_examples_of_the_page_are_yaml() -> None:
    """What a reader copies parses; the action and the hook that it names are there, with those inputs."""
    page = ROOT / "docs/integrations.md"
    hooks, _, workflow, pipeline = (yaml.safe_load(block.text) for block in blocks(page, "yaml"))
    assert hooks["repos"][0]["hooks"][0]["id"] == read(HOOKS)[0]["id"]
    used = workflow["jobs"]["models"]["steps"][1]["with"]
    assert set(used) <= set(read(ACTION)["inputs"])
    text = page.read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in text for name in read(ACTION)["inputs"])
    assert (ROOT / pipeline["include"][0]["file"]).is_file()
    assert set(pipeline["safeload"]["variables"]) <= set(
        read(GITLAB / "safeload.gitlab-ci.yml")["safeload"]["variables"]
    )


def test_every_option_of_scan_is_explained() -> None:
    """docs/scanning.md has each option of the command."""
    import argparse

    parser = argparse.ArgumentParser(add_help=False)
    arguments(parser)
    page = (ROOT / "docs/scanning.md").read_text(encoding="utf-8")
    options = [name for action in parser._actions for name in action.option_strings if name.startswith("--")]
    assert options and not [name for name in options if f"`{name}" not in page]
