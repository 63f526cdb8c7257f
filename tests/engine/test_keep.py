"""Directories that outlive the process hold what was judged, or are not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from safeload.core.errors import PolicyDenied, VerificationFailed
from safeload.engine.admission import keep as keeping
from safeload.engine.admission.keep import keep, kept
from safeload.engine.options import Options
from safeload.sources.store import Store
from tests.adapters import repos


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny real model."""
    return repos.build_safetensors(tmp_path / "bert-tiny")


def test_a_model_that_changes_between_judging_and_writing_is_not_kept(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written must be what was judged: otherwise nothing is there."""
    admit = keeping.admit
    changed: list[bool] = []

    def sneaky(reference: object, **options: object) -> object:
        if options.get("into") is not None and not changed:
            changed.append(True)
            repos.rewrite(model / "config.json", hidden_dropout_prob=0.25)
        return admit(reference, **options)

    monkeypatch.setattr(keeping, "admit", sneaky)
    with pytest.raises(VerificationFailed, match="was not written"):
        keep(model)
    assert list(kept(Store())) == []


def test_a_refused_model_leaves_nothing(tmp_path: Path, marker: Path) -> None:
    """A denial writes no directory."""
    repos.build_evil_bin(tmp_path / "evil", marker)
    with pytest.raises(PolicyDenied):
        keep(tmp_path / "evil")
    assert list(kept(Store())) == []


def test_a_writer_that_was_stopped_half_way_is_no_obstacle(model: Path) -> None:
    """A directory without its record is written again."""
    _, path = keep(model)
    os.unlink(Path(path).parent / "record.json")
    os.unlink(Path(path) / "config.json")
    assert [item.reference for item in kept(Store())] == [""]
    assert keep(model)[1] == path
    assert Path(path, "config.json").exists()


def test_options_decide_where_the_store_is(model: Path, tmp_path: Path) -> None:
    """The directory lies below the store that the options name."""
    _, path = keep(model, options=Options(store=tmp_path / "elsewhere"))
    assert Path(path).is_relative_to(tmp_path / "elsewhere")


@pytest.mark.parametrize("name", ["..", ".hidden", "a b\n$(c)", "\x1b[2J", "ünïcödé", "x" * 300])
def test_a_name_of_the_users_choice_is_a_plain_folder(name: str) -> None:
    """Whatever a model is called, its folder's name needs no quoting and leads nowhere."""
    shown = keeping._name(f"/models/{name}")
    assert 0 < len(shown) <= 80
    assert shown.isascii()
    assert not set(shown) & set("/ \n$()\x1b")
    assert not shown.startswith(".")


def test_the_current_directory_is_kept_under_its_own_name(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`safeload admit .` names the folder after the model that it is."""
    monkeypatch.chdir(model)
    assert os.path.basename(keep(".")[1]) == "bert-tiny"
    assert os.path.basename(keep("./")[1]) == "bert-tiny"
