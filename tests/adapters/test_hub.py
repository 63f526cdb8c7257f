"""Hub ids: what a real client fetches from the stand-in of the hub, loads and shows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file

import safeload.transformers as guarded
from safeload.core.errors import PolicyDenied
from tests.adapters import repos, steering
from tests.hubserver import Hub, hub

__all__ = ["hub"]


def files(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_hub_id_loads_and_is_shown(hub: Hub, tmp_path: Path) -> None:
    """Model, tokenizer, config and pipeline load by id, at a revision, and name the id, not a directory."""
    commit = hub.add("org/tiny", files(repos.build_bin(tmp_path / "m")))
    model = guarded.AutoModel.from_pretrained("org/tiny", revision=commit)
    assert model.name_or_path == model.config._name_or_path == "org/tiny"
    assert all(torch.equal(tensor, repos.bert_state()[name]) for name, tensor in model.state_dict().items())
    assert guarded.AutoTokenizer.from_pretrained("org/tiny").name_or_path == "org/tiny"
    assert guarded.AutoConfig.from_pretrained("org/tiny").name_or_path == "org/tiny"
    pipe = guarded.pipeline("feature-extraction", model="org/tiny")
    assert pipe.model.name_or_path == "org/tiny" and pipe("w1")


def test_a_cached_hub_id_loads_without_a_connection(hub: Hub, tmp_path: Path) -> None:
    """With `local_files_only` nothing is asked of the hub, even though peft is installed."""
    hub.add("org/tiny", files(repos.build_bin(tmp_path / "m")))
    guarded.AutoModel.from_pretrained("org/tiny")
    hub.forget()
    assert guarded.AutoModel.from_pretrained("org/tiny", local_files_only=True)
    assert not hub.asked


def test_evil_hub_models_are_refused(hub: Hub, tmp_path: Path, marker: Path) -> None:
    """Pickles, code and adapters by id are judged like those on disk."""
    hub.add("evil/bin", files(repos.build_evil_bin(tmp_path / "bin", marker)))
    hub.add("evil/code", files(steering.build_auto_map_unknown(tmp_path / "code", marker)))
    adapter = steering.build_adapter(tmp_path / "a", base=tmp_path / "a")
    repos.rewrite(adapter / "adapter_config.json", base_model_name_or_path="evil/bin")
    hub.add("evil/adapter", files(adapter))
    for reference in ("evil/bin", "evil/code", "evil/adapter"):
        with pytest.raises(PolicyDenied):
            guarded.AutoModel.from_pretrained(reference)
    with pytest.raises(PolicyDenied):
        guarded.pipeline("feature-extraction", model="evil/bin")


def test_the_hub_is_asked_for_a_task(hub: Hub, tmp_path: Path) -> None:
    """A hub model's task may be left out, if the hub has it on record; else the library says so."""
    hub.add("org/tiny", files(repos.build_bin(tmp_path / "m")))
    with pytest.raises(RuntimeError, match="pipeline_tag"):
        guarded.pipeline(model="org/tiny")


def test_a_late_adapter_may_come_from_the_hub(hub: Hub, tmp_path: Path) -> None:
    """`load_adapter("org/lora")` fetches the adapter, and nothing of its base."""
    base = repos.build_bin(tmp_path / "base")
    adapter = steering.build_adapter(tmp_path / "a", base=base, safe=False)
    repos.rewrite(adapter / "adapter_config.json", base_model_name_or_path="org/not-there")
    hub.add("org/lora", files(adapter))
    model = guarded.AutoModel.from_pretrained(base)
    model.load_adapter("org/lora")
    assert type(model) is transformers.BertModel and model.peft_config["default"]
    assert set(hub.fetched) <= {"adapter_config.json", "adapter_model.bin"}


@pytest.mark.parametrize("cls", ["AutoModel", "BertModel"])
def test_an_adapter_on_the_hub_stands_on_its_base_even_with_a_config_beside_it(
    cls: str, hub: Hub, tmp_path: Path
) -> None:
    """As with the library, the base wins, and neither the adapter's config nor weights beside it are read."""
    hub.add("org/base", repos.build_safetensors(tmp_path / "base"))
    path = steering.build_adapter(tmp_path / "adapter", base=Path("org/base"))
    repos.write_safetensors(path / "model.safetensors", {})
    repos.write_config(path, hidden_size=64)
    hub.add("org/adapter", path)
    ours = getattr(guarded, cls).from_pretrained("org/adapter")
    assert "model.safetensors" not in [ask.file for ask in hub.asked if ask.repository == "org/adapter"]
    plain = getattr(transformers, cls).from_pretrained("org/adapter")
    assert ours.config.to_dict() == plain.config.to_dict() and ours.name_or_path == plain.name_or_path == "org/base"
    assert all(torch.equal(ours.state_dict()[name], tensor) for name, tensor in plain.state_dict().items())


@pytest.mark.parametrize("cls", ["AutoModel", "BertModel"])
def test_adapter_and_base_have_revisions_of_their_own(cls: str, hub: Hub, tmp_path: Path) -> None:
    """`adapter_kwargs` give the adapter's revision and subfolder; `revision` is the base's, or both's."""
    base = repos.build_safetensors(tmp_path / "base")
    hub.add("org/base", base)
    repos.write_safetensors(base / "model.safetensors", repos.bert(seed=5).state_dict())
    hub.add("org/base", base, revision="v2")
    for number, revision in enumerate(("main", "v2", "v3")):
        path = tmp_path / revision
        adapter = steering.build_adapter(path / "lora", base=Path("org/base"))
        weights = load_file(adapter / "adapter_model.safetensors")
        repos.write_safetensors(adapter / "adapter_model.safetensors", {n: t + number for n, t in weights.items()})
        (path / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())
        (path / "adapter_model.safetensors").write_bytes((adapter / "adapter_model.safetensors").read_bytes())
        hub.add("org/adapter", path, revision=revision)
    for words in (
        {},
        {"revision": "v2"},
        {"revision": "v2", "adapter_kwargs": {"revision": "v3"}},
        {"adapter_kwargs": {"revision": "v3", "subfolder": "lora"}},
    ):
        ours = getattr(guarded, cls).from_pretrained("org/adapter", **words)
        plain = getattr(transformers, cls).from_pretrained("org/adapter", **words)
        assert all(torch.equal(ours.state_dict()[name], tensor) for name, tensor in plain.state_dict().items()), words
