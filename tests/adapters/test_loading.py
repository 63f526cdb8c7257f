"""What a guarded `from_pretrained` passes on, refuses, returns and keeps."""

from __future__ import annotations

import copy
import gc
import json
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
from packaging.version import Version

import safeload.transformers as guarded
from safeload import Options
from safeload.core.errors import PolicyDenied, UsageError
from safeload.core.policy import AllOf
from safeload.transformers import _surface
from safeload.transformers._kernels import is_installed
from tests.adapters import repos, steering

State = dict[str, torch.Tensor]


def equal(model: torch.nn.Module, state: State | None = None) -> bool:
    wanted = repos.bert_state() if state is None else state
    found = model.state_dict()
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.fixture
def model_path(tmp_path: Path) -> Path:
    return repos.build_safetensors(tmp_path / "model")


@pytest.fixture
def bin_path(tmp_path: Path) -> Path:
    return repos.build_bin(tmp_path / "model")


# --- what comes back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [repos.build_safetensors, repos.build_bin])
def test_the_result_is_what_plain_transformers_returns(build: Any, tmp_path: Path) -> None:
    """Exactly the genuine class, in evaluation mode, with equal config, weights and outputs."""
    path = build(tmp_path / "model")
    ours, plain = guarded.AutoModel.from_pretrained(path), transformers.AutoModel.from_pretrained(path)
    assert type(ours) is type(plain) is transformers.BertModel
    assert equal(ours) and equal(ours, plain.state_dict()) and not ours.training and ours.dtype == plain.dtype
    assert ours.config.to_dict() == plain.config.to_dict()
    ids = torch.tensor([[2, 7, 8, 3]])
    assert torch.equal(ours(ids).last_hidden_state, plain(ids).last_hidden_state)


def test_references_may_be_paths_strings_and_keywords(model_path: Path) -> None:
    """However the library lets the reference be given, it is admitted."""
    assert equal(guarded.BertModel.from_pretrained(model_path))
    assert equal(guarded.BertModel.from_pretrained(str(model_path)))
    assert equal(guarded.AutoModel.from_pretrained(pretrained_model_name_or_path=model_path))


def test_positional_arguments_keep_their_meaning(model_path: Path, tmp_path: Path) -> None:
    """Configs take `cache_dir` by position; model classes take arguments of their own `__init__`."""
    config = guarded.BertConfig.from_pretrained(model_path, tmp_path / "cache")
    assert config.hidden_size == 16
    model = guarded.BertModel.from_pretrained(model_path, False)  # add_pooling_layer
    assert model.pooler is None


def test_name_or_path_shows_what_was_asked_for(bin_path: Path) -> None:
    """Models, tokenizers and configs name the reference, wherever they name it."""
    model = guarded.AutoModelForMaskedLM.from_pretrained(bin_path)
    assert model.name_or_path == model.bert.name_or_path == model.config.name_or_path == str(bin_path)
    tokenizer = guarded.AutoTokenizer.from_pretrained(bin_path)
    assert tokenizer.name_or_path == tokenizer.init_kwargs["name_or_path"] == str(bin_path)
    assert guarded.AutoConfig.from_pretrained(bin_path)._name_or_path == str(bin_path)


def test_tuples_come_back_as_tuples(bin_path: Path) -> None:
    """`output_loading_info` and `return_unused_kwargs` change the result as they do in the library."""
    model, info = guarded.AutoModel.from_pretrained(bin_path, output_loading_info=True)
    assert equal(model) and set(info) >= {"missing_keys", "unexpected_keys"} and model.name_or_path == str(bin_path)
    ours = guarded.AutoConfig.from_pretrained(bin_path, return_unused_kwargs=True, foo=1)
    plain = transformers.AutoConfig.from_pretrained(bin_path, return_unused_kwargs=True, foo=1)
    assert ours[1] == plain[1] == {"foo": 1}
    assert guarded.BertConfig.from_pretrained(bin_path, return_unused_kwargs=True, foo=1)[1] == {"foo": 1}


def test_keywords_of_the_library_keep_their_meaning(bin_path: Path) -> None:
    """dtype, device map, attention, config overrides and a config of one's own reach the library."""
    load = guarded.AutoModel.from_pretrained
    assert load(bin_path, dtype=torch.float16).dtype == torch.float16
    assert load(bin_path, dtype="auto", device_map="cpu").device.type == "cpu"
    assert load(bin_path, attn_implementation="eager").config._attn_implementation == "eager"
    assert load(bin_path, output_hidden_states=True).config.output_hidden_states
    config = guarded.BertConfig.from_pretrained(bin_path, num_hidden_layers=1)
    assert len(load(bin_path, config=config).encoder.layer) == 1
    assert load(bin_path, use_safetensors=False, low_cpu_mem_usage=True, local_files_only=True, trust_remote_code=False)


@pytest.mark.parametrize("words", [{"use_safetensors": True}, {"variant": "fp16"}])
def test_weights_that_are_not_there_are_named(words: dict[str, Any], bin_path: Path) -> None:
    """As with the library there is nothing to load; the message says of what kind, and names no private directory."""
    with pytest.raises(OSError, match=re.escape(str(bin_path))):
        transformers.AutoModel.from_pretrained(bin_path, **words)
    with pytest.raises(UsageError, match=next(iter(words))) as caught:
        guarded.AutoModel.from_pretrained(bin_path, **words)
    assert str(bin_path) in str(caught.value)


def test_errors_of_the_library_name_what_was_asked_for(tmp_path: Path) -> None:
    """Not the directory that was admitted for it, which nobody has heard of."""
    path = repos.write_config(tmp_path / "m", model_type="unheard-of")
    for cls in ("AutoModel", "AutoConfig", "GenerationConfig", "AutoFeatureExtractor"):
        with pytest.raises((OSError, ValueError)) as plain:
            getattr(transformers, cls).from_pretrained(path)
        with pytest.raises(type(plain.value)) as ours:
            getattr(guarded, cls).from_pretrained(path)
        assert str(ours.value) == str(plain.value)


def test_variant_and_subfolder_choose_the_files(tmp_path: Path) -> None:
    """A variant and a subfolder are found, converted and loaded."""
    half = guarded.AutoModel.from_pretrained(repos.build_variant(tmp_path / "v"), variant="fp16", use_safetensors=False)
    assert equal(half, {n: t.half().float() for n, t in repos.bert_state().items()} | _longs())
    assert equal(guarded.AutoModel.from_pretrained(repos.build_subfolder(tmp_path / "s"), subfolder="sub"))


def _longs() -> State:
    return {name: tensor for name, tensor in repos.bert_state().items() if not tensor.is_floating_point()}


def test_a_single_file_loads_with_a_config(tmp_path: Path, bin_path: Path) -> None:
    """The library lets a file be named; so do we, and configs can be files as well."""
    config = guarded.BertConfig.from_pretrained(str(bin_path / "config.json"))
    assert equal(guarded.BertModel.from_pretrained(str(bin_path / "pytorch_model.bin"), config=config))


def test_a_model_without_a_reference_loads_a_state_dict() -> None:
    """`from_pretrained(None, config=…, state_dict=…)` names nothing to admit, and works."""
    config = repos.bert_config()
    assert equal(guarded.BertModel.from_pretrained(None, config=config, state_dict=repos.bert_state()))


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    """A Llama whose `.bin` names one storage twice loads with one parameter for both."""
    model = guarded.AutoModelForCausalLM.from_pretrained(repos.build_bin_tied(tmp_path / "m"))
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert torch.equal(model.lm_head.weight, repos.llama().lm_head.weight)


def test_a_user_s_subclass_is_guarded_and_returns_itself(bin_path: Path, tmp_path: Path, marker: Path) -> None:
    """`super().from_pretrained` admits too, and the object is of the user's class."""

    class Mine(guarded.BertModel):
        seen: tuple[Any, ...] = ()

        @classmethod
        def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
            cls.seen = args
            return super().from_pretrained(*args, **kwargs)

    model = Mine.from_pretrained(bin_path)
    assert type(model) is Mine and equal(model) and Mine.seen == (bin_path,) and model.name_or_path == str(bin_path)
    with pytest.raises(PolicyDenied):
        Mine.from_pretrained(repos.build_evil_bin(tmp_path / "evil", marker))


def test_a_loader_within_a_loader_is_guarded(bin_path: Path, tmp_path: Path, marker: Path) -> None:
    """A user's model may load a tokenizer in its `__init__`: it is admitted, and its refusal ends the outer load."""
    inner = {"path": bin_path}

    class Outer(guarded.BertModel):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            try:
                self.tokenizer = guarded.AutoTokenizer.from_pretrained(inner["path"])
            except Exception:  # noqa: BLE001 as libraries do
                self.tokenizer = None

    assert Outer.from_pretrained(bin_path).tokenizer.name_or_path == str(bin_path)
    inner["path"] = repos.build_evil_tokenizer(tmp_path / "evil", marker)
    with pytest.raises(PolicyDenied, match="special_tokens_map"):
        Outer.from_pretrained(bin_path)


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "weakening",
    [
        {"weights_only": False},
        {"use_kernels": True},
        {"kernel_config": {"layer": "org/kernel"}},
        {"allow_all_kernels": True},
        {"experts_implementation": "evil-org/kernel"},
        {"custom_generate": "evil-org/generate"},
        {"from_tf": True},
        {"from_flax": True},
        {"transformers_weights": "adapter_model.bin"},
        {"auto_map": {"AutoModel": "m.C"}},
        {"safeload": {"policy": None}},
    ],
    ids=str,
)
@pytest.mark.parametrize("cls", ["AutoModel", "BertModel"])
def test_arguments_that_weaken_a_load_are_refused(cls: str, weakening: dict[str, Any], model_path: Path) -> None:
    """Each is a usage error that names the argument and says what to do, before anything is read."""
    if "use_kernels" in weakening and is_installed():
        pytest.skip("kernels are installed that this version of transformers takes: policies decide")
    with pytest.raises(UsageError) as caught:
        getattr(guarded, cls).from_pretrained(model_path, **weakening)
    assert next(iter(weakening)) in caught.value.what and caught.value.remedy


@pytest.mark.parametrize(
    ("named", "asked"),
    [
        ("evil-org/kernel", "v1"),
        ("evil-org/kernel@main:f", "main"),
        ({"text_config": "evil-org/kernel"}, "v1"),
        ("paged|evil-org/kernel", "v1"),
        ("kernels-community/flash-attn2", "v4"),
    ],
    ids=str,
)
@pytest.mark.parametrize("cls", ["AutoModel", "BertModel"])
def test_a_kernel_that_no_policy_lists_is_refused(cls: str, named: Any, asked: str, model_path: Path) -> None:
    """In every form that names one, before anything is read; also one of the library's own makers."""
    if asked == "v4" and Version(transformers.__version__) < Version("5.22"):
        asked = "v3"
    with pytest.raises(PolicyDenied, match="no policy lists") as caught:
        getattr(guarded, cls).from_pretrained(model_path, attn_implementation=named)
    assert f"@{asked}" in str(caught.value) and "safeload kernel " in caught.value.remedy


@pytest.mark.parametrize("reference", [b"model", 1, ["model"], {"a": 1}, Path])
def test_a_reference_that_is_none_is_refused(reference: object) -> None:
    """Only text and paths name a model; nothing else reaches the library unjudged."""
    for cls in ("AutoModel", "BertModel", "AutoTokenizer", "AutoConfig"):
        with pytest.raises(UsageError, match="names no model"):
            getattr(guarded, cls).from_pretrained(reference)


def test_arguments_that_ask_for_nothing_are_accepted(model_path: Path) -> None:
    """The harmless values of the same arguments load."""
    harmless = {
        "weights_only": True,
        "use_kernels": False,
        "from_tf": False,
        "_commit_hash": "x",
        "code_revision": None,
    }
    assert equal(guarded.AutoModel.from_pretrained(model_path, **harmless))


def test_a_config_object_that_steers_is_refused_or_cleaned(tmp_path: Path, marker: Path) -> None:
    """Configs may come from plain transformers: kernels in them are refused, redirects taken out of a copy."""
    steered = steering.build_transformers_weights_bin(tmp_path / "w", marker)
    repos.write_safetensors(steered / "model.safetensors", repos.bert_state())
    config = transformers.AutoConfig.from_pretrained(steered)
    repos.write_config(steered)
    assert equal(guarded.AutoModel.from_pretrained(steered, config=config))
    assert config.transformers_weights == "adapter_model.bin"
    config = transformers.AutoConfig.from_pretrained(steering.build_attention_kernel(tmp_path / "k"))
    for load in (
        lambda: guarded.AutoModel.from_pretrained(steered, config=config),
        lambda: guarded.AutoModel.from_config(config),
        lambda: guarded.BertModel(config),
        lambda: guarded.BertModel._from_config(config),
    ):
        with pytest.raises(PolicyDenied, match="evil-org/kernel"):
            load()
    assert guarded.AutoModel.from_config(config, attn_implementation="eager")


def test_a_config_by_reference_is_admitted(bin_path: Path, tmp_path: Path) -> None:
    """`config="some/where"` is a second reference, and judged as one."""
    steering.build_attention_kernel(tmp_path / "kernel")
    model = guarded.BertModel.from_pretrained(bin_path, config=str(tmp_path / "kernel"))
    assert equal(model) and "/" not in model.config._attn_implementation


def test_from_config_does_not_trust_code() -> None:
    """A config object can name any code, so nothing can approve it."""
    with pytest.raises(UsageError, match="trust_remote_code"):
        guarded.AutoModel.from_config(repos.bert_config(), trust_remote_code=True)


def test_the_policy_of_the_call_decides(model_path: Path) -> None:
    """An empty policy denies even a good model, for every kind of loader; other calls are untouched."""
    for cls in ("AutoModel", "AutoTokenizer", "AutoConfig", "BertModel"):
        with pytest.raises(PolicyDenied, match="empty policy"):
            getattr(guarded, cls).from_pretrained(model_path, safeload=Options(policy=AllOf()))
    assert guarded.AutoModel.from_pretrained(model_path)


def test_composites_admit_each_part(bin_path: Path, tmp_path: Path, marker: Path) -> None:
    """`from_encoder_decoder_pretrained` names two models: both are admitted, and one evil part is enough."""
    decoder = repos.build_bin(tmp_path / "decoder")
    repos.write_config(decoder, is_decoder=True, add_cross_attention=True)
    join = guarded.EncoderDecoderModel.from_encoder_decoder_pretrained
    model = join(str(bin_path), str(decoder))
    assert type(model) is transformers.EncoderDecoderModel and equal(model.encoder)
    assert model.encoder.name_or_path == str(bin_path) and model.decoder.name_or_path == str(decoder)
    evil = str(repos.build_evil_bin(tmp_path / "evil", marker))
    for references in ((str(bin_path), evil), (evil, str(decoder))):
        with pytest.raises(PolicyDenied):
            join(*references)
    with pytest.raises(PolicyDenied):
        join(encoder_pretrained_model_name_or_path=str(bin_path), decoder_pretrained_model_name_or_path=evil)
    with pytest.raises(UsageError, match="trust_remote_code"):
        join(str(bin_path), str(decoder), encoder_trust_remote_code=True)
    with pytest.raises(UsageError, match="evil-org"):
        join(str(bin_path), str(decoder), decoder_attn_implementation="evil-org/kernel")


def test_arguments_of_a_part_decide_its_admission(tmp_path: Path, marker: Path) -> None:
    """`encoder_subfolder` and its kin say which files are judged and loaded; a config among them is checked."""
    path = repos.build_evil_subfolder(tmp_path / "m", marker)
    (path / "good").mkdir()
    repos.build_bin(path / "good")
    join = guarded.EncoderDecoderModel.from_encoder_decoder_pretrained
    model = join(str(path), str(path), encoder_subfolder="good", encoder_hidden_act="relu", decoder_subfolder="good")
    assert equal(model.encoder) and model.config.encoder.hidden_act == "relu"
    with pytest.raises(PolicyDenied):
        join(str(path), str(path), decoder_subfolder="sub")
    config = transformers.BertConfig.from_pretrained(path)
    config.transformers_weights = "../x.safetensors"
    assert equal(join(str(path), str(path), encoder_config=config).encoder)


def test_rag_s_pickled_index_is_refused(tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The legacy index is a pickle that the library would read later."""
    monkeypatch.setenv("TRUST_REMOTE_CODE", "True")
    with pytest.raises(UsageError, match="index"):
        guarded.RagRetriever.from_pretrained(steering.build_rag(tmp_path / "rag", marker))


@pytest.mark.parametrize("trust", [{}, {"trust_remote_code": True}])
def test_an_exported_model_is_refused(tmp_path: Path, trust: dict[str, bool]) -> None:
    """Also for a caller who trusts: what runs are its programs, not code that somebody could approve."""
    base = pytest.importorskip("transformers.exporters.base")
    if not hasattr(base, "ExportedModel"):
        pytest.skip("this version of transformers loads no exported models")
    (tmp_path / "export.json").write_text('{"schema_version": 1, "export_format": "dynamo", "components": {}}')
    exported = _surface.guarded(base.ExportedModel, "ExportedModel")
    with pytest.raises(UsageError, match="exported model is refused"):
        exported.from_pretrained(str(tmp_path), **trust)


# --- what is kept -------------------------------------------------------------------------------------------------


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The directories admitted during the test, in order."""
    from safeload.transformers import _load

    found: list[Path] = []
    genuine = _load.admit

    def noting(*args: Any, **kwargs: Any) -> Any:
        admission = genuine(*args, **kwargs)
        found.append(admission.path)
        return admission

    monkeypatch.setattr(_load, "admit", noting)
    return found


def test_the_admitted_directory_lives_as_long_as_the_model(bin_path: Path, views: list[Path]) -> None:
    """It is there while the model is, also for a copy that outlives the original, and gone with the last."""
    model = guarded.AutoModel.from_pretrained(bin_path)
    (directory,) = views
    twin, shallow = copy.deepcopy(model), copy.copy(model)
    del model
    gc.collect()
    assert directory.is_dir() and equal(twin)
    del twin
    gc.collect()
    assert directory.is_dir()
    del shallow
    gc.collect()
    assert not directory.exists()


def test_part_of_a_model_keeps_the_directory(bin_path: Path, views: list[Path]) -> None:
    """A model within a model may outlive it."""
    whole = guarded.AutoModelForMaskedLM.from_pretrained(bin_path)
    inner = whole.bert
    (directory,) = views
    del whole
    gc.collect()
    assert directory.is_dir()
    del inner
    gc.collect()
    assert not directory.exists()


def test_a_config_keeps_nothing(bin_path: Path, views: list[Path]) -> None:
    """A config is read to the end, so its directory is given up at once; it has no attribute of ours."""
    plain = transformers.AutoConfig.from_pretrained(bin_path)
    assert vars(guarded.AutoConfig.from_pretrained(bin_path)).keys() == vars(plain).keys()
    assert not views[0].exists()


def test_models_and_tokenizers_pickle(bin_path: Path, views: list[Path]) -> None:
    """They come back equal and guarded, and the original's directory does not depend on the copy."""
    model, tokenizer = guarded.AutoModel.from_pretrained(bin_path), guarded.AutoTokenizer.from_pretrained(bin_path)
    twin, other = pickle.loads(pickle.dumps((model, tokenizer)))
    assert equal(twin) and other("w1").input_ids == tokenizer("w1").input_ids
    del twin, other
    gc.collect()
    assert all(view.is_dir() for view in views) and len(views) == 2


UNPICKLE = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    model = pickle.load(file)
try:
    model.set_attn_implementation("evil-org/kernel")
except Exception as error:
    print(type(error).__name__)
"""


def test_a_model_is_guarded_in_the_process_that_unpickles_it(bin_path: Path, tmp_path: Path) -> None:
    """Worker processes get the doors too, without importing safeload themselves."""
    file = tmp_path / "model.pickle"
    file.write_bytes(pickle.dumps(guarded.AutoModel.from_pretrained(bin_path)))
    done = subprocess.run([sys.executable, "-c", UNPICKLE, file], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["PolicyDenied"]


def test_saved_files_hold_nothing_of_ours(bin_path: Path, tmp_path: Path) -> None:
    """What `save_pretrained` writes is what the library writes after its own load: no private path in any file."""
    for name, load in (("ours", guarded), ("plain", transformers)):
        load.AutoModel.from_pretrained(bin_path).save_pretrained(tmp_path / name)
        load.AutoTokenizer.from_pretrained(bin_path).save_pretrained(tmp_path / name)
        load.AutoConfig.from_pretrained(bin_path).save_pretrained(tmp_path / name / "config")
    ours = {path.relative_to(tmp_path / "ours"): path for path in (tmp_path / "ours").rglob("*") if path.is_file()}
    plain = {path.relative_to(tmp_path / "plain") for path in (tmp_path / "plain").rglob("*") if path.is_file()}
    assert set(ours) == plain
    for path in ours:
        assert (tmp_path / "ours" / path).read_bytes() == (tmp_path / "plain" / path).read_bytes(), path
    assert guarded.AutoModel.from_pretrained(tmp_path / "ours")


def test_a_generation_config_loads(tmp_path: Path) -> None:
    """`GenerationConfig` is equal to plain, and a model loads its own."""
    path = repos.build_llama(tmp_path / "m")
    ours, plain = guarded.GenerationConfig.from_pretrained(path), transformers.GenerationConfig.from_pretrained(path)
    assert ours.to_dict() == plain.to_dict()
    model = guarded.AutoModelForCausalLM.from_pretrained(path)
    assert json.loads(model.generation_config.to_json_string()) == json.loads(plain.to_json_string())
    out = model.generate(torch.tensor([[2, 5]]), max_new_tokens=3, do_sample=False)
    assert out.shape == (1, 5)


@pytest.mark.parametrize(
    "cls", ["AutoProcessor", "Wav2Vec2Processor", "AutoFeatureExtractor", "Wav2Vec2FeatureExtractor"]
)
def test_processors_and_feature_extractors_load(cls: str, tmp_path: Path) -> None:
    """They are equal to plain, write equal files, and the tokenizer in them names the reference."""
    (tmp_path / "vocab.json").write_text(json.dumps({"<pad>": 0, "<unk>": 1, "|": 2, "a": 3}))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"))
    extractor = transformers.Wav2Vec2FeatureExtractor()
    path = tmp_path / "m"
    transformers.Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer).save_pretrained(path)
    transformers.Wav2Vec2Config().save_pretrained(path)
    extractor.save_pretrained(path)
    ours, plain = getattr(guarded, cls).from_pretrained(path), getattr(transformers, cls).from_pretrained(path)
    assert type(ours) is type(plain) and ours.to_dict() == plain.to_dict()
    ours.save_pretrained(tmp_path / "ours")
    plain.save_pretrained(tmp_path / "plain")
    for file in sorted((tmp_path / "plain").rglob("*")):
        assert (tmp_path / "ours" / file.name).read_bytes() == file.read_bytes()
    if hasattr(ours, "tokenizer"):
        assert ours.tokenizer.name_or_path == str(path)
        assert ours.tokenizer("a").input_ids == plain.tokenizer("a").input_ids


def test_a_forked_child_does_not_take_the_directory_with_it(bin_path: Path, views: list[Path]) -> None:
    """Only the process that admitted a model gives its directory up."""
    model = guarded.AutoModel.from_pretrained(bin_path)
    child = os.fork()
    if child == 0:
        del model
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    assert views[0].is_dir() and equal(model)


def test_tokenizers_in_folders_of_their_own_load(tmp_path: Path) -> None:
    """Some processors hold several tokenizers, each in a folder named after it."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(repos.write_tokenizer(tmp_path / "t"))
    path = tmp_path / "rag"
    transformers.RagTokenizer(tokenizer, tokenizer).save_pretrained(path)
    parts = {"question_encoder": repos.bert_config().to_dict(), "generator": repos.bert_config().to_dict()}
    transformers.RagConfig(**parts).save_pretrained(path)
    ours = guarded.RagTokenizer.from_pretrained(path)
    assert type(ours) is transformers.RagTokenizer
    assert ours.question_encoder("w1 w2").input_ids == tokenizer("w1 w2").input_ids
    assert ours.generator.name_or_path == str(path)


def test_a_load_within_a_load_of_what_was_not_admitted_is_refused(tmp_path: Path) -> None:
    """Whatever a config makes the library look for, in a cache or on this disk, nobody judged it."""
    path, elsewhere = repos.build_safetensors(tmp_path / "m"), repos.build_safetensors(tmp_path / "elsewhere")

    class Nested(guarded.BertModel):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.config_of_another = transformers.AutoConfig.from_pretrained(str(elsewhere))

    with pytest.raises(PolicyDenied, match=r"elsewhere.*not admitted"):
        Nested.from_pretrained(path)
    assert Nested(repos.bert_config()).config_of_another.hidden_size == 16
