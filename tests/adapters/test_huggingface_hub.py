"""huggingface_hub's mixins through safeload: users' own classes, equal results, and no pickle of anybody's run."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import huggingface_hub as plain
import pytest
import torch
from safetensors.torch import load_file

import safeload.huggingface_hub as guarded
from safeload import PolicyDenied, SafeloadError, UsageError
from tests.adapters import payloads, repos
from tests.adapters.noted import note_admissions
from tests.hubserver import Hub, hub

__all__ = ["hub"]


class Plain(torch.nn.Module, plain.PyTorchModelHubMixin):
    def __init__(self, size: int = 3, name: str = "x") -> None:
        super().__init__()
        self.size, self.name = size, name
        self.line = torch.nn.Linear(size, 2)


class Guarded(torch.nn.Module, guarded.PyTorchModelHubMixin):  # type: ignore[misc]
    def __init__(self, size: int = 3, name: str = "x") -> None:
        super().__init__()
        self.size, self.name = size, name
        self.line = torch.nn.Linear(size, 2)


def saved(path: Path, *, pickled: bool = False) -> Path:
    torch.manual_seed(4)
    Plain(size=5, name="five").save_pretrained(path)
    if pickled:
        torch.save(load_file(path / "model.safetensors"), path / "pytorch_model.bin")
        (path / "model.safetensors").unlink()
    return path


def files(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def same(ours: Any, theirs: Any) -> bool:
    mine, wanted = ours.state_dict(), theirs.state_dict()
    settings = (ours.size, ours.name, ours.training) == (theirs.size, theirs.name, theirs.training)
    return settings and mine.keys() == wanted.keys() and all(torch.equal(mine[key], wanted[key]) for key in wanted)


def test_a_class_of_the_user_s_own(tmp_path: Path) -> None:
    """A class built on the guarded mixin is built on the genuine one, and loads the same."""
    assert issubclass(Guarded, plain.PyTorchModelHubMixin) and issubclass(Guarded, torch.nn.Module)
    path = saved(tmp_path / "m")
    ours = Guarded.from_pretrained(path)
    assert type(ours) is Guarded and same(ours, Plain.from_pretrained(path)) and ours.size == 5
    assert Guarded.from_pretrained(str(path), name="other").name == "other"
    ours.save_pretrained(tmp_path / "copy")
    assert same(Plain.from_pretrained(tmp_path / "copy"), ours)


@pytest.mark.parametrize("pickled", [False, True])
def test_by_id(pickled: bool, hub: Hub, tmp_path: Path) -> None:
    """From the hub, safetensors or a pickle."""
    commit = hub.add("org/mine", files(saved(tmp_path / "m", pickled=pickled)))
    ours, theirs = Guarded.from_pretrained("org/mine", revision=commit), Plain.from_pretrained("org/mine")
    assert same(ours, theirs)


def test_a_class_that_loads_in_its_own_way(tmp_path: Path) -> None:
    """The plain mixin hands the admitted directory to the method that the user wrote."""

    class Mine(guarded.ModelHubMixin):  # type: ignore[misc]
        @classmethod
        def _from_pretrained(cls, *, model_id: str, **_: Any) -> Any:
            model = cls()
            model.found = sorted(path.name for path in Path(model_id).iterdir())
            return model

    path = saved(tmp_path / "m", pickled=True)
    (path / "code.py").write_text("raise SystemExit")
    found = Mine.from_pretrained(path).found
    assert "model.safetensors" in found and not {"pytorch_model.bin", "code.py"} & set(found)


def test_the_directory_lives_as_long_as_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there while the model is, and goes with it."""
    views = note_admissions(monkeypatch)
    model = Guarded.from_pretrained(saved(tmp_path / "m"))
    assert views[0].is_dir() and model is not None
    del model
    gc.collect()
    assert not views[0].exists()


@pytest.mark.parametrize("spelling", payloads.SNIPPETS)
def test_a_poisoned_pickle_is_refused(spelling: str, hub: Hub, tmp_path: Path, marker: Path) -> None:
    """However it is spelled, by id and by path, also by the functions."""
    path = saved(tmp_path / "m", pickled=True)
    payloads.poison_zip(path / "pytorch_model.bin", payloads.SNIPPETS[spelling](marker))
    hub.add("evil/mine", files(path))
    doors = (
        lambda: Guarded.from_pretrained("evil/mine"),
        lambda: Guarded.from_pretrained(path),
        lambda: guarded.load_torch_model(Plain(size=5), path, safe=False),
        lambda: guarded.load_state_dict_from_file(path / "pytorch_model.bin"),
    )
    for door in doors:
        with pytest.raises(PolicyDenied):
            door()


def test_the_functions_read_what_they_read(tmp_path: Path) -> None:
    """A file, a directory, shards: pickles need no permission, because they are none any more."""
    safe, pickled = saved(tmp_path / "s"), saved(tmp_path / "p", pickled=True)
    wanted = plain.load_state_dict_from_file(safe / "model.safetensors")
    for path in (safe / "model.safetensors", pickled / "pytorch_model.bin"):
        found = guarded.load_state_dict_from_file(path)
        assert found.keys() == wanted.keys() and all(torch.equal(found[key], wanted[key]) for key in wanted)
    shards = tmp_path / "shards"
    shards.mkdir()
    for name, half in zip(("a.bin", "b.bin"), repos.halves(wanted), strict=True):
        repos.write_bin(shards, half, name)
    names = {key: name for name, half in zip(("a.bin", "b.bin"), repos.halves(wanted), strict=True) for key in half}
    repos.write_index(shards, names, "pytorch_model.bin.index.json")
    for path in (safe, pickled, shards):
        model = Plain(size=5)
        guarded.load_torch_model(model, path)
        assert all(torch.equal(value, wanted[key]) for key, value in model.state_dict().items())


def test_what_cannot_be_honoured_raises(tmp_path: Path) -> None:
    """Unpickling is refused, and what is not there is an error of ours."""
    path = saved(tmp_path / "m", pickled=True)
    with pytest.raises(UsageError, match="weights_only"):
        guarded.load_torch_model(Plain(size=5), path, weights_only=False)
    with pytest.raises(SafeloadError):
        guarded.load_torch_model(Plain(size=5), tmp_path / "nothing")
    with pytest.raises(SafeloadError):
        Guarded.from_pretrained(tmp_path / "nothing")


def test_other_names_are_the_library_s_own() -> None:
    """What loads nothing is passed through untouched."""
    assert guarded.snapshot_download is plain.snapshot_download and guarded.HfApi is plain.HfApi
