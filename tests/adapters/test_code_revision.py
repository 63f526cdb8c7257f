"""`code_revision=`: at which commit the code of another repository is taken, which needs approval as all code does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import safeload.transformers as guarded
from safeload import PolicyDenied, UsageError
from safeload.cli.main import main
from tests.adapters import coded
from tests.adapters.test_approved import project  # noqa: F401
from tests.hubserver import Hub, hub  # noqa: F401


def load(reference: str = "m", **named: Any) -> Any:
    return guarded.AutoModel.from_pretrained(reference, trust_remote_code=True, **named)


def approve(*more: str) -> None:
    assert main(["approve", *more, "--criteria", "safe-to-run", "--as", "jo"]) == 0


@pytest.fixture
def old(project: Path, hub: Hub) -> str:  # noqa: F811
    """A model whose code lies in `acme/code`, which moved on since the commit that is returned."""
    code = coded.build_unknown(project / "code")
    commit = hub.add("acme/code", code)
    (code / "modeling.py").write_text((code / "modeling.py").read_text().replace('"own"', '"moved on"'))
    hub.add("acme/code", code)
    coded.build_elsewhere(project / "m")
    return commit


def test_the_named_commit_is_approved_and_runs(old: str) -> None:
    """What was approved at that commit runs at that commit, for the model and for its config alone."""
    approve("m", "--code-revision", old)
    assert load(code_revision=old).origin() == "own"
    assert guarded.AutoConfig.from_pretrained("m", trust_remote_code=True, code_revision=old).model_type == "madeup"


def test_the_denial_names_the_commit_in_its_command(old: str) -> None:
    """Without it the command would approve the code of the main branch, and the load be refused again."""
    with pytest.raises(PolicyDenied) as caught:
        load(code_revision=old)
    (reason,) = caught.value.verdict.denials()
    assert f"safeload approve m --code-revision {old} --criteria safe-to-run" in reason.remedy
    assert not coded.RAN


def test_an_approval_of_one_commit_is_none_of_another(old: str) -> None:
    """Neither of the main branch, where nothing is named, nor the other way round."""
    approve("m", "--code-revision", old)
    with pytest.raises(PolicyDenied, match=r"acme/code--modeling\.py changed"):
        load()
    approve("m")
    assert load().origin() == "moved on"
    assert load(code_revision=old).origin() == "own"


def test_a_branch_that_moved_is_refused(old: str, project: Path, hub: Hub) -> None:  # noqa: F811
    """A name is no pin: what it names now must be approved."""
    hub.add("acme/code", project / "code", revision="stable")
    approve("m", "--code-revision", "stable")
    assert load(code_revision="stable").origin() == "moved on"
    coded.RAN.clear()
    (project / "code/modeling.py").write_text((project / "code/modeling.py").read_text() + "\n")
    hub.add("acme/code", project / "code", revision="stable")
    with pytest.raises(PolicyDenied, match="changed"):
        load(code_revision="stable")
    assert not coded.RAN


def test_a_hub_that_sends_other_bytes_for_the_commit_is_refused(old: str, hub: Hub) -> None:  # noqa: F811
    """The closure's digest decides, whatever the hub says the commit is."""
    approve("m", "--code-revision", old)
    for cached in Path(str(hub_cache())).rglob("modeling.py"):
        cached.resolve().write_bytes(b"raise SystemExit\n")
    with pytest.raises(Exception, match=r"modeling\.py"):
        load(code_revision=old)
    assert not coded.RAN


def hub_cache() -> str:
    from huggingface_hub import constants

    return constants.HF_HUB_CACHE


def test_a_commit_that_is_not_there_is_refused(old: str) -> None:
    """It never falls back to the main branch."""
    approve("m")
    with pytest.raises(PolicyDenied, match="acme/code"):
        load(code_revision="0" * 40)
    assert not coded.RAN


def test_a_directory_of_that_name_has_no_revisions(
    old: str,
    project: Path,  # noqa: F811
) -> None:
    """A local folder stands before the repository of its name, and cannot be at any commit."""
    approve("m", "--code-revision", old)
    coded.build_unknown(project / "acme/code")
    with pytest.raises(PolicyDenied, match="it is a directory here"):
        load(code_revision=old)
    assert not coded.RAN


def test_it_is_not_for_the_code_of_the_model_itself(project: Path, hub: Hub) -> None:  # noqa: F811
    """Which is as the model's own revision has it; the same word for both is no contradiction."""
    commit = hub.add("acme/model", coded.build_unknown(project / "src"))
    approve("acme/model")
    assert load("acme/model", revision=commit, code_revision=commit).origin() == "own"
    with pytest.raises(UsageError, match="code_revision"):
        load("acme/model", code_revision="0" * 40)


def test_a_pipeline_takes_it(old: str) -> None:
    """By itself and in `model_kwargs`, as the library does."""
    approve("m", "--code-revision", old)
    for named in ({"code_revision": old}, {"model_kwargs": {"code_revision": old}}):
        pipe: Any = guarded.pipeline(
            "feature-extraction",
            model="m",
            tokenizer=object(),
            trust_remote_code=True,
            **named,  # type: ignore[arg-type]
        )
        assert pipe.model.origin() == "own"


def test_a_model_made_of_a_config_takes_it(old: str) -> None:
    """`from_config` loads the class anew, from the commit that it is told."""
    approve("m", "--code-revision", old)
    config = guarded.AutoConfig.from_pretrained("m", trust_remote_code=True, code_revision=old)
    with pytest.raises(PolicyDenied):
        guarded.AutoModel.from_config(config, trust_remote_code=True)
    model: Any = guarded.AutoModel.from_config(config, trust_remote_code=True, code_revision=old)
    assert model.origin() == "own"


def test_without_trust_it_means_nothing(old: str) -> None:
    """No code is asked for, so there is no revision of any."""
    with pytest.raises(PolicyDenied, match="asks to run code"):
        guarded.AutoModel.from_pretrained("m", code_revision=old)
    assert not coded.RAN


def test_the_commands_show_that_commit(old: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`audit` reads it, and `audit --check` says whether it is approved."""
    assert main(["audit", "m", "--code-revision", old, "--json"]) in (0, 1)
    assert old in capsys.readouterr().out
    approve("m", "--code-revision", old)
    assert main(["audit", "m", "--code-revision", old, "--check"]) == 0
    assert main(["audit", "m", "--check"]) == 1
