"""timm through safeload: equal models from every place that weights come from, and no pickle of anybody's run."""

from __future__ import annotations

import argparse
import gc
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import safeload.timm as guarded
from safeload import PolicyDenied, SafeloadError, UsageError
from tests.adapters import payloads, repos
from tests.adapters.noted import note_admissions
from tests.hubserver import Hub, hub

pytest.importorskip("torchvision", reason="timm needs it; make contract LIBRARY=timm has it")
plain = pytest.importorskip("timm")

__all__ = ["hub"]
NAME = "test_vit"


def net(seed: int = 3) -> Any:
    torch.manual_seed(seed)
    return plain.create_model(NAME)


def same(ours: Any, theirs: Any) -> bool:
    mine, wanted = ours.state_dict(), theirs.state_dict()
    weights = mine.keys() == wanted.keys() and all(torch.equal(mine[key], wanted[key]) for key in wanted)
    assert ours.pretrained_cfg == theirs.pretrained_cfg
    return weights and type(ours) is type(theirs)


def checkpoint(path: Path, value: Any = None) -> Path:
    torch.save(net().state_dict() if value is None else value, path)
    return path


def directory(path: Path, *, safe: bool = False) -> Path:
    """A model as timm saves it for the hub."""
    plain.models._hub.save_for_hf(net(), path, safe_serialization=safe)
    return path


def files(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def evil(path: Path, marker: Path) -> Path:
    payloads.poison_zip(path, payloads.snippet(marker))
    return path


# --- what comes back ------------------------------------------------------------------------------------------------


def wrapped() -> dict[str, Any]:
    """What timm's own training script writes."""
    return {"state_dict": net().state_dict(), "args": argparse.Namespace(lr=1), "epoch": 3, "arch": NAME}


@pytest.mark.parametrize("value", [None, wrapped], ids=["state_dict", "training"])
def test_a_checkpoint_is_loaded(value: Any, tmp_path: Path) -> None:
    """A plain state dict and the checkpoints of timm's training, into the model and by themselves."""
    path = str(checkpoint(tmp_path / "c.pth", value() if value else None))
    ours, theirs = (module.create_model(NAME, checkpoint_path=path) for module in (guarded, plain))
    assert same(ours, theirs) and same(ours, net())
    mine, wanted = guarded.load_state_dict(path), plain.models.load_state_dict(path)
    assert mine.keys() == wanted.keys() and all(torch.equal(mine[key], wanted[key]) for key in wanted)
    filled = plain.create_model(NAME)
    assert not guarded.load_checkpoint(filled, path).missing_keys and same(filled, net())


@pytest.mark.parametrize("safe", [False, True])
def test_a_directory_is_loaded(safe: bool, tmp_path: Path) -> None:
    """`local-dir:` with a config of its own, and the model shows the directory that was asked for."""
    name = f"local-dir:{directory(tmp_path / 'm', safe=safe)}"
    assert same(*(module.create_model(name, pretrained=True, num_classes=5) for module in (guarded, plain))) is False
    assert same(*(module.create_model(name, pretrained=True) for module in (guarded, plain)))
    assert guarded.create_model(name).pretrained_cfg == plain.create_model(name).pretrained_cfg


@pytest.mark.parametrize("safe", [False, True])
def test_a_hub_id_is_loaded(safe: bool, hub: Hub, tmp_path: Path) -> None:
    """`hf-hub:org/name@revision`, and the model shows it."""
    commit = hub.add("org/net", files(directory(tmp_path / "m", safe=safe)))
    for name in ("hf-hub:org/net", f"hf-hub:org/net@{commit}", "hf_hub:org/net"):
        assert same(*(module.create_model(name, pretrained=True) for module in (guarded, plain)))


@pytest.mark.parametrize("safe", [False, True])
def test_a_known_model_gets_its_weights(safe: bool, hub: Hub, tmp_path: Path) -> None:
    """`pretrained=True` takes them from the repository that timm has on record."""
    hub.add("timm/test_vit.r160_in1k", files(directory(tmp_path / "m", safe=safe)))
    for name in (NAME, f"{NAME}.r160_in1k"):
        assert same(*(module.create_model(name, pretrained=True) for module in (guarded, plain)))


def test_a_file_in_the_config(tmp_path: Path) -> None:
    """`pretrained_cfg_overlay={"file": …}`, the usual way to load weights that were downloaded."""
    overlay = {"file": str(checkpoint(tmp_path / "c.pth"))}
    ours, theirs = (
        module.create_model(NAME, pretrained=True, pretrained_cfg_overlay=dict(overlay)) for module in (guarded, plain)
    )
    assert same(ours, theirs) and same(ours, theirs)


def test_a_model_without_weights_is_made_as_ever() -> None:
    """No admission, no file."""
    torch.manual_seed(3)
    assert same(guarded.create_model(NAME), net())


def test_arrays_for_the_architecture_s_own_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.npz` weights are read by the model itself: it gets the same arrays, in an archive that safeload wrote."""
    arrays = {"Transformer/block_0/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "head/bias": np.ones(2)}
    np.savez(tmp_path / "w.npz", **arrays)
    seen: dict[str, Any] = {}

    def load(self: Any, path: str) -> None:
        with np.load(path, allow_pickle=False) as archive:
            seen.update({name: archive[name] for name in archive.files}, path=path)

    monkeypatch.setattr(type(net()), "load_pretrained", load)
    model = guarded.create_model(NAME, checkpoint_path=str(tmp_path / "w.npz"))
    place = Path(seen.pop("path"))
    assert place != tmp_path / "w.npz" and seen.keys() == arrays.keys()
    assert all(np.array_equal(seen[name], arrays[name]) for name in arrays)
    del model
    gc.collect()
    assert not place.exists()


def test_the_directory_lives_as_long_as_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was admitted is there while the model is."""
    views = note_admissions(monkeypatch)
    model = guarded.create_model(f"local-dir:{directory(tmp_path / 'm')}", pretrained=True)
    assert model is not None and all(view.is_dir() for view in views)
    del model
    gc.collect()
    assert views and not any(view.exists() for view in views)


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", payloads.SNIPPETS)
def test_a_poisoned_checkpoint_is_refused(spelling: str, tmp_path: Path, marker: Path) -> None:
    """However it is spelled, by every door."""
    path = checkpoint(tmp_path / "c.pth")
    payloads.poison_zip(path, payloads.SNIPPETS[spelling](marker))
    overlay = {"file": str(path)}
    doors = (
        lambda: guarded.create_model(NAME, checkpoint_path=path),
        lambda: guarded.create_model(NAME, pretrained=True, pretrained_cfg_overlay=overlay),
        lambda: guarded.load_state_dict(str(path)),
        lambda: guarded.load_checkpoint(net(), str(path)),
    )
    for door in doors:
        with pytest.raises(PolicyDenied):
            door()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pth", "open_clip_pytorch_model.bin", "zzz.pth"])
def test_poison_in_a_directory_is_refused(name: str, tmp_path: Path, marker: Path) -> None:
    """Whichever file timm would take for the weights."""
    path = directory(tmp_path / "m")
    evil((path / "pytorch_model.bin").rename(path / name), marker)
    with pytest.raises(PolicyDenied):
        guarded.create_model(f"local-dir:{path}", pretrained=True)


def test_poison_on_the_hub_is_refused(hub: Hub, tmp_path: Path, marker: Path) -> None:
    """By id, and for a model that timm knows by name."""
    path = directory(tmp_path / "m")
    evil(path / "pytorch_model.bin", marker)
    hub.add("evil/net", files(path))
    hub.add("timm/test_vit.r160_in1k", files(path))
    for name in ("hf-hub:evil/net", "hf_hub:evil/net", NAME):
        with pytest.raises(PolicyDenied):
            guarded.create_model(name, pretrained=True)


def test_poison_under_another_name_on_the_hub_is_refused(hub: Hub, tmp_path: Path, marker: Path) -> None:
    """`hf_hub_filename` in the config names the weights."""
    path = directory(tmp_path / "m")
    evil((path / "pytorch_model.bin").rename(path / "other.bin"), marker)
    config = json.loads((path / "config.json").read_text())
    config["pretrained_cfg"]["hf_hub_filename"] = "other.bin"
    (path / "config.json").write_text(json.dumps(config))
    hub.add("evil/net", files(path))
    with pytest.raises(PolicyDenied):
        guarded.create_model("hf-hub:evil/net", pretrained=True)


def test_a_config_cannot_lead_elsewhere(tmp_path: Path, marker: Path) -> None:
    """An architecture that is another repository, or arguments that name another file, are left out."""
    outside = evil(checkpoint(tmp_path / "evil.pth"), marker)
    path = directory(tmp_path / "m")
    config = json.loads((path / "config.json").read_text())
    for change in (
        {"architecture": f"local-dir:{tmp_path}"},
        {"architecture": "hf-hub:evil/net"},
        {"model_args": {"checkpoint_path": str(outside)}},
        {"model_args": {"pretrained_cfg_overlay": {"file": str(outside)}}},
        {"pretrained_cfg": {**config["pretrained_cfg"], "file": str(outside), "source": "file"}},
        {"pretrained_cfg": {**config["pretrained_cfg"], "custom_load": True, "url": "http://127.0.0.1:9/x.npz"}},
    ):
        (path / "config.json").write_text(json.dumps(config | change))
        try:
            model = guarded.create_model(f"local-dir:{path}", pretrained=True)
        except (SafeloadError, KeyError, TypeError, RuntimeError, ValueError, OSError, AssertionError):
            continue
        assert all(torch.equal(value, net().state_dict()[key]) for key, value in model.state_dict().items())


def test_averaged_weights_are_not_left_out_in_silence(tmp_path: Path) -> None:
    """timm prefers them where a checkpoint holds both; safeload says so instead of taking the others."""
    path = checkpoint(tmp_path / "c.pth", {"state_dict": net(1).state_dict(), "state_dict_ema": net(2).state_dict()})
    with pytest.raises(UsageError, match="averaged"):
        guarded.create_model(NAME, checkpoint_path=path)
    mine = guarded.load_state_dict(str(path), use_ema=False)
    assert all(torch.equal(mine[key], value) for key, value in net(1).state_dict().items())


@pytest.mark.parametrize("overlay", [{"url": "http://127.0.0.1:9/x.pth", "hf_hub_id": None}])
def test_weights_at_an_address_are_refused(overlay: dict[str, Any]) -> None:
    """An address says nothing about a version, and timm would unpickle what it finds there."""
    with pytest.raises(UsageError, match="address"):
        guarded.create_model(NAME, pretrained=True, pretrained_cfg_overlay=overlay)


def test_unpickling_cannot_be_asked_for(tmp_path: Path) -> None:
    """`weights_only=False` raises, and says to leave it out."""
    with pytest.raises(UsageError, match="weights_only"):
        guarded.load_state_dict(str(checkpoint(tmp_path / "c.pth")), weights_only=False)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    """A missing file, a directory without weights."""
    with pytest.raises(UsageError, match="no checkpoint"):
        guarded.create_model(NAME, checkpoint_path=tmp_path / "nothing.pth")
    path = directory(tmp_path / "m")
    (path / "pytorch_model.bin").unlink()
    with pytest.raises(UsageError, match="no weights"):
        guarded.create_model(f"local-dir:{path}", pretrained=True)


def test_repos_of_other_kinds_are_no_models_of_timm(tmp_path: Path) -> None:
    """A transformers model has no architecture that timm knows."""
    path = repos.build_safetensors(tmp_path / "bert")
    with pytest.raises((RuntimeError, KeyError)):
        guarded.create_model(f"local-dir:{path}", pretrained=True)
