"""The house around the code: what builds and checks it is pinned, documented, and says the same everywhere."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib

import pytest

from tests.architecture.source import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(path: object) -> None:
    """Every action is named by its full commit hash, with its version beside it."""
    uses = re.findall(r"uses:\s*(.+)", path.read_text(encoding="utf-8"))  # type: ignore[attr-defined]
    assert uses
    for line in uses:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v[\d.]+", line.strip()), line


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_start_without_permissions(path: object) -> None:
    """A workflow gets no permission that a job does not ask for, and keeps no credentials."""
    text = path.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    assert "\npermissions: {}\n" in text
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")


def test_the_base_needs_no_large_library() -> None:
    """Who only scans installs cryptography, rich and safetensors."""
    names = {re.split(r"[<>=\[]", line)[0] for line in PROJECT["project"]["dependencies"]}
    assert names == {"cryptography", "rich", "safetensors"}


def test_every_make_target_is_explained() -> None:
    """`make help` lists each target that a person may call."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)[0].split()
    for target in targets:
        assert re.search(rf"^{target}:.*## ", text, re.MULTILINE), target


def test_ci_runs_what_people_run() -> None:
    """`.ci/run` consists of make targets, so that `make check` is the same thing."""
    text = (ROOT / ".ci/run").read_text(encoding="utf-8")
    for target in ("test", "lint", "types", "core-coverage", "core-alone", "wheel"):
        assert f"make {target}" in text


def test_every_python_that_is_named_is_tested() -> None:
    """The classifiers, the oldest that is asked for, and the workflow say the same."""
    lines = PROJECT["project"]["classifiers"]
    named = [line.rpartition(" ")[2] for line in lines if re.search(r":: Python :: 3\.\d+$", line)]
    assert PROJECT["project"]["requires-python"] == f">={named[0]}"
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert f"python: {json.dumps(named)}" in workflow


def test_the_source_archive_is_the_whole_project() -> None:
    """What git tracks is in it, or is put in by the build itself; `make wheel` compares the built one."""
    if not (ROOT / ".git").exists():
        pytest.skip("no clone")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    tracked = {name.partition("/")[0] for name in listed.split("\0") if name}
    included = set(PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    assert tracked - included == {".gitignore", "LICENSE", "pyproject.toml"}
    assert included <= tracked


def _leads_to(extra: str) -> set[str]:
    """The extras that an extra brings along, itself among them."""
    found, pending = set[str](), [extra]
    while pending:
        found.add(name := pending.pop())
        for line in PROJECT["project"]["optional-dependencies"][name]:
            if more := re.fullmatch(r"safeload\[(.+)\]", line):
                pending += set(more[1].split(",")) - found
    return found


def test_all_is_all() -> None:
    """`safeload[all]` brings every extra but the demonstration's model and what developers need."""
    assert _leads_to("all") == PROJECT["project"]["optional-dependencies"].keys() - {"demo", "dev"}


def test_extras_that_people_are_told_to_install_exist() -> None:
    """In messages and in the documentation."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "safeload").rglob("*.py")]
    named = {
        name
        for path in pages
        for extras in re.findall(r"pip install '?safeload\[([\w,-]+)\]", path.read_text(encoding="utf-8"))
        for name in extras.split(",")
    }
    assert len(named) > 10 and named <= PROJECT["project"]["optional-dependencies"].keys()


def test_the_source_distribution_has_what_its_tests_read() -> None:
    """The tools, the workflows and the Makefile are in it, and nothing is named that is not there."""
    listed = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {"tests", "tools", "docs", "examples", ".ci", ".github", ".containerignore", "Makefile"} <= set(listed)
    assert all((ROOT / name).exists() for name in listed)
