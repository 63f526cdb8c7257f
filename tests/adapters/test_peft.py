"""PEFT through safeload: equal results, and every known way to run code refused."""

from __future__ import annotations

import copy
import gc
from pathlib import Path
from typing import Any

import peft as plain
import pytest
import torch
from safetensors.torch import load_file
from transformers import BertForSequenceClassification

import safeload.peft as guarded
import safeload.transformers
from safeload import MalformedInput, PolicyDenied, UsageError
from tests.adapters import payloads, repos, steering
from tests.adapters.noted import note_admissions

CONFIGS = {
    "lora": plain.LoraConfig(r=2, target_modules=["query", "value"], init_lora_weights=False),
    "ia3": plain.IA3Config(target_modules=["query"], feedforward_modules=[], init_ia3_weights=False),
}
IDS = torch.tensor([[2, 7, 8, 3]])


@pytest.fixture
def base(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "base"
    BertForSequenceClassification(repos.bert_config()).save_pretrained(repos.write_tokenizer(path))
    return path


def adapter_at(path: Path, base: Path, kind: str = "lora", *, pickled: bool = False, **config: Any) -> Path:
    """An adapter for the classifier at `base`."""
    torch.manual_seed(1)
    chosen = copy.deepcopy(CONFIGS[kind])
    chosen.task_type = "SEQ_CLS"
    model = plain.get_peft_model(BertForSequenceClassification.from_pretrained(base), chosen)
    model.save_pretrained(path)
    repos.rewrite(path / "adapter_config.json", base_model_name_or_path=str(base), **config)
    if pickled:
        safe = path / "adapter_model.safetensors"
        torch.save(load_file(safe), path / "adapter_model.bin")
        safe.unlink()
    return path


def classifier(base: Path) -> Any:
    return BertForSequenceClassification.from_pretrained(base).eval()


def same(ours: Any, theirs: Any) -> bool:
    mine, wanted = ours.state_dict(), theirs.state_dict()
    weights = mine.keys() == wanted.keys() and all(torch.equal(mine[key], wanted[key]) for key in wanted)
    return weights and torch.equal(ours.eval()(IDS).logits, theirs.eval()(IDS).logits) and type(ours) is type(theirs)


# --- what comes back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "bin"])
@pytest.mark.parametrize("kind", CONFIGS)
def test_an_adapter_is_what_peft_makes_of_it(kind: str, pickled: bool, base: Path, tmp_path: Path) -> None:
    """Exactly the genuine class, weights and outputs, and the config names the base that the file names."""
    path = adapter_at(tmp_path / "adapter", base, kind, pickled=pickled)
    ours = guarded.PeftModel.from_pretrained(classifier(base), path)
    theirs = plain.PeftModel.from_pretrained(classifier(base), path)
    assert same(ours, theirs)
    assert ours.peft_config["default"].to_dict() == theirs.peft_config["default"].to_dict()


@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "bin"])
def test_an_adapter_with_its_base(pickled: bool, base: Path, tmp_path: Path) -> None:
    """The base that an adapter names is admitted and loaded, and both show what was asked for."""
    path = adapter_at(tmp_path / "adapter", base, pickled=pickled)
    ours = guarded.AutoPeftModelForSequenceClassification.from_pretrained(str(path))
    theirs = plain.AutoPeftModelForSequenceClassification.from_pretrained(str(path))
    assert same(ours, theirs)
    assert ours.get_base_model().name_or_path == str(base)
    assert ours.peft_config["default"].to_dict() == theirs.peft_config["default"].to_dict()


def test_the_base_may_be_a_pickle(base: Path, tmp_path: Path) -> None:
    """Base and adapter are converted alike."""
    path = adapter_at(tmp_path / "adapter", base, pickled=True)
    theirs = plain.AutoPeftModelForSequenceClassification.from_pretrained(str(path))
    torch.save(load_file(base / "model.safetensors"), base / "pytorch_model.bin")
    (base / "model.safetensors").unlink()
    assert same(guarded.AutoPeftModelForSequenceClassification.from_pretrained(path), theirs)


def test_an_adapter_on_a_guarded_model(base: Path, tmp_path: Path) -> None:
    """The two adapters of safeload work on each other's models."""
    path = adapter_at(tmp_path / "adapter", base)
    model = safeload.transformers.AutoModelForSequenceClassification.from_pretrained(base).eval()
    ours = guarded.PeftModel.from_pretrained(model, path)
    assert same(ours, plain.PeftModel.from_pretrained(classifier(base), path))


def test_configs_and_weights_by_themselves(base: Path, tmp_path: Path) -> None:
    """`PeftConfig.from_pretrained` and `load_peft_weights` give what the library gives."""
    path = adapter_at(tmp_path / "adapter", base, pickled=True)
    for name in ("PeftConfig", "LoraConfig"):
        ours, theirs = (getattr(module, name).from_pretrained(str(path)) for module in (guarded, plain))
        assert type(ours) is type(theirs) and ours.to_dict() == theirs.to_dict()
    mine, wanted = guarded.load_peft_weights(str(path)), plain.load_peft_weights(str(path))
    assert mine.keys() == wanted.keys() and all(torch.equal(mine[key].cpu(), wanted[key].cpu()) for key in wanted)


def test_an_adapter_in_a_subfolder(base: Path, tmp_path: Path) -> None:
    """`subfolder` says where the adapter lies within its repository."""
    adapter_at(tmp_path / "repo" / "sub", base)
    ours = guarded.PeftModel.from_pretrained(classifier(base), tmp_path / "repo", subfolder="sub")
    assert same(ours, plain.PeftModel.from_pretrained(classifier(base), tmp_path / "repo", subfolder="sub"))


def test_adapters_that_come_later(base: Path, tmp_path: Path) -> None:
    """`load_adapter` of a guarded model is guarded, and does what it does."""
    first, second = (adapter_at(tmp_path / name, base, pickled=True) for name in ("a", "b"))
    ours = guarded.PeftModel.from_pretrained(classifier(base), first)
    theirs = plain.PeftModel.from_pretrained(classifier(base), first)
    for model in (ours, theirs):
        model.load_adapter(str(second), adapter_name="second")
        model.set_adapter("second")
    assert same(ours, theirs)


def test_a_mixed_model(base: Path, tmp_path: Path) -> None:
    """`PeftMixedModel` is guarded as well, and so is what it loads later."""
    path = adapter_at(tmp_path / "adapter", base)
    ours = guarded.PeftMixedModel.from_pretrained(classifier(base), str(path))
    ours.load_adapter(str(path), "second")
    ours.set_adapter(["second"])
    theirs = plain.PeftMixedModel.from_pretrained(classifier(base), str(path))
    theirs.load_adapter(str(path), "second")
    theirs.set_adapter(["second"])
    assert torch.equal(ours.eval()(IDS).logits, theirs.eval()(IDS).logits)


def test_prompts_that_were_made_of_words(base: Path, tmp_path: Path) -> None:
    """The tokenizer of a prompt's words is another model; the prompt itself is in the weights."""
    config = plain.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=2)
    plain.get_peft_model(classifier(base), config).save_pretrained(tmp_path / "adapter")
    words = {"prompt_tuning_init": "TEXT", "prompt_tuning_init_text": "w1", "tokenizer_name_or_path": str(base)}
    repos.rewrite(tmp_path / "adapter" / "adapter_config.json", **words)
    ours = guarded.PeftModel.from_pretrained(classifier(base), tmp_path / "adapter")
    assert same(ours, plain.PeftModel.from_pretrained(classifier(base), tmp_path / "adapter"))


def test_the_directory_lives_as_long_as_the_model(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was admitted is there while the model is; a config keeps nothing."""
    views = note_admissions(monkeypatch)
    path = adapter_at(tmp_path / "adapter", base)
    model = guarded.AutoPeftModelForSequenceClassification.from_pretrained(path)
    assert views[0].is_dir() and model is not None
    del model
    gc.collect()
    assert not views[0].exists()
    guarded.PeftConfig.from_pretrained(str(path))
    assert not views[1].exists()


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", payloads.SNIPPETS)
def test_a_poisoned_adapter_is_refused(spelling: str, base: Path, tmp_path: Path, marker: Path) -> None:
    """However it is spelled, by every door: the model, the weights, and an adapter that comes later."""
    good, path = (adapter_at(tmp_path / name, base, pickled=True) for name in ("good", "evil"))
    payloads.poison_zip(path / "adapter_model.bin", payloads.SNIPPETS[spelling](marker))
    model = guarded.PeftModel.from_pretrained(classifier(base), good)
    doors = (
        lambda: guarded.PeftModel.from_pretrained(classifier(base), path, use_safetensors=True),
        lambda: guarded.load_peft_weights(str(path)),
        lambda: model.load_adapter(str(path), adapter_name="evil"),
        lambda: guarded.AutoPeftModelForSequenceClassification.from_pretrained(path),
    )
    for door in doors:
        with pytest.raises(PolicyDenied):
            door()
    assert list(model.peft_config) == ["default"]


def test_a_poisoned_base_is_refused(base: Path, tmp_path: Path, marker: Path) -> None:
    """The base is held to the policy that the adapter is held to."""
    path = adapter_at(tmp_path / "adapter", base)
    evil = repos.build_evil_bin(tmp_path / "evil", marker)
    repos.rewrite(path / "adapter_config.json", base_model_name_or_path=str(evil))
    with pytest.raises(PolicyDenied):
        guarded.AutoPeftModelForSequenceClassification.from_pretrained(path)


@pytest.mark.parametrize("trust", [None, True])
def test_a_base_with_code_is_refused(trust: bool | None, base: Path, tmp_path: Path, marker: Path) -> None:
    """`trust_remote_code` for an adapter does not become trust in what it points at."""
    path = adapter_at(tmp_path / "adapter", base)
    evil = steering.build_auto_map_unknown(tmp_path / "evil", marker)
    repos.rewrite(path / "adapter_config.json", base_model_name_or_path=str(evil))
    with pytest.raises(PolicyDenied):
        guarded.AutoPeftModelForSequenceClassification.from_pretrained(path, trust_remote_code=trust)


@pytest.mark.parametrize("library", ["evil_library", "os", "subprocess", "transformers_evil", "diffusers.evil"])
def test_the_library_that_an_adapter_names_is_not_imported(
    library: str, base: Path, tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto_mapping` names a library to import and a class in it."""
    for name in ("evil_library", "transformers_evil"):
        (tmp_path / f"{name}.py").write_text(payloads.CODE.format(str(marker)))
    monkeypatch.syspath_prepend(str(tmp_path))
    mapping = {"base_model_class": "Evil", "parent_library": library}
    path = adapter_at(tmp_path / "adapter", base, task_type=None, auto_mapping=mapping)
    with pytest.raises((PolicyDenied, ValueError)):
        guarded.AutoPeftModel.from_pretrained(path)
    with pytest.raises((PolicyDenied, UsageError)):
        guarded.AutoPeftModel.from_pretrained(path, import_allowlist=[library])


def test_pointers_in_the_config_are_not_followed(base: Path, tmp_path: Path, marker: Path) -> None:
    """Weights to start from, models to mix, tokenizers: nothing of it is loaded from elsewhere."""
    evil = tmp_path / "evil.bin"
    torch.save({"prompt_embeddings": torch.zeros(2, 16)}, evil)
    payloads.poison_zip(evil, payloads.snippet(marker))
    config = plain.MultitaskPromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=2, num_tasks=2)
    plain.get_peft_model(classifier(base), config).save_pretrained(tmp_path / "adapter")
    pointer = {"prompt_tuning_init": "ONLY_SOURCE_SHARED", "prompt_tuning_init_state_dict_path": str(evil)}
    repos.rewrite(tmp_path / "adapter" / "adapter_config.json", **pointer)
    with pytest.raises((PolicyDenied, ValueError)):
        guarded.PeftModel.from_pretrained(classifier(base), tmp_path / "adapter", is_trainable=False)


def test_an_adapter_beside_a_whole_model_is_told_apart(base: Path, tmp_path: Path) -> None:
    """There is no telling which of the two was meant, and the error says what to write."""
    path = adapter_at(tmp_path / "adapter", base)
    (path / "config.json").write_text((base / "config.json").read_text())
    with pytest.raises(UsageError, match="base model"):
        guarded.AutoPeftModelForSequenceClassification.from_pretrained(path)


@pytest.mark.parametrize("arguments", [{"weights_only": False}, {"attn_implementation": "org/kernel"}])
def test_arguments_that_would_weaken_a_load_are_refused(arguments: Any, base: Path, tmp_path: Path) -> None:
    """Arguments that reach the base model are refused as they are for a model."""
    path = adapter_at(tmp_path / "adapter", base)
    with pytest.raises(UsageError):
        guarded.AutoPeftModelForSequenceClassification.from_pretrained(path, **arguments)


@pytest.mark.parametrize("content", ["[]", "{", '"x"', '{"peft_type": "LORA", "base_model_name_or_path": 7}'])
def test_a_broken_config_is_an_error(content: str, base: Path, tmp_path: Path) -> None:
    """Whatever stands in the config, nothing is loaded in its stead."""
    path = adapter_at(tmp_path / "adapter", base)
    (path / "adapter_config.json").write_text(content)
    with pytest.raises((MalformedInput, PolicyDenied, UsageError, ValueError)):
        guarded.AutoPeftModelForSequenceClassification.from_pretrained(path)
