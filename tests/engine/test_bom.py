"""`safeload bom`: a CycloneDX document of what a model consists of."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from safeload.cli.main import main
from tests.engine import signing
from tests.engine.models import write
from tests.engine.test_enforce import KEYS, policy, project  # noqa: F401  (a fixture)
from tests.hubserver import Hub, hub  # noqa: F401  (a fixture)

CARD = "---\nlicense: apache-2.0\nbase_model: acme/base\ntags: [x]\n---\n# Hello\nlicense: mit\n"


def written(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["bom", *arguments]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_a_bill_names_files_licence_ancestors_and_signers(project: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """Every file with its sha256, the licence of the card, the model it stands on, and who signed."""
    write(project / "m/README.md", CARD)
    policy(project, "")
    signing.sign(project / "m", KEYS["a"])
    component = written(capsys, "m")["metadata"]["component"]
    assert component["type"] == "machine-learning-model" and component["name"] == "m"
    hashes = {file["name"]: file["hashes"][0]["content"] for file in component["components"]}
    expected = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (project / "m").iterdir()}
    del expected["model.sig"]
    assert hashes == expected
    assert component["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert [one["purl"] for one in component["pedigree"]["ancestors"]] == ["pkg:huggingface/acme/base"]
    assert any(one["value"].startswith("a: key:") for one in component["properties"])


def test_the_same_model_gives_the_same_bytes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """No time of day and no random number; another model has another serial number."""
    first, second = written(capsys, "m"), written(capsys, "m")
    assert first == second
    write(project / "m/new.txt", "x")
    assert written(capsys, "m")["serialNumber"] != first["serialNumber"]


def test_a_model_on_the_hub_has_its_package_url(
    project: Path,  # noqa: F811
    hub: Hub,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With its commit, and without fetching its weights."""
    commit = hub.add("acme/demo", project / "m")
    component = written(capsys, "acme/demo")["metadata"]["component"]
    assert component["purl"] == f"pkg:huggingface/acme/demo@{commit}" and component["group"] == "acme"
    assert "model.safetensors" not in hub.fetched


def test_a_hostile_card_says_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """What is no plain word is not taken for a licence, and the card is no YAML to us."""
    tag = "---\nlicense: !!python/object/apply:os.system [x]\n---\n"
    for card in (tag, "license: mit\n", "---\nlicense: \x1b[31m\n"):
        write(project / "m/README.md", card)
        component = written(capsys, "m")["metadata"]["component"]
        assert "licenses" not in component and "pedigree" not in component


def test_nothing_is_overwritten(project: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """`--into` makes a file, and leaves one that is there alone."""
    assert main(["bom", "m", "--into", "bom.json"]) == 0
    before = (project / "bom.json").read_bytes()
    assert json.loads(before)["specVersion"] == "1.6"
    assert main(["bom", "m", "--into", "bom.json"]) == 2 and (project / "bom.json").read_bytes() == before


def test_without_the_library_the_command_says_what_to_install(
    project: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A missing extra is an error with its install command."""
    import sys

    monkeypatch.setitem(sys.modules, "cyclonedx.model.bom", None)
    assert main(["bom", "m"]) == 2
    assert "safeload[bom]" in capsys.readouterr().err
