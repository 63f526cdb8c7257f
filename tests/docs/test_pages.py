"""What the documentation says is so: its examples run, its links lead somewhere, its help text is the program's."""

from __future__ import annotations

import dataclasses
import itertools
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from safeload.cli.main import main
from safeload.core import errors
from safeload.engine.audit.approve import approve
from safeload.engine.options import Options
from safeload.reporters.json import document
from tests.adapters import coded, repos
from tests.docs.help_page import PAGE, page
from tests.docs.pages import PAGES, ROOT, blocks, commands, links
from tests.generator.containers import CONTAINERS
from tests.regressions.advisories import ALL as ADVISORIES
from tests.reporters.reports import EVIL

WITH_CODE = [path for path in PAGES if blocks(path, "python")]
WITH_COMMANDS = [path for path in PAGES if commands(path)]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def models(tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with the models that the pages talk of."""
    folder = tmp_path / "work"
    folder.mkdir()
    repos.build_safetensors(folder / "model")
    repos.build_bin(folder / "pickled")
    repos.build_evil_bin(folder / "poisoned", marker)
    for name in ("model", "pickled"):
        repos.write_tokenizer(folder / name)
    monkeypatch.chdir(folder)
    yield folder


def _bring_code(page: Path, folder: Path) -> None:
    """For the page that is about it: a model with code of its own, which is approved."""
    if page.name == "running-approved-code.md":
        coded.build_native(folder / "with-code")
        (folder / "with-code/modeling.py").write_text(coded.NATIVE)
        approve("with-code", criteria=["safe-to-run"], who="jo")


@pytest.mark.parametrize("path", WITH_CODE, ids=_name)
def test_the_examples_run(path: Path, models: Path) -> None:
    """The Python of a page runs from top to bottom, as a reader would type it."""
    _bring_code(path, models)
    namespace: dict[str, object] = {"__name__": "__example__"}
    for block in blocks(path, "python"):
        source = "\n" * block.line + block.text
        exec(compile(source, str(path), "exec"), namespace)  # our own documentation


@pytest.mark.parametrize("path", WITH_COMMANDS, ids=_name)
def test_the_commands_run(path: Path, models: Path) -> None:
    """Every command line of ours in a page ends with code 0."""
    _bring_code(path, models)
    for line in commands(path):
        _, *arguments = shlex.split(line)
        assert main(arguments) == 0, line


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_links_lead_somewhere(path: Path) -> None:
    """Every link to a file of this repository finds it."""
    missing = [target for target in links(path) if not (path.parent / target).exists()]
    assert not missing


def test_the_help_text_is_the_programs() -> None:
    """`docs/cli.md` shows what the program prints. If this fails: `make docs-cli`."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_error_is_explained() -> None:
    """docs/errors.md has a line for each error class there is, and for none that is not."""
    text = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    classes = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.SafeloadError) and value is not errors.SafeloadError
    }
    assert {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")} == classes


def test_the_readme_is_short() -> None:
    """A screen and a half: whoever opens it reads it."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 80


def test_no_page_leaves_something_for_later() -> None:
    """No page says TODO."""
    for path in PAGES:
        assert "TODO" not in path.read_text(encoding="utf-8"), path


def test_the_example_gate_reports_the_poisoned_model(
    models: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """examples/ci_gate.py fails a pipeline on one poisoned model among good ones, and names it."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    sys.modules.pop("ci_gate", None)
    import ci_gate  # type: ignore[import-not-found]

    assert ci_gate.main(str(models)) == 1
    assert "dangerous  poisoned" in capsys.readouterr().out


def _rows(text: str) -> set[str]:
    return {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}


def test_the_json_fields_are_those_that_are_explained() -> None:
    """docs/json.md lists exactly the fields of a report, of its files and of their findings."""
    text = (ROOT / "docs/json.md").read_text(encoding="utf-8")
    before, _, after = text.partition("Each of `findings`:")
    top, files = before.split("Each of `files`:")
    findings = after.partition("## The others")[0]
    data = document([EVIL])
    assert _rows(top) == data.keys()
    assert _rows(files) == data["files"][1].keys()
    assert _rows(findings) == data["files"][1]["findings"][0].keys()


def test_every_schema_is_explained() -> None:
    """docs/json.md names each schema that a document of ours has, and none that there is not."""
    told = re.compile(r"safeload\.[a-z-]+/\d")
    code = {name for path in (ROOT / "safeload").rglob("*.py") for name in told.findall(path.read_text("utf-8"))}
    assert code == set(told.findall((ROOT / "docs/json.md").read_text(encoding="utf-8")))


def test_every_option_is_explained() -> None:
    """docs/getting-started.md has a row for each field of `Options`, and for none that is not."""
    table = (ROOT / "docs/getting-started.md").read_text(encoding="utf-8").partition("| option | says |")[2]
    rows = itertools.takewhile(lambda line: line.startswith("|"), table.strip().splitlines())
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert told == {field.name for field in dataclasses.fields(Options)}


def test_every_page_can_be_found() -> None:
    """Who begins at the index and follows links comes to every page; records and rules are listed where they lie."""
    found, pending = set[Path](), [ROOT / "docs/index.md"]
    while pending:
        if (one := pending.pop()) not in found and one.suffix == ".md" and one.is_file():
            found.add(one)
            pending += [(one.parent / target).resolve() for target in links(one)]
    assert {path for path in PAGES if path.is_relative_to(ROOT / "docs")} <= found
    for index in (ROOT / "docs/decisions/README.md", ROOT / "docs/rules/README.md"):
        assert {path.name for path in index.parent.glob("*.md")} - {index.name} <= set(links(index)), index


def test_counted_things_are_as_many_as_it_says() -> None:
    """docs/testing.md: the callables of advisories, and the containers that dangerous files are made in."""
    text = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
    assert f"{len(ADVISORIES)} callables" in text and f"{len(CONTAINERS)} containers" in text
