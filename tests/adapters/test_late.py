"""Doors that open after the load: what is loaded into a guarded model later is admitted like the model was."""

from __future__ import annotations

import copy
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import safeload.transformers as guarded
from safeload import Options
from safeload.core.errors import PolicyDenied, UsageError
from safeload.core.policy import AllOf
from safeload.transformers._kernels import is_installed
from tests.adapters import payloads, repos, steering
from tests.hubserver import Hub, hub  # noqa: F401  (a fixture)

LORA = "encoder.layer.0.attention.self.query.lora_A.default.weight"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return repos.build_bin(tmp_path / "base")


def lora(path: Path) -> torch.Tensor:
    """The first matrix of the adapter that `steering.build_adapter` makes, whatever it is stored in."""
    for file in path.glob("adapter_model.*"):
        state = load_file(file) if file.suffix == ".safetensors" else torch.load(file, weights_only=True)
        return state["base_model.model." + LORA.replace(".default", "")]
    raise AssertionError("no adapter")


# --- adapters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
@pytest.mark.parametrize("cls", ["AutoModel", "BertModel"])
def test_an_adapter_directory_loads_with_its_base(cls: str, safe: bool, base: Path, tmp_path: Path) -> None:
    """Base and adapter are both admitted, a local `adapter_model.bin` included, and each shows its own reference."""
    path = steering.build_adapter(tmp_path / "adapter", base=base, safe=safe)
    model = getattr(guarded, cls).from_pretrained(path)
    assert type(model) is transformers.BertModel and model.name_or_path == str(base)
    assert torch.equal(model.state_dict()[LORA], lora(path))
    assert model.peft_config["default"].base_model_name_or_path != ""


def test_an_adapter_beside_a_whole_model_loads(tmp_path: Path) -> None:
    """The library loads the model of the directory and puts the adapter on it."""
    path = steering.build_adapter_inside(tmp_path / "both")
    assert torch.equal(guarded.AutoModel.from_pretrained(path).state_dict()[LORA], lora(path))


@pytest.mark.parametrize("cls", ["AutoModel", "BertModel"])
def test_an_adapter_lies_where_adapter_kwargs_say(cls: str, tmp_path: Path, marker: Path) -> None:
    """`adapter_kwargs` name the adapter's subfolder; the model above it is its base, in its own subfolder or none."""
    path = repos.build_safetensors(tmp_path / "m")
    repos.build_safetensors(path / "sub")
    steering.build_adapter(path / "lora", base=tmp_path / "not-there")
    steering.build_adapter(path / "evil", marker, base=path, safe=False)
    load = getattr(guarded, cls).from_pretrained
    for words in ({}, {"subfolder": "sub"}):
        ours = load(path, adapter_kwargs={"subfolder": "lora"}, **words)
        plain = getattr(transformers, cls).from_pretrained(path, adapter_kwargs={"subfolder": "lora"}, **words)
        assert ours.name_or_path == plain.name_or_path == str(path)
        if LORA not in plain.state_dict():
            pytest.skip("this version of transformers looks for no adapter there")
        assert ours.state_dict().keys() == plain.state_dict().keys()
        assert torch.equal(ours.state_dict()[LORA], plain.state_dict()[LORA])
    assert LORA not in load(path, adapter_kwargs={"subfolder": "sub"}).state_dict()
    with pytest.raises(PolicyDenied, match="exec"):
        load(path, adapter_kwargs={"subfolder": "evil"})
    with pytest.raises(UsageError, match="adapter_kwargs"):
        load(path, adapter_kwargs={"nonsense": 1})
    for outside in ("../evil", str(path / "lora")):
        with pytest.raises(UsageError, match="subfolder"):
            load(path, adapter_kwargs={"subfolder": outside})


@pytest.mark.parametrize("cls", ["AutoModel", "BertModel"])
def test_evil_adapters_and_evil_bases_are_refused(cls: str, base: Path, tmp_path: Path, marker: Path) -> None:
    """One policy judges both, whichever of them acts."""
    evil = steering.build_adapter(tmp_path / "evil", marker, base=base, safe=False)
    on_evil = steering.build_adapter(tmp_path / "on", base=repos.build_evil_bin(tmp_path / "evil_base", marker))
    for path in (evil, on_evil):
        with pytest.raises(PolicyDenied, match="exec"):
            getattr(guarded, cls).from_pretrained(path)


def test_load_adapter_admits_its_argument(base: Path, tmp_path: Path, marker: Path) -> None:
    """An adapter put on later is converted if need be, and refused if it acts; the base is not asked for again."""
    model = guarded.AutoModel.from_pretrained(base)
    path = steering.build_adapter(tmp_path / "late", base=tmp_path / "not-there", safe=False)
    model.load_adapter(str(path))
    assert torch.equal(model.state_dict()[LORA], lora(path))
    evil = steering.build_adapter(tmp_path / "evil", marker, base=base, safe=False)
    for reference in (evil, str(evil)):
        with pytest.raises(PolicyDenied, match="exec"):
            model.load_adapter(reference, adapter_name="two")
    with pytest.raises(PolicyDenied, match="exec"):
        model.load_adapter(peft_model_id=str(evil), adapter_name="two")


def test_load_adapter_keeps_the_policy_of_the_load(tmp_path: Path, base: Path) -> None:
    """The options that the model was loaded with decide about what is put on it."""

    class Changing:
        now = Options().policy

        def decide(self, evidence: Any) -> Any:
            return self.now.decide(evidence)

    policy = Changing()
    model = guarded.AutoModel.from_pretrained(base, safeload=Options(policy=policy))
    policy.now = AllOf()
    with pytest.raises(PolicyDenied, match="empty policy"):
        model.load_adapter(str(steering.build_adapter(tmp_path / "late", base=base)))


def test_load_adapter_from_memory_needs_no_admission(base: Path, tmp_path: Path) -> None:
    """`peft_config` and `adapter_state_dict` name nothing."""
    from peft import LoraConfig

    path = steering.build_adapter(tmp_path / "a", base=base)
    state = {
        name.removeprefix("base_model.model."): t for name, t in load_file(path / "adapter_model.safetensors").items()
    }
    model = guarded.AutoModel.from_pretrained(base)
    config = LoraConfig(r=2, target_modules=["query", "value"])
    model.load_adapter(peft_config=config, adapter_state_dict=state)
    assert torch.equal(model.state_dict()[LORA], lora(path))


@pytest.mark.parametrize("how", [copy.deepcopy, copy.copy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_stay_guarded(how: Any, base: Path, tmp_path: Path, marker: Path) -> None:
    """A copy of a guarded model is a guarded model."""
    model = how(guarded.AutoModel.from_pretrained(base))
    with pytest.raises(PolicyDenied):
        model.load_adapter(str(steering.build_adapter(tmp_path / "evil", marker, base=base, safe=False)))


def test_models_of_plain_transformers_are_left_alone(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same process, what safeload did not load does what it always did."""
    path = steering.build_adapter(tmp_path / "a", base=base)
    guarded.AutoModel.from_pretrained(base)
    called: list[object] = []
    from safeload.transformers import _doors

    monkeypatch.setattr(_doors, "admit", lambda *args, **kwargs: called.append(args))
    model = transformers.AutoModel.from_pretrained(base)
    model.load_adapter(str(path))
    model.set_attn_implementation("eager")
    assert torch.equal(model.state_dict()[LORA], lora(path)) and not called


def test_models_made_from_a_config_are_guarded(base: Path, tmp_path: Path, marker: Path) -> None:
    """`Model(config)` and `from_config` make models whose doors are guarded as well."""
    config = guarded.AutoConfig.from_pretrained(base)
    evil = str(steering.build_adapter(tmp_path / "evil", marker, base=base, safe=False))
    for model in (
        guarded.BertModel(config),
        guarded.AutoModel.from_config(config),
        guarded.BertModel._from_config(config),
    ):
        assert type(model) is transformers.BertModel
        with pytest.raises(PolicyDenied):
            model.load_adapter(evil)


def test_saving_an_adapter_names_the_base_that_was_asked_for(base: Path, tmp_path: Path) -> None:
    """peft writes the base's name into the adapter's config: the user's, not a private directory."""
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(guarded.AutoModel.from_pretrained(base), LoraConfig(r=2, target_modules=["query"]))
    adapted.save_pretrained(tmp_path / "saved")
    text = "".join(file.read_text() for file in (tmp_path / "saved").iterdir() if file.suffix in (".json", ".md"))
    assert str(base) in text and "views" not in text


# --- code and kernels ---------------------------------------------------------------------------------------------


def test_generate_takes_no_code_that_nobody_approved(tmp_path: Path, marker: Path, hub: Hub) -> None:  # noqa: F811
    """`generate(custom_generate="…")`, and a strategy that the library fetches, are refused with and without trust."""
    repository = steering.build_custom_generate(tmp_path / "g", marker)
    hub.add("transformers-community/contrastive-search", repository)
    model = guarded.AutoModelForCausalLM.from_pretrained(repos.build_llama(tmp_path / "m"))
    ids = torch.tensor([[2, 5]])
    for trust in ({}, {"trust_remote_code": False}):
        with pytest.raises(UsageError, match="custom_generate"):
            model.generate(ids, custom_generate=str(repository), **trust)
    with pytest.raises(PolicyDenied, match=r"custom_generate/generate\.py"):
        model.generate(ids, custom_generate=str(repository), trust_remote_code=True)
    with pytest.raises(PolicyDenied, match="transformers-community/contrastive-search"):
        model.generate(ids, penalty_alpha=0.6, top_k=4, trust_remote_code=True)
    assert model.generate(ids, max_new_tokens=2, do_sample=False).shape == (1, 4)


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.set_attn_implementation("evil-org/kernel"),
        lambda model: model.set_attn_implementation(attn_implementation={"": "evil-org/kernel"}),
        lambda model: model.set_attn_implementation("sdpa", allow_all_kernels=True),
        lambda model: model.set_experts_implementation("evil-org/kernel"),
        lambda model: model.set_use_kernels(True),
        lambda model: setattr(model, "use_kernels", True),
    ],
)
def test_kernels_cannot_be_put_on_later(call: Any, base: Path) -> None:
    """Each way to replace parts of a model by native code from a repository is refused."""
    if "use_kernels" in repr((call.__code__.co_names, call.__code__.co_consts)) and is_installed():
        pytest.skip("kernels are installed that this version of transformers takes: policies decide")
    model = guarded.AutoModel.from_pretrained(base)
    with pytest.raises((UsageError, PolicyDenied)) as caught:
        call(model)
    assert caught.value.remedy


def test_installed_attention_can_be_chosen_later(base: Path) -> None:
    """What is installed may be chosen at any time."""
    model = guarded.AutoModel.from_pretrained(base, attn_implementation="eager")
    model.set_attn_implementation("sdpa")
    model.set_use_kernels(False)
    assert model.config._attn_implementation == "sdpa"


# --- late loads by the model's own name ---------------------------------------------------------------------------


def wav2vec2(directory: Path, marker: Path | None) -> Path:
    """A tiny wav2vec2 with a language adapter stored as a pickle; with a marker, one that acts."""
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8,), conv_stride=(2,), conv_kernel=(3,), num_feat_extract_layers=1,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, adapter_attn_dim=4,
    )  # fmt: skip
    model = transformers.Wav2Vec2ForCTC(config)
    model.save_pretrained(directory)
    adapter = {name: torch.full_like(p, 0.5) for name, p in model._get_adapters().items()}
    torch.save(adapter, directory / "adapter.fra.bin")
    save_file({name: t.clone() for name, t in adapter.items()}, directory / "adapter.deu.safetensors")
    if marker is not None:
        payloads.poison_zip(directory / "adapter.fra.bin", payloads.snippet(marker))
    return directory


@pytest.mark.parametrize("language", ["fra", "deu"])
def test_language_adapters_load_from_what_was_admitted(language: str, tmp_path: Path) -> None:
    """wav2vec2 looks for them where its config points; a pickled one was converted with the model."""
    model = guarded.Wav2Vec2ForCTC.from_pretrained(wav2vec2(tmp_path / "w", None))
    model.load_adapter(language)
    assert torch.all(next(iter(model._get_adapters().values())) == 0.5)
    assert model.config._name_or_path == str(tmp_path / "w")
    again = guarded.Wav2Vec2ForCTC.from_pretrained(tmp_path / "w", target_lang=language)
    assert torch.all(next(iter(again._get_adapters().values())) == 0.5)


def test_no_other_late_load_is_known() -> None:
    """The places where the library reads from where a config says the model came from are those that have a door."""
    root = Path(transformers.__file__).parent
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if re.search(r"(self|model)\.config\._?name_or_path", path.read_text(encoding="utf-8"))
        and not path.name.startswith(("convert_", "modular_"))
    }
    assert found == {
        "modeling_layers.py",  # MtpModel: a door
        "models/wav2vec2/modeling_wav2vec2.py",  # language adapters: a door
        "modeling_utils.py",  # an error message
        "modelcard.py",  # the name of the base model in a model card
        "integrations/peft.py",  # a comment
    }


def test_an_evil_language_adapter_is_refused(tmp_path: Path, marker: Path) -> None:
    """Whether it is asked for at the load or later, it does not run."""
    path = wav2vec2(tmp_path / "w", marker)
    with pytest.raises(PolicyDenied):
        guarded.Wav2Vec2ForCTC.from_pretrained(path).load_adapter("fra")
    with pytest.raises(PolicyDenied):
        guarded.Wav2Vec2ForCTC.from_pretrained(path, target_lang="fra")


# --- the environment ----------------------------------------------------------------------------------------------

ENVIRONMENT = """
import sys
import safeload.transformers as guarded
from safeload import PolicyDenied
try:
    guarded.AutoModel.from_pretrained(sys.argv[1])
except PolicyDenied:
    print("denied")
guarded.AutoModel.from_pretrained(sys.argv[2])
print("loaded")
"""


def test_variables_that_weaken_libraries_have_no_effect(tmp_path: Path, marker: Path) -> None:
    """Every variable known to loosen torch or transformers is set, in the model's own directory: nothing runs."""
    evil = repos.build_evil_no_dtype(tmp_path / "evil", marker)
    native = steering.build_auto_map_native(tmp_path / "native", marker)
    for name in ("timm", "kernels", "flash_attn", "sentencepiece"):
        steering.write_code(native / f"{name}.py", marker, ())
    weak = {
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
        "TRUST_REMOTE_CODE": "True",
        "HF_HUB_OFFLINE": "1",
        "USE_HUB_KERNELS": "YES",
        "DIFFUSERS_TRUST_REMOTE_KERNELS": "1",
        "SAFELOAD_HOME": str(tmp_path / "home"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-c", ENVIRONMENT, str(evil), str(native)]
    done = subprocess.run(command, env=os.environ | weak, cwd=native, capture_output=True, text=True)
    assert "denied" in done.stdout.split(), done.stderr
    assert not marker.exists()
