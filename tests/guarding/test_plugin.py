"""pytest of a project under guard: `--safeload-guard`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guarding import programs

TESTS = """
    import pickle
    import pytest
    import torch

    class Own:
        pass

    def test_own_data():
        assert type(pickle.loads(pickle.dumps(Own()))) is Own

    def test_the_model(request):
        state = torch.load(request.config.rootpath / "model.pt", weights_only=False)
        assert state["weight"].tolist() == [1.0, 2.0]

    def test_that_swallows(request):
        try:
            torch.load(request.config.rootpath / "model.pt", weights_only=False)
        except Exception:
            pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project with one test module and one model."""
    import torch

    folder = tmp_path / "project"
    folder.mkdir()
    programs.write(folder / "test_app.py", TESTS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    torch.save({"weight": torch.tensor([1.0, 2.0])}, folder / "model.pt")
    return folder


def run(project: Path, *words: str) -> tuple[int, str]:
    """Run its tests, with the plugin there and no other."""
    line = ("-m", "pytest", "-p", "safeload.guarding.pytest_plugin", "-p", "no:cacheprovider", *words)
    result = programs.python(*line, cwd=project, more={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    return result.returncode, result.stdout + result.stderr


def poison(project: Path, marker: Path) -> None:
    (project / "model.pt").write_bytes(b"cos\nsystem\n(S'touch %s'\ntR." % bytes(marker))


def test_it_is_off_by_default(project: Path) -> None:
    """Who has safeload installed notices nothing."""
    code, text = run(project)
    assert code == 0 and "3 passed" in text and "safeload" not in text.replace(str(project), "")


def test_benign_tests_pass(project: Path) -> None:
    """As they do without, and the header says that they are guarded."""
    code, text = run(project, "--safeload-guard")
    assert code == 0 and "3 passed" in text and "safeload: loads are guarded" in text and "refused" not in text


def test_a_poisoned_model_fails_its_test(project: Path, marker: Path) -> None:
    """The test that loads it fails with the reasons; what another one swallowed is listed at the end."""
    poison(project, marker)
    # Without pytest's own summary: it repeats whole messages where the environment says CI, and cuts them elsewhere.
    code, text = run(project, "--safeload-guard", "-rN")
    assert code == 1 and "1 failed, 2 passed" in text and "would call os.system" in text
    assert text.partition("safeload: refused")[2].count("model.pt' was refused") == 2


@pytest.mark.parametrize("line", ["safeload_guard = true", "safeload_guard = true\nsafeload_strict = true"])
def test_the_configuration_can_ask_for_it(line: str, project: Path, marker: Path) -> None:
    """One line in `pytest.ini` guards everybody's run."""
    (project / "pytest.ini").write_text(f"[pytest]\n{line}\n")
    poison(project, marker)
    code, text = run(project)
    assert code == 1 and "was refused" in text and ("strictly" in text) == ("strict" in line)


def test_a_policy_of_the_project_counts(project: Path) -> None:
    """`safeload_policy` is seen from the root; a file that is not there fails the load, not only a hint."""
    (project / "pytest.ini").write_text("[pytest]\nsafeload_guard = true\nsafeload_policy = nothing.toml\n")
    code, text = run(project)
    assert code == 1 and "nothing.toml" in text
